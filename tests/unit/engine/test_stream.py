"""
One stream: what waits to be sent, what waits to be read.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.property.pipe import Driver, User
from twisted_mux.engine.credit import UNBOUNDED
from twisted_mux.engine.scheduler import IDLE, SPARSE
from twisted_mux.engine.stream import CHUNK_CHARGE, JOIN_LIMIT, Piece, Stream
from twisted_mux.wire.base import Role

pieces = st.one_of(
    st.binary(max_size=20),
    st.builds(
        lambda byte, size: bytes([byte]) * size,
        st.integers(0, 255),
        st.integers(1, 9000),
    ),
)


def take(stream: Stream, length: int) -> bytes:
    out: list[Piece] = []
    stream.take(length, out)
    return b"".join(out)


def newStream(wire: str = "yamux") -> Stream:
    return Driver(wire, Role.CLIENT).open().stream


@given(st.lists(st.one_of(pieces, st.integers(1, 12000)), max_size=40))
def test_writtenAndTaken(steps: list[bytes | int]) -> None:
    """
    What is written is taken in order, in parts of any size, with writes between.
    """
    stream = newStream()
    written, taken = bytearray(), bytearray()
    for step in steps:
        if isinstance(step, bytes):
            stream.write(step)
            written += step
        elif stream.buffered:
            part = take(stream, min(step, stream.buffered))
            assert len(part) == min(step, len(written) - len(taken))
            taken += part
        assert stream.buffered == len(written) - len(taken)
        if stream.rest is None:
            assert len(stream.head) - stream.offset == stream.buffered
    taken += take(stream, stream.buffered)
    assert taken == written
    assert stream.buffered == 0
    assert stream.rest is None
    assert take(stream, 0) == b""


def test_aWholeChunkIsNotCopied() -> None:
    """
    What is written at once and taken at once is the same object.
    """
    driver = Driver("yamux", Role.CLIENT)
    stream = driver.open().stream
    driver.run()
    data = b"x" * 100
    stream.write(data)
    _, piece = driver.session.takeOutput(1000)
    assert piece is data


def test_aLargePartIsNotCopied() -> None:
    """
    A large part of what is written is a view of it.
    """
    stream = newStream()
    data = bytes(range(250)) * 400
    stream.write(data)
    out: list[Piece] = []
    stream.take(30_000, out)
    stream.take(70_000, out)
    assert [piece.obj for piece in out if isinstance(piece, memoryview)] == [data] * 2
    assert b"".join(out) == data


def test_aSmallRemainderIsCopied() -> None:
    """
    A few bytes that are left don't keep a large chunk alive.
    """
    stream = newStream()
    stream.write(bytes(100_000))
    take(stream, 100_000 - JOIN_LIMIT)
    assert len(stream.head) == JOIN_LIMIT
    assert stream.rest is None
    stream.write(bytes(100_000))
    take(stream, JOIN_LIMIT + 10)
    assert len(stream.head) == 100_000
    assert take(stream, stream.buffered) == bytes(100_000 - 10)


def test_whatCantBeWritten() -> None:
    """
    Nothing, and what comes too late, is dropped without a word.
    """
    driver = Driver("yamux", Role.CLIENT)
    user = driver.open()
    stream = user.stream
    driver.sent()
    stream.write(b"")
    assert not driver.session.hasOutput()
    assert stream.turn == IDLE
    stream.endWriting()
    stream.write(b"still")
    driver.sent()
    assert stream.bytesSent == 5
    stream.write(b"late")
    assert stream.buffered == 0
    stream.endWriting()
    stream.leave()
    assert not driver.session.hasOutput()
    assert user.events == [("written",)]


def test_endingTwice() -> None:
    stream = newStream()
    stream.endWriting()
    assert stream.turn == SPARSE
    stream.endWriting()
    assert stream.ending


def test_holdEnd() -> None:
    """
    An end that was not taken yet can be called back.
    """
    driver = Driver("yamux", Role.CLIENT)
    user = driver.open()
    user.stream.endWriting()
    user.stream.holdEnd()
    driver.sent()
    assert user.stream.writable
    assert user.events == []
    user.stream.endWriting()
    driver.run()
    assert user.events == [("written",)]


@pytest.mark.parametrize("wire", ["yamux", "smux1"])
def test_counters(wire: str) -> None:
    driver = Driver(wire, Role.CLIENT)
    user = driver.open()
    stream = user.stream
    stream.write(b"x" * 1000)
    assert stream.bytesSent == 0
    driver.run()
    assert stream.bytesSent == 1000
    assert stream.bytesReceived == 0
    assert not stream.gone


def test_unboundedCredit() -> None:
    """
    The silent credit of a wire without any is filled up before it runs out, and
    the counter of what was sent goes on.
    """
    stream = newStream("smux1")
    assert stream.usableCredit() == UNBOUNDED
    sent = 0
    stream.write(b"x" * 100)
    for _ in range(3):
        sent += stream.sendCredit - 1
        stream.sendCredit = 1
        assert stream.usableCredit() == UNBOUNDED
        assert stream.bytesSent == sent


def test_boundedCredit() -> None:
    stream = newStream("yamux")
    stream.write(b"x" * 100)
    stream.permit(10)
    assert stream.usableCredit() == 10
    assert stream.bytesSent == 0
    stream.permit(-10)
    assert stream.usableCredit() == -10
    assert stream.bytesSent == 0


def test_receiveWindow() -> None:
    driver = Driver("yamux", Role.CLIENT)
    assert driver.open().stream.receiveWindow == 256 * 1024


@given(st.lists(st.one_of(pieces.filter(bool), st.none()), max_size=60))
def test_heldAndGiven(steps: list[bytes | None]) -> None:
    """
    What is held is given in order; it costs what it says, and at the end nothing.
    """
    stream = newStream()
    held = bytearray()
    cost = 0
    for step in steps:
        if step is not None:
            charged = stream.hold(step)
            assert len(step) <= charged <= len(step) + CHUNK_CHARGE
            cost += charged
            held += step
        else:
            before = stream.backlogSize
            if held:
                data = stream.nextHeld()
                assert held.startswith(data)
                del held[: len(data)]
            cost -= before - stream.backlogSize
        assert stream.held == len(held)
        assert stream.backlogSize == cost
        assert stream.backlogSize >= stream.held
        assert bool(stream.backlogSize) is bool(held)
    assert stream.dropHeld() == cost
    assert stream.held == stream.backlogSize == 0


def test_smallChunksAreJoined() -> None:
    """
    One-byte chunks cost little more than a byte each.
    """
    stream = newStream()
    cost = sum(stream.hold(b"x") for _ in range(100_000))
    assert cost == stream.backlogSize
    assert cost <= 100_000 + CHUNK_CHARGE * (100_000 // JOIN_LIMIT + 1)


def test_resumeWithoutAnOwner() -> None:
    """
    A stream that was left does not begin to flow again.
    """
    driver = Driver("yamux", Role.CLIENT)
    user = driver.open()
    driver.run()
    user.stream.pauseReading()
    user.leave()
    user.stream.resumeReading()
    driver.run()
    assert not user.stream.flowing


def test_resumeTwice() -> None:
    driver = Driver("yamux", Role.CLIENT)
    user = driver.open(start=False)
    user.stream.resumeReading()
    # It was never started, so it does not flow by that.
    flowing = [user.stream.flowing]
    driver.session.start(user.stream)
    driver.run()
    for change in ("resume", "pause", "pause", "resume", "resume"):
        getattr(user.stream, f"{change}Reading")()
        flowing.append(user.stream.flowing)
    assert flowing == [False, True, False, False, True, True]


def test_pausedBeforeItsTurn() -> None:
    """
    A stream that pauses before it has been started stays paused.
    """
    driver = Driver("yamux", Role.CLIENT)
    user = driver.open()
    user.stream.pauseReading()
    driver.run()
    assert not user.stream.flowing
    user.stream.resumeReading()
    assert user.stream.flowing


def test_leaveTwice() -> None:
    driver = Driver("yamux", Role.CLIENT)
    user = driver.open()
    user.leave()
    user.stream.leave()
    driver.run()
    assert user.stream.handler is None
    assert not user.stream.writable


def test_aUserAttaches() -> None:
    """
    The tests' own owner of streams is told at once that it is asked for too
    much.
    """
    driver = Driver("yamux", Role.CLIENT)
    user: User = driver.open()
    user.finished = True
    with pytest.raises(AssertionError, match="after the owner had left"):
        user.streamAccepted()
