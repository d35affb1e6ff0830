"""
Bytes that real peers sent, from C{tests/vectors}: what we make of them, and that
we write the same.

A file is for one wire protocol and named after it::

    {"wire": "yamux",
     "recordings": [
       {"name": "...", "peer": "...", "version": "...",
        "frames": [
          {"from": "client" or "server", "hex": "...",
           "calls": [["openReceived", 1, 0, ""], ...],
           "writes": "encodeOpen" or null}]}]}

C{calls} is what the frame causes at whoever reads it, names and payloads in
hexadecimal, keys as numbers or, on addressed wires, in hexadecimal.  C{writes}
names the method of our codec, if there is one, that writes the very same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.unit.wire.sinks import (
    Call,
    RecordingSink,
    decode,
    eachByte,
    feed,
    makeCodec,
    merged,
)
from twisted_mux.wire import DETECT_BYTES, codecNamed, detect, wireNames, wires
from twisted_mux.wire.base import Codec, Key, Role

VECTORS = Path(__file__).parents[2] / "vectors"


@dataclass(frozen=True)
class Frame:
    """
    A frame of a recording: who wrote it, its bytes, what it says, and which of
    our methods writes the same.
    """

    writer: Role
    data: bytes
    calls: list[Call]
    writes: str | None


@dataclass(frozen=True)
class Recording:
    codec: type[Codec]
    name: str
    frames: list[Frame]

    def __str__(self) -> str:
        return f"{self.codec.name}: {self.name}"

    def sentBy(self, role: Role) -> list[Frame]:
        """
        One direction of it.
        """
        return [frame for frame in self.frames if frame.writer is role]


def readCall(codec: type[Codec], call: list[Any]) -> Call:
    """
    A call as it is in a file, made into what a sink records.
    """
    name, *arguments = call
    if codec.capabilities.addressed and name not in ("pingReceived", "idleReceived"):
        arguments[0] = bytes.fromhex(arguments[0])
    if name in ("openReceived", "payloadReceived"):
        arguments[-1] = bytes.fromhex(arguments[-1])
    assert hasattr(RecordingSink, name), f"{name} is no call of a sink"
    return (name, *arguments)


def readRecordings(wire: str) -> Iterator[Recording]:
    path = VECTORS / f"{wire}.json"
    if not path.exists():
        return
    content = json.loads(path.read_text())
    assert content["wire"] == wire
    codec = codecNamed(wire)
    for recording in content["recordings"]:
        assert recording["peer"]
        assert recording["version"]
        yield Recording(
            codec,
            recording["name"],
            [
                Frame(
                    Role(frame["from"]),
                    bytes.fromhex(frame["hex"]),
                    [readCall(codec, call) for call in frame["calls"]],
                    frame["writes"],
                )
                for frame in recording["frames"]
            ],
        )


RECORDINGS = [each for wire in wireNames() for each in readRecordings(wire)]
eachRecording = pytest.mark.parametrize("recording", RECORDINGS, ids=str)
eachRole = pytest.mark.parametrize("writer", list(Role))


@pytest.mark.parametrize("wire", wireNames())
def test_everyWireHasVectors(wire: str) -> None:
    recordings = [each for each in RECORDINGS if each.codec.name == wire]
    assert recordings, f"tests/vectors/{wire}.json is missing or empty"
    for role in Role:
        assert any(each.sentBy(role) for each in recordings)


def test_everyFileHasAWire() -> None:
    assert {path.stem for path in VECTORS.glob("*.json")} <= set(wires())


@eachRecording
@eachRole
def test_frameByFrame(recording: Recording, writer: Role) -> None:
    reader, sink = makeCodec(recording.codec, writer.other)
    for frame in recording.sentBy(writer):
        sink.calls.clear()
        feed(reader, frame.data)
        assert merged(sink.calls) == merged(frame.calls), frame.data.hex()
        assert not reader.midFrame


@eachRecording
@eachRole
def test_wholeAndCut(recording: Recording, writer: Role) -> None:
    """
    Whole, byte by byte, and cut in two anywhere: around the ends of frames, in
    the long recordings.
    """
    frames = recording.sentBy(writer)
    data = b"".join(frame.data for frame in frames)
    calls = merged(call for frame in frames for call in frame.calls)
    reader = writer.other
    assert decode(recording.codec, reader, [data]) == calls
    assert decode(recording.codec, reader, eachByte(data)) == calls
    cuts = set(range(1, len(data)))
    if len(data) > 2000:
        cuts, end = set(), 0
        for frame in frames:
            cuts |= {*range(end, end + 24), *range(end + len(frame.data) - 4, end)}
            end += len(frame.data)
    for cut in cuts:
        chunks = [data[:cut], data[cut:]]
        assert decode(recording.codec, reader, chunks) == calls, cut


@eachRecording
@eachRole
def test_trailingBytes(recording: Recording, writer: Role) -> None:
    """
    A frame with the beginning of the next one behind it says the same, and the
    beginning isn't lost.
    """
    frames = recording.sentBy(writer)
    for frame, following in pairwise(frames):
        reader, sink = makeCodec(recording.codec, writer.other)
        for cut in range(min(len(following.data), 24)):
            sink.calls.clear()
            feed(reader, frame.data + following.data[:cut])
            feed(reader, following.data[cut:])
            assert merged(sink.calls) == merged(frame.calls + following.calls), cut


@eachRecording
def test_detected(recording: Recording) -> None:
    """
    What a real client starts with is never taken for another wire protocol.
    (One that answers a ping has heard from a server that knew already.)
    """
    if recording.frames[0].writer is Role.SERVER:
        return
    sent = b"".join(frame.data for frame in recording.sentBy(Role.CLIENT))
    codec = recording.codec
    answers = [detect(sent[:cut]) for cut in range(min(len(sent), DETECT_BYTES) + 1)]
    clear = answers.index(codec) if sent else len(answers)
    assert answers == [None] * clear + [codec] * (len(answers) - clear)


def keyOfWriter(codec: type[Codec], writer: Role, key: Key) -> Key:
    """
    What the writer calls the stream that its reader calls C{key}.  On mplex,
    where keys say who opened the stream, that is another number.
    """
    ours, _ = makeCodec(codec, writer)
    candidates = [key, key ^ 1] if isinstance(key, int) else [key]
    for candidate in candidates:
        [(_, seen)] = decode(codec, writer.other, [ours.encodeEnd(candidate)])
        if seen == key:
            return candidate
    raise AssertionError(f"no key of {writer} is {key!r} to its peer")


def write(codec: type[Codec], writer: Role, method: str, call: Call) -> bytes:
    """
    What our codec writes to cause a call at its peer.
    """
    ours, _ = makeCodec(codec, writer, codec.capabilities.maxPayload)
    initial = codec.capabilities.initialWindow
    name, *arguments = call
    if name in ("pingReceived", "pongReceived", "goAwayReceived"):
        return bytes(getattr(ours, method)(*arguments))
    if name == "idleReceived":
        return ours.encodeProbe()
    key = keyOfWriter(codec, writer, arguments.pop(0))
    writers: dict[str, Callable[[], bytes]] = {
        "openReceived": lambda: ours.encodeOpen(key, initial + arguments[0], call[-1]),
        "acceptReceived": lambda: ours.encodeAccept(key, initial + arguments[0]),
        "payloadReceived": lambda: ours.payloadHeader(key, len(call[-1])) + call[-1],
        "creditReceived": lambda: ours.encodeCredit(key, arguments[0], 0, 0),
        "windowReceived": lambda: ours.encodeCredit(key, 0, arguments[0], arguments[1]),
        "endReceived": lambda: ours.encodeEnd(key),
        "resetReceived": lambda: ours.encodeReset(key),
    }
    if name == "openOrEndReceived":
        if method == "encodeEnd":
            return ours.encodeEnd(key)
        return ours.encodeOpen(key, 0, b"")
    return writers[name]()


METHODS = {
    "openReceived": "encodeOpen",
    "acceptReceived": "encodeAccept",
    "payloadReceived": "payloadHeader",
    "creditReceived": "encodeCredit",
    "windowReceived": "encodeCredit",
    "endReceived": "encodeEnd",
    "resetReceived": "encodeReset",
    "pingReceived": "encodePing",
    "pongReceived": "encodePong",
    "goAwayReceived": "encodeGoAway",
    "idleReceived": "encodeProbe",
}


@eachRecording
def test_weWriteTheSame(recording: Recording) -> None:
    for frame in recording.frames:
        if frame.writes is None:
            continue
        [call] = merged(frame.calls)
        if call[0] == "openOrEndReceived":
            assert frame.writes in ("encodeOpen", "encodeEnd")
        else:
            assert frame.writes == METHODS[call[0]]
        ours = write(recording.codec, frame.writer, frame.writes, call)
        assert ours.hex() == frame.data.hex(), call
