"""
How a connection begins, and how it is read.
"""

from __future__ import annotations

import gc
import weakref
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    ILoggingContext,
    IPushProducer,
    ITCPTransport,
    ITransport,
)
from zope.interface.verify import verifyObject

from twisted_mux.testing.conformance.base import (
    HalfCloser,
    Recorder,
    TransportTestsBase,
)


class SetUpTests(TransportTestsBase):
    """
    A connection's beginning, and what a transport is.
    """

    def test_interfaces(self) -> None:
        """
        It provides what a TCP connection does, and says so.
        """
        for recorder in self.connect():
            for interface in (
                ITransport,
                ITCPTransport,
                IConsumer,
                IPushProducer,
                ILoggingContext,
            ):
                verifyObject(interface, recorder.transport)

    def test_attributes(self) -> None:
        """
        It has the attributes that protocols use beyond the interfaces.
        """
        for recorder in self.connect():
            transport = recorder.transport
            self.assertTrue(transport.connected)
            self.assertFalse(transport.disconnecting)
            self.assertFalse(transport.disconnected)
            self.assertIs(transport.protocol, recorder)
            self.assertIsNone(transport.producer)
            self.assertEqual(transport.bufferSize, 65536)
            self.assertIs(transport.reactor, self.clock)
            for name in ("stopConsuming", "startReading", "stopReading"):
                self.assertTrue(callable(getattr(transport, name)), name)

    def test_connectedBeforeMade(self) -> None:
        """
        In C{connectionMade} the transport is connected, and not yet
        disconnecting.
        """
        seen = []

        def look(recorder: Recorder) -> None:
            transport: Any = recorder.transport
            seen.append(
                (transport.connected, transport.disconnecting, transport.disconnected)
            )

        self.connect(Recorder(made=look), Recorder(made=look))
        self.assertEqual([tuple(map(bool, each)) for each in seen], [(1, 0, 0)] * 2)

    def test_writeWhenMade(self) -> None:
        """
        What is written in C{connectionMade} arrives, either way.
        """
        client, server = self.connect(
            Recorder(made=lambda recorder: recorder.transport.write(b"ping")),  # type: ignore[union-attr]
            Recorder(made=lambda recorder: recorder.transport.write(b"pong")),  # type: ignore[union-attr]
        )
        self.assertEqual((client.data, server.data), (b"pong", b"ping"))

    def test_callLaterBeforeData(self) -> None:
        """
        What C{connectionMade} puts off with C{callLater(0)} happens before the
        first data comes: C{ClientCreator} and FTP build on that.
        """

        def putOff(recorder: Recorder) -> None:
            recorder.transport.write(b"data")  # type: ignore[union-attr]
            self.clock.callLater(0, recorder.events.append, "later")

        client, server = self.connect(Recorder(made=putOff), Recorder(made=putOff))
        self.assertEqual(server.events, ["made", "later", "data"])
        self.assertEqual(client.events, ["made", "later", "data"])

    def test_callLaterBeforeEnd(self) -> None:
        """
        The same goes for the end of a connection that had nothing else.
        """
        client, server = self.connect(
            Recorder(made=lambda recorder: recorder.transport.loseConnection()),  # type: ignore[union-attr]
            Recorder(
                made=lambda recorder: self.clock.callLater(
                    0, recorder.events.append, "later"
                )
            ),
        )
        self.assertEqual(server.events, ["made", "later", "lost"])
        self.assertLost(client, ConnectionDone)

    def test_protocolIsLookedUp(self) -> None:
        """
        The transport's C{protocol} may be replaced at any time; whoever is
        there gets the next event.
        """
        replacement = Recorder()
        client, server = self.connect()
        client.transport.write(b"for the first")
        self.pump()
        replacement.makeConnection(server.transport)
        server.transport.protocol = replacement
        client.transport.write(b"for the second")
        client.transport.loseConnection()
        self.pump()
        self.assertEqual(server.data, b"for the first")
        self.assertEqual(replacement.data, b"for the second")
        self.assertEqual(replacement.events, ["made", "data", "lost"])
        # For the check at the end.
        server.note("lost")

    def test_addresses(self) -> None:
        """
        What one side calls host the other calls peer, also in
        C{connectionLost} and after it.
        """
        seen = []

        def look(recorder: Recorder) -> None:
            transport: Any = recorder.transport
            seen.append({transport.getHost(), transport.getPeer()})

        client, server = self.connect(Recorder(lost=look), Recorder(lost=look))
        host = client.transport.getHost()
        self.assertEqual(host, server.transport.getPeer())
        self.assertEqual(client.transport.getPeer(), server.transport.getHost())
        client.transport.loseConnection()
        self.pump()
        self.assertEqual(seen, [{host, client.transport.getPeer()}] * 2)
        self.assertEqual(host, client.transport.getHost())
        self.assertEqual(host, server.transport.getPeer())

    def test_logPrefix(self) -> None:
        """
        Messages are logged with the name of the protocol, and which side it is.
        """
        client, server = self.connect(HalfCloser(), Recorder())
        self.assertEqual(client.transport.logPrefix(), "HalfCloser,client")
        prefix = server.transport.logPrefix()
        self.assertEqual(prefix.split(",")[0], "Recorder")
        self.assertEqual(len(prefix.split(",")), 3)

    def test_logContext(self) -> None:
        """
        Callbacks run in the context of their connection.
        """
        client, server = self.connect(HalfCloser(), HalfCloser())
        prefixes = {
            recorder: recorder.transport.logPrefix() for recorder in (client, server)
        }
        for transport in (client.transport, server.transport):
            transport.write(b"x")
            transport.loseWriteConnection()
        self.pump()
        client.transport.abortConnection()
        server.transport.loseConnection()
        self.pump()
        for recorder, prefix in prefixes.items():
            for event in ("data", "readLost", "writeLost"):
                self.assertEqual(recorder.systems[event], prefix, event)

    def test_ownLogPrefix(self) -> None:
        """
        A protocol may say itself what it is called in the log.
        """

        class Named(Recorder):
            def logPrefix(self) -> str:
                return "me"

        client, server = self.connect(Named(), Named())
        self.assertEqual(client.transport.logPrefix(), "me,client")
        self.assertTrue(server.transport.logPrefix().startswith("me,"))

    def test_options(self) -> None:
        """
        The options of a TCP connection can be set and got.
        """
        for recorder in self.connect():
            transport = recorder.transport
            for value in (True, False, 1, 0):
                transport.setTcpNoDelay(value)
                transport.setTcpKeepAlive(value)
                self.assertEqual(transport.getTcpNoDelay(), value)
                self.assertEqual(transport.getTcpKeepAlive(), value)

    def test_protocolIsForgotten(self) -> None:
        """
        When the connection is lost the transport has no reference to the
        protocol any more, nor has anything else.
        """
        client, server = self.connect()
        self._recorders.clear()
        reference = weakref.ref(client)
        transport = client.transport
        transport.write(b"x")
        transport.loseConnection()
        self.pump()
        self.assertLost(server, ConnectionDone)
        del client
        gc.collect()
        self.assertIsNone(reference())
        self.assertFalse(hasattr(transport, "protocol"))


class ReadingTests(TransportTestsBase):
    """
    Delivery, and pausing it.
    """

    def test_inOrder(self) -> None:
        """
        Much data arrives whole and in order, both ways at once.
        """
        client, server = self.connect()
        there = b"".join(b"%07d " % number for number in range(100_000))
        back = there[::-1]
        for begin in range(0, len(there), 10_007):
            client.transport.write(there[begin : begin + 10_007])
            server.transport.write(back[begin : begin + 10_007])
        self.pump()
        self.assertTrue(server.data == there)
        self.assertTrue(client.data == back)

    def test_pause(self) -> None:
        """
        A paused transport delivers nothing; resumed, it delivers all that came
        meanwhile.  Both may be repeated.
        """
        client, server = self.connect()
        server.transport.pauseProducing()
        server.transport.pauseProducing()
        client.transport.write(b"waits ")
        self.pump()
        client.transport.write(b"and waits")
        self.pump()
        self.assertEqual(server.data, b"")
        server.transport.resumeProducing()
        server.transport.resumeProducing()
        self.assertEqual(server.data, b"", "delivered from within resumeProducing")
        self.pump()
        self.assertEqual(server.data, b"waits and waits")
        client.transport.write(b", no more")
        self.pump()
        self.assertEqual(server.data, b"waits and waits, no more")

    def test_pauseAndResumeAtOnce(self) -> None:
        """
        Pausing and resuming, without a turn between, changes nothing.
        """
        client, server = self.connect()
        for _ in range(3):
            server.transport.pauseProducing()
            server.transport.resumeProducing()
        client.transport.write(b"x")
        self.pump()
        self.assertEqual(server.data, b"x")
        server.transport.resumeProducing()
        server.transport.pauseProducing()
        client.transport.write(b"y")
        self.pump()
        self.assertEqual(server.data, b"x")

    def test_startAndStopReading(self) -> None:
        """
        C{stopReading} and C{startReading} do the same.
        """
        client, server = self.connect()
        server.transport.stopReading()
        client.transport.write(b"x")
        self.pump()
        self.assertEqual(server.data, b"")
        server.transport.startReading()
        self.pump()
        self.assertEqual(server.data, b"x")

    def test_pauseWhenMade(self) -> None:
        """
        A pause in C{connectionMade} is not forgotten.
        """
        _client, server = self.connect(
            Recorder(made=lambda recorder: recorder.transport.write(b"x")),  # type: ignore[union-attr]
            Recorder(made=lambda recorder: recorder.transport.pauseProducing()),  # type: ignore[union-attr]
        )
        self.assertEqual(server.data, b"")
        server.transport.resumeProducing()
        self.pump()
        self.assertEqual(server.data, b"x")

    def test_pauseInDataReceived(self) -> None:
        """
        A pause in C{dataReceived} is for the very next chunk.
        """
        client, server = self.connect(
            None,
            Recorder(data=lambda recorder: recorder.transport.pauseProducing()),  # type: ignore[union-attr]
        )
        content = bytes(range(256)) * 1024
        for begin in range(0, len(content), 1000):
            client.transport.write(content[begin : begin + 1000])
        self.pump()
        seen = 0
        while len(server.received) < len(content):
            self.assertGreater(len(server.received), seen)
            self.assertEqual(server.events.count("data"), len(server.events) - 1)
            seen = len(server.received)
            before = len(server.events)
            server.transport.resumeProducing()
            self.pump()
            self.assertLessEqual(len(server.events) - before, 1)
        self.assertTrue(server.data == content)

    def test_pauseAndResumeInDataReceived(self) -> None:
        """
        C{dataReceived} may pause and resume at once; it is not called within
        itself.
        """

        def both(recorder: Recorder) -> None:
            transport: Any = recorder.transport
            transport.pauseProducing()
            transport.resumeProducing()

        client, server = self.connect(None, Recorder(data=both))
        content = bytes(range(256)) * 1024
        client.transport.write(content)
        self.pump()
        self.assertTrue(server.data == content)

    def test_neverFromWithin(self) -> None:
        """
        Nothing is delivered from within a request, whatever waits.
        """
        client, server = self.connect()
        transport = server.transport
        transport.pauseProducing()
        client.transport.write(b"waits")
        client.transport.loseWriteConnection()
        self.pump()
        for request in (
            transport.resumeProducing,
            lambda: transport.write(b"x"),
            lambda: transport.writeSequence([b"x"]),
            transport.loseConnection,
            transport.abortConnection,
        ):
            request()
            self.assertEqual(server.events, ["made"])
        self.pump()
        self.assertEqual(server.data, b"")

    def test_endWaitsBehindData(self) -> None:
        """
        The end of the connection comes behind data that a pause holds up.
        """
        client, server = self.connect()
        server.transport.pauseProducing()
        client.transport.write(b"last words")
        client.transport.loseConnection()
        self.pump()
        self.assertLost(client, ConnectionDone)
        self.assertEqual(server.events, ["made"])
        server.transport.resumeProducing()
        self.pump()
        self.assertEqual(server.data, b"last words")
        self.assertLost(server, ConnectionDone)

    def test_bareEndWaits(self) -> None:
        """
        The end waits for a paused reader where there is no data before it,
        too.
        """
        client, server = self.connect(None, HalfCloser())
        server.transport.pauseProducing()
        client.transport.loseConnection()
        self.pump()
        self.assertEqual(server.events, ["made"])
        server.transport.resumeProducing()
        self.assertEqual(server.events, ["made"])
        self.pump()
        self.assertEqual(server.events, ["made", "readLost"])

    def test_pausedBetweenDataAndEnd(self) -> None:
        """
        When C{dataReceived} pauses, the end that is behind that data waits.
        """
        client, server = self.connect(
            Recorder(made=lambda recorder: recorder.transport.write(b"x")),  # type: ignore[union-attr]
            Recorder(data=lambda recorder: recorder.transport.pauseProducing()),  # type: ignore[union-attr]
        )
        client.transport.loseConnection()
        self.pump()
        self.assertEqual(server.events, ["made", "data"])
        server.transport.resumeProducing()
        self.pump()
        self.assertLost(server, ConnectionDone)

    def test_pausedWhenReset(self) -> None:
        """
        A paused reader finds out that the other side has aborted, when it
        resumes at the latest; and it is not made up as an end in order.
        """
        client, server = self.connect(None, HalfCloser())
        server.transport.pauseProducing()
        client.transport.write(b"x")
        self.pump()
        client.transport.abortConnection()
        self.pump()
        if not server.gone:
            server.transport.resumeProducing()
            self.pump()
        if self.connections.abortReason is ConnectionLost:
            self.assertLost(server, ConnectionLost)
            self.assertNotIn("readLost", server.events)
        else:
            self.assertEqual(server.events[-1], "readLost")

    def test_pausedWhenLost(self) -> None:
        """
        A paused reader finds out that the connection is lost.
        """
        client, server = self.connect(HalfCloser(), HalfCloser())
        server.transport.pauseProducing()
        client.transport.write(b"x")
        self.pump()
        self.connections.lose()
        self.pump()
        self.assertLost(server, ConnectionLost)
        self.assertEqual(server.events, ["made", "lost"])

    def test_loseConnectionStopsReading(self) -> None:
        """
        After C{loseConnection} nothing is delivered, and C{resumeProducing}
        does nothing.
        """
        client, server = self.connect()
        client.transport.write(b"too late")
        server.transport.loseConnection()
        server.transport.resumeProducing()
        self.pump()
        self.assertEqual(server.data, b"")
        self.assertLost(server, ConnectionDone)
        server.transport.resumeProducing()
        server.transport.pauseProducing()
        self.pump()
        self.assertEqual(server.data, b"")

    def test_loseConnectionInDataReceived(self) -> None:
        """
        C{loseConnection} in C{dataReceived} stops the reading with that chunk.
        """
        client, server = self.connect(
            None,
            Recorder(data=lambda recorder: recorder.transport.loseConnection()),  # type: ignore[union-attr]
        )
        client.transport.write(b"a")
        self.pump()
        client.transport.write(b"b")
        self.pump()
        self.assertEqual(server.data, b"a")
        self.assertEqual(server.events, ["made", "data", "lost"])

    def test_stopProducing(self) -> None:
        """
        To stop a transport as a producer is to close the connection.
        """
        client, server = self.connect()
        server.transport.stopProducing()
        self.pump()
        self.assertLost(server, ConnectionDone)
        self.assertLost(client, ConnectionDone)
