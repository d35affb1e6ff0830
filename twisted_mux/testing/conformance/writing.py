"""
How a connection is written to.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import (
    ConnectionAborted,
    ConnectionDone,
)

from twisted_mux.testing.conformance.base import (
    HalfCloser,
    TransportTestsBase,
    block,
)


class WritingTests(TransportTestsBase):
    """
    What may be written, and when it is sent.
    """

    def _refused(self, transport: Any) -> None:
        for wrong in ("text", bytearray(b"x"), memoryview(b"x"), 1, None):
            with self.assertRaises(TypeError):
                transport.write(wrong)
            with self.assertRaises(TypeError):
                transport.writeSequence([b"right", wrong])

    def test_onlyBytes(self) -> None:
        """
        Anything but bytes is a C{TypeError}, also when nothing can be written
        any more; and nothing of it is sent.
        """
        client, server = self.connect(HalfCloser())
        self._refused(client.transport)
        client.transport.loseWriteConnection()
        self._refused(client.transport)
        self.pump()
        self._refused(client.transport)
        client.transport.loseConnection()
        self._refused(client.transport)
        self.pump()
        self._refused(client.transport)
        self.assertEqual(server.data, b"")

    def test_sequence(self) -> None:
        """
        C{writeSequence} takes lists and tuples, of no items and of empty ones
        too.
        """
        client, server = self.connect()
        client.transport.writeSequence([b"a", b"", b"b"])
        client.transport.writeSequence([])
        client.transport.writeSequence((b"c",))
        client.transport.writeSequence([b""])
        client.transport.write(b"")
        self.pump()
        self.assertEqual(server.data, b"abc")
        self.assertEqual(server.events, ["made", "data"])

    def test_afterLoss(self) -> None:
        """
        Writing to a lost connection does nothing, and says nothing.
        """
        client, server = self.connect()
        client.transport.loseConnection()
        self.pump()
        for recorder in (client, server):
            recorder.transport.write(b"x")
            recorder.transport.writeSequence([b"x"])
        self.pump()
        self.assertEqual((client.data, server.data), (b"", b""))

    def test_afterLoseConnection(self) -> None:
        """
        What is written after C{loseConnection}, and before it has come to
        pass, is still sent.
        """
        client, server = self.connect()
        client.transport.write(b"a")
        client.transport.loseConnection()
        client.transport.write(b"b")
        client.transport.writeSequence([b"c"])
        self.pump()
        self.assertEqual(server.data, b"abc")
        self.assertLost(client, ConnectionDone)

    def test_afterLoseWriteConnection(self) -> None:
        """
        After the end of this direction was sent nothing can be written; before
        that it can.
        """
        client, server = self.connect(HalfCloser(), HalfCloser())
        client.transport.write(b"a")
        client.transport.loseWriteConnection()
        client.transport.write(b"b")
        self.pump()
        client.transport.write(b"c")
        client.transport.writeSequence([b"d"])
        self.pump()
        self.assertEqual(server.data, b"ab")
        self.assertConnected(client, server)

    def test_abortDropsWhatWasWritten(self) -> None:
        """
        What was written right before C{abortConnection} is not sent, nor is
        what comes after.
        """
        client, server = self.connect()
        client.transport.write(bytes(1024 * 1024))
        client.transport.abortConnection()
        client.transport.write(b"x")
        self.pump()
        self.assertLess(len(server.received), 1024 * 1024)
        self.assertNotIn(b"x", server.data)
        self.assertLost(client, ConnectionAborted)

    def test_flushBeforeClose(self) -> None:
        """
        C{loseConnection} waits until all was sent, however long the other side
        pauses.
        """
        client, server = self.connect()
        size = block(server, client, self.clock)
        client.transport.loseConnection()
        self.pump()
        server.transport.resumeProducing()
        self.pump()
        self.assertEqual(len(server.received), size)
        self.assertLost(client, ConnectionDone)
        self.assertLost(server, ConnectionDone)
