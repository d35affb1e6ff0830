"""
What is there to test with: virtual time, connections in memory, pairs of sessions,
the kit.
"""

from __future__ import annotations

import unittest
from collections.abc import Callable
from typing import Any, cast

import pytest
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IPushProducer,
    ITCPTransport,
    ITransport,
)
from twisted.internet.protocol import Factory
from zope.interface.verify import verifyObject

from tests.conftest import LoggedErrors
from twisted_mux import MuxConfig
from twisted_mux import testing as module
from twisted_mux.testing import (
    Link,
    MemoryConnection,
    OneProtocol,
    Restless,
    SessionPair,
    VirtualClock,
)
from twisted_mux.testing.conformance import (
    Connections,
    HalfCloser,
    MemoryConnections,
    Producer,
    Recorder,
    StreamConnections,
    base,
    casesFor,
    kit,
    reading,
    reentrancy,
)

# Time.


def test_turns() -> None:
    """
    A turn does what was due when it began; what that puts off comes in the next.
    """
    clock = VirtualClock()
    seen: list[str] = []

    def first() -> None:
        seen.append("first")
        clock.callLater(0, seen.append, "later")

    clock.callLater(0, first)
    clock.callLater(0, seen.append, "second")
    assert clock.turn()
    assert seen == ["first", "second"]
    assert clock.turn()
    assert seen == ["first", "second", "later"]
    assert not clock.turn()


def test_resetComesLast() -> None:
    """
    A call that is put off anew comes behind what was put off before, and not in
    the same turn.
    """
    clock = VirtualClock()
    seen: list[str] = []
    call = clock.callLater(0, seen.append, "moved")
    clock.callLater(0, seen.append, "other")
    call.reset(0)
    clock.callLater(0, seen.append, "last")
    clock.turn()
    assert seen == ["other", "moved", "last"]
    clock.callLater(0, lambda: again.reset(0))
    again = clock.callLater(0, seen.append, "again")
    clock.turn()
    assert seen[3:] == []
    clock.turn()
    assert seen[3:] == ["again"]


def test_cancelledInTheSameTurn() -> None:
    """
    A call that is due can be cancelled by one before it.
    """
    clock = VirtualClock()
    seen: list[str] = []
    clock.callLater(0, lambda: second.cancel())
    second = clock.callLater(0, seen.append, "second")
    clock.settle()
    assert seen == []


def test_everyCallFindsItsTime() -> None:
    """
    However far the clock goes at once, all is done in order, at its time.
    """
    clock = VirtualClock()
    seen: list[tuple[float, int]] = []

    def tick(number: int) -> None:
        seen.append((clock.seconds(), number))
        if number:
            clock.callLater(0.25, tick, number - 1)

    clock.callLater(0.5, tick, 3)
    clock.advance(10)
    assert seen == [(0.5, 3), (0.75, 2), (1.0, 1), (1.25, 0)]
    assert clock.seconds() == 10


def test_inputAndOutputComeLast() -> None:
    """
    What can be read and written is looked after behind the calls that are due.
    """
    clock = VirtualClock()
    seen: list[str] = []
    clock.callAfter(lambda: seen.append("read"))
    clock.callLater(0, seen.append, "call")
    clock.turn()
    assert seen == ["call", "read"]


def test_restless() -> None:
    """
    What never ends is noticed.
    """
    clock = VirtualClock()

    def again() -> None:
        clock.callLater(0, again)

    again()
    with pytest.raises(Restless, match="again"):
        clock.settle(100)


# Links and connections.


@pytest.mark.parametrize(
    "arguments",
    [{"delay": -1}, {"rate": -1}, {"capacity": 0}, {"chunk": 0}, {"segment": 0}],
)
def test_noSuchLink(arguments: Any) -> None:
    """
    A link that can't be is an error.
    """
    with pytest.raises(ValueError, match="link"):
        Link(**arguments)


def connected(
    client: Any = None, server: Any = None, **arguments: Any
) -> tuple[Any, Any, MemoryConnection]:
    """
    Two protocols that are connected to each other.
    """
    client = Recorder() if client is None else client
    server = Recorder() if server is None else server
    connection = MemoryConnection(**arguments)
    connection.connect(client, server)
    return client, server, connection


def test_transportIsATransport() -> None:
    """
    The transports provide what TCP's do.
    """
    for recorder in connected()[:2]:
        for interface in (ITransport, ITCPTransport, IConsumer, IPushProducer):
            verifyObject(interface, recorder.transport)


def test_delay() -> None:
    """
    What is sent arrives when the delay is over, and ends as well.
    """
    client, server, connection = connected(link=Link(delay=0.25), back=Link(delay=1))
    client.transport.write(b"x")
    client.transport.loseWriteConnection()
    connection.clock.advance(0.24)
    assert server.data == b""
    connection.clock.advance(0.02)
    assert server.data == b"x"
    assert type(server.reason) is ConnectionDone
    assert not client.gone
    connection.clock.advance(0.98)
    assert not client.gone
    connection.clock.advance(0.02)
    assert type(client.reason) is ConnectionDone


def test_rate() -> None:
    """
    A link carries so many bytes a second, one after the other.
    """
    client, server, connection = connected(
        link=Link(rate=100_000, delay=0.1, capacity=1000)
    )
    client.transport.write(bytes(50_000))
    client.transport.write(bytes(50_000))
    for tenths in range(2, 11):
        connection.clock.advance(0.2 if tenths == 2 else 0.1)
        assert abs(len(server.received) - (tenths - 1) * 10_000) <= 1460
    connection.clock.advance(0.2)
    assert len(server.received) == 100_000


def test_segment() -> None:
    """
    Bytes arrive as many together as the link has it.
    """
    client, server, connection = connected(link=Link(rate=100_000, segment=5000))
    client.transport.write(bytes(20_000))
    connection.clock.advance(0.049)
    assert len(server.received) == 0
    connection.clock.advance(0.002)
    assert len(server.received) == 5000
    connection.clock.advance(0.15)
    assert server.events.count("data") == 4


class Sender(Recorder):
    """
    Writes pieces of an odd size for as long as it may.
    """

    def connectionMade(self) -> None:
        super().connectionMade()
        transport: Any = self.transport
        transport.registerProducer(self, True)
        self.resumeProducing()

    def resumeProducing(self) -> None:
        transport: Any = self.transport
        self._paused = False
        while not self._paused:
            transport.write(bytes(7001))

    def pauseProducing(self) -> None:
        self._paused = True


def test_fullPipe() -> None:
    """
    A sender that always has more goes on sending large pieces: it is told of room
    when there is some, as by a kernel, not of each byte that has left.
    """
    link = Link(delay=0.001, rate=10_000_000, segment=16_000)
    _, server, connection = connected(Sender(), link=link)
    connection.clock.advance(1)
    assert len(server.received) > 9_900_000
    assert server.events.count("data") <= 2 * 10_000_000 / 16_000


def test_capacity() -> None:
    """
    A link holds so much of what is not read, and no more: after that the sender
    holds it, and pauses its producer.
    """
    client, server, connection = connected(link=Link(capacity=10_000, chunk=3000))
    server.transport.pauseProducing()
    producer = Producer()
    client.transport.registerProducer(producer, True)
    client.transport.write(bytes(100_000))
    connection.clock.settle()
    assert producer.calls == ["pause"]
    server.transport.resumeProducing()
    connection.clock.turn()
    assert len(server.received) == 3000
    connection.clock.settle()
    assert len(server.received) == 100_000
    assert max(server.events.count("data") for _ in [0]) >= 100_000 // 3000
    assert producer.calls == ["pause", "resume"]


def test_stall() -> None:
    """
    A stalled link lets nothing through; then everything that was sent
    meanwhile.
    """
    client, server, connection = connected(link=Link(delay=0.5))
    client.transport.write(b"a")
    connection.clock.advance(0.25)
    connection.stall()
    client.transport.write(b"b")
    connection.clock.advance(100)
    assert server.data == b""
    connection.stall(False)
    connection.clock.advance(0.5)
    assert server.data == b"ab"


def test_stallAtOnce() -> None:
    """
    The same on a link that takes no time.
    """
    client, server, connection = connected()
    connection.stall()
    client.transport.write(b"a")
    connection.clock.advance(1)
    assert server.data == b""
    connection.stall(False)
    connection.clock.settle()
    assert server.data == b"a"


def test_cut() -> None:
    """
    A connection that is cut is lost at both ends, with what is under way.
    """
    client, server, connection = connected(link=Link(delay=1))
    client.transport.write(b"x")
    connection.clock.advance(0.5)
    connection.cut()
    connection.clock.advance(5)
    for recorder in (client, server):
        assert recorder.events == ["made", "lost"]
        assert type(recorder.reason) is ConnectionLost
    connection.cut()
    connection.clock.settle()
    assert not connection.clock.getDelayedCalls()


def test_withoutHalfClose() -> None:
    """
    A connection may be one that has no half-close, as TLS: an end is the end of
    both directions.
    """
    client, server, connection = connected(HalfCloser(), HalfCloser(), halfClose=False)
    client.transport.loseWriteConnection()
    connection.clock.settle()
    for recorder in (client, server):
        assert recorder.events == ["made", "lost"]
        assert type(recorder.reason) is ConnectionDone


def test_dataForNobody() -> None:
    """
    What comes to a side that has closed is answered with a reset, once.
    """
    client, server, connection = connected(None, HalfCloser(), link=Link(delay=0.1))
    client.transport.loseConnection()
    connection.clock.advance(1)
    assert client.gone
    assert server.events == ["made", "readLost"]
    server.transport.write(b"x")
    connection.clock.advance(1)
    # It does not read any more, so it finds out when it writes again.
    assert not server.gone
    server.transport.write(b"x")
    connection.clock.advance(1)
    assert type(server.reason) is ConnectionLost
    connection.clock.advance(1)
    assert not connection.clock.getDelayedCalls()


def test_closedWithUnreadData() -> None:
    """
    A side that closes with data that it has not read resets the connection, as
    kernels do.
    """
    client, server, connection = connected(None, HalfCloser())
    client.transport.pauseProducing()
    server.transport.write(b"unread")
    connection.clock.settle()
    client.transport.loseConnection()
    connection.clock.settle()
    assert type(client.reason) is ConnectionDone
    assert type(server.reason) is ConnectionLost


def test_writerIsToldOfReset() -> None:
    """
    A side that does not read finds out about a reset when it writes.
    """
    client, server, connection = connected()
    server.transport.pauseProducing()
    client.transport.abortConnection()
    connection.clock.settle()
    assert type(client.reason) is ConnectionAborted
    assert not server.gone
    server.transport.write(b"x")
    connection.clock.settle()
    assert type(server.reason) is ConnectionLost


def test_exceptionInCallback(loggedErrors: LoggedErrors) -> None:
    """
    What a protocol raises is logged, and the connection closed.
    """

    def fail(recorder: Recorder) -> None:
        raise ZeroDivisionError

    client, server, connection = connected(None, Recorder(data=fail))
    client.transport.write(b"x")
    connection.clock.settle()
    assert len(loggedErrors.flush(ZeroDivisionError)) == 1
    assert isinstance(server.reason, ZeroDivisionError)
    assert type(client.reason) is ConnectionDone


# Sessions.


def test_example() -> None:
    """
    The package's own example.
    """
    text: str = module.__doc__ or ""
    code = "\n".join(
        line[4:] for line in text.splitlines() if line.startswith("    ") or not line
    )

    class MyServer(Recorder):
        greeted = property(lambda self: self.data == b"hello")

    def greet(recorder: Recorder) -> None:
        cast(Any, recorder.transport).write(b"hello")

    names: dict[str, Any] = {
        "MyClient": lambda: Recorder(made=greet),
        "MyServer": MyServer,
    }
    exec(code, names)
    assert names["server"].greeted
    assert names["pair"].clock.seconds() == 1


def test_pair() -> None:
    """
    Streams from either side, several at once, in order; the factories that were
    there before are there again.
    """
    streams: Any = Factory.forProtocol(Recorder)
    pair = SessionPair("smux2", serverStreams=streams, clientStreams=streams)
    both = []
    for number in range(3):
        for session in (None, pair.server):
            opener = Recorder(
                made=lambda recorder, number=number: cast(  # type: ignore[misc]
                    Any, recorder.transport
                ).write(b"%d" % number)
            )
            accepter = Recorder()
            pair.connect(opener, accepter, session)
            both.append((number, accepter))
    pair.pump()
    for number, accepter in both:
        assert accepter.data == b"%d" % number
    assert pair.client.streamFactory is pair.server.streamFactory is streams
    assert pair.other(pair.client) is pair.server
    assert pair.other(pair.server) is pair.client


def test_pairsConfiguration() -> None:
    """
    The client's configuration is the server's too, if that has none.
    """
    ours, theirs = MuxConfig(window=1), MuxConfig(window=2)
    pair = SessionPair(clientConfig=ours)
    assert pair.server.config.window == 1
    pair = SessionPair(clientConfig=ours, serverConfig=theirs)
    assert (pair.client.config.window, pair.server.config.window) == (1, 2)
    assert SessionPair(serverConfig=theirs).client.config.window > 2


def test_pairsClock() -> None:
    """
    Several pairs may share a clock.
    """
    clock = VirtualClock()
    pairs = [SessionPair(clock=clock, link=Link(delay=delay)) for delay in (1, 2)]
    seen = []
    for pair in pairs:
        pair.connect(Recorder(), Recorder(made=lambda _: seen.append(clock.seconds())))
    clock.advance(3)
    assert seen == [1, 2]
    assert pairs[0].clock is pairs[0].client.reactor is clock


def test_oneProtocol() -> None:
    """
    The factory for one protocol has it once, and counts.
    """
    recorder = Recorder()
    factory = OneProtocol(recorder)
    counts = [factory.started]
    factory.doStart()
    counts.append(factory.started)
    assert [factory.buildProtocol(None) for _ in range(2)] == [recorder, None]
    factory.doStop()
    counts.append(factory.started)
    assert counts == [0, 1, 0]


# The kit.


def run(cases: Any) -> unittest.TestResult:
    """
    Run test cases as any runner does.
    """
    result = unittest.TestResult()
    suite = unittest.TestSuite()
    for case in cases:
        suite.addTests(unittest.defaultTestLoader.loadTestsFromTestCase(case))
    suite.run(result)
    return result


def test_kitRunsAnywhere(loggedErrors: LoggedErrors) -> None:
    """
    The kit needs no particular runner, and Twisted's own transports pass it.
    """
    cases = casesFor("Memory", MemoryConnections)
    assert list(cases) == [f"Memory{each.__name__}" for each in kit]
    result = run(cases.values())
    assert result.testsRun > 90
    assert result.wasSuccessful(), (result.failures, result.errors)
    # The tests have seen to them.
    loggedErrors.flush(ZeroDivisionError)


def broken(change: Callable[[Any], object]) -> Callable[[], Connections]:
    """
    Streams whose transports have been changed for the worse.
    """

    class Broken(StreamConnections):
        def connect(self, client: Any, server: Any) -> None:
            for protocol in (client, server):
                make = protocol.makeConnection

                def makeConnection(transport: Any, make: Any = make) -> None:
                    make(_Changed(transport, change))

                protocol.makeConnection = makeConnection
            super().connect(client, server)

    return lambda: Broken(SessionPair("yamux"))


class _Changed:
    def __init__(self, transport: Any, change: Callable[[Any], object]) -> None:
        self.__dict__["_transport"] = transport
        change(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._transport, name, value)


def test_kitFindsFaults() -> None:
    """
    A transport that does not pause, or that delivers from within a request, does
    not pass.
    """

    def noPause(transport: Any) -> None:
        transport.__dict__["pauseProducing"] = lambda: None

    result = run(casesFor("Broken", broken(noPause), (reading.ReadingTests,)).values())
    names = {test.id().split(".")[-1] for test, _ in result.failures}
    assert {"test_pause", "test_pauseWhenMade"} <= names

    def eager(transport: Any) -> None:
        def resumeProducing() -> None:
            transport._transport.resumeProducing()
            transport.session.engine.turn(0)

        transport.__dict__["resumeProducing"] = resumeProducing

    result = run(casesFor("Broken", broken(eager), (reading.ReadingTests,)).values())
    names = {test.id().split(".")[-1] for test, _ in result.failures}
    assert {"test_pause", "test_neverFromWithin"} <= names


def test_kitNamesWhatFailed(loggedErrors: LoggedErrors) -> None:
    """
    Where a test tries many things its failure says which one it was.
    """

    def badClose(transport: Any) -> None:
        def loseConnection() -> None:
            raise ZeroDivisionError

        transport.__dict__["loseConnection"] = loseConnection

    result = run(
        casesFor("Broken", broken(badClose), (reentrancy.ReentrancyTests,)).values()
    )
    assert not result.wasSuccessful()
    texts = [text for _, text in (*result.failures, *result.errors)]
    assert any("ZeroDivisionError: write: " in text for text in texts), texts
    loggedErrors.flush(ZeroDivisionError)


def test_kitWithoutConnection() -> None:
    """
    A protocol that never gets a connection has nothing to be told.
    """

    class Refusing(MemoryConnections):
        def connect(self, client: Any, server: Any) -> None:
            pass

    class Refused(base.TransportTestsBase):
        makeConnections = Refusing

        def test_refused(self) -> None:
            self.connect()

    assert run([Refused]).wasSuccessful()


def test_connectionsAreToBeMade() -> None:
    """
    The class of connections has to be completed.
    """
    with pytest.raises(NotImplementedError):
        Connections().connect(Recorder(), Recorder())
    with pytest.raises(NotImplementedError):
        Connections().lose()
