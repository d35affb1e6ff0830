"""
A session as a whole: turns, budgets, draining, the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.property.pipe import BATCH, Driver, Pipe, Remote, User
from twisted_mux.config import MuxConfig
from twisted_mux.engine.stream import CHUNK_CHARGE
from twisted_mux.errors import (
    MuxError,
    NotSupported,
    PeerComplaint,
    PeerTimeout,
    ProtocolError,
    SessionClosed,
)
from twisted_mux.wire import wireNames, wires
from twisted_mux.wire.base import FRAMES_PER_TURN, Credit, Role

KIB = 1024
WINDOW = 256 * KIB

capabilities = {name: codec.capabilities for name, codec in wires().items()}
everyWire = pytest.mark.parametrize("wire", wireNames())
uncredited = pytest.mark.parametrize(
    "wire", [name for name in wireNames() if capabilities[name].credit is Credit.NONE]
)
leaving = pytest.mark.parametrize(
    "wire", [name for name in wireNames() if capabilities[name].goAway]
)
pinging = pytest.mark.parametrize(
    "wire", [name for name in wireNames() if capabilities[name].ping]
)


def server(wire: str, **options: Any) -> tuple[Driver, Remote]:
    config = MuxConfig(keepAlive=0, keepAliveTimeout=0, **options)
    driver = Driver(wire, Role.SERVER, config)
    return driver, Remote(driver)


# Turns.


@everyWire
def test_framesPerTurn(wire: str) -> None:
    """
    A chunk full of tiny frames is read in turns, and the carrier is not read
    meanwhile.
    """
    driver, remote = server(wire)
    user = remote.open()
    frame = remote.data(user.stream.key, b"x")
    count = 5 * FRAMES_PER_TURN + 7
    driver.session.receive(frame * count, 0)
    assert len(user.received) == FRAMES_PER_TURN
    turns = 0
    while driver.woken:
        assert not driver.session.reading
        driver.turn()
        turns += 1
        assert len(user.received) <= (turns + 1) * FRAMES_PER_TURN
    assert turns == 5
    assert driver.session.reading
    assert len(user.received) == count


@everyWire
def test_moreWhileItIsReadInTurns(wire: str) -> None:
    """
    What a carrier delivers in spite of that waits behind what is to be read.
    """
    driver, remote = server(wire)
    user = remote.open()
    key = user.stream.key
    driver.session.receive(remote.data(key, b"x") * 2500, 0)
    driver.session.receive(remote.data(key, b"y") * 2500, 0)
    driver.run()
    assert user.received == b"x" * 2500 + b"y" * 2500
    assert driver.session.reading
    assert driver.session.counters.bytesReceived == len(
        remote.opening(key) + remote.data(key, b"x") * 5000
    )


@everyWire
def test_deliveryWithinADelivery(wire: str) -> None:
    """
    A carrier that delivers while a handler is being called loses nothing, and
    nothing gets out of order.
    """
    driver, remote = server(wire)
    user = remote.open()
    key = user.stream.key

    def hook(data: bytes) -> None:
        if data == b"a":
            driver.session.receive(remote.data(key, b"c"), 0)
            driver.session.receive(remote.data(key, b"d"), 0)

    user.hooks["data"] = hook
    remote.send(remote.data(key, b"a"), remote.data(key, b"b"))
    assert user.received == b"abcd"
    # The same while the session tells of something that was sent.
    user.stream.wantsEmpty = True
    user.hooks["emptied"] = lambda: hook(b"a")
    user.stream.write(b"x")
    driver.run()
    assert user.received == b"abcdcd"


@everyWire
def test_requestsWhileOthersAreTold(wire: str) -> None:
    """
    What is asked for while streams are told of their sending is done, though no
    turn was wanted for anything else.
    """
    driver, remote = server(wire, lingerTimeout=100, writeTimeout=0)
    user, paused, left = remote.open(), remote.open(), remote.open()
    paused.stream.pauseReading()
    remote.send(remote.data(paused.stream.key, b"held"))
    left.stream.endWriting()
    driver.run()
    user.stream.wantsEmpty = True

    def hook() -> None:
        paused.stream.resumeReading()
        left.leave()

    user.hooks["emptied"] = hook
    driver.block()
    user.stream.write(b"x")
    driver.run()
    driver.unblock()
    assert driver.woken
    driver.run()
    assert paused.received == b"held"
    assert driver.tickTime == 100


def test_wokenOnce() -> None:
    """
    As long as a turn is due no other is asked for.
    """
    driver = Driver("smux1", Role.CLIENT)
    wakes: list[bool] = []
    driver.wake = wakes.append  # type: ignore[assignment,method-assign]
    for _ in range(3):
        driver.open().stream.write(b"x")
    assert wakes == [False]
    driver.session.turn(0)
    assert wakes == [False]
    user = driver.open(start=False)
    assert wakes == [False, False]
    driver.session.start(user.stream)
    assert wakes == [False, False]


@everyWire
def test_counters(wire: str) -> None:
    pipe = Pipe(wire)
    total = 0
    for side in pipe.sides:
        user = side.open()
        user.stream.write(b"x" * 1000)
        side.run()
        total += len(side.outbox)
    pipe.pump()
    for side in pipe.sides:
        counters = side.session.counters
        assert (counters.streamsOpened, counters.streamsAccepted) == (1, 1)
    assert sum(side.session.bytesSent for side in pipe.sides) >= total
    assert pipe.client.session.bytesSent == pipe.server.session.counters.bytesReceived
    assert pipe.server.session.bytesSent == pipe.client.session.counters.bytesReceived


# Budgets.


@uncredited
def test_receiveBudget(wire: str) -> None:
    """
    When so much is held for readers that do not read, the carrier is not read;
    when some of it was taken it is again.  Nothing is lost.
    """
    driver, remote = server(wire, receiveBudget=100_000)
    users = [remote.open() for _ in range(3)]
    for user in users:
        user.stream.pauseReading()
    sent = 0
    while driver.session.reading:
        remote.send(remote.data(users[sent % 3].stream.key, bytes(10_000)))
        sent += 1
    assert 100_000 <= driver.session.held <= 100_000 + 10_000 + CHUNK_CHARGE
    assert sent == 10
    users[0].stream.resumeReading()
    driver.run()
    remote.send(remote.data(users[0].stream.key, bytes(10_000)))
    for user in users:
        user.stream.resumeReading()
    driver.run()
    assert sum(len(user.received) for user in users) == 110_000
    assert driver.session.held == 0


@everyWire
@pytest.mark.parametrize("how", ["leave", "reset", "resume"])
def test_readOn(wire: str, how: str) -> None:
    """
    A stream that goes gives back what it held.
    """
    driver, remote = server(wire, receiveBudget=10_000)
    user, other = remote.open(), remote.open()
    user.stream.pauseReading()
    key = other.stream.key
    # In one chunk, and more than a turn's frames.
    driver.session.receive(
        remote.data(user.stream.key, bytes(10_000)) + remote.data(key, b"x") * 2000, 0
    )
    driver.run()
    reading = [driver.session.reading]
    assert len(other.received) == FRAMES_PER_TURN - 1
    if how == "resume":
        user.stream.resumeReading()
    else:
        getattr(user, how)()
    driver.run()
    reading.append(driver.session.reading)
    assert reading == [False, True]
    assert len(other.received) == 2000


@uncredited
def test_oneByteFrames(wire: str) -> None:
    """
    What waits is charged for what it costs, not just for its bytes.
    """
    driver, remote = server(wire, receiveBudget=WINDOW)
    users = [remote.open() for _ in range(200)]
    frames = b""
    for user in users:
        user.stream.pauseReading()
        frames += remote.data(user.stream.key, b"x")
    remote.send(frames)
    assert driver.session.held == 200 * (1 + CHUNK_CHARGE)
    while driver.session.reading:
        driver.session.receive(frames * 5, 0)
        driver.run()
    assert driver.session.held >= WINDOW
    assert sum(user.stream.held for user in users) >= WINDOW - 200 * CHUNK_CHARGE - 1000


@pinging
def test_controlBacklog(wire: str) -> None:
    """
    A peer that asks and never reads the answers is not read either.
    """
    driver, remote = server(wire, controlBacklog=6000, writeTimeout=30)
    ping = remote.codec.encodePing(1)
    driver.block()
    sent = 0
    while driver.session.reading:
        driver.feed(ping)
        sent += 1
    assert sent == 6000 // len(ping) + 1
    driver.session.receive(ping * 5000, 0)
    driver.run()
    reading = [driver.session.reading]
    # It goes on when some have been taken.
    driver.unblock()
    driver.run()
    reading.append(driver.session.reading)
    assert reading == [False, True]
    assert len(driver.sent()) == len(ping) * (sent + 5000)


@pinging
def test_controlBacklogOfOneThatNeverReads(wire: str) -> None:
    """
    In the end it is given up; what waits is bounded in the meantime.
    """
    driver, remote = server(wire, controlBacklog=6000, writeTimeout=30)
    driver.block()
    for _ in range(100):
        if not driver.session.reading:
            break
        driver.feed(remote.codec.encodePing(1) * 100)
    driver.advance(30)
    driver.blocked = False
    assert sum(map(len, driver.session.takeOutput(BATCH))) <= 6000 + 101 * 12
    driver.endedWith(PeerTimeout)


# Pings.


@pinging
def test_ping(wire: str) -> None:
    pipe = Pipe(wire)
    first = pipe.client.session.ping(0)
    second = pipe.client.session.ping(0)
    pipe.pump()
    assert pipe.client.events == [("pong", first, 0), ("pong", second, 0)]


@pytest.mark.parametrize("wire", [n for n in wireNames() if not capabilities[n].ping])
def test_noPing(wire: str) -> None:
    driver = Driver(wire, Role.CLIENT)
    with pytest.raises(NotSupported, match="no ping"):
        driver.session.ping(0)
    driver.session.measure()
    assert Remote(driver).heard() == []


def test_tooManyPings() -> None:
    driver = Driver("yamux", Role.CLIENT)
    for _ in range(1024):
        driver.session.ping(0)
    with pytest.raises(SessionClosed, match="answers no pings"):
        driver.session.ping(0)


def test_measuredOnce() -> None:
    """
    One ping at a time is enough to find out the round trip.
    """
    driver = Driver("yamux", Role.CLIENT)
    for _ in range(3):
        driver.session.measure()
    assert [call[0] for call in Remote(driver).heard()] == ["pingReceived"]
    driver.lose()
    driver.session.measure()
    assert not driver.session.hasOutput()


# Draining.


@everyWire
@pytest.mark.parametrize("goAway", ["first", "last"])
def test_drain(wire: str, goAway: str) -> None:
    """
    No more streams, the live ones finish, then the session ends; where there is
    a go-away it is sent first or last.
    """
    driver, remote = server(wire, goAway=goAway)
    theirs, mine = remote.open(), driver.open()
    driver.run()
    remote.heard()
    driver.session.drain(0, 0)
    driver.run()
    away = [("goAwayReceived", 0)] if capabilities[wire].goAway else []
    assert remote.heard() == (away if goAway == "first" else [])
    assert not driver.session.takesStreams
    with pytest.raises(SessionClosed):
        driver.open()
    # What the peer opens is refused.
    key = remote.key()
    remote.send(remote.opening(key))
    assert len(driver.opened) == 1
    assert [call[1] for call in remote.heard()] == [key]
    for user in (theirs, mine):
        assert not driver.session.over
        user.stream.write(b"still")
        user.stream.endWriting()
        remote.send(remote.data(user.stream.key, b"here"), remote.end(user.stream.key))
        assert user.received == b"here"
        user.leave()
    driver.run()
    assert driver.ended == 1
    assert driver.error is None
    calls = remote.heard()
    assert calls[-1:] == (away if goAway == "last" and away else calls[-1:])
    assert calls.count(("goAwayReceived", 0)) == (len(away) if goAway == "last" else 0)
    assert driver.session.over
    driver.assertIdle()


@everyWire
def test_drainAnIdleSession(wire: str) -> None:
    """
    It ends in the next turn; nobody is called from within.
    """
    driver, remote = server(wire)
    drained = [driver.session.drained]
    driver.session.drain(0, 10)
    drained.append(driver.session.drained)
    assert driver.ended == 0
    driver.run()
    drained.append(driver.session.drained)
    assert drained == [False, True, False]
    assert driver.ended == 1
    assert driver.error is None
    calls = remote.heard()
    assert calls == ([("goAwayReceived", 0)] if capabilities[wire].goAway else [])
    driver.session.finish()
    driver.session.drain(0, 10)
    assert driver.ended == 1


@everyWire
@pytest.mark.parametrize("how", ["reset", "tick", "settle"])
def test_drainedByTheLastStream(wire: str, how: str) -> None:
    """
    However the last stream goes, the session ends.
    """
    driver, remote = server(wire, lingerTimeout=50)
    user = remote.open()
    driver.session.drain(0, 0)
    driver.run()
    if how == "tick":
        user.leave()
        driver.run()
        driver.advance(50)
    else:
        remote.send(remote.end(user.stream.key))
        if how == "reset":
            user.reset()
        else:
            user.hooks["written"] = user.leave
            user.stream.endWriting()
    driver.run()
    assert driver.ended == 1


def test_finishTooEarly() -> None:
    driver, remote = server("yamux")
    remote.open()
    driver.session.finish()
    driver.session.drain(0, 0)
    driver.session.finish()
    assert driver.ended == 0


@everyWire
def test_drainBoth(wire: str) -> None:
    """
    Both sides may drain at once.
    """
    pipe = Pipe(wire, MuxConfig(keepAlive=0, keepAliveTimeout=0, goAway="first"))
    pairs = []
    for side in pipe.sides:
        mine = side.open()
        pipe.pump()
        pairs.append((mine, pipe.other(side).opened[-1]))
    for side in pipe.sides:
        side.session.drain(0, 0)
    pipe.pump()
    for users in pairs:
        for user in users:
            assert user.names() in ([], ["accepted"])
            user.stream.write(b"bye")
            user.leave()
    pipe.pump()
    assert [side.ended for side in pipe.sides] == [1, 1]
    assert [side.error for side in pipe.sides] == [None, None]
    pipe.assertIdle()


# Go-away.


@leaving
def test_thePeerGoesAway(wire: str) -> None:
    """
    No more streams are opened; those there are go on, and so do the peer's.
    """
    driver, remote = server(wire)
    mine = driver.open()
    theirs = remote.open()
    remote.send(remote.codec.encodeGoAway(0))
    assert driver.events == [("goAway", 0)]
    with pytest.raises(SessionClosed, match="takes no more"):
        driver.open()
    assert not driver.session.takesStreams
    for user in (mine, theirs):
        remote.send(remote.data(user.stream.key, b"x"))
        assert user.received == b"x"
    remote.open()
    # Said again it has no effect.
    remote.send(remote.codec.encodeGoAway(0))
    assert driver.events == [("goAway", 0)]


@leaving
@pytest.mark.parametrize("code", [1, 2, 3, 99, 0xFFFFFFFF])
@pytest.mark.parametrize("before", [False, True])
def test_thePeerComplains(wire: str, code: int, before: bool) -> None:
    """
    A code of an error is the end; it is not answered.
    """
    driver, remote = server(wire)
    user = remote.open()
    remote.heard()
    if before:
        remote.send(remote.codec.encodeGoAway(0))
    remote.send(remote.codec.encodeGoAway(code))
    error = driver.endedWith(PeerComplaint)
    assert driver.session.codec.describeCode(code) in str(error)
    assert user.events == [("lost", error)]
    assert remote.heard() == []


# The end.


@everyWire
def test_lost(wire: str) -> None:
    """
    When the carrier is lost every stream's owner is told, once, and nothing else
    happens any more.
    """
    driver, remote = server(wire)
    users = [remote.open(), driver.open(), driver.open(), remote.open(), remote.open()]
    left, resetting = remote.open(), driver.open()
    left.leave()
    resetting.reset()
    users[0].stream.pauseReading()
    remote.send(remote.data(users[0].stream.key, b"unread"))
    users[1].stream.write(b"unsent")
    users[2].stream.endWriting()
    remote.send(remote.end(users[3].stream.key))
    for user in users:
        user.events.clear()
    driver.lose()
    assert [user.events for user in users] == [[("lost", None)]] * 5
    driver.lose()
    assert driver.ended == 0
    assert all(user.stream.gone for user in users)
    assert driver.session.held == 0
    for user in users:
        user.stream.write(b"late")
        user.stream.endWriting()
        user.stream.resumeReading()
        user.stream.leave()
        user.stream.reset()
    driver.assertIdle()


@everyWire
def test_whatWasReceivedIsStillRead(wire: str) -> None:
    """
    A stream that has ended in both directions has nothing to lose: its reader
    gets what was received, however late it wants it, and then the news.
    """
    driver, remote = server(wire)
    user, other = remote.open(), remote.open()
    key = user.stream.key
    user.stream.pauseReading()
    remote.send(remote.data(key, b"held"), remote.end(key))
    user.stream.endWriting()
    other.stream.endWriting()
    remote.send(remote.end(other.stream.key))
    driver.run()
    assert not driver.session.streams
    driver.lose()
    assert user.events == [("written",)]
    assert other.events[-1] == ("lost", None)
    user.stream.resumeReading()
    driver.run()
    assert user.received == b"held"
    assert user.names() == ["written", "data", "ended", "lost"]
    driver.assertIdle()


def test_endedWithoutBeingDriven() -> None:
    """
    A stream whose owner has left after both directions had ended is told nothing
    more.
    """
    driver, remote = server("yamux")
    users = [remote.open() for _ in range(2)]
    for user in users:
        user.stream.endWriting()
        driver.run()
        remote.send(remote.end(user.stream.key))
    users[0].leave()
    users[1].hooks["lost"] = lambda error: None
    driver.lose()
    assert users[0].names() == ["written", "ended"]
    assert users[1].names() == ["written", "ended", "lost"]


def test_lostBecause() -> None:
    """
    The driver may know why.
    """
    driver = Driver("yamux", Role.CLIENT)
    user = driver.open()
    error = MuxError("the reason")
    driver.lose(error)
    assert user.events == [("lost", error)]


@everyWire
def test_openersAreForgotten(wire: str) -> None:
    """
    After the end no stream is counted any more.
    """
    driver = Driver(wire, Role.CLIENT)
    driver.open()
    Remote(driver).open()
    driver.lose()
    assert driver.session.inbound == 0


def forEach(method: str, *arguments: object) -> Callable[[Driver, list[User]], None]:
    def act(driver: Driver, users: list[User]) -> None:
        for user in users:
            getattr(user.stream, method)(*arguments)

    return act


actions: dict[str, Callable[[Driver, list[User]], object]] = {
    "abort": lambda driver, users: driver.session.abort(),
    "drain": lambda driver, users: driver.session.drain(0, 0),
    "open": lambda driver, users: driver.open(),
    "fail": lambda driver, users: driver.session.fail(ProtocolError("injected")),
    "reset all": forEach("reset"),
    "leave all": forEach("leave"),
    "pause all": forEach("pauseReading"),
    "resume all": forEach("resumeReading"),
    "write all": forEach("write", b"x"),
    "end all": forEach("endWriting"),
}


class Anarchist(User):
    """
    Does something at an event that its owner might do at that moment, and does
    not care what it is told thereafter.
    """

    def __init__(self, driver: Driver, when: str, users: list[User], what: str) -> None:
        super().__init__(driver)
        self._when = when
        self._users = users
        self._what = what
        self._done = False

    def _event(self, *event: Any) -> None:
        self.events.append(event)
        if event[0] == self._when and not self._done:
            self._done = True
            try:
                actions[self._what](self.driver, self._users)
            except SessionClosed:
                assert self.driver.session.over or self.driver.session.draining

    def _last(self, *event: Any) -> None:
        assert "lost" not in self.names()
        assert "reset" not in self.names()
        self._event(*event)

    def dataReceived(self, data: bytes) -> None:
        self._event("data", data)


@everyWire
@pytest.mark.parametrize("what", list(actions))
@pytest.mark.parametrize(
    "when", ["data", "ended", "reset", "lost", "emptied", "written", "accepted"]
)
def test_anythingAtAnyEvent(wire: str, when: str, what: str) -> None:
    """
    Every callback may do anything; in the end nothing is left.
    """
    pipe = Pipe(wire, MuxConfig(keepAlive=0, keepAliveTimeout=0, lingerTimeout=10))
    client, server = pipe.sides
    users: list[User] = []
    everybody = {client: users, server: list[User]()}

    def take(driver: Driver) -> Callable[[Any], None]:
        def accept(stream: Any) -> None:
            user = Anarchist(driver, when, everybody[driver], what)
            user.attach(stream)
            everybody[driver].append(user)

        return accept

    for side in pipe.sides:
        side.accept = take(side)
    for _ in range(3):
        opener = Anarchist(client, when, users, what)
        opener.attach(client.session.openStream(opener))
        opener.stream.wantsEmpty = True
        client.session.start(opener.stream)
        users.append(opener)
    pipe.pump()
    for side in pipe.sides:
        for user in everybody[side]:
            user.stream.write(b"payload" * 1000)
            if user is not everybody[side][1]:
                user.stream.endWriting()
    pipe.pump()
    for user in everybody[client][:1]:
        user.stream.reset()
    pipe.pump()
    client.lose()
    pipe.pump()
    server.lose()
    for side in pipe.sides:
        for user in everybody[side]:
            user.stream.resumeReading()
            side.run()
            user.stream.leave()
            last = [name for name in user.names() if name in ("lost", "reset")]
            assert len(last) <= 1
        side.closed = True
        side.assertIdle()


class Fragile(wires()["yamux"]):  # type: ignore[misc]
    """
    A wire that has no code for an error of the kind.
    """

    goAwayCodes = {"normal": 0, "internal": 5}


def test_kindsWithoutACode() -> None:
    """
    What the wire has no code for is an internal error.
    """
    driver = Driver(Fragile, Role.CLIENT)
    driver.session.fail(ProtocolError("x"))
    assert Remote(driver).heard() == [("goAwayReceived", 5)]
    driver = Driver(Fragile, Role.CLIENT)
    driver.session.fail(MuxError("x"))
    driver.session.fail(MuxError("y"))
    assert Remote(driver).heard() == [("goAwayReceived", 5)]
    assert str(driver.error) == "x"


def test_failAfterGoAway() -> None:
    """
    An error is told even if the peer knew already that we go.
    """
    driver, remote = server("yamux", goAway="first")
    remote.open()
    driver.session.drain(0, 0)
    driver.session.fail(ProtocolError("x"))
    assert [call for call in remote.heard() if call[0] == "goAwayReceived"] == [
        ("goAwayReceived", 0),
        ("goAwayReceived", 1),
    ]


@everyWire
def test_carrierThatIsBlocked(wire: str) -> None:
    """
    What is written while the carrier takes nothing waits in the streams.
    """
    pipe = Pipe(wire)
    mine = pipe.client.open()
    pipe.pump()
    pipe.client.block()
    for _ in range(10):
        mine.stream.write(b"x" * 1000)
    pipe.pump()
    [theirs] = pipe.server.opened
    assert mine.stream.buffered == 10_000
    assert theirs.received == b""
    pipe.client.unblock()
    pipe.pump()
    assert theirs.received == b"x" * 10_000


@everyWire
def test_aThousandStreams(wire: str) -> None:
    """
    A thousand streams at once, each half-closing in either order, end with empty
    tables and nothing due.
    """
    pipe = Pipe(wire, MuxConfig(keepAlive=0, keepAliveTimeout=0))
    mine = []
    for index in range(1000):
        while not pipe.client.session.opener.mayOpen:
            pipe.pump()
        user = pipe.client.open()
        user.stream.write(b"%d" % index)
        mine.append(user)
    pipe.pump()
    theirs = pipe.server.opened
    assert len(theirs) == len(pipe.server.session.streams) == 1000
    for index, (client, server) in enumerate(zip(mine, theirs, strict=True)):
        first, second = (client, server) if index % 2 else (server, client)
        first.stream.endWriting()
        second.hooks["ended"] = second.stream.endWriting
    pipe.pump()
    for index, (client, server) in enumerate(zip(mine, theirs, strict=True)):
        assert server.received == b"%d" % index
        assert client.names().count("ended") == server.names().count("ended") == 1
        client.leave()
        server.leave()
    pipe.assertIdle()
    for side in pipe.sides:
        assert not side.session.table._ended
        assert not side.session.table.owed


def test_slowReadersMayBeWaitedFor() -> None:
    """
    By default a reader that does not read holds up the carrier, not more.
    """
    driver, remote = server("mplex", window=100)
    user = remote.open()
    user.stream.pauseReading()
    remote.send(remote.data(user.stream.key, bytes(1000)))
    driver.advance(10_000)
    assert user.events == []
    assert driver.tickTime is None


@everyWire
def test_lostBehindData(wire: str) -> None:
    """
    A carrier may be lost right behind a chunk: what came in that, and was only
    put off to a turn, is delivered before the news.
    """
    driver, remote = server(wire)
    paused = remote.open()
    paused.stream.pauseReading()
    keys = [remote.key() for _ in range(2)]
    driver.session.receive(
        b"".join(remote.opening(key) + remote.data(key, b"x") for key in keys)
        + remote.end(keys[0])
        + remote.data(paused.stream.key, b"x"),
        0,
    )
    driver.lose()
    assert paused.events == [("lost", None)]
    assert [user.names() for user in driver.opened[1:]] == [
        ["data", "ended", "lost"],
        ["data", "lost"],
    ]
    driver.assertIdle()


@everyWire
def test_lostBehindManyFrames(wire: str) -> None:
    """
    The same for what was to be read in later turns.
    """
    driver, remote = server(wire)
    user = remote.open()
    key = user.stream.key
    count = 3 * FRAMES_PER_TURN + 7
    driver.session.receive(remote.data(key, b"x") * count + remote.end(key), 0)
    driver.lose()
    assert len(user.received) == count
    assert user.names() == ["data", "ended", "lost"]
    driver.assertIdle()


def test_lostBehindABreach() -> None:
    """
    Nothing is read behind a frame that ends the session, then either.
    """
    driver, remote = server("yamux")
    user = remote.open()
    data = remote.data(user.stream.key, b"x")
    driver.session.receive(data * FRAMES_PER_TURN + b"\xff" * 12 + data, 0)
    driver.lose()
    assert len(user.received) == FRAMES_PER_TURN
    assert isinstance(driver.error, ProtocolError)
    assert user.events[-1] == ("lost", driver.error)
    driver.assertIdle()


@pytest.mark.parametrize("how", ["lost", "abort"])
def test_lostWhileItDelivers(how: str) -> None:
    """
    A carrier that is lost from within a delivery interrupts it.
    """
    driver, remote = server("yamux")
    keys = [remote.key() for _ in range(2)]
    driver.session.receive(
        b"".join(remote.opening(key) + remote.data(key, b"x") for key in keys), 0
    )
    first, second = driver.opened
    first.hooks["data"] = lambda data: getattr(driver.session, how)()
    driver.run()
    assert first.names() == ["data", "lost"]
    assert second.names() == ["lost"]
    driver.assertIdle()
    driver.session.abort()


def test_abort() -> None:
    """
    To abort is to drop all that waits.
    """
    driver, remote = server("yamux")
    key = remote.key()
    driver.session.receive(remote.opening(key) + remote.data(key, b"x"), 0)
    driver.session.abort()
    driver.run()
    assert [user.names() for user in driver.opened] == [["lost"]]
    driver.assertIdle()
