"""
The codecs: whatever arrives, however it is cut.

  - Nothing but C{ProtocolError} comes out.
  - The calls are the same however the bytes are cut, and so is the error.
  - Between two chunks no more is kept than a header, or a name.
  - There are no more calls than bytes allow for, and they take time in proportion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from tests.fuzz.frames import CodecMutator
from tests.fuzz.inputs import CutInput, cutUp
from tests.fuzz.target import Target, bounded
from tests.fuzz.vectors import messages
from tests.unit.wire.sinks import MOST_KEPT, Call, bytesKept, makeCodec, merged
from twisted_mux.errors import ProtocolError
from twisted_mux.wire import codecNamed, wireNames
from twisted_mux.wire.base import Codec, Role

#: The longest frames that we send, which is also what net-mux takes.
_FRAMES = (1, 100, 32768, 1 << 20)
# Calls that a frame may cause (yamux: open, acknowledgement, payload, end), and the
# bytes of the shortest frame (mplex: a close).
_CALLS = 4
_SHORTEST = 2


def decoded(
    codec: type[Codec], role: Role, maxFrame: int, chunks: Iterable[bytes]
) -> tuple[list[Call], str]:
    """
    What a new codec makes of these chunks: the calls, payload L{merged}, and the
    error it ends with.
    """
    reader, sink = makeCodec(codec, role, maxFrame)
    error = ""
    size = 0
    try:
        for chunk in chunks:
            size += len(chunk)
            rest = chunk
            while rest:
                before = len(rest)
                rest = reader.receive(rest)
                assert len(rest) < before
            assert 0 <= reader.midFrame <= MOST_KEPT, reader.midFrame
    except ProtocolError as caught:
        error = f"{type(caught).__name__}: {caught}"
    # What is kept is as much as it says.
    kept = bytesKept(reader)
    assert error or kept <= MOST_KEPT, kept
    assert len(sink.calls) <= _CALLS * (size // _SHORTEST + 1)
    told = sum(len(call[2]) for call in sink.calls if call[0] == "payloadReceived")
    assert told <= size, f"{told} bytes of payload in {size} that arrived"
    return merged(sink.calls), error


def fuzz(codec: type[Codec]) -> Callable[[bytes], None]:
    """
    What one input does to a codec.
    """

    def run(data: bytes) -> None:
        given = CutInput.parse(data)
        role = Role.SERVER if given.flags & 1 else Role.CLIENT
        maxFrame = _FRAMES[given.flags >> 1 & 3]
        with bounded(len(given.wire)):
            whole = decoded(codec, role, maxFrame, [given.wire])
        with bounded(len(given.wire)):
            cut = decoded(codec, role, maxFrame, cutUp(given.wire, given.cuts))
        assert cut == whole, f"cut: {cut}, whole: {whole}"

    return run


def seeds(wire: str) -> Iterator[bytes]:
    """
    Both directions of every recording of a real peer.
    """
    for number, (role, wireBytes) in enumerate(messages(wire)):
        flags = (role is Role.CLIENT) | 4
        yield CutInput(flags, number, wireBytes).pack()


def targets() -> Iterator[Target]:
    """
    One for each wire.
    """
    for wire in wireNames():
        yield Target(
            f"codec-{wire}",
            fuzz(codecNamed(wire)),
            lambda wire=wire: seeds(wire),  # type: ignore[misc]
            CodecMutator(wire),
        )
