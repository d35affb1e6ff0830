"""
What the tests of the codecs share: a sink that writes down what it is told, and
ways to feed a codec.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import GetSetDescriptorType
from typing import Any

from twisted_mux.wire.base import Codec, Key, Role

#: The name of a method of L{FrameSink<twisted_mux.wire.base.FrameSink>}, and
#: its arguments.
Call = tuple[Any, ...]

#: The most that any codec keeps between two chunks, in bytes: mplex keeps an
#: open until its name of at most 1,024 bytes is whole, with two varints in
#: front, and all others less than a header.
MOST_KEPT = 1024 + 18


class RecordingSink:
    """
    Keeps every call.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def openReceived(self, key: Key, credit: int, name: bytes) -> None:
        self.calls.append(("openReceived", key, credit, name))

    def acceptReceived(self, key: Key, credit: int) -> None:
        self.calls.append(("acceptReceived", key, credit))

    def payloadReceived(self, key: Key, data: bytes) -> None:
        assert data, "an empty payload must be told as idle"
        assert type(data) is bytes
        self.calls.append(("payloadReceived", key, data))

    def creditReceived(self, key: Key, delta: int) -> None:
        assert delta > 0, "a grant of nothing must be told as idle"
        self.calls.append(("creditReceived", key, delta))

    def windowReceived(self, key: Key, consumed: int, window: int) -> None:
        self.calls.append(("windowReceived", key, consumed, window))

    def endReceived(self, key: Key) -> None:
        self.calls.append(("endReceived", key))

    def resetReceived(self, key: Key, code: int) -> None:
        self.calls.append(("resetReceived", key, code))

    def openOrEndReceived(self, key: Key) -> None:
        self.calls.append(("openOrEndReceived", key))

    def pingReceived(self, value: int) -> None:
        self.calls.append(("pingReceived", value))

    def pongReceived(self, value: int) -> None:
        self.calls.append(("pongReceived", value))

    def goAwayReceived(self, code: int) -> None:
        self.calls.append(("goAwayReceived", code))

    def idleReceived(self) -> None:
        self.calls.append(("idleReceived",))


def merged(calls: Iterable[Call]) -> list[Call]:
    """
    The calls with payloads of one stream that follow each other joined, so that
    it doesn't show where the chunks were cut.
    """
    result: list[Call] = []
    for call in calls:
        last = result[-1] if result else ("",)
        if call[0] == last[0] == "payloadReceived" and call[1] == last[1]:
            result[-1] = (call[0], call[1], last[2] + call[2])
        else:
            result.append(call)
    return result


def makeCodec(
    codec: type[Codec], role: Role, maxFrame: int = 32768
) -> tuple[Codec, RecordingSink]:
    """
    A codec with a sink that records.
    """
    sink = RecordingSink()
    return codec(role, sink, maxFrame), sink


def bytesKept(codec: Codec) -> int:
    """
    How many bytes a codec keeps in its attributes, which are in a dictionary, or, if it
    is compiled, in slots.
    """
    names = set(getattr(codec, "__dict__", ()))
    for kind in type(codec).__mro__:
        names.update(
            name
            for name, slot in vars(kind).items()
            if isinstance(slot, GetSetDescriptorType)
        )
    values = [getattr(codec, name) for name in names]
    return sum(len(value) for value in values if isinstance(value, bytes))


def feed(codec: Codec, chunk: bytes) -> None:
    """
    Let a codec read all of a chunk, and check what it keeps of it.
    """
    while chunk:
        rest = codec.receive(chunk)
        assert len(rest) < len(chunk)
        chunk = rest
    assert bytesKept(codec) <= MOST_KEPT


def decode(codec: type[Codec], role: Role, chunks: Iterable[bytes]) -> list[Call]:
    """
    What a new codec makes of these chunks, payloads L{merged}.

    @param role: that of the reading side.
    """
    reader, sink = makeCodec(codec, role)
    for chunk in chunks:
        feed(reader, chunk)
    return merged(sink.calls)


def eachByte(data: bytes) -> list[bytes]:
    """
    Chunks of one byte.
    """
    return [data[index : index + 1] for index in range(len(data))]


def assertDecodes(
    codec: type[Codec], role: Role, data: bytes, calls: list[Call]
) -> None:
    """
    These bytes cause these calls, whole, byte by byte, and cut anywhere.
    """
    assert decode(codec, role, [data]) == calls
    assert decode(codec, role, eachByte(data)) == calls
    for cut in range(1, len(data)):
        assert decode(codec, role, [data[:cut], data[cut:]]) == calls, cut
