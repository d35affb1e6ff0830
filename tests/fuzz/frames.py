"""
Mutations that know what a frame is, so that a fuzzer gets past length fields and
finds streams that are there.

What arrives is taken apart into frames (leniently: what is left is a frame, too),
frames are dropped, doubled, moved, put in, and their fields changed; and as often as
not libFuzzer's own mutator has its way with the bytes instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from random import Random
from typing import Literal, TypeAlias

from tests.fuzz.inputs import LONGEST, MOST_STEPS, CutInput, SessionInput
from tests.unit.wire.sinks import RecordingSink
from twisted_mux.wire import codecNamed
from twisted_mux.wire.base import Codec, Credit, Key, Role

#: Changes bytes at random: data, and the most that may come out.
Mutate = Callable[[bytes, int], bytes]
#: Where a field is: begin, end, byte order.
Field: TypeAlias = 'tuple[int, int, Literal["big", "little"]]'

#: Numbers that fields get.
NUMBERS = (
    *(0, 1, 2, 3, 4, 5, 7, 8, 12, 127, 128, 255, 256, 1000, 1001, 4096, 32768),
    *(65535, 65536, 262143, 262144, 262145, 2**20, 2**20 + 1, 2**30),
    *(2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1),
)

# yamux and net-mux: version, type, flags, id, length.
_YAMUX: tuple[Field, ...] = (
    (0, 1, "big"),
    (1, 2, "big"),
    (2, 4, "big"),
    (4, 8, "big"),
    (8, 12, "big"),
)
# smux: version, command, length, id; consumed and window of an UPD.
_SMUX: tuple[Field, ...] = (
    *((0, 1, "big"), (1, 2, "big"), (2, 4, "little"), (4, 8, "little")),
    *((8, 12, "little"), (12, 16, "little")),
)
# vt-muxer: the end of the address, port, length.
_VTMUX: tuple[Field, ...] = ((15, 16, "big"), (16, 18, "big"), (18, 20, "big"))
_FIELDS: dict[str, tuple[Field, ...]] = {
    "yamux": _YAMUX,
    "netmux": _YAMUX,
    "smux1": _SMUX,
    "smux2": _SMUX,
    "vtmux": _VTMUX,
}


def _uvarint(data: bytes, start: int) -> tuple[int, int]:
    number = 0
    for index, byte in enumerate(data[start : start + 9]):
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return number, start + index + 1
    return 0, len(data)


def _frameSize(wire: str, data: bytes, start: int) -> int:
    if wire == "mplex":
        _, behind = _uvarint(data, start)
        length, behind = _uvarint(data, behind)
        return behind - start + length
    header = data[start : start + 20]
    if wire == "vtmux":
        return 20 + int.from_bytes(header[18:20], "big")
    if wire.startswith("smux"):
        return 8 + int.from_bytes(header[2:4], "little")
    return 12 + (int.from_bytes(header[8:12], "big") if header[1:2] == b"\0" else 0)


def split(wire: str, data: bytes) -> list[bytes]:
    """
    C{data} taken apart into frames; the last one may be anything.
    """
    frames = []
    start = 0
    while start < len(data):
        end = start + max(1, _frameSize(wire, data, start))
        frames.append(data[start:end])
        start = end
    return frames


class FrameMutator:
    """
    Mutates what arrives on one wire.
    """

    def __init__(self, wire: str) -> None:
        self._wire = wire
        self._sides: dict[Role, tuple[Codec, list[Key]]] = {}
        codec = codecNamed(wire)
        keys: list[Key] = []
        for role in Role:
            writer = codec(role, RecordingSink(), 1 << 20)
            keys += islice(writer.keys(), 6)
            self._sides[role] = writer, keys

    def wire(self, chance: Random, data: bytes, mutate: Mutate, most: int) -> bytes:
        """
        Something similar to C{data}, of at most C{most} bytes.
        """
        if chance.random() < 0.4:
            return mutate(data, most)
        frames = split(self._wire, data)
        for _ in range(1 << chance.randrange(3)):
            self._change(chance, frames)
        return b"".join(frames)[:most]

    def _change(self, chance: Random, frames: list[bytes]) -> None:
        what = chance.randrange(8)
        if what < 3 or not frames:
            fresh = self.fresh(chance)
            frames.insert(chance.randint(0, len(frames)), fresh)
            return
        index = chance.randrange(len(frames))
        if what == 3:
            del frames[index]
        elif what == 4:
            frames.insert(chance.randint(0, len(frames)), frames[index])
        elif what == 5:
            other = chance.randrange(len(frames))
            frames[index], frames[other] = frames[other], frames[index]
        else:
            frames[index] = self._changeField(chance, frames[index])

    def fresh(self, chance: Random) -> bytes:
        """
        A frame as one side or the other would write it.
        """
        writer, keys = self._sides[chance.choice(list(Role))]
        capabilities = writer.capabilities
        key = chance.choice(keys)
        number = chance.choice(NUMBERS)
        payload = bytes(chance.choice((1, 1, 2, 30, 300, 1100)))
        makers: list[Callable[[], bytes]] = [
            lambda: writer.encodeOpen(
                key, number, payload[:9] if capabilities.names else b""
            ),
            lambda: writer.payloadHeader(key, len(payload)) + payload,
            lambda: writer.encodeEnd(key),
            lambda: writer.encodeAccept(key, number),
        ]
        if capabilities.credit is not Credit.NONE:
            makers.append(
                lambda: writer.encodeCredit(
                    key, number, chance.choice(NUMBERS), min(number, 2**31)
                )
            )
        if capabilities.reset:
            makers.append(lambda: writer.encodeReset(key))
        if capabilities.ping:
            makers.append(lambda: writer.encodePing(number))
            makers.append(lambda: writer.encodePong(chance.randrange(4)))
        if capabilities.probe:
            makers.append(writer.encodeProbe)
        if capabilities.goAway:
            makers.append(lambda: writer.encodeGoAway(number % 8))
        return chance.choice(makers)()

    def _changeField(self, chance: Random, frame: bytes) -> bytes:
        number = chance.choice(NUMBERS)
        if self._wire == "mplex":
            first, middle = _uvarint(frame, 0)
            length, end = _uvarint(frame, middle)
            if chance.random() < 0.5:
                tag = chance.randrange(8)
                first = (first >> 3 if chance.random() < 0.5 else number) << 3 | tag
            else:
                length = number
            return _varint(first) + _varint(length) + frame[end:]
        begin, end, order = chance.choice(_FIELDS[self._wire])
        number &= (1 << 8 * (end - begin)) - 1
        value = number.to_bytes(end - begin, order)
        return frame[:begin] + value + frame[end:]


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def mutateSteps(
    chance: Random, steps: Sequence[tuple[int, int, int]]
) -> tuple[tuple[int, int, int], ...]:
    """
    A similar script.
    """
    changed = list(steps)
    fresh = (
        chance.choice((0, 0, 1, 8, 12, 13, 20, 40, 255)),
        chance.randrange(256),
        chance.randrange(256),
    )
    what = chance.randrange(4)
    if what == 0 and changed:
        del changed[chance.randrange(len(changed))]
    elif what == 1 and changed:
        changed[chance.randrange(len(changed))] = fresh
    elif len(changed) < MOST_STEPS:
        changed.insert(chance.randint(0, len(changed)), fresh)
    return tuple(changed)


class CodecMutator:
    """
    The custom mutator for the codec of a wire.
    """

    def __init__(self, wire: str) -> None:
        self._frames = FrameMutator(wire)

    def __call__(self, data: bytes, most: int, seed: int, mutate: Mutate) -> bytes:
        chance = Random(seed)
        given = CutInput.parse(data)
        flags, cuts = given.flags, given.cuts
        what = chance.random()
        if what < 0.05:
            flags = chance.randrange(256)
        elif what < 0.1:
            cuts = chance.choice((0, chance.randrange(65536)))
        most = min(most, LONGEST)
        wire = self._frames.wire(chance, given.wire, mutate, max(1, most - 3))
        return CutInput(flags, cuts, wire).pack()[:most]


class SessionMutator:
    """
    The custom mutator for sessions of a wire.
    """

    def __init__(self, wire: str) -> None:
        self._frames = FrameMutator(wire)

    def __call__(self, data: bytes, most: int, seed: int, mutate: Mutate) -> bytes:
        chance = Random(seed)
        given = SessionInput.parse(data)
        flags, steps, wire = given.flags, given.steps, given.wire
        most = min(most, LONGEST)
        what = chance.random()
        if what < 0.03:
            flags = chance.randrange(256)
        elif what < 0.4:
            for _ in range(1 << chance.randrange(3)):
                steps = mutateSteps(chance, steps)
        if what > 0.3:
            room = max(1, most - 2 - 3 * len(steps))
            wire = self._frames.wire(chance, wire, mutate, room)
        return SessionInput(flags, steps, wire).pack()[:most]
