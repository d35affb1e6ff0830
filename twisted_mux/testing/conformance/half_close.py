"""
How one direction of a connection ends.
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
    Recorder,
    TransportTestsBase,
    block,
)


class HalfCloseTests(TransportTestsBase):
    """
    One direction at a time.
    """

    def test_loseWriteConnection(self) -> None:
        """
        C{loseWriteConnection} flushes and ends this direction; both sides are
        told, and the other direction goes on.
        """
        client, server = self.connect(HalfCloser(), HalfCloser())
        client.transport.write(b"a")
        client.transport.loseWriteConnection()
        self.assertEqual(client.events, ["made"])
        self.pump()
        self.assertEqual(client.events, ["made", "writeLost"])
        self.assertEqual(server.events, ["made", "data", "readLost"])
        server.transport.write(b"b")
        self.pump()
        self.assertEqual((client.data, server.data), (b"b", b"a"))
        self.assertConnected(client, server)

    def test_twice(self) -> None:
        """
        A second C{loseWriteConnection} does nothing, before and after the
        first has come to pass.
        """
        client, server = self.connect(HalfCloser(), HalfCloser())
        client.transport.loseWriteConnection()
        client.transport.loseWriteConnection()
        self.pump()
        client.transport.loseWriteConnection()
        self.pump()
        self.assertEqual(client.events, ["made", "writeLost"])
        self.assertEqual(server.events, ["made", "readLost"])

    def test_unawareReader(self) -> None:
        """
        A protocol that knows nothing of half-closing loses its connection at
        the other side's end.  What it wrote before is sent.
        """
        client, server = self.connect(HalfCloser(), None)
        server.transport.write(b"farewell")
        client.transport.loseWriteConnection()
        self.pump()
        self.assertLost(server, ConnectionDone)
        self.assertEqual(client.data, b"farewell")
        self.assertConnected(client)
        self.assertEqual(client.events[-1], "readLost")

    def test_unawareWriter(self) -> None:
        """
        A protocol that knows nothing of it may half-close, too; it is not told
        of its own end.
        """
        client, server = self.connect(None, HalfCloser())
        client.transport.write(b"a")
        client.transport.loseWriteConnection()
        self.pump()
        self.assertConnected(client, server)
        server.transport.write(b"b")
        server.transport.loseWriteConnection()
        self.pump()
        self.assertEqual((client.data, server.data), (b"b", b"a"))
        self.assertLost(client, ConnectionDone)

    def test_bothUnaware(self) -> None:
        """
        Between two protocols that know nothing of it, to half-close is to
        close.
        """
        client, server = self.connect()
        client.transport.write(b"a")
        client.transport.loseWriteConnection()
        self.pump()
        self.assertEqual(server.data, b"a")
        self.assertLost(client, ConnectionDone)
        self.assertLost(server, ConnectionDone)

    def test_bothDirections(self) -> None:
        """
        When both directions have ended, a protocol that is aware still has its
        connection until it closes it, and then loses it from within
        C{loseConnection}.
        """
        client, server = self.connect(HalfCloser(), HalfCloser())
        client.transport.loseWriteConnection()
        server.transport.loseWriteConnection()
        self.pump()
        for recorder in (client, server):
            self.assertEqual(sorted(recorder.events), ["made", "readLost", "writeLost"])
        for recorder in (client, server):
            self.assertTrue(recorder.transport.connected)
            recorder.transport.loseConnection()
            self.assertLost(recorder, ConnectionDone)

    def test_closeAfterEndOfWriting(self) -> None:
        """
        C{loseConnection} after this direction has ended closes at once; what
        the other side still sends is dropped.
        """
        client, server = self.connect(HalfCloser(), HalfCloser())
        client.transport.loseWriteConnection()
        self.pump()
        client.transport.loseConnection()
        self.assertLost(client, ConnectionDone)
        server.transport.write(b"x")
        self.pump()
        self.assertEqual(client.data, b"")
        server.transport.loseConnection()
        self.pump()
        self.assertLost(server, ConnectionDone, self.connections.abortReason)

    def test_closeRightAfterwards(self) -> None:
        """
        C{loseConnection} right after C{loseWriteConnection}.
        """
        client, server = self.connect(HalfCloser(), None)
        client.transport.write(b"x")
        client.transport.loseWriteConnection()
        client.transport.loseConnection()
        self.pump()
        self.assertEqual(server.data, b"x")
        self.assertLost(client, ConnectionDone)
        self.assertLost(server, ConnectionDone)

    def test_closeInCallbacks(self) -> None:
        """
        The connection may be closed in either of the callbacks.
        """

        def close(recorder: Recorder) -> None:
            recorder.transport.loseConnection()  # type: ignore[union-attr]

        client, server = self.connect(HalfCloser(writeLost=close), HalfCloser())
        client.transport.loseWriteConnection()
        self.pump()
        self.assertLost(client, ConnectionDone)
        self.assertEqual(server.events, ["made", "readLost"])
        client, server = self.connect(HalfCloser(), HalfCloser(readLost=close))
        client.transport.loseWriteConnection()
        self.pump()
        self.assertLost(server, ConnectionDone)
        self.assertEqual(client.events, ["made", "writeLost", "readLost"])

    def test_answerWithEnd(self) -> None:
        """
        One side half-closes when the other has, then closes when that has come
        to pass: the case of Twisted's ticket 3037.
        """

        def end(recorder: Recorder) -> None:
            recorder.transport.loseWriteConnection()  # type: ignore[union-attr]

        def close(recorder: Recorder) -> None:
            recorder.transport.loseConnection()  # type: ignore[union-attr]

        client, server = self.connect(None, HalfCloser(readLost=end, writeLost=close))
        client.transport.loseConnection()
        self.pump()
        self.assertLost(server, ConnectionDone)
        self.assertLost(client, ConnectionDone)

    def test_longAnswer(self) -> None:
        """
        A request, its end, and then a long answer: what half-closing is for.
        """
        answer = bytes(range(256)) * 8192

        def give(recorder: Recorder) -> None:
            transport: Any = recorder.transport
            transport.write(answer)
            transport.loseConnection()

        client, server = self.connect(HalfCloser(), HalfCloser(readLost=give))
        client.transport.write(b"question")
        client.transport.loseWriteConnection()
        self.pump()
        self.assertEqual(server.data, b"question")
        self.assertTrue(client.data == answer)
        self.assertLost(server, ConnectionDone)
        self.assertEqual(client.events[-1], "readLost")

    def test_endWhileBlocked(self) -> None:
        """
        The end waits behind what the other side does not read yet.
        """
        client, server = self.connect(HalfCloser(), HalfCloser())
        size = block(server, client, self.clock)
        client.transport.loseWriteConnection()
        self.pump()
        self.assertNotIn("writeLost", client.events)
        server.transport.resumeProducing()
        self.pump()
        self.assertEqual(len(server.received), size)
        self.assertEqual(server.events[-1], "readLost")
        self.assertIn("writeLost", client.events)

    def test_resetIsNoEnd(self) -> None:
        """
        An abort of the other side is never taken for the end of its direction,
        where it can be told.
        """
        for ended in (False, True):
            client, server = self.connect(HalfCloser(), HalfCloser())
            if ended:
                server.transport.loseWriteConnection()
                self.pump()
            client.transport.abortConnection()
            self.pump()
            self.assertLost(client, ConnectionAborted)
            if self.connections.abortReason is ConnectionLost:
                self.assertLost(server, ConnectionLost)
                self.assertNotIn("readLost", server.events)
            else:
                self.assertIn("readLost", server.events)

    def test_lostWhenHalfClosed(self) -> None:
        """
        The loss of the connection comes through in whichever direction it was
        closed.
        """
        client, server = self.connect(HalfCloser(), HalfCloser())
        client.transport.loseWriteConnection()
        self.pump()
        self.connections.lose()
        self.pump()
        self.assertLost(client, ConnectionLost)
        self.assertLost(server, ConnectionLost)
