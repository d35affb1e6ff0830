"""
Wires whose frames are messages tell where one ends.
"""

from __future__ import annotations

import pytest

from tests.unit.wire.sinks import RecordingSink
from twisted_mux.wire import codecNamed, wireNames
from twisted_mux.wire.base import Codec, Key, Role


class Watcher(RecordingSink):
    """
    Asks after each piece of payload how much is missing.
    """

    codec: Codec

    def __init__(self) -> None:
        super().__init__()
        self.missing: list[int] = []

    def payloadReceived(self, key: Key, data: bytes) -> None:
        super().payloadReceived(key, data)
        self.missing.append(self.codec.payloadMissing(key))


def read(wire: str, chunks: list[bytes]) -> Watcher:
    """
    Read these, as a server.
    """
    watcher = Watcher()
    watcher.codec = codecNamed(wire)(Role.SERVER, watcher, 1000)
    for chunk in chunks:
        assert watcher.codec.receive(chunk) == b""
    return watcher


def frames(wire: str) -> tuple[bytes, Key]:
    """
    What opens a stream, and its key.
    """
    client = codecNamed(wire)(Role.CLIENT, RecordingSink(), 1000)
    key = next(client.keys())
    return client.encodeOpen(key, 0, b""), key


@pytest.mark.parametrize("cut", range(1, 10))
@pytest.mark.parametrize("wire", wireNames())
def test_cutMessage(wire: str, cut: int) -> None:
    """
    What is missing is told for each piece of a message, and 0 for its last one;
    other wires know nothing of it.
    """
    opening, key = frames(wire)
    client = codecNamed(wire)(Role.CLIENT, RecordingSink(), 1000)
    header = client.payloadHeader(key, 10)
    part = bytes(cut)
    watcher = read(wire, [opening + header + part, bytes(10 - cut), header + bytes(10)])
    messages = codecNamed(wire).capabilities.messages
    assert watcher.missing == [10 - cut if messages else 0, 0, 0]
    assert watcher.codec.payloadMissing("another") == 0


def test_skippedPayload() -> None:
    """
    A payload that nobody gets is missing from no message.
    """
    # A message for stream 0, opened by the client, then its close with a payload.
    watcher = read("mplex", [b"\x00\x00" + b"\x02\x01a" + b"\x04\x05ab"])
    ((_, key, _),) = [call for call in watcher.calls if call[0] == "payloadReceived"]
    assert watcher.codec.payloadMissing(key) == 0
