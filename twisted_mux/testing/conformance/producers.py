"""
What a transport does with a producer.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import (
    ConnectionDone,
    ConnectionLost,
)

from twisted_mux.testing.conformance.base import (
    Producer,
    Recorder,
    TransportTestsBase,
    block,
)


class ProducerTests(TransportTestsBase):
    """
    What a transport does with a producer.
    """

    def test_secondIsRefused(self) -> None:
        """
        There is one producer at a time.
        """
        client, _ = self.connect()
        first = Producer()
        client.transport.registerProducer(first, True)
        for streaming in (True, False):
            second = Producer()
            with self.assertRaises(RuntimeError):
                client.transport.registerProducer(second, streaming)
            self.assertEqual(second.calls, [])
        client.transport.unregisterProducer()
        client.transport.registerProducer(Producer(), True)
        self.assertEqual(first.calls, [])

    def test_onLostTransport(self) -> None:
        """
        A producer that is registered with a lost connection is stopped at
        once, and not kept.
        """
        client, _ = self.connect()
        client.transport.loseConnection()
        self.pump()
        for streaming in (True, False, True):
            producer = Producer()
            client.transport.registerProducer(producer, streaming)
            self.assertEqual(producer.calls, ["stop"])
            self.assertIsNone(client.transport.producer)
        client.transport.unregisterProducer()

    def test_pull(self) -> None:
        """
        A pull producer is asked when it is registered, and each time that all
        was sent.
        """
        client, server = self.connect()
        left = [b"a" * 100_000, b"b", b"c" * 70_000]

        def produce() -> None:
            client.transport.write(left.pop(0))
            if not left:
                client.transport.unregisterProducer()

        producer = Producer(resume=produce)
        client.transport.registerProducer(producer, False)
        self.assertEqual(producer.calls, ["resume"])
        self.pump()
        self.assertEqual(producer.calls, ["resume"] * 3)
        self.assertTrue(server.data == b"a" * 100_000 + b"b" + b"c" * 70_000)

    def test_pullThatHasNothing(self) -> None:
        """
        A pull producer that writes nothing is asked again when something that
        was written otherwise has gone; it never is asked in a loop.
        """
        client, server = self.connect()
        producer = Producer()
        client.transport.registerProducer(producer, False)
        self.pump()
        self.assertEqual(producer.calls, ["resume"])
        client.transport.write(b"x")
        self.pump()
        self.assertEqual(producer.calls, ["resume"] * 2)
        self.assertEqual(server.data, b"x")

    def test_pushIsPausedAtOnce(self) -> None:
        """
        A push producer is paused from within the write that makes the buffer
        larger than C{bufferSize}, and resumed when all has gone.
        """
        for streaming in (True, 1):
            client, server = self.connect()
            producer = Producer()
            client.transport.registerProducer(producer, streaming)
            client.transport.bufferSize = 1000
            client.transport.write(bytes(600))
            client.transport.write(bytes(400))
            self.assertEqual(producer.calls, [])
            client.transport.write(b"x")
            self.assertEqual(producer.calls, ["pause"])
            self.pump()
            self.assertEqual(producer.calls, ["pause", "resume"])
            self.assertEqual(len(server.received), 1001)

    def test_sequencePauses(self) -> None:
        """
        C{writeSequence} pauses as C{write} does.
        """
        client, _ = self.connect()
        producer = Producer()
        client.transport.registerProducer(producer, True)
        client.transport.writeSequence([bytes(40_000)] * 2)
        self.assertEqual(producer.calls, ["pause"])
        self.pump()
        self.assertEqual(producer.calls, ["pause", "resume"])

    def test_pausedUntilAllHasGone(self) -> None:
        """
        While the other side does not read, the producer stays paused.
        """
        client, server = self.connect()
        producer = Producer()
        client.transport.registerProducer(producer, True)
        block(server, client, self.clock)
        self.assertIn("pause", producer.calls)
        self.assertNotIn("resume", producer.calls)
        server.transport.resumeProducing()
        self.pump()
        self.assertEqual(producer.calls[-1], "resume")
        self.assertEqual(producer.calls.count("resume"), 1)

    def test_pushThatGoesOn(self) -> None:
        """
        A push producer that writes much whenever it may gets all of it
        through, and is never asked to go on before it was paused.
        """
        client, server = self.connect()
        left = [50]

        def produce() -> None:
            while left[0] and producer.calls[-1:] != ["pause"]:
                left[0] -= 1
                client.transport.write(bytes(30_000))
            if not left[0]:
                client.transport.unregisterProducer()
                client.transport.loseConnection()

        producer = Producer(resume=produce)
        client.transport.registerProducer(producer, True)
        produce()
        self.pump()
        self.assertEqual(len(server.received), 50 * 30_000)
        self.assertEqual(producer.calls[:4], ["pause", "resume"] * 2)
        self.assertLost(server, ConnectionDone)

    def test_registeredOverFullBuffer(self) -> None:
        """
        A producer may be registered when much is buffered; the next write
        pauses it.
        """
        client, server = self.connect()
        block(server, client, self.clock)
        producer = Producer()
        client.transport.registerProducer(producer, True)
        self.assertEqual(producer.calls, [])
        client.transport.write(b"x")
        self.assertEqual(producer.calls, ["pause"])

    def test_unregister(self) -> None:
        """
        To unregister a producer that is not there does nothing; one that was
        unregistered is told nothing more.
        """
        client, server = self.connect()
        client.transport.unregisterProducer()
        producer = Producer()
        client.transport.registerProducer(producer, True)
        client.transport.write(bytes(100_000))
        client.transport.unregisterProducer()
        client.transport.unregisterProducer()
        self.assertIsNone(client.transport.producer)
        self.pump()
        client.transport.loseConnection()
        self.pump()
        client.transport.unregisterProducer()
        self.pump()
        self.assertEqual(producer.calls, ["pause"])
        self.assertEqual(len(server.received), 100_000)

    def test_raisesAtRegistration(self) -> None:
        """
        What a pull producer raises within C{registerProducer} is raised there.
        """
        client, _ = self.connect()

        def fail() -> None:
            raise ZeroDivisionError

        with self.assertRaises(ZeroDivisionError):
            client.transport.registerProducer(Producer(resume=fail), False)
        client.transport.unregisterProducer()
        self.pump()
        self.assertConnected(client)

    # What is left registered at the end.

    def _end(self, cause: str, client: Any, server: Any) -> None:
        if cause == "close":
            client.transport.loseConnection()
        elif cause == "abort":
            client.transport.abortConnection()
        elif cause == "peer's close":
            server.transport.loseConnection()
        elif cause == "peer's abort":
            server.transport.abortConnection()
        elif cause == "loss":
            self.connections.lose()
        else:
            client.on["data"] = lambda recorder: 1 / 0
            server.transport.write(b"x")

    def test_stoppedAtTheEnd(self) -> None:
        """
        A producer that is registered when the connection is lost, however that
        comes, is stopped first; then C{connectionLost} is called, and there is
        no producer.
        """
        for cause in (
            "close",
            "abort",
            "peer's close",
            "peer's abort",
            "loss",
            "exception",
        ):
            for state in ("idle", "paused", "pull"):
                if cause == "close" and state != "idle":
                    # It keeps the connection open.
                    continue
                self.setUp()
                seen: list[object] = []

                def look(recorder: Recorder, seen: list[object] = seen) -> None:
                    transport: Any = recorder.transport
                    seen.append((transport.producer, list(recorder.events)))
                    transport.unregisterProducer()
                    transport.loseConnection()

                client, server = self.connect(Recorder(lost=look))
                producer = Producer(
                    stop=lambda client=client: client.events.append("stop")  # type: ignore[misc]
                )
                client.transport.registerProducer(producer, state != "pull")
                if state == "paused":
                    block(server, client, self.clock)
                    if "peer's" in cause and self.connections.abortReason:
                        server.transport.resumeProducing()
                self._end(cause, client, server)
                self.pump()
                message = f"{cause}, {state}: {client.events} {producer.calls}"
                self.assertTrue(client.gone, message)
                self.assertEqual(producer.calls.count("stop"), 1, message)
                self.assertEqual(producer.calls[-1], "stop", message)
                self.assertEqual(client.events[-2:], ["stop", "lost"], message)
                self.assertEqual(len(seen), 1, message)
                self.assertIsNone(client.transport.producer, message)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)

    # loseConnection and loseWriteConnection with a producer.

    def _closes(self) -> list[Any]:
        return [
            lambda transport: transport.loseConnection(),
            lambda transport: transport.loseWriteConnection(),
        ]

    def test_closeWithPull(self) -> None:
        """
        A pull producer keeps the connection open until it unregisters, and is
        asked for more.
        """
        for close in self._closes():
            client, server = self.connect()
            left = [b"a", b"b", b"c"]

            def produce(client: Any = client, left: list[bytes] = left) -> None:
                if left:
                    client.transport.write(left.pop(0))

            producer = Producer(resume=produce)
            client.transport.registerProducer(producer, False)
            close(client.transport)
            self.pump()
            self.assertEqual(server.data, b"abc")
            self.assertConnected(client, server)
            self.assertEqual(producer.calls, ["resume"] * 4)
            client.transport.unregisterProducer()
            self.assertConnected(client, server)
            self.pump()
            self.assertLost(client, ConnectionDone)
            self.assertLost(server, ConnectionDone)

    def test_closeWithIdlePull(self) -> None:
        """
        A pull producer with nothing to say when the connection is closed is
        asked once more, and keeps it open all the same.
        """
        for close in self._closes():
            client, server = self.connect()
            producer = Producer()
            client.transport.registerProducer(producer, False)
            self.pump()
            close(client.transport)
            self.assertEqual(producer.calls, ["resume"])
            self.pump()
            self.assertEqual(producer.calls, ["resume"] * 2)
            self.assertConnected(client, server)
            client.transport.unregisterProducer()
            self.pump()
            self.assertLost(client, ConnectionDone)

    def test_closeWithIdlePush(self) -> None:
        """
        A push producer that is not paused does not keep the connection open.
        """
        for close in self._closes():
            client, server = self.connect()
            producer = Producer()
            client.transport.registerProducer(producer, True)
            client.transport.write(b"x")
            close(client.transport)
            self.pump()
            self.assertEqual(server.data, b"x")
            self.assertLost(server, ConnectionDone)
            self.assertLost(client, ConnectionDone)
            self.assertEqual(producer.calls, ["stop"])

    def test_closeWithPausedPush(self) -> None:
        """
        A push producer that was paused is resumed, and the connection stays
        open until it unregisters; what it writes is sent.
        """
        for close in self._closes():
            client, server = self.connect()

            def produce(client: Any = client) -> None:
                client.transport.write(b"more")
                client.transport.unregisterProducer()

            producer = Producer(resume=produce)
            client.transport.registerProducer(producer, True)
            client.transport.write(bytes(100_000))
            self.assertEqual(producer.calls, ["pause"])
            close(client.transport)
            self.pump()
            self.assertEqual(producer.calls, ["pause", "resume"])
            self.assertEqual(len(server.received), 100_004)
            self.assertLost(client, ConnectionDone)
            self.assertLost(server, ConnectionDone)

    def test_pausedWhileClosing(self) -> None:
        """
        A push producer that writes after C{loseConnection} so much that it is
        paused keeps the connection open, too.
        """
        for close in self._closes():
            client, server = self.connect()
            producer = Producer()
            client.transport.registerProducer(producer, True)
            close(client.transport)
            client.transport.write(bytes(100_000))
            self.assertEqual(producer.calls, ["pause"])
            self.pump()
            self.assertEqual(producer.calls[:2], ["pause", "resume"])
            self.assertEqual(len(server.received), 100_000)

    def test_registeredWhileClosing(self) -> None:
        """
        A pull producer that is registered between C{loseConnection} and its
        coming to pass keeps the connection open; a push producer does not.
        """
        for close in self._closes():
            client, server = self.connect()
            client.transport.write(b"x")
            close(client.transport)
            producer = Producer()
            client.transport.registerProducer(producer, False)
            self.assertEqual(producer.calls, ["resume"])
            self.pump()
            self.assertConnected(client, server)
            client.transport.unregisterProducer()
            self.pump()
            self.assertLost(client, ConnectionDone)
            client, server = self.connect()
            close(client.transport)
            client.transport.registerProducer(Producer(), True)
            self.pump()
            self.assertLost(client, ConnectionDone)

    def test_stopConsuming(self) -> None:
        """
        C{stopConsuming} is to unregister the producer and close.
        """
        client, _server = self.connect()
        producer = Producer()
        client.transport.registerProducer(producer, False)
        client.transport.stopConsuming()
        self.assertIsNone(client.transport.producer)
        self.pump()
        self.assertLost(client, ConnectionDone)
        self.assertEqual(producer.calls, ["resume"])

    def test_joined(self) -> None:
        """
        Two transports that are each other's producers hold the sender at one
        end up when the receiver at the other end pauses.
        """
        sender, left = self.connect()
        # Both of those that are joined are on the same side.
        receiver, right = self.connect()
        forwarded = []

        def forward(recorder: Recorder) -> None:
            right.transport.write(recorder.data)
            forwarded.append(len(recorder.received))
            recorder.received.clear()

        left.on["data"] = forward
        right.transport.registerProducer(left.transport, True)
        receiver.transport.pauseProducing()
        source = Producer()
        sender.transport.registerProducer(source, True)
        size = 4 * 1024 * 1024
        sender.transport.write(bytes(size))
        self.pump()
        self.assertEqual(source.calls, ["pause"])
        self.assertLess(sum(forwarded), size)
        receiver.transport.resumeProducing()
        self.pump()
        self.assertEqual(len(receiver.received), size)
        self.assertEqual(source.calls, ["pause", "resume"])
        sender.transport.unregisterProducer()
        right.transport.unregisterProducer()
        self.assertConnected(sender, left, right, receiver)
        self.connections.lose()
        self.pump()
        self.assertLost(receiver, ConnectionLost)
