"""
What the tests of this package are written in: pairs of connected transports,
and protocols that note what happens to them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from twisted.internet.error import ConnectionClosed, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.context import get
from twisted.python.failure import Failure
from twisted.python.log import ILogContext
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from twisted_mux.testing.carriers import MemoryConnection
from twisted_mux.testing.clock import VirtualClock
from twisted_mux.testing.pipes import Link
from twisted_mux.testing.sessions import SessionPair

#: A request of the tests': what a protocol does at some moment.
Action = Callable[["Recorder"], object]


class Connections:
    """
    Pairs of connected transports, in virtual time: what the tests need to know
    of the transports that they are to test.

    @ivar clock: the time.
    @cvar abortReason: what C{connectionLost} is given when the other side has
        aborted.
    @cvar failureReason: the same when the other side's protocol raised.
    @cvar pausedSeesReset: does a transport that is paused notice a reset?
    """

    clock: VirtualClock
    abortReason: type[ConnectionClosed] = ConnectionLost
    failureReason: type[ConnectionClosed] = ConnectionLost

    def connect(self, client: IProtocol, server: IProtocol) -> None:
        """
        Connect two protocols, at once or as soon as the clock goes on.
        """
        raise NotImplementedError

    def lose(self) -> None:
        """
        Lose all connections, at both ends, through no fault of theirs, as soon
        as the clock goes on.
        """
        raise NotImplementedError


class MemoryConnections(Connections):
    """
    Plain connections in memory: Twisted's own transports, against which the
    tests themselves are tested.
    """

    failureReason = ConnectionDone

    def __init__(self, link: Link | None = None) -> None:
        """
        @param link: what lies between the two sides of each.
        """
        self.clock = VirtualClock()
        self._link = link
        self._made: list[MemoryConnection] = []

    def connect(self, client: IProtocol, server: IProtocol) -> None:
        """
        A new connection.
        """
        connection = MemoryConnection(self.clock, self._link)
        self._made.append(connection)
        connection.connect(client, server)

    def lose(self) -> None:
        """
        Cut them all.
        """
        for connection in self._made:
            connection.cut()


class StreamConnections(Connections):
    """
    Streams of one pair of sessions.
    """

    def __init__(self, pair: SessionPair, byServer: bool = False) -> None:
        """
        @param byServer: does the side that accepted the carrier open the
            streams?
        """
        self.pair = pair
        self.clock = pair.clock
        self._byServer = byServer
        if not pair.client.engine.capabilities.reset:
            self.abortReason = self.failureReason = ConnectionDone

    def connect(self, client: IProtocol, server: IProtocol) -> None:
        """
        A new stream.
        """
        session = self.pair.server if self._byServer else self.pair.client
        # A protocol that fails in connectionMade is what some tests are about.
        self.pair.connect(client, server, session).addErrback(lambda failure: None)

    def lose(self) -> None:
        """
        Lose the carrier.
        """
        self.pair.lose()


class Recorder(Protocol):
    """
    A protocol that notes what it is told.

    @ivar events: the names of what happened, in order: C{"made"},
        C{"data"}, C{"readLost"}, C{"writeLost"}, C{"lost"}, and whatever else
        was noted.
    @ivar received: what it received, to be looked at or cleared.
    @ivar reason: what C{connectionLost} was given.
    @ivar systems: what was in the log's context each time.
    @ivar nested: pairs of events, where the second happened within the first.
    @ivar on: what to do when something happens, by the event's name.
    """

    def __init__(self, **on: Action) -> None:
        self.events: list[str] = []
        self.received = bytearray()
        self.reason: Any = None
        self.systems: dict[str, object] = {}
        self.nested: list[tuple[str, str]] = []
        self.on: dict[str, Action] = dict(on)
        self._within: list[str] = []

    def note(self, event: str) -> None:
        """
        Something happens: note it, then do what is to be done.
        """
        self.events.append(event)
        self.systems[event] = get(ILogContext)["system"]
        if self._within:
            self.nested.append((self._within[-1], event))
        action = self.on.get(event)
        if action is not None:
            self._within.append(event)
            try:
                action(self)
            finally:
                self._within.pop()

    def connectionMade(self) -> None:
        """
        The beginning.
        """
        self.note("made")

    def dataReceived(self, data: bytes) -> None:
        """
        Something came.
        """
        self.received += data
        self.note("data")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The end.
        """
        self.reason = reason.value
        self.note("lost")

    @property
    def data(self) -> bytes:
        """
        A copy of what it received.
        """
        return bytes(self.received)

    @property
    def gone(self) -> bool:
        """
        Has it lost its connection?
        """
        return "lost" in self.events


@implementer(IHalfCloseableProtocol)
class HalfCloser(Recorder):
    """
    A recorder that knows of half-closed connections.
    """

    def readConnectionLost(self) -> None:
        """
        The other side's end.
        """
        self.note("readLost")

    def writeConnectionLost(self) -> None:
        """
        This side's end.
        """
        self.note("writeLost")


class Producer:
    """
    A producer that notes what it is told.

    @ivar calls: the names of the methods that were called, in order.
    @ivar on: what to do then, by name.
    """

    def __init__(self, **on: Callable[[], object]) -> None:
        self.calls: list[str] = []
        self.on: dict[str, Callable[[], object]] = dict(on)

    def _note(self, name: str) -> None:
        self.calls.append(name)
        action = self.on.get(name)
        if action is not None:
            action()

    def pauseProducing(self) -> None:
        """
        Enough.
        """
        self._note("pause")

    def resumeProducing(self) -> None:
        """
        More.
        """
        self._note("resume")

    def stopProducing(self) -> None:
        """
        Never again.
        """
        self._note("stop")


class TransportTestsBase(SynchronousTestCase):
    """
    What the tests have in common.

    Each test ends with the loss of all connections that are left; then every
    protocol must have been told once, and the clock must be at rest.

    @cvar makeConnections: makes the L{Connections} for one test.
    """

    makeConnections: ClassVar[Callable[[], Connections]]

    def setUp(self) -> None:
        """
        New connections for each test.
        """
        self.connections = type(self).makeConnections()
        self.clock = self.connections.clock
        self._recorders: list[Recorder] = []

    def connect(
        self,
        client: Recorder | None = None,
        server: Recorder | None = None,
        pump: bool = True,
    ) -> tuple[Any, Any]:
        """
        Connect two protocols; plain recorders by default.
        """
        client = Recorder() if client is None else client
        server = Recorder() if server is None else server
        if not self._recorders:
            self.addCleanup(self._finish)
        self._recorders += [client, server]
        self.connections.connect(client, server)
        if pump:
            self.pump()
        return client, server

    def pump(self) -> None:
        """
        Let everything happen for which no time needs to go by.
        """
        self.clock.settle()

    def _finish(self) -> None:
        self.connections.lose()
        self.pump()
        for recorder in self._recorders:
            # What came to its end before may wait to be read yet.
            if recorder.transport is not None:
                recorder.transport.resumeProducing()  # type: ignore[attr-defined]
        self.pump()
        for recorder in self._recorders:
            events = recorder.events
            if "made" in events:
                self.assertEqual(events.count("made"), 1, events)
                self.assertEqual(events[0], "made", events)
                self.assertEqual(events.count("lost"), 1, events)
                self.assertEqual(events[-1], "lost", events)
                self.assertLessEqual(events.count("readLost"), 1, events)
                self.assertLessEqual(events.count("writeLost"), 1, events)
            # Only loseConnection after the end of writing may do that.
            for outer, inner in recorder.nested:
                self.assertEqual(inner, "lost", (outer, inner))
        self.assertEqual(list(self.clock.getDelayedCalls()), [])

    def assertLost(self, recorder: Recorder, *types: type[BaseException]) -> None:
        """
        C{recorder} has lost its connection, for one of these reasons.
        """
        self.assertTrue(recorder.gone, recorder.events)
        self.assertIsInstance(recorder.reason, types)

    def assertConnected(self, *recorders: Recorder) -> None:
        """
        They have not lost their connections.
        """
        for recorder in recorders:
            self.assertFalse(recorder.gone, (recorder.events, recorder.reason))


def block(recorder: Recorder, sender: Recorder, clock: VirtualClock) -> int:
    """
    Pause C{recorder}, and have C{sender} write until nothing moves any more.

    @return: how many bytes were written.
    """
    transport: Any = sender.transport
    other: Any = recorder.transport
    other.pauseProducing()
    size = 4 * 1024 * 1024
    transport.write(bytes(size))
    clock.settle()
    return size
