"""
How a connection ends.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
)

from twisted_mux.testing.conformance.base import (
    HalfCloser,
    Producer,
    Recorder,
    TransportTestsBase,
    block,
)


class ClosingTests(TransportTestsBase):
    """
    Both directions at once: who is told what.
    """

    def test_close(self) -> None:
        """
        C{loseConnection} gives both sides C{ConnectionDone}, this one not from
        within the call.
        """
        client, server = self.connect()
        client.transport.write(b"x")
        client.transport.loseConnection()
        self.assertConnected(client)
        self.assertTrue(client.transport.disconnecting)
        self.pump()
        self.assertEqual(server.data, b"x")
        self.assertIs(type(client.reason), ConnectionDone)
        self.assertIs(type(server.reason), ConnectionDone)

    def test_closeAtOnce(self) -> None:
        """
        The same in C{connectionMade}, with something to say and without.
        """
        for words in (b"", b"x"):

            def leave(recorder: Recorder, words: bytes = words) -> None:
                transport: Any = recorder.transport
                transport.write(words)
                transport.loseConnection()

            client, server = self.connect(Recorder(made=leave))
            self.assertEqual(server.data, words)
            self.assertLost(client, ConnectionDone)
            self.assertLost(server, ConnectionDone)
            client, server = self.connect(None, Recorder(made=leave))
            self.assertEqual(client.data, words)
            self.assertLost(client, ConnectionDone)
            self.assertLost(server, ConnectionDone)

    def test_bothClose(self) -> None:
        """
        Both sides may close at the same moment.
        """
        client, server = self.connect()
        client.transport.loseConnection()
        server.transport.loseConnection()
        self.pump()
        self.assertLost(client, ConnectionDone)
        self.assertLost(server, ConnectionDone)

    def test_stateWhenLost(self) -> None:
        """
        When C{connectionLost} is called the transport says so, and has neither
        producer nor protocol.
        """
        seen = []

        def look(recorder: Recorder) -> None:
            transport: Any = recorder.transport
            seen.append(
                (
                    bool(transport.connected),
                    bool(transport.disconnected),
                    transport.producer,
                    hasattr(transport, "protocol"),
                )
            )

        client, _ = self.connect(Recorder(lost=look), Recorder(lost=look))
        client.transport.registerProducer(Producer(), True)
        client.transport.loseConnection()
        self.pump()
        self.assertEqual(seen, [(False, True, None, False)] * 2)

    def test_abort(self) -> None:
        """
        C{abortConnection} gives this side C{ConnectionAborted}, later, and the
        other one C{ConnectionLost} if it can be told.
        """
        client, server = self.connect()
        client.transport.abortConnection()
        self.assertConnected(client)
        self.pump()
        self.assertIs(type(client.reason), ConnectionAborted)
        self.assertLost(server, self.connections.abortReason)

    def test_abortBothSides(self) -> None:
        """
        Both sides may abort at the same moment.
        """
        client, server = self.connect()
        client.transport.abortConnection()
        server.transport.abortConnection()
        self.pump()
        self.assertLost(client, ConnectionAborted)
        self.assertLost(server, ConnectionAborted)

    def test_abortWhenMade(self) -> None:
        """
        C{abortConnection} may be called in C{connectionMade}.
        """
        client, server = self.connect(
            Recorder(made=lambda recorder: recorder.transport.abortConnection())  # type: ignore[union-attr]
        )
        self.assertLost(client, ConnectionAborted)
        client, server = self.connect(
            None,
            Recorder(made=lambda recorder: recorder.transport.abortConnection()),  # type: ignore[union-attr]
        )
        self.assertLost(server, ConnectionAborted)
        self.assertLost(client, self.connections.abortReason)

    def test_abortInDataReceived(self) -> None:
        """
        After C{abortConnection} in C{dataReceived} nothing more is delivered.
        """
        client, server = self.connect(
            None,
            Recorder(data=lambda recorder: recorder.transport.abortConnection()),  # type: ignore[union-attr]
        )
        client.transport.write(bytes(300_000))
        self.pump()
        self.assertEqual(server.events, ["made", "data", "lost"])
        self.assertLost(server, ConnectionAborted)
        self.assertLost(client, self.connections.abortReason)

    def test_abortWhileBlocked(self) -> None:
        """
        C{abortConnection} does not wait for the other side to read, nor for
        C{loseConnection} to come to pass.
        """
        for closing in (False, True):
            client, server = self.connect()
            block(server, client, self.clock)
            if closing:
                client.transport.loseConnection()
                self.pump()
                self.assertConnected(client)
            client.transport.abortConnection()
            self.pump()
            self.assertLost(client, ConnectionAborted)
            server.transport.resumeProducing()
            self.pump()
            self.assertLost(server, self.connections.abortReason)

    def test_abortWhilePaused(self) -> None:
        """
        C{abortConnection} works while this side's reading is paused.
        """
        client, server = self.connect()
        block(server, client, self.clock)
        server.transport.abortConnection()
        self.pump()
        self.assertLost(server, ConnectionAborted)
        self.assertEqual(server.data, b"")
        self.assertLost(client, self.connections.abortReason)

    def test_repeated(self) -> None:
        """
        Closing and aborting may be repeated in any order; a connection that is
        being aborted stays aborted.
        """
        for requests, reason in (
            (("loseConnection", "loseConnection"), ConnectionDone),
            (("abortConnection", "abortConnection"), ConnectionAborted),
            (("abortConnection", "loseConnection"), ConnectionAborted),
            (("abortConnection", "loseWriteConnection"), ConnectionAborted),
            (("loseConnection", "abortConnection"), ConnectionAborted),
            (("loseConnection", "loseWriteConnection"), ConnectionDone),
            (("loseWriteConnection", "abortConnection"), ConnectionAborted),
        ):
            client, server = self.connect(None, Recorder())
            client.transport.write(b"x")
            for request in requests:
                getattr(client.transport, request)()
            self.pump()
            self.assertTrue(client.gone, requests)
            self.assertIs(type(client.reason), reason, requests)
            self.assertTrue(server.gone, requests)
            for request in (
                "loseConnection",
                "loseWriteConnection",
                "abortConnection",
                "stopConsuming",
                "stopProducing",
                "unregisterProducer",
                "pauseProducing",
                "resumeProducing",
            ):
                for recorder in (client, server):
                    getattr(recorder.transport, request)()
            self.pump()

    def test_lost(self) -> None:
        """
        When the connection is lost through no fault of either side, both get
        C{ConnectionLost}, and nothing of half-closing.
        """
        client, server = self.connect(HalfCloser(), None)
        client.transport.write(bytes(1_000_000))
        server.transport.write(b"x")
        self.connections.lose()
        self.pump()
        self.assertLost(client, ConnectionLost)
        self.assertLost(server, ConnectionLost)
        self.assertNotIn("readLost", client.events)

    def test_lostWhileClosing(self) -> None:
        """
        The same when C{loseConnection} waits for the other side to read.
        """
        client, server = self.connect()
        block(server, client, self.clock)
        client.transport.loseConnection()
        self.pump()
        self.connections.lose()
        self.pump()
        self.assertLost(client, ConnectionLost)
        self.assertLost(server, ConnectionLost)

    def test_lostWhileAborting(self) -> None:
        """
        C{abortConnection} right before the connection is lost anyway.
        """
        client, server = self.connect()
        self.connections.lose()
        client.transport.abortConnection()
        self.pump()
        self.assertLost(client, ConnectionAborted, ConnectionLost)
        self.assertLost(server, ConnectionLost)

    # Exceptions.

    def _raising(self, event: str, abortFirst: bool = False) -> tuple[Any, Any]:
        def fail(recorder: Recorder) -> None:
            if abortFirst:
                recorder.transport.abortConnection()  # type: ignore[union-attr]
            raise ZeroDivisionError(event)

        return self.connect(HalfCloser(**{event: fail}), HalfCloser())

    def _checkRaised(self, client: Recorder, server: Any) -> None:
        self.assertLost(client, ZeroDivisionError)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        if not server.gone:
            # Without a reset, all that it can see is an end.
            self.assertIs(self.connections.failureReason, ConnectionDone)
            self.assertIn("readLost", server.events)
            server.transport.loseConnection()
            self.pump()
        self.assertLost(server, self.connections.failureReason)

    def test_dataReceivedRaises(self) -> None:
        """
        What C{dataReceived} raises is the reason of C{connectionLost} on this
        side, and logged once.
        """
        client, server = self._raising("data")
        server.transport.write(b"x")
        self.pump()
        self._checkRaised(client, server)
        self.assertEqual(client.events, ["made", "data", "lost"])

    def test_dataReceivedRaisesLater(self) -> None:
        """
        The same for data that had to wait.
        """
        client, server = self._raising("data")
        client.transport.pauseProducing()
        server.transport.write(b"x")
        self.pump()
        client.transport.resumeProducing()
        self.pump()
        self._checkRaised(client, server)

    def test_abortThenRaise(self) -> None:
        """
        An exception is not hidden by C{abortConnection} right before it.
        """
        client, server = self._raising("data", True)
        server.transport.write(b"x")
        self.pump()
        self._checkRaised(client, server)

    def test_readConnectionLostRaises(self) -> None:
        """
        The same for C{readConnectionLost}.
        """
        client, server = self._raising("readLost")
        server.transport.loseWriteConnection()
        self.pump()
        self._checkRaised(client, server)

    def test_writeConnectionLostRaises(self) -> None:
        """
        The same for C{writeConnectionLost}.
        """
        client, server = self._raising("writeLost")
        client.transport.loseWriteConnection()
        self.pump()
        self._checkRaised(client, server)

    def test_resumeProducingRaises(self) -> None:
        """
        The same for a producer, of either kind; it is stopped all the same.
        """
        for streaming in (True, False):
            client, server = self.connect(HalfCloser(), HalfCloser())

            producer = Producer()

            def fail(producer: Producer = producer, all: bool = streaming) -> None:
                if all or len(producer.calls) > 1:
                    raise ZeroDivisionError

            producer.on["resume"] = fail
            client.transport.registerProducer(producer, streaming)
            client.transport.write(bytes(100_000))
            self.pump()
            self._checkRaised(client, server)
            self.assertEqual(producer.calls[-2:], ["resume", "stop"])

    def test_othersGoOn(self) -> None:
        """
        A protocol that raises loses its own connection and no other.
        """
        client, server = self._raising("data")
        other, echo = self.connect(
            None,
            Recorder(data=lambda recorder: recorder.transport.write(b"y")),  # type: ignore[union-attr]
        )
        server.transport.write(b"x")
        other.transport.write(b"x")
        self.pump()
        self._checkRaised(client, server)
        self.assertEqual(other.data, b"y")
        self.assertConnected(other, echo)

    def test_peerWritesOn(self) -> None:
        """
        A side that goes on writing to one that has closed finds out that
        nobody is there, where it can be told; and it can close itself in any
        case.
        """
        client, server = self.connect(None, HalfCloser())
        client.transport.loseConnection()
        self.pump()
        self.assertEqual(server.events, ["made", "readLost"])
        for _ in range(20):
            server.transport.write(bytes(100_000))
            self.pump()
        if self.connections.abortReason is ConnectionLost:
            self.assertLost(server, ConnectionLost)
        else:
            self.assertConnected(server)
            server.transport.loseConnection()
            self.pump()
            self.assertLost(server, ConnectionDone)
