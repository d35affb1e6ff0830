"""
What is due when, in virtual time.
"""

from __future__ import annotations

import pytest

from tests.property.pipe import Driver, Pipe, Remote
from twisted_mux.config import MuxConfig
from twisted_mux.engine.deadlines import _GROUP
from twisted_mux.engine.stream import Stream
from twisted_mux.errors import PeerTimeout
from twisted_mux.wire import wireNames, wires
from twisted_mux.wire.base import Role

everyWire = pytest.mark.parametrize("wire", wireNames())
pinging = pytest.mark.parametrize("wire", ["yamux", "netmux"])
probing = pytest.mark.parametrize("wire", ["smux1", "smux2"])
silent = pytest.mark.parametrize("wire", ["mplex", "vtmux"])
withoutReset = [name for name, codec in wires().items() if not codec.capabilities.reset]

QUIET = MuxConfig(keepAlive=0, keepAliveTimeout=0)


def quiet(**options: object) -> MuxConfig:
    """
    A configuration without keep-alive.
    """
    return MuxConfig(keepAlive=0, keepAliveTimeout=0, **options)  # type: ignore[arg-type]


def assertTimeout(driver: Driver, text: str) -> None:
    """
    The session has ended for want of something from the peer.
    """
    assert isinstance(driver.error, PeerTimeout), driver.error
    assert text in str(driver.error)
    driver.assertIdle()


# Keep-alive.


@everyWire
def test_quiet(wire: str) -> None:
    """
    Without keep-alive nothing is ever due on an idle session.
    """
    driver = Driver(wire, Role.CLIENT, QUIET)
    remote = Remote(driver)
    user = driver.open()
    remote.open()
    remote.send(remote.data(user.stream.key, b"x"))
    driver.run()
    assert driver.tickTime is None


@silent
def test_noKeepAlive(wire: str) -> None:
    driver = Driver(wire, Role.CLIENT)
    assert driver.tickTime is None


@pinging
def test_pings(wire: str) -> None:
    """
    Every interval a ping; the peer's answer is all that it takes to go on.
    """
    pipe = Pipe(wire)
    for _ in range(20):
        pipe.advance(10)
    for side in pipe.sides:
        pongs = [event for event in side.events if event[0] == "pong"]
        assert len(pongs) == 6
        assert side.error is None
        assert side.session.liveness.measured


@pinging
def test_noAnswer(wire: str) -> None:
    """
    A peer from which nothing at all comes after a ping is given up; what comes,
    be it no pong, puts that off.
    """
    driver = Driver(wire, Role.CLIENT, MuxConfig(keepAlive=30, keepAliveTimeout=10))
    remote = Remote(driver)
    key = driver.open().stream.key
    driver.advance(30)
    assert remote.heard()[-1][0] == "pingReceived"
    for _ in range(10):
        driver.advance(9)
        remote.send(remote.data(key, b"x"))
    driver.advance(9.9)
    assert driver.error is None
    driver.advance(0.1)
    assertTimeout(driver, "nothing came from the peer for 10 seconds")
    [call] = remote.heard()[-1:]
    assert call == ("goAwayReceived", driver.session.codec.goAwayCodes["timeout"])


@pinging
def test_noTimeout(wire: str) -> None:
    """
    With a time-out of 0 the peer may take for ever.
    """
    driver = Driver(wire, Role.CLIENT, MuxConfig(keepAlive=30, keepAliveTimeout=0))
    driver.advance(10_000)
    assert driver.error is None
    assert [call[0] for call in Remote(driver).heard()] == ["pingReceived"]


@pinging
def test_pingsOfTheApplicationAreNoTest(wire: str) -> None:
    """
    Without keep-alive a ping that is not answered means nothing.
    """
    driver = Driver(wire, Role.CLIENT, MuxConfig(keepAlive=0))
    driver.session.ping(driver.now)
    driver.advance(10_000)
    assert driver.error is None


@probing
def test_probes(wire: str) -> None:
    """
    Where there is no ping a frame without effect tells the peer that we live,
    and a peer that sends nothing for long enough is given up.
    """
    driver = Driver(wire, Role.CLIENT)
    remote = Remote(driver)
    driver.advance(25)
    assert remote.heard() == [("idleReceived",)] * 2
    remote.send(remote.codec.encodeProbe())
    driver.advance(29.9)
    assert driver.error is None
    driver.advance(0.1)
    assertTimeout(driver, "for 30 seconds")


@probing
def test_twoThatProbe(wire: str) -> None:
    pipe = Pipe(wire)
    pipe.advance(1000, 5)
    assert not any(side.session.over for side in pipe.sides)


def test_keepAliveWithoutAnyFrameForIt() -> None:
    """
    On a wire that has neither, silence is all there is to go by.
    """
    driver = Driver("mplex", Role.CLIENT, MuxConfig(keepAlive=10, keepAliveTimeout=30))
    driver.advance(29)
    assert Remote(driver).heard() == []
    driver.advance(1)
    assertTimeout(driver, "for 30 seconds")


def test_notReadingIsNoSilence() -> None:
    """
    A peer can't be called silent while we do not read what it sends.
    """
    config = MuxConfig(receiveBudget=1000, keepAlive=10, keepAliveTimeout=30)
    driver = Driver("smux1", Role.CLIENT, config)
    remote = Remote(driver)
    user = driver.open()
    driver.run()
    user.stream.pauseReading()
    remote.send(remote.data(user.stream.key, bytes(1000)))
    reading = [driver.session.reading]
    driver.advance(1000)
    assert driver.error is None
    user.stream.resumeReading()
    driver.run()
    reading.append(driver.session.reading)
    assert reading == [False, True]
    driver.advance(19)
    assert driver.error is None
    driver.advance(20)
    assertTimeout(driver, "nothing came")


def test_idleSeconds() -> None:
    driver = Driver("smux1", Role.CLIENT)
    driver.advance(7)
    assert driver.session.idleSeconds(driver.now) == 7
    driver.feed(Remote(driver).codec.encodeProbe())
    assert driver.session.idleSeconds(driver.now) == 0


# The carrier.


def test_writeStall() -> None:
    """
    A carrier that takes nothing for too long ends the session.
    """
    driver = Driver("smux1", Role.CLIENT, quiet(writeTimeout=30))
    driver.block()
    driver.open()
    driver.advance(29)
    driver.unblock()
    driver.advance(100)
    driver.block()
    driver.advance(29.9)
    assert driver.error is None
    driver.advance(0.1)
    assertTimeout(driver, "the peer took nothing of what was sent to it for 30 seconds")


def test_writeStallOff() -> None:
    driver = Driver("smux1", Role.CLIENT, quiet(writeTimeout=0))
    driver.block()
    driver.advance(10_000)
    assert driver.error is None
    assert driver.tickTime is None


@everyWire
def test_partialFrame(wire: str) -> None:
    """
    A header that has begun has to be whole some time, even if something of it
    comes now and then.
    """
    driver = Driver(wire, Role.SERVER, quiet(frameTimeout=60))
    remote = Remote(driver)
    key = remote.open().stream.key
    header = remote.codec.payloadHeader(remote.mirror(key), 5)
    driver.feed(header[:1])
    assert driver.tickTime == 60
    driver.advance(59)
    driver.feed(header[1:], b"he")
    # A payload may take as long as it likes.
    driver.advance(1000)
    assert driver.error is None
    driver.feed(b"llo", header[:1])
    driver.advance(50)
    if len(header) > 2:
        driver.feed(header[1:2])
    driver.advance(9.9)
    assert driver.error is None
    driver.advance(0.1)
    assertTimeout(driver, "has not finished a frame for 60 seconds")


@everyWire
def test_partialFrameThatIsNotRead(wire: str) -> None:
    """
    A header can't be finished as long as we do not read.
    """
    driver = Driver(wire, Role.SERVER, quiet(frameTimeout=60, receiveBudget=1000))
    remote = Remote(driver)
    user = remote.open()
    key = user.stream.key
    frame = remote.data(key, b"x")
    user.stream.pauseReading()
    driver.feed(remote.data(key, bytes(1000)) + frame[:1])
    assert not driver.session.reading
    driver.advance(1000)
    assert driver.error is None
    user.stream.resumeReading()
    driver.run()
    driver.feed(frame[1:])
    assert user.received == bytes(1000) + b"x"
    driver.feed(frame[:1])
    driver.advance(60)
    assertTimeout(driver, "has not finished a frame")


def test_alwaysAnotherPartialFrame() -> None:
    """
    A carrier may cut all headers in two: each of them has its own time.
    """
    driver = Driver("yamux", Role.SERVER, quiet(frameTimeout=60))
    remote = Remote(driver)
    key = remote.open().stream.key
    frame = remote.data(key, b"x")
    driver.feed(frame[:5])
    for _ in range(20):
        driver.advance(30)
        driver.feed(frame[5:] + frame[:5])
    assert driver.error is None
    driver.advance(59)
    assert driver.error is None
    driver.advance(1)
    assertTimeout(driver, "has not finished a frame")


def test_partialFrameOff() -> None:
    driver = Driver("yamux", Role.SERVER, quiet(frameTimeout=0))
    driver.feed(b"\0")
    driver.advance(10_000)
    assert driver.error is None
    assert driver.tickTime is None


# Draining.


@everyWire
def test_drainTimeout(wire: str) -> None:
    """
    Streams that do not end in time hold up the end no longer.
    """
    driver = Driver(wire, Role.CLIENT, QUIET)
    user = driver.open()
    driver.run()
    driver.session.drain(driver.now, 30)
    driver.run()
    # It can only get shorter.
    driver.session.drain(driver.now, 100)
    driver.session.drain(driver.now, 20)
    driver.session.drain(driver.now, 0)
    driver.advance(19.9)
    assert driver.error is None
    driver.advance(0.1)
    assertTimeout(driver, "1 streams did not end in the time to drain")
    assert user.events == [("lost", driver.error)]


def test_drainForEver() -> None:
    driver = Driver("yamux", Role.CLIENT, QUIET)
    driver.open()
    driver.session.drain(driver.now, 0)
    driver.advance(10_000)
    assert not driver.session.over


# Streams.


def test_openTimeout() -> None:
    """
    A stream that is only of use when it was acknowledged is given up in time:
    counted from when it was opened, however long nothing has happened then.
    """
    config = quiet(opening="ack", openTimeout=75)
    driver = Driver("yamux", Role.CLIENT, config)
    remote = Remote(driver)
    driver.advance(1000)
    first = driver.open()
    driver.run()
    driver.advance(10)
    second = driver.open()
    driver.run()
    remote.heard()
    remote.send(remote.accept(second.stream.key))
    first.stream.write(b"x")
    first.stream.endWriting()
    driver.run()
    remote.heard()
    driver.advance(64.9)
    assert first.events == [("written",)]
    driver.advance(0.1)
    assert first.names() == ["written", "lost"]
    assert "not acknowledged in 75 seconds" in str(first.events[-1][1])
    assert remote.heard() == [("resetReceived", first.stream.key, 0)]
    driver.advance(1000)
    assert second.events == [("accepted",)]
    assert driver.tickTime is None


def test_openTimeoutOff() -> None:
    """
    A stream that can be used at once has all the time there is.
    """
    driver = Driver("yamux", Role.CLIENT, QUIET)
    user = driver.open()
    driver.advance(10_000)
    assert user.events == []


@everyWire
@pytest.mark.parametrize("ended", [False, True])
def test_lingering(wire: str, ended: bool) -> None:
    """
    A stream that its owner has left waits for the peer's end, but not for ever;
    the time counts from the leaving.
    """
    driver = Driver(wire, Role.CLIENT, quiet(lingerTimeout=300))
    remote = Remote(driver)
    user = driver.open()
    driver.run()
    driver.advance(1000)
    if ended:
        user.stream.endWriting()
        driver.run()
        driver.advance(1000)
    user.leave()
    driver.run()
    remote.heard()
    driver.advance(299.9)
    assert driver.session.streams
    assert remote.heard() == []
    driver.advance(0.1)
    reset = driver.session.capabilities.reset
    assert remote.heard() == ([("resetReceived", user.stream.key, 0)] if reset else [])
    driver.assertIdle()
    # The peer's end is late; it must not mean anything any more.
    remote.send(remote.data(user.stream.key, b"late"), remote.end(user.stream.key))
    assert driver.opened == []
    driver.assertIdle()
    assert driver.error is None


@everyWire
def test_lingeringEnds(wire: str) -> None:
    """
    The peer's end in time is all that it takes.
    """
    driver = Driver(wire, Role.CLIENT, quiet(lingerTimeout=300))
    remote = Remote(driver)
    user = driver.open()
    user.leave()
    driver.run()
    remote.send(remote.end(user.stream.key))
    driver.assertIdle()
    assert driver.error is None


@pytest.mark.parametrize("wire", ["yamux", "smux2"])
@pytest.mark.parametrize("size", [1, 10, 700])
def test_leftInGroups(wire: str, size: int) -> None:
    """
    Of streams that are left at the same moments each has its own time, unless its
    peer ends it; and what has ended is not kept.
    """
    config = quiet(lingerTimeout=300, maxOutboundStreams=0, maxUnacknowledged=0)
    driver = Driver(wire, Role.CLIENT, config)
    remote = Remote(driver)
    groups = [[driver.open() for _ in range(size)] for _ in range(4)]
    driver.run()
    streams = driver.session.streams
    for group in groups:
        for user in group:
            user.stream.endWriting()
        driver.run()
        # As when the carrier has taken the ends.
        driver.session.corked = True
        for user in group:
            user.leave()
        driver.session.corked = False
        driver.advance(10)
        for user in group[::2]:
            remote.send(remote.end(user.stream.key))
    deadlines = driver.session._deadlines
    assert len(deadlines._justLeft) <= _GROUP
    left = size // 2
    assert len(deadlines._awaiting) + len(deadlines._justLeft) <= 4 * left + size
    driver.advance(259.9)
    for group in groups:
        assert len(streams) == left * (4 - groups.index(group))
        driver.advance(0.1)
        assert len(streams) == left * (3 - groups.index(group))
        driver.advance(9.9)
    driver.assertIdle()


@pytest.mark.parametrize("wire", withoutReset)
def test_lingeringWhileItMoves(wire: str) -> None:
    """
    A peer that still sends is let finish, where it can't be told.
    """
    driver = Driver(wire, Role.CLIENT, quiet(lingerTimeout=300))
    remote = Remote(driver)
    user = driver.open()
    user.leave()
    driver.run()
    for _ in range(10):
        driver.advance(250)
        remote.send(remote.data(user.stream.key, b"x"))
    assert driver.session.streams
    driver.advance(600)
    driver.assertIdle()


def test_lingeringWithoutCredit() -> None:
    """
    A stream that was left and can't send what it has, since the peer gives no
    credit, is given up too.
    """
    driver = Driver("yamux", Role.CLIENT, quiet(lingerTimeout=300))
    remote = Remote(driver)
    user = driver.open()
    user.stream.write(bytes(300_000))
    user.leave()
    driver.run()
    for _ in range(3):
        driver.advance(200)
        remote.send(remote.credit(user.stream.key, 1000))
    remote.heard()
    driver.advance(700)
    assert remote.heard() == [("resetReceived", user.stream.key, 0)]
    driver.assertIdle()


@pytest.mark.parametrize("theyEnded", [False, True])
@pytest.mark.parametrize("wire", withoutReset)
def test_givenUpWithItsEnd(wire: str, theyEnded: bool) -> None:
    """
    Where there is no reset the peer of a stream that is given up gets its end, if it
    has not got it yet; and the key is free when both sides have ended it.
    """
    driver = Driver(wire, Role.SERVER, quiet(lingerTimeout=100, writeTimeout=0))
    remote = Remote(driver)
    user = remote.open()
    remote.heard()
    key = user.stream.key
    if theyEnded:
        remote.send(remote.end(key))
    driver.block()
    user.stream.write(bytes(1000))
    user.leave()
    driver.run()
    driver.advance(200)
    assert not driver.session.streams
    driver.unblock()
    addressed = driver.session.capabilities.addressed
    end = "openOrEndReceived" if addressed else "endReceived"
    assert remote.heard() == [(end, key)]
    driver.assertIdle()
    if not theyEnded:
        remote.send(remote.end(key))
    remote.send(remote.opening(key))
    assert len(driver.opened) == 2
    assert driver.error is None


def test_lingeringOff() -> None:
    driver = Driver("smux1", Role.CLIENT, quiet(lingerTimeout=0))
    user = driver.open()
    user.leave()
    driver.run()
    driver.advance(10_000)
    assert driver.session.streams
    assert driver.tickTime is None


@everyWire
@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_halfClosed(wire: str, side: str) -> None:
    """
    A stream that is closed in one direction, and on which nothing moves in the
    other, is dropped, if so configured.
    """
    driver = Driver(wire, Role.CLIENT, quiet(halfClosedTimeout=100))
    remote = Remote(driver)
    user = driver.open()
    driver.run()
    driver.advance(1000)
    key = user.stream.key
    if side == "ours":
        user.stream.endWriting()
        driver.run()
    else:
        remote.send(remote.end(key))
    for _ in range(5):
        driver.advance(90)
        if side == "ours":
            remote.send(remote.data(key, b"x"))
        else:
            user.stream.write(b"x")
            driver.run()
    driver.advance(199)
    assert user.names()[-1] == "lost"
    assert "half-closed, and nothing moved in 100 seconds" in str(user.events[-1][1])
    if side == "ours":
        remote.send(remote.end(key))
    driver.assertIdle()


def test_halfClosedOff() -> None:
    driver = Driver("yamux", Role.CLIENT, QUIET)
    user = driver.open()
    user.stream.endWriting()
    driver.run()
    driver.advance(10_000)
    assert user.events == [("written",)]
    assert driver.tickTime is None


@everyWire
@pytest.mark.parametrize("lingerFirst", [False, True])
def test_halfClosedAndLeft(wire: str, lingerFirst: bool) -> None:
    """
    A stream that was half-closed and then left has two times; whichever comes
    first, nothing of the other is left.
    """
    config = quiet(
        halfClosedTimeout=500 if lingerFirst else 100,
        lingerTimeout=100 if lingerFirst else 500,
    )
    driver = Driver(wire, Role.CLIENT, config)
    user = driver.open()
    user.stream.endWriting()
    driver.run()
    user.leave()
    driver.run()
    driver.advance(5000)
    driver.assertIdle()
    assert driver.tickTime is None


@everyWire
def test_timesOfStreamsThatHaveGone(wire: str) -> None:
    """
    Streams that end before their time leave nothing behind.
    """
    config = quiet(
        halfClosedTimeout=100, lingerTimeout=200, opening="ack", openTimeout=50
    )
    pipe = Pipe(wire, config)
    for _ in range(3):
        mine = pipe.client.open()
        pipe.pump()
        theirs = pipe.server.opened[-1]
        mine.stream.endWriting()
        pipe.pump()
        mine.leave()
        pipe.pump()
        theirs.leave()
        pipe.pump()
    pipe.assertIdle()


@pytest.mark.parametrize("grace", [0, 5])
@pytest.mark.parametrize("wire", ["smux1", "mplex", "vtmux"])
def test_slowReader(wire: str, grace: float) -> None:
    """
    Where a wire has no credit, a stream whose reader does not read may be reset,
    when it has held more than a window for long.
    """
    config = quiet(slowReader="reset", slowReaderGrace=grace, window=1000)
    driver = Driver(wire, Role.SERVER, config)
    remote = Remote(driver)
    user, other = remote.open(), remote.open()
    key = user.stream.key
    user.stream.pauseReading()
    remote.send(remote.data(key, bytes(1000)))
    driver.advance(100)
    assert user.events == []
    remote.send(remote.data(key, b"x"))
    if grace:
        driver.advance(4.9)
        assert user.events == []
        # In time.
        user.stream.resumeReading()
        driver.run()
        driver.advance(10)
        assert user.events == [("data",)]
        user.stream.pauseReading()
        user.events.clear()
        remote.send(remote.data(key, bytes(1001)))
        driver.advance(4)
        remote.send(remote.data(key, b"x"))
        driver.advance(1)
    assert user.names() == ["lost"]
    assert "its reader left 100" in str(user.events[0][1])
    assert driver.session.held == 0
    remote.send(remote.data(key, b"late"), remote.data(other.stream.key, b"on time"))
    assert other.received == b"on time"
    assert driver.error is None


@pytest.mark.parametrize("wire", ["smux1", "mplex", "vtmux"])
def test_slowReaderThatCatchesUp(wire: str) -> None:
    """
    A reader that has caught up has all the time again.
    """
    config = quiet(slowReader="reset", slowReaderGrace=5, window=1000)
    driver = Driver(wire, Role.SERVER, config)
    remote = Remote(driver)
    user = remote.open()
    for _ in range(5):
        user.stream.pauseReading()
        remote.send(remote.data(user.stream.key, bytes(1001)))
        driver.advance(4)
        user.stream.resumeReading()
        driver.run()
    assert user.names() == ["data"]
    assert len(user.received) == 5 * 1001


def test_slowReadersThatHaveGone() -> None:
    config = quiet(slowReader="reset", window=1000)
    driver = Driver("mplex", Role.SERVER, config)
    remote = Remote(driver)
    user = remote.open()
    user.stream.pauseReading()
    remote.send(remote.data(user.stream.key, bytes(2000)))
    remote.send(remote.resetting(user.stream.key))
    assert user.events == [("reset", 0)]
    driver.assertIdle()


@pytest.mark.parametrize(
    ("limit", "options"),
    [
        ("openTimeout", {"opening": "ack"}),
        ("lingerTimeout", {}),
        ("halfClosedTimeout", {}),
    ],
)
def test_timesWhileWeDoNotRead(limit: str, options: dict[str, object]) -> None:
    """
    No stream is given up for want of something that may have come, as long as we do not
    read; it has its time afterwards.
    """
    config = quiet(receiveBudget=1000, **{limit: 30}, **options)
    driver = Driver("yamux", Role.CLIENT, config)
    remote = Remote(driver)
    full = remote.open()
    waiting = driver.open()
    driver.run()
    if limit == "halfClosedTimeout":
        waiting.stream.endWriting()
    if limit == "lingerTimeout":
        waiting.stream.leave()
    driver.run()
    full.stream.pauseReading()
    remote.send(remote.data(full.stream.key, bytes(1000)))
    assert not driver.session.reading
    driver.advance(1000)
    assert waiting.stream.key in driver.session.streams
    full.stream.resumeReading()
    driver.run()
    driver.advance(60)
    assert waiting.stream.key not in driver.session.streams
    assert driver.error is None


def test_aTickThatIsEarly() -> None:
    """
    A tick before anything is due, or without any request, does no harm.
    """
    driver = Driver("yamux", Role.CLIENT)
    for now in (1.0, 2.0, 29.0):
        driver.now = now
        driver.session.tick(now)
        driver.run()
    assert driver.outbox == b""
    assert driver.tickTime == 30


def test_manyTimes() -> None:
    """
    Each stream has a time of its own.
    """
    driver = Driver("smux1", Role.CLIENT, quiet(lingerTimeout=100))
    streams: list[Stream] = []
    for _ in range(5):
        user = driver.open()
        streams.append(user.stream)
        user.leave()
        driver.run()
        driver.advance(10)
    for gone in range(6):
        assert len(driver.session.streams) == 5 - gone
        driver.advance(50 if not gone else 10)
    driver.assertIdle()


def test_aRoundTripIsTakenWithTheRightTime() -> None:
    """
    An owner that leaves long after the last turn makes room for the peer's data,
    which is worth a measurement of the round trip: whose time is that of the
    turn that sends it.
    """
    driver = Driver("yamux", Role.SERVER)
    remote = Remote(driver)
    user = remote.open()
    user.stream.pauseReading()
    remote.send(remote.data(user.stream.key, bytes(200_000)))
    driver.advance(25)
    user.leave()
    driver.run()
    assert "pingReceived" in [call[0] for call in remote.heard()]
    driver.advance(9)
    assert driver.error is None
    driver.advance(1)
    assertTimeout(driver, "for 10 seconds")


def test_nothingIsForgottenByATick() -> None:
    """
    What is due later is still due after something else was.
    """
    config = MuxConfig(keepAlive=30, keepAliveTimeout=0, frameTimeout=60)
    driver = Driver("yamux", Role.SERVER, config)
    driver.advance(5)
    driver.feed(b"\0")
    driver.advance(59)
    assert driver.error is None
    driver.advance(1)
    assertTimeout(driver, "has not finished a frame")
    driver = Driver("yamux", Role.SERVER, config)
    driver.advance(5)
    driver.block()
    driver.advance(30)
    assertTimeout(driver, "took nothing")


@pytest.mark.parametrize("what", ["frame", "stall", "ping", "silence"])
def test_timesThatRound(what: str) -> None:
    """
    What is due at a time has an end then, though the seconds since its beginning
    come out as less: otherwise it would be due at that time again, for ever.
    """
    since, limit = 1.02, 3.0
    assert since + limit - since < limit
    wire = "smux1" if what == "silence" else "yamux"
    config = MuxConfig(
        keepAlive=1000 if what == "ping" else 0,
        keepAliveTimeout=limit if what in ("ping", "silence") else 0,
        frameTimeout=limit,
        writeTimeout=limit,
    )
    driver = Driver(wire, Role.SERVER, config)
    driver.advance(since)
    if what == "frame":
        driver.feed(b"\0")
    elif what == "stall":
        driver.block()
    elif what == "ping":
        driver.session.ping(driver.now)
    else:
        remote = Remote(driver)
        remote.send(remote.codec.encodeProbe())
    driver.advance(2 * limit)
    assert type(driver.error) is PeerTimeout
    assert f"{limit:g} seconds" in str(driver.error)
