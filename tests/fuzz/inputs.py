"""
What the bytes of an input mean: where its chunks are cut, and, for whole sessions,
what is done between them.

An input of a codec, or of a handshake::

    flags u8 | cuts u16 | what arrives

An input of a session::

    flags u8 | count u8 | count times: after u8, action u8, argument u8 | what arrives

so that what arrives is in one piece in both, as the mutator
(L{tests.fuzz.frames}) and libFuzzer's own dictionary of recent comparisons need it.
An input that is too short is one with zeros.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

#: No input is longer than this, in bytes.
LONGEST = 4096
#: The most steps of a script.
MOST_STEPS = 64

# The mean length of a chunk, by the lowest bits of the number that stands for cuts.
_CHUNKS = (2, 5, 14, 40, 200, 2000)


def cutUp(data: bytes, cuts: int) -> list[bytes]:
    """
    C{data} in chunks, cut where the number C{cuts} says: byte by byte for 0.
    """
    if not cuts:
        return [data[index : index + 1] for index in range(len(data))]
    chance = Random(cuts)
    most = 2 * _CHUNKS[cuts % len(_CHUNKS)] - 1
    chunks = []
    start = 0
    while start < len(data):
        end = start + chance.randint(1, most)
        chunks.append(data[start:end])
        start = end
    return chunks


@dataclass(frozen=True)
class CutInput:
    """
    An input for something that only reads.
    """

    flags: int
    cuts: int
    wire: bytes

    @classmethod
    def parse(cls, data: bytes) -> CutInput:
        flags, high, low = data[:3].ljust(3, b"\0")
        return cls(flags, high << 8 | low, bytes(data[3:]))

    def pack(self) -> bytes:
        return bytes([self.flags]) + self.cuts.to_bytes(2, "big") + self.wire

    def replace(self, wire: bytes) -> CutInput:
        """
        The same with something else arriving.
        """
        return CutInput(self.flags, self.cuts, wire)


#: What to do, after how many further bytes have arrived, and with what.
Step = tuple[int, int, int]


@dataclass(frozen=True)
class SessionInput:
    """
    An input for a session.
    """

    flags: int
    steps: tuple[Step, ...]
    wire: bytes

    @classmethod
    def parse(cls, data: bytes) -> SessionInput:
        count = data[1] % (MOST_STEPS + 1) if len(data) > 1 else 0
        script = data[2 : 2 + 3 * count].ljust(3 * count, b"\0")
        return cls(
            data[0] if data else 0,
            tuple(_triples(script)),
            bytes(data[2 + 3 * count :]),
        )

    def pack(self) -> bytes:
        script = b"".join(map(bytes, self.steps))
        return bytes([self.flags, len(self.steps)]) + script + self.wire

    def replace(self, wire: bytes) -> SessionInput:
        """
        The same with something else arriving.
        """
        return SessionInput(self.flags, self.steps, wire)


def _triples(script: bytes) -> Iterator[Step]:
    for start in range(0, len(script), 3):
        after, action, argument = script[start : start + 3]
        yield after, action, argument
