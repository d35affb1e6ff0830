"""
The receiving rules: what each frame of the peer's does to which stream.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.property.pipe import Boom, Driver, Pipe, Remote, User
from twisted_mux.config import MuxConfig
from twisted_mux.engine import handlers
from twisted_mux.engine.credit import UNBOUNDED
from twisted_mux.engine.states import State
from twisted_mux.engine.stream import CHUNK_CHARGE
from twisted_mux.errors import (
    FlowControlError,
    KeyInUse,
    LimitExceeded,
    ProtocolError,
)
from twisted_mux.wire import wireNames, wires
from twisted_mux.wire.base import Breach, Credit, Role

KIB = 1024
WINDOW = 256 * KIB
STEP = 96 * KIB

capabilities = {name: codec.capabilities for name, codec in wires().items()}
everyWire = pytest.mark.parametrize("wire", wireNames())
credited = pytest.mark.parametrize(
    "wire",
    [name for name in wireNames() if capabilities[name].credit is not Credit.NONE],
)
uncredited = pytest.mark.parametrize(
    "wire", [name for name in wireNames() if capabilities[name].credit is Credit.NONE]
)
resetting = pytest.mark.parametrize(
    "wire", [name for name in wireNames() if capabilities[name].reset]
)
unresetting = pytest.mark.parametrize(
    "wire", [name for name in wireNames() if not capabilities[name].reset]
)


def server(wire: str, **options: Any) -> tuple[Driver, Remote]:
    config = MuxConfig(keepAlive=0, keepAliveTimeout=0, **options)
    driver = Driver(wire, Role.SERVER, config)
    return driver, Remote(driver)


# Delivery.


@everyWire
def test_delivered(wire: str) -> None:
    """
    Payload goes to its stream's reader as it came, and the end behind it.
    """
    driver, remote = server(wire)
    user, other = remote.open(), remote.open()
    remote.send(
        remote.data(user.stream.key, b"one"),
        remote.data(other.stream.key, b"two"),
        remote.data(user.stream.key, b"three"),
        remote.end(user.stream.key),
    )
    assert user.chunks == [b"one", b"three"]
    assert user.names() == ["data", "ended"]
    assert other.chunks == [b"two"]
    assert user.stream.bytesReceived == 8
    assert user.stream.state is State.REMOTE_ENDED
    assert driver.session.current is user.stream
    assert driver.session.held == 0


@everyWire
def test_inTheSameChunkAsTheOpen(wire: str) -> None:
    """
    What comes together with the open is delivered in a turn of its own, which
    comes after all that was put off before.
    """
    driver, remote = server(wire)
    key = remote.key()
    driver.session.receive(
        remote.opening(key) + remote.data(key, b"early") + remote.end(key), 0
    )
    [user] = driver.opened
    assert user.events == []
    assert driver.woken
    driver.run()
    assert user.names() == ["data", "ended"]
    assert driver.session.held == 0


@everyWire
def test_pause(wire: str) -> None:
    """
    A reader that pauses gets nothing, be it an end, until it resumes; then it
    comes in a turn, and never from within the request.
    """
    driver, remote = server(wire)
    user = remote.open()
    key = user.stream.key
    user.stream.pauseReading()
    for payload in (b"one", b"two"):
        remote.send(remote.data(key, payload))
    remote.send(remote.end(key))
    assert user.events == []
    assert driver.session.held == user.stream.backlogSize > 6
    assert user.stream.held == 6
    user.stream.resumeReading()
    assert user.events == []
    driver.run()
    assert user.received == b"onetwo"
    assert user.names() == ["data", "ended"]
    assert driver.session.held == 0


@everyWire
def test_pauseWithinDelivery(wire: str) -> None:
    """
    A reader may pause, and resume, at any chunk.
    """
    driver, remote = server(wire)
    user = remote.open()
    key = user.stream.key
    user.hooks["data"] = lambda data: user.stream.pauseReading()
    remote.send(
        *(remote.data(key, bytes([byte])) for byte in range(5)), remote.end(key)
    )
    seen = []
    for _ in range(6):
        seen.append(bytes(user.received))
        user.stream.resumeReading()
        driver.run()
    # Small chunks that waited have been joined.
    assert seen[:2] == [b"\0", b"\0\1\2\3\4"]
    assert user.names()[-1] == "ended"


@everyWire
def test_pauseAndResumeWithinDelivery(wire: str) -> None:
    driver, remote = server(wire)
    user = remote.open()
    key = user.stream.key

    def hook(data: bytes) -> None:
        user.stream.pauseReading()
        user.stream.resumeReading()

    user.hooks["data"] = hook
    frames = [remote.data(key, bytes([byte])) for byte in range(50)]
    remote.send(*frames, remote.end(key))
    assert user.received == bytes(range(50))
    assert user.names() == ["data", "ended"]
    user.stream.leave()
    user.finished = True
    driver.assertIdle()


@everyWire
def test_turnBytes(wire: str) -> None:
    """
    What waits is delivered with others' turns between.
    """
    driver, remote = server(wire, turnBytes=10_000)
    users = [remote.open() for _ in range(3)]
    for user in users:
        user.stream.pauseReading()
        remote.send(*[remote.data(user.stream.key, bytes(5000)) for _ in range(6)])
    for user in users:
        user.stream.resumeReading()
    turns = 0
    while driver.woken:
        before = sum(len(user.received) for user in users)
        driver.turn()
        turns += 1
        assert sum(len(user.received) for user in users) - before <= 15_000
    assert turns >= 6
    assert all(len(user.received) == 30_000 for user in users)
    assert driver.session.held == 0


@everyWire
@pytest.mark.parametrize("how", ["leave", "reset"])
def test_dropsWhileItReads(wire: str, how: str) -> None:
    """
    A reader may leave, or reset, in the middle of what waits for it.
    """
    driver, remote = server(wire)
    user = remote.open()
    key = user.stream.key
    user.stream.pauseReading()
    for _ in range(5):
        remote.send(remote.data(key, bytes(5000)))
    user.hooks["data"] = lambda data: getattr(user, how)()
    user.stream.resumeReading()
    driver.run()
    assert user.chunks == [bytes(5000)]
    assert driver.session.held == 0
    if not capabilities[wire].reset or how == "leave":
        remote.send(remote.end(key))
    driver.assertIdle()


@everyWire
@pytest.mark.parametrize("how", ["leave", "reset"])
def test_othersAreDropped(wire: str, how: str) -> None:
    """
    One that reads may drop another that is about to.
    """
    driver, remote = server(wire)
    users = [remote.open() for _ in range(2)]
    for user in users:
        user.stream.pauseReading()
        remote.send(remote.data(user.stream.key, b"x"))
    for user in users:
        user.stream.resumeReading()
    users[0].hooks["data"] = lambda data: getattr(users[1], how)()
    driver.run()
    assert users[0].received == b"x"
    assert users[1].events == []
    assert driver.session.held == 0


@everyWire
def test_aReaderThatRaises(wire: str) -> None:
    """
    Its handler is told, and nothing else happens.
    """
    driver, remote = server(wire)
    user, other = remote.open(), remote.open()

    def hook(data: bytes) -> None:
        raise Boom

    user.hooks["data"] = hook
    for paused in (False, True):
        if paused:
            user.stream.pauseReading()
        remote.send(
            remote.data(user.stream.key, b"x"), remote.data(other.stream.key, b"y")
        )
        user.stream.resumeReading()
        driver.run()
    assert user.names() == ["data", "failed", "data", "failed"]
    assert other.received == b"yy"
    assert driver.error is None
    assert driver.failed == []


@everyWire
def test_aReaderThatLeavesAndRaises(wire: str) -> None:
    """
    Then it is the session's handler that is told.
    """
    driver, remote = server(wire)
    user = remote.open()

    def hook(data: bytes) -> None:
        user.leave()
        raise Boom

    user.hooks["data"] = hook
    remote.send(remote.data(user.stream.key, b"x"))
    assert driver.failed == [user.stream]


@everyWire
def test_theReceiverIsLookedUp(wire: str) -> None:
    """
    It may be replaced at any time.
    """
    _, remote = server(wire)
    user = remote.open()
    chunks: list[bytes] = []

    class Other:
        def dataReceived(self, data: bytes) -> None:
            chunks.append(data)

    def replace(data: bytes) -> None:
        user.stream.receiver = Other()

    user.hooks["data"] = replace
    key = user.stream.key
    remote.send(remote.data(key, b"one"), remote.data(key, b"two"))
    assert user.chunks == [b"one"]
    assert chunks == [b"two"]


@everyWire
@pytest.mark.parametrize("put", [0, 1, 2, 3])
def test_unread(wire: str, put: int) -> None:
    """
    A reader may give back what it can't use: whoever reads next gets it, in a
    later turn, before what came after it.
    """
    driver, remote = server(wire)
    user = remote.open()
    key = user.stream.key
    seen: list[bytes] = []

    def giveBack(data: bytes) -> None:
        user.hooks["data"] = seen.append
        user.stream.unread(data[len(data) - put :])
        seen.append(b"|")

    user.hooks["data"] = giveBack
    driver.session.receive(remote.data(key, b"one"), 0)
    assert driver.woken
    driver.session.receive(remote.data(key, b"two") + remote.end(key), 0)
    assert seen == [b"|"]
    assert user.stream.held == 3 + put
    driver.run()
    assert b"".join(seen) == b"|" + b"one"[3 - put :] + b"two"
    assert user.names()[-1] == "ended"
    assert driver.session.held == 0


@everyWire
@pytest.mark.parametrize("how", ["leave", "reset"])
def test_unreadByOneWhoLeft(wire: str, how: str) -> None:
    """
    What nobody will read is not kept.
    """
    driver, remote = server(wire)
    user = remote.open()

    def hook(data: bytes) -> None:
        getattr(user, how)()
        user.stream.unread(data)

    user.hooks["data"] = hook
    remote.send(remote.data(user.stream.key, b"x"))
    assert driver.session.held == 0


# Credit.


@credited
def test_creditIsReturned(wire: str) -> None:
    """
    When three eighths of an ordinary window have been taken by the reader they
    are granted again, so that a full window costs two frames or three.
    """
    driver, remote = server(wire)
    user = remote.open()
    key = user.stream.key
    remote.heard()
    remote.send(remote.data(key, bytes(STEP - 1)))
    assert remote.heard() == []
    remote.send(remote.data(key, b"x"))
    grants = [call for call in remote.heard() if call[0] != "pingReceived"]
    expected: dict[Credit, Any] = {
        Credit.DELTA: ("creditReceived", key, STEP),
        Credit.CUMULATIVE: ("windowReceived", key, STEP, WINDOW),
    }
    assert grants == [expected[capabilities[wire].credit]]
    assert driver.session.held == 0


@credited
def test_noCreditForWhatWaits(wire: str) -> None:
    """
    A reader that pauses holds its window and no more; what it takes is granted.
    """
    driver, remote = server(wire)
    user = remote.open()
    key = user.stream.key
    user.stream.pauseReading()
    remote.heard()
    for _ in range(8):
        remote.send(remote.data(key, bytes(WINDOW // 8)))
    assert remote.heard() == []
    assert user.stream.held == WINDOW
    assert user.stream.receiveCredit == 0
    assert driver.session.held <= WINDOW + 8 * CHUNK_CHARGE
    user.stream.resumeReading()
    driver.run()
    assert user.stream.receiveCredit >= WINDOW - STEP
    assert driver.session.held == 0


@credited
def test_beyondTheCredit(wire: str) -> None:
    """
    A byte more ends the session, with the figures in the text.
    """
    driver, remote = server(wire)
    user = remote.open()
    key = user.stream.key
    user.stream.pauseReading()
    remote.send(remote.data(key, bytes(WINDOW)))
    remote.heard()
    remote.send(remote.data(key, b"xy"))
    error = driver.endedWith(FlowControlError)
    assert "2 bytes came when 0 were allowed" in str(error)
    assert user.events == [("lost", error)]
    codes = driver.session.codec.goAwayCodes
    assert remote.heard() == (
        [("goAwayReceived", codes["flow"])] if capabilities[wire].goAway else []
    )


@credited
@pytest.mark.parametrize("window", [1, 1000, 100_000])
def test_narrowWindow(wire: str, window: int) -> None:
    """
    A window narrower than the wire's first one can't be told in time where it is
    told at all: as much again as that is taken, once.  (net-mux takes it that
    both sides are configured alike.)
    """
    driver, remote = server(wire, window=window)
    user = remote.open()
    key = user.stream.key
    allowed = WINDOW if capabilities[wire].windowAnnounced else window
    for _ in range(2):
        user.stream.pauseReading()
        remote.send(remote.data(key, bytes(user.stream.receiveCredit)))
        assert user.stream.held <= allowed
        assert driver.error is None
        user.stream.resumeReading()
        driver.run()
        assert 0 < user.stream.receiveCredit <= max(window, WINDOW - window)
    assert user.stream.bytesReceived == len(user.received)


@pytest.mark.parametrize("size", [1, 10_000, WINDOW - 1, WINDOW])
def test_narrowWindowIsTold(size: int) -> None:
    """
    On smux2 a narrower window is told with the first byte, as the Go peer does.
    """
    _, remote = server("smux2", window=10_000)
    user = remote.open()
    assert remote.heard() == []
    remote.send(remote.data(user.stream.key, bytes(size)))
    assert remote.heard()[-1] == ("windowReceived", user.stream.key, size, 10_000)
    assert user.stream.bytesReceived == size


@uncredited
@pytest.mark.parametrize("deaf", [False, True])
def test_withoutCredit(wire: str, deaf: bool) -> None:
    """
    Where there is no credit gigabytes go through one stream, whether its reader
    wants them or nothing any more.
    """
    driver, remote = server(wire)
    user = remote.open()
    stream = user.stream
    if deaf:
        stream.stopReading()
        stream.resumeReading()
    total = 0
    for _ in range(20):
        # As if so much had come.
        total += stream.receiveCredit - stream.lowWater
        stream.receiveCredit = stream.lowWater
        remote.send(remote.data(stream.key, b"x"))
        total += 1
        assert stream.receiveCredit == UNBOUNDED
    assert stream.bytesReceived == total > 2**31
    assert user.received == (b"" if deaf else b"x" * 20)
    assert driver.session.held == 0
    assert driver.error is None


@pytest.mark.parametrize("wire", ["yamux", "netmux"])
def test_grants(wire: str) -> None:
    driver, remote = server(wire)
    user = remote.open()
    stream = user.stream
    stream.write(bytes(300_000))
    assert len(driver.sent()) >= WINDOW
    assert stream.sendCredit == 0
    assert stream.buffered == 300_000 - WINDOW
    remote.send(remote.credit(stream.key, 100))
    assert stream.bytesSent == WINDOW + 100
    remote.send(remote.credit(stream.key, 1_000_000))
    assert stream.buffered == 0
    assert stream.sendCredit == WINDOW + 1_000_100 - 300_000


@pytest.mark.parametrize("wire", ["yamux", "netmux"])
def test_tooMuchCredit(wire: str) -> None:
    """
    More than the wire can count is an error, however it adds up.
    """
    driver, remote = server(wire)
    user = remote.open()
    key = user.stream.key
    remote.send(remote.credit(key, 0xFFFFFFFF - WINDOW))
    assert user.stream.sendCredit == 0xFFFFFFFF
    remote.send(remote.credit(key, 1))
    assert "past the wire's 4294967295" in str(driver.endedWith(FlowControlError))


def test_windows() -> None:
    """
    smux2: what was consumed, and how wide the window is, modulo 2^32.
    """
    driver, remote = server("smux2")
    user = remote.open()
    stream = user.stream
    key = stream.key
    stream.write(bytes(300_000))
    driver.sent()
    assert stream.bytesSent == WINDOW
    remote.send(remote.credit(key, consumed=0, window=WINDOW + 1000))
    assert stream.bytesSent == WINDOW + 1000
    # Narrower than what is under way.
    remote.send(remote.credit(key, consumed=1000, window=1000))
    assert stream.sendCredit == 1000 - WINDOW
    assert stream.bytesSent == WINDOW + 1000
    remote.send(remote.credit(key, consumed=WINDOW, window=1000))
    assert stream.sendCredit == 0
    remote.send(remote.credit(key, consumed=WINDOW, window=2000))
    assert stream.bytesSent == WINDOW + 2000
    remote.send(remote.credit(key, consumed=WINDOW + 2000, window=0x7FFFFFFF))
    assert stream.bytesSent == 300_000
    # As wide as the wire can count, whatever it says.
    remote.send(remote.credit(key, consumed=300_000, window=0xFFFFFFFF))
    assert stream.sendCredit == 0x7FFFFFFF
    assert driver.error is None


def test_anEndUnderANarrowWindow() -> None:
    """
    smux2: an end needs no credit, not even when a window that was made narrower
    has left a debt.
    """
    driver, remote = server("smux2")
    users = [remote.open() for _ in range(2)]
    for user in users:
        user.stream.write(bytes(1000))
        driver.sent()
        remote.send(remote.credit(user.stream.key, consumed=0, window=10))
        assert user.stream.sendCredit == -990
    users[0].stream.endWriting()
    users[1].stream.write(b"more")
    users[1].stream.endWriting()
    remote.heard()
    driver.run()
    assert users[0].events == [("written",)]
    assert users[1].events == []
    remote.send(remote.credit(users[1].stream.key, consumed=1000, window=10))
    assert users[1].events == [("written",)]


def test_countersWrap() -> None:
    """
    smux2: nothing special happens where 2^32 bytes have been sent and received.
    """
    driver, remote = server("smux2")
    user = remote.open()
    stream = user.stream
    key = stream.key
    # As if nearly so much had gone both ways.
    jump = 2**32 - 1000
    stream._permitted += jump
    stream.granted += jump
    remote.send(remote.credit(key, consumed=jump, window=WINDOW))
    stream.write(bytes(3000))
    driver.sent()
    remote.send(remote.credit(key, consumed=2000, window=WINDOW))
    assert stream.sendCredit == WINDOW
    remote.heard()
    remote.send(remote.data(key, bytes(STEP)))
    assert remote.heard() == [("windowReceived", key, STEP - 1000, WINDOW)]


def test_consumedMoreThanWasSent() -> None:
    driver, remote = server("smux2")
    user = remote.open()
    user.stream.write(bytes(10))
    driver.sent()
    remote.send(remote.credit(user.stream.key, consumed=11, window=WINDOW))
    error = driver.endedWith(FlowControlError)
    assert "consumed 1 bytes more than the 10 that were sent" in str(error)


@pytest.mark.parametrize("wire", ["yamux", "netmux"])
def test_windowsGrow(wire: str) -> None:
    """
    A sender that is held up for want of credit gets a wider window, as far as
    the configuration and the session's budget go; what was taken of that is
    given back with the stream.
    """
    config = MuxConfig(maxWindow=2**21, receiveBudget=2**21)
    pipe = Pipe(wire, config)
    for _ in range(2):
        pairs = []
        for _ in range(2):
            mine = pipe.client.open()
            pipe.pump()
            pairs.append((mine, pipe.server.opened[-1]))
        for _ in range(40):
            for mine, _ in pairs:
                mine.stream.write(bytes(2**20 - mine.stream.buffered))
            for side in pipe.sides:
                side.now += 0.05
            # Half a round trip each.
            for side in pipe.sides:
                side.run()
            client, server = (bytes(side.outbox) for side in pipe.sides)
            for side in pipe.sides:
                side.outbox.clear()
            pipe.server.session.receive(client, pipe.server.now)
            pipe.client.session.receive(server, pipe.client.now)
        windows = [theirs.stream.receiveWindow for _, theirs in pairs]
        assert max(windows) > WINDOW
        assert sum(windows) <= 2**21 + 2 * WINDOW
        for mine, theirs in pairs:
            mine.stream.endWriting()
            theirs.stream.endWriting()
        pipe.pump()
        for mine, theirs in pairs:
            assert bytes(mine.stream.bytesSent) == theirs.received
            mine.leave()
            theirs.leave()
        pipe.assertIdle()


def test_windowsGrowWithoutPings() -> None:
    """
    On smux2 the round trip is taken from the grants.
    """
    pipe = Pipe("smux2", MuxConfig(keepAlive=0))
    mine = pipe.client.open()
    pipe.pump()
    [theirs] = pipe.server.opened
    for _ in range(20):
        mine.stream.write(bytes(2**21 - mine.stream.buffered))
        pipe.client.run()
        for side in pipe.sides:
            side.now += 0.05
        pipe.deliver(pipe.client)
        pipe.server.run()
        for side in pipe.sides:
            side.now += 0.05
        pipe.deliver(pipe.server)
    assert theirs.stream.receiveWindow > WINDOW
    assert not pipe.server.session.liveness.measured


# Streams that nobody reads.


@resetting
def test_dataForOneWhoLeft(wire: str) -> None:
    """
    Data for a stream whose owner has left is answered with a reset, as by TCP.
    """
    driver, remote = server(wire)
    user = remote.open()
    key = user.stream.key
    user.leave()
    remote.heard()
    remote.send(remote.data(key, b"x"))
    assert remote.heard() == [("resetReceived", key, 0)]
    driver.assertIdle()
    assert driver.session.counters.resetsSent == 1


@unresetting
def test_dataForOneWhoLeftWithoutReset(wire: str) -> None:
    """
    Where there is no reset it is dropped, and its credit returned, so that the
    peer can finish.
    """
    driver, remote = server(wire)
    user = remote.open()
    key = user.stream.key
    user.leave()
    for _ in range(20):
        remote.send(remote.data(key, bytes(50_000)))
    assert driver.error is None
    assert driver.session.held == 0
    assert user.stream.bytesReceived == 1_000_000
    remote.send(remote.end(key))
    driver.assertIdle()


@credited
def test_leavingMakesRoom(wire: str) -> None:
    """
    A peer that waits for credit finds out that nobody reads.
    """
    driver, remote = server(wire)
    user = remote.open()
    user.stream.pauseReading()
    remote.send(remote.data(user.stream.key, bytes(WINDOW)))
    remote.heard()
    user.leave()
    driver.run()
    assert driver.session.held == 0
    assert user.stream.receiveCredit == WINDOW
    names = [call[0] for call in remote.heard()]
    assert "creditReceived" in names or "windowReceived" in names


@unresetting
def test_resetWithoutReset(wire: str) -> None:
    """
    Where there is no reset our direction ends at once, without what was written,
    and what comes is dropped.
    """
    driver, remote = server(wire)
    user = remote.open()
    key = user.stream.key
    user.stream.write(b"x" * 1000)
    user.reset()
    user.stream.reset()
    user.stream.write(b"late")
    calls = remote.heard()
    assert len(calls) == 1
    assert calls[0][1] == key
    remote.send(remote.data(key, bytes(10_000)))
    assert driver.session.held == 0
    remote.send(remote.end(key))
    driver.assertIdle()
    assert remote.heard() == []


@everyWire
def test_resetAfterTheEnd(wire: str) -> None:
    """
    A stream whose direction has ended can be reset; one that has gone as well.
    """
    driver, remote = server(wire)
    user = remote.open()
    key = user.stream.key
    user.stream.endWriting()
    driver.run()
    remote.heard()
    user.reset()
    assert remote.heard() == (
        [("resetReceived", key, 0)] if capabilities[wire].reset else []
    )
    if not capabilities[wire].reset:
        remote.send(remote.end(key))
    user.stream.reset()
    driver.assertIdle()


@resetting
def test_resetByThePeer(wire: str) -> None:
    """
    A reset drops what was to be sent and to be read; it is told once.
    """
    driver, remote = server(wire)
    user = remote.open()
    key = user.stream.key
    user.stream.pauseReading()
    remote.send(remote.data(key, b"unread"))
    driver.blocked = True
    user.stream.write(b"unsent")
    remote.send(remote.resetting(key))
    assert user.events == [("reset", 0)]
    driver.blocked = False
    remote.heard()
    driver.assertIdle()
    assert driver.session.counters.resetsReceived == 1
    remote.send(remote.resetting(key), remote.data(key, b"late"))
    assert user.events == [("reset", 0)]
    assert driver.error is None


@resetting
def test_resetOfOneWhoLeft(wire: str) -> None:
    driver, remote = server(wire)
    user = remote.open()
    user.leave()
    remote.send(remote.resetting(user.stream.key))
    driver.assertIdle()


def test_resetCode() -> None:
    """
    go-yamux gives a cause.
    """
    driver, remote = server("yamux")
    user = remote.open()
    driver.feed(remote.codec._frame(1, 8, user.stream.key, 7))  # type: ignore[attr-defined]
    assert user.events == [("reset", 7)]


@resetting
def test_tooManyResets(wire: str) -> None:
    """
    They come out of a bucket, whoever sends them.
    """
    driver, remote = server(wire, resetBurst=10, resetRate=1)
    for index in range(10):
        user = remote.open()
        if index % 2:
            remote.send(remote.resetting(user.stream.key))
        else:
            user.leave()
            remote.send(remote.data(user.stream.key, b"x"))
    driver.now += 1
    remote.send(remote.resetting(remote.open().stream.key))
    user = remote.open()
    assert driver.error is None
    remote.send(remote.resetting(user.stream.key))
    error = driver.endedWith(LimitExceeded)
    assert error.limit == "resetBurst"
    assert error.figure == 10
    assert "(limit resetBurst: 10)" in str(error)


# What must not be.


@everyWire
def test_dataAfterTheEnd(wire: str) -> None:
    """
    It is skipped where peers send such, and breaks the protocol elsewhere.
    """
    driver, remote = server(wire)
    user = remote.open()
    key = user.stream.key
    remote.send(remote.end(key), remote.data(key, b"x"))
    assert user.received == b""
    if capabilities[wire].afterEnd is Breach.IGNORE:
        assert driver.error is None
        assert user.events == [("ended",)]
    else:
        error = driver.endedWith(ProtocolError)
        assert "data after the end" in str(error)
        assert driver.session.describe(user.stream) in str(error)


@everyWire
def test_endedTwice(wire: str) -> None:
    driver, remote = server(wire)
    user = remote.open()
    key = user.stream.key
    remote.send(remote.end(key), remote.end(key))
    if capabilities[wire].afterEnd is Breach.IGNORE:
        assert driver.error is None
    else:
        assert "ended twice" in str(driver.endedWith(ProtocolError))
    assert user.names()[0] == "ended"


@pytest.mark.parametrize("wire", [name for name in wireNames() if name != "vtmux"])
def test_openedTwice(wire: str) -> None:
    driver, remote = server(wire)
    user = remote.open()
    remote.send(remote.opening(user.stream.key))
    assert len(driver.opened) == 1
    if capabilities[wire].duplicateOpen is Breach.IGNORE:
        assert driver.error is None
    else:
        assert "opened while it is open" in str(driver.endedWith(ProtocolError))


class Strict(wires()["mplex"]):  # type: ignore[misc]
    """
    A wire whose breaches cost the stream.
    """

    capabilities = replace(
        wires()["mplex"].capabilities,
        afterEnd=Breach.RESET,
        duplicateOpen=Breach.RESET,
    )


@pytest.mark.parametrize("what", ["end", "data", "open", "nobody"])
def test_breachesThatCostTheStream(what: str) -> None:
    driver = Driver(
        Strict, Role.SERVER, MuxConfig(keepAlive=0, resetBurst=1, resetRate=0)
    )
    remote = Remote(driver)
    user, other = remote.open(), remote.open()
    for each in (user, other):
        key = each.stream.key
        if what == "nobody":
            remote.send(remote.end(key))
            each.leave()
            # Written, so that it is not gone yet.
            each.stream.writable = True
            frame = remote.end(key)
        else:
            if what != "open":
                remote.send(remote.end(key))
            frame = {
                "end": remote.end(key),
                "data": remote.data(key, b"x"),
                "open": remote.opening(key),
            }[what]
        remote.send(frame)
        if each is user:
            if what != "nobody":
                assert user.names()[-1] == "lost"
            assert driver.error is None
    driver.endedWith(LimitExceeded)


@everyWire
def test_framesForNobody(wire: str) -> None:
    """
    Frames for streams that never were are counted as without effect; for those
    that have gone they are ignored.
    """
    driver, remote = server(wire, idleBurst=5, idleRate=0)
    gone = remote.open()
    remote.send(remote.end(gone.stream.key))
    gone.leave()
    driver.run()
    key = gone.stream.key
    for frame in framesFor(wire, remote, key):
        for _ in range(20):
            remote.send(frame)
    assert driver.error is None
    if wire == "vtmux":
        return
    stranger = remote.key()
    frames = framesFor(wire, remote, stranger)
    for count in range(6):
        assert driver.error is None, count
        remote.send(frames[count % len(frames)])
    assert driver.endedWith(LimitExceeded).limit == "idleBurst"


def framesFor(wire: str, remote: Remote, key: Any) -> list[bytes]:
    """
    All frames for a stream but data and opens.
    """
    if wire == "vtmux":
        return []
    frames = [remote.end(key)]
    if capabilities[wire].reset:
        frames.append(remote.resetting(key))
    if capabilities[wire].ack:
        frames.append(remote.accept(key))
    if capabilities[wire].credit is not Credit.NONE:
        frames.append(remote.credit(key, 10, 0, 10))
    return frames


@everyWire
def test_strayData(wire: str) -> None:
    """
    Data for streams that never were is counted by bytes; what is still under way
    to one that has gone is not.
    """
    driver, remote = server(wire, strayBytes=60_000)
    gone = remote.open()
    remote.send(remote.end(gone.stream.key))
    gone.leave()
    driver.run()
    for _ in range(10):
        remote.send(remote.data(gone.stream.key, bytes(20_000)))
    stranger = remote.key()
    for _ in range(3):
        remote.send(remote.data(stranger, bytes(20_000)))
    driver.now += 30
    remote.send(remote.data(stranger, bytes(30_000)))
    assert not driver.session.over
    remote.send(remote.data(stranger, b"x"))
    error = driver.endedWith(LimitExceeded)
    assert error.limit == "strayBytes"


@everyWire
def test_framesWithoutEffect(wire: str) -> None:
    """
    They are free to send, so there may not be too many of them.
    """
    driver, remote = server(wire, idleBurst=10, idleRate=2)
    user = remote.open()
    key = user.stream.key
    frames: list[bytes] = []
    if wire.startswith("smux"):
        frames = [remote.codec.encodeProbe(), remote.codec.payloadHeader(key, 0)]
    elif wire in ("netmux", "yamux"):
        frames = [
            remote.codec.payloadHeader(key, 0),
            remote.codec.encodePong(7),
            remote.credit(key, 0),
            remote.accept(key),
        ]
    elif wire != "vtmux":
        # Like mplex, a wire that has nothing else, as far as is known here.
        frames = [remote.codec.payloadHeader(remote.mirror(key), 0)]
    if wire == "smux2":
        frames.append(remote.credit(key, 0, 0, WINDOW))
    if not frames:
        return
    for count in range(10):
        remote.send(frames[count % len(frames)])
    driver.now += 1
    remote.send(frames[0], frames[-1])
    assert not driver.session.over
    remote.send(frames[0])
    assert driver.endedWith(LimitExceeded).limit == "idleBurst"


@pytest.mark.parametrize("wire", ["yamux", "netmux"])
def test_pings(wire: str) -> None:
    """
    Each is answered, once, with its value.
    """
    _, remote = server(wire)
    values = [0, 1, 0xFFFFFFFF, 1]
    remote.send(*(remote.codec.encodePing(value) for value in values))
    assert remote.heard() == [("pongReceived", value) for value in values]


@pytest.mark.parametrize("wire", ["yamux", "netmux"])
def test_pongs(wire: str) -> None:
    """
    One that answers a ping of ours is told, with the time it took; others are
    frames without effect.
    """
    driver, remote = server(wire, idleBurst=1, idleRate=0)
    value = driver.session.ping(1.0)
    driver.now = 1.5
    remote.send(remote.codec.encodePong(value))
    assert driver.events == [("pong", value, 0.5)]
    remote.send(remote.codec.encodePong(value))
    assert driver.events == [("pong", value, 0.5)]
    remote.send(remote.codec.encodePong(value + 1))
    driver.endedWith(LimitExceeded)


@given(st.lists(st.integers(1, 3000), max_size=30), st.data())
def test_heldIsTheSum(sizes: list[int], data: st.DataObject) -> None:
    """
    What the session holds is what its streams hold, whatever they do.
    """
    driver, remote = server("yamux")
    users = [remote.open() for _ in range(3)]
    for size in sizes:
        user = data.draw(st.sampled_from(users))
        if size % 3 == 0:
            user.stream.pauseReading()
        elif size % 7 == 0:
            user.stream.resumeReading()
            driver.run()
        if user.stream.key in driver.session.streams and user.stream.handler:
            remote.send(remote.data(user.stream.key, bytes(size)))
        if size % 50 == 0 and user.stream.handler:
            user.leave()
        assert driver.session.held == sum(each.stream.backlogSize for each in users)
    for user in users:
        user.stream.resumeReading()
    driver.run()
    assert driver.session.held == 0


@pytest.mark.parametrize("wire", ["yamux", "netmux"])
def test_moreInTheChunkThatEndedIt(wire: str) -> None:
    """
    What follows in a chunk, after somebody has dropped the session in the middle
    of it, means nothing.
    """
    driver, remote = server(wire, idleBurst=1, idleRate=0)
    user, other = remote.open(), driver.open()
    driver.run()
    user.hooks["data"] = lambda data: driver.session.abort()
    key = other.stream.key
    remote.heard()
    driver.session.receive(
        remote.data(user.stream.key, b"x")
        + remote.data(key, b"x")
        + remote.credit(key, 10)
        + remote.accept(key)
        + remote.end(key)
        + remote.resetting(key)
        + remote.opening(remote.key())
        + remote.codec.encodePing(1)
        + remote.codec.encodeGoAway(0)
        + remote.codec.encodeGoAway(1),
        0,
    )
    driver.run()
    assert other.events == [("lost", None)]
    assert user.names() == ["data", "lost"]
    assert driver.events == []
    assert remote.heard() == []
    assert driver.ended == 0


@pytest.mark.parametrize("wire", ["yamux", "netmux"])
@pytest.mark.parametrize("how", ["reset", "abort"])
def test_goneWhenItIsAcknowledged(wire: str, how: str) -> None:
    """
    An end that acknowledges a stream is the end of it, too, unless its owner has
    dropped it by then.
    """
    driver, remote = server(wire)
    user = driver.open()
    user.stream.endWriting()
    driver.run()
    if how == "abort":
        user.hooks["accepted"] = driver.session.abort
    else:
        user.hooks["accepted"] = user.reset
    remote.send(remote.end(user.stream.key))
    assert "ended" not in user.names()
    driver.assertIdle()


@pytest.mark.parametrize("wire", ["yamux", "netmux"])
@pytest.mark.parametrize("half", [False, True])
def test_pausedWhenItIsAcknowledged(wire: str, half: bool) -> None:
    """
    An end that acknowledges a stream waits for a reader that pauses when it hears
    of that, and comes to one that resumes.
    """
    driver, remote = server(wire)
    pauses, resumes = driver.open(), driver.open()
    if half:
        pauses.stream.endWriting()
        resumes.stream.endWriting()
    driver.run()
    pauses.hooks["accepted"] = pauses.stream.pauseReading
    resumes.stream.pauseReading()
    resumes.hooks["accepted"] = resumes.stream.resumeReading
    for user in (pauses, resumes):
        remote.send(remote.end(user.stream.key))
        assert user.stream.gone is half
    assert "ended" not in pauses.names()
    assert resumes.names()[-1] == "ended"
    pauses.stream.resumeReading()
    driver.run()
    assert pauses.names()[-1] == "ended"
    for user in (pauses, resumes):
        user.leave()
    driver.run()


def test_nothingToReturn() -> None:
    """
    With a window of one byte everything is worth a grant, but nothing is not.
    """
    driver, remote = server("netmux", window=1)
    user = remote.open()
    remote.heard()
    user.leave()
    assert "creditReceived" not in [call[0] for call in remote.heard()]
    user = remote.open()
    remote.heard()
    remote.send(remote.data(user.stream.key, b"x"))
    assert ("creditReceived", user.stream.key, 1) in remote.heard()
    assert driver.error is None


def test_unreadLater() -> None:
    """
    What is given back outside of a delivery comes in the next turn as well.
    """
    driver, remote = server("smux1")
    user = remote.open()
    user.stream.unread(b"x")
    assert user.received == b""
    driver.run()
    assert user.received == b"x"
    assert user.stream.flowing


def test_owedEndsAreBounded() -> None:
    """
    Of the streams that were refused on a wire whose open and end are the same
    frame, no more are remembered than of others that are gone.
    """
    driver, remote = server("vtmux", maxStreams=1, rememberedStreams=3)
    remote.open()
    keys = [remote.key() for _ in range(5)]
    remote.send(*(remote.opening(key) for key in keys))
    assert list(driver.session.table.owed) == keys[-3:]
    # Nor can those be opened by this side.
    with pytest.raises(KeyInUse):
        driver.open(key=keys[-1])
    remote.send(*(remote.end(key) for key in keys[-3:]))
    assert not driver.session.table.owed
    assert len(driver.opened) == 1


def test_owedKeysAreNotUsed() -> None:
    """
    A key of ours with which the peer opened a stream that was refused is given to no
    stream of ours while its end is still to come.
    """
    driver, remote = server("vtmux", maxStreams=1)
    codec = driver.session.codec
    keys = type(codec).keys(codec)
    first, second = next(keys), next(keys)
    remote.open()
    remote.send(remote.opening(first))
    assert list(driver.session.table.owed) == [first]
    assert driver.open().stream.key == second


@resetting
def test_refusedByTheApplicationLater(wire: str) -> None:
    """
    A stream whose peer breaks a rule of the application's counts as reset by
    it.
    """
    driver, remote = server(wire, resetBurst=2, resetRate=0)
    error = ProtocolError("not like this")
    users = [remote.open() for _ in range(4)]
    remote.heard()
    for user in users[:2]:
        driver.session.table.refuse(user.stream, error)
        assert user.events == [("lost", error)]
        assert remote.heard() == [("resetReceived", user.stream.key, 0)]
    driver.session.table.refuse(users[2].stream, error)
    excess = driver.endedWith(LimitExceeded)
    assert [user.events for user in users[2:]] == [[("lost", excess)]] * 2


def test_whatHandlersHaveToOffer() -> None:
    """
    The tests' own are whole.
    """
    for kind, protocols in (
        (User, (handlers.StreamHandler, handlers.Receiver)),
        (Driver, (handlers.SessionHandler,)),
    ):
        for protocol in protocols:
            names = [name for name in vars(protocol) if name[0] != "_"]
            assert names
            assert all(callable(getattr(kind, name)) for name in names)


@everyWire
def test_resumedBeforeItsTurn(wire: str) -> None:
    """
    A reader may pause and resume as it likes before what waits for it is
    delivered, and after all has been.
    """
    driver, remote = server(wire)
    key = remote.key()
    driver.session.receive(
        remote.opening(key) + remote.data(key, b"x") + remote.end(key), 0
    )
    [user] = driver.opened
    for _ in range(2):
        user.stream.pauseReading()
        user.stream.resumeReading()
    driver.run()
    assert user.names() == ["data", "ended"]
    user.stream.pauseReading()
    user.stream.resumeReading()
    driver.run()
    assert user.names() == ["data", "ended"]
    assert not user.stream.flowing


@everyWire
def test_unreadInFrontOfWhatWaits(wire: str) -> None:
    driver, remote = server(wire)
    user = remote.open()
    user.stream.pauseReading()
    chunks = [bytes([byte]) * 4000 for byte in range(3)]
    for chunk in chunks:
        remote.send(remote.data(user.stream.key, chunk))
    seen: list[bytes] = []

    def giveBack(data: bytes) -> None:
        seen.append(data[:1000])
        if len(data) > 1000:
            user.stream.unread(data[1000:])

    user.hooks["data"] = giveBack
    user.stream.resumeReading()
    driver.run()
    assert b"".join(seen) == b"".join(chunks)
    assert driver.session.held == 0
