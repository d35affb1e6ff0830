"""
Whatever happens, anything may be done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted_mux.testing.conformance.base import (
    HalfCloser,
    Producer,
    Recorder,
    TransportTestsBase,
)


def _twice(name: str) -> Callable[[Any], object]:
    def request(transport: Any) -> None:
        getattr(transport, name)()
        getattr(transport, name)()

    return request


class ReentrancyTests(TransportTestsBase):
    """
    Each callback doing each of the things that a protocol can do.

    The checks are those that hold for all: see L{TransportTestsBase}; and that
    nothing is logged.

    @cvar requests: what is done, by name, given the transport.
    """

    requests: dict[str, Callable[[Any], object]] = {
        "write": lambda transport: transport.write(b"x"),
        "write much": lambda transport: transport.write(bytes(200_000)),
        "writeSequence": lambda transport: transport.writeSequence([b"x", b"y"]),
        "pause": _twice("pauseProducing"),
        "resume": _twice("resumeProducing"),
        "loseWriteConnection": _twice("loseWriteConnection"),
        "loseConnection": _twice("loseConnection"),
        "abortConnection": _twice("abortConnection"),
        "stopConsuming": _twice("stopConsuming"),
        "unregisterProducer": _twice("unregisterProducer"),
        "close and abort": lambda transport: (
            transport.loseConnection(),
            transport.abortConnection(),
        ),
        "half-close and close": lambda transport: (
            transport.loseWriteConnection(),
            transport.loseConnection(),
        ),
        "abort and close": lambda transport: (
            transport.abortConnection(),
            transport.loseConnection(),
        ),
    }

    def extraRequests(self) -> dict[str, Callable[[Any], object]]:
        """
        What else can be done, with transports of this kind.
        """
        return {}

    def _each(self, scenario: Callable[[Callable[[Any], object]], object]) -> None:
        requests = {**self.requests, **self.extraRequests()}
        self.assertNotEqual(requests, {})
        for name in requests:
            self.setUp()
            request = {**self.requests, **self.extraRequests()}[name]
            try:
                scenario(request)
                self._finish()
            except BaseException as error:
                error.args = (f"{name}: {error}", *error.args[1:])
                raise

    def _protocol(self, event: str, request: Callable[[Any], object]) -> HalfCloser:
        def act(recorder: Recorder) -> None:
            if recorder.events.count(event) == 1:
                request(recorder.transport)

        return HalfCloser(**{event: act})

    def _play(self, client: Any, server: Any) -> None:
        """
        A bit of everything, from both sides.
        """
        self.connect(client, server)
        for _ in range(2):
            for recorder in (client, server):
                recorder.transport.write(b"data")
            self.pump()
        for end in ("loseWriteConnection", "loseConnection"):
            for recorder in (server, client):
                getattr(recorder.transport, end)()
                self.pump()

    def _fromEvent(self, event: str) -> None:
        for side in (0, 1):

            def scenario(request: Callable[[Any], object], side: int = side) -> None:
                both = [HalfCloser(), HalfCloser()]
                both[side] = self._protocol(event, request)
                self._play(*both)

            self._each(scenario)

    def test_connectionMade(self) -> None:
        """
        In C{connectionMade}.
        """
        self._fromEvent("made")

    def test_dataReceived(self) -> None:
        """
        In C{dataReceived}.
        """
        self._fromEvent("data")

    def test_readConnectionLost(self) -> None:
        """
        In C{readConnectionLost}.
        """
        self._fromEvent("readLost")

    def test_writeConnectionLost(self) -> None:
        """
        In C{writeConnectionLost}.
        """
        self._fromEvent("writeLost")

    def test_connectionLost(self) -> None:
        """
        In C{connectionLost}, whatever was the cause.
        """
        for cause in ("loseConnection", "abortConnection", "lose"):
            for side in (0, 1):

                def scenario(
                    request: Callable[[Any], object],
                    side: int = side,
                    cause: str = cause,
                ) -> None:
                    both: list[Any] = [Recorder(), Recorder()]
                    both[side] = self._protocol("lost", request)
                    self.connect(*both)
                    both[0].transport.write(b"data")
                    both[1].transport.write(b"data")
                    if cause == "lose":
                        self.connections.lose()
                    else:
                        getattr(both[0].transport, cause)()
                    self.pump()

                self._each(scenario)

    def test_later(self) -> None:
        """
        In a turn of its own, with data waiting and without.
        """
        for paused in (False, True):

            def scenario(
                request: Callable[[Any], object], paused: bool = paused
            ) -> None:
                client, server = HalfCloser(), HalfCloser()
                self.connect(client, server)
                transport: Any = server.transport
                if paused:
                    transport.pauseProducing()
                client.transport.write(bytes(300_000))  # type: ignore[union-attr]
                client.transport.loseConnection()  # type: ignore[union-attr]
                self.pump()
                self.clock.callLater(0, request, transport)
                self.pump()

            self._each(scenario)

    def _fromProducer(self, name: str, streaming: bool) -> None:
        def scenario(request: Callable[[Any], object]) -> None:
            client, server = HalfCloser(), HalfCloser()
            self.connect(client, server)
            transport: Any = client.transport

            def act() -> None:
                if producer.calls.count(name) == 1:
                    request(transport)

            producer = Producer(**{name: act})
            transport.registerProducer(producer, streaming)
            transport.write(bytes(100_000))
            server.transport.write(b"data")  # type: ignore[union-attr]
            self.pump()
            transport.write(bytes(100_000))
            transport.loseConnection()
            self.pump()
            # It may have been paused or left; what keeps the connection open is
            # a producer that never unregisters.
            self.connections.lose()
            self.pump()

        self._each(scenario)

    def test_pauseProducing(self) -> None:
        """
        In C{pauseProducing} of a producer.
        """
        self._fromProducer("pause", True)

    def test_resumeProducing(self) -> None:
        """
        In C{resumeProducing} of a producer, of either kind.
        """
        for streaming in (True, False):
            self._fromProducer("resume", streaming)

    def test_stopProducing(self) -> None:
        """
        In C{stopProducing} of a producer.
        """
        for streaming in (True, False):
            self._fromProducer("stop", streaming)

    def test_ofTheOther(self) -> None:
        """
        To the transport of another connection, which is served by the same
        loop.
        """

        def scenario(request: Callable[[Any], object]) -> None:
            victims = [HalfCloser() for _ in range(3)]
            others = [HalfCloser() for _ in range(3)]

            def act(recorder: Recorder) -> None:
                for victim in victims:
                    if victim is not recorder and not victim.gone:
                        request(victim.transport)

            victims[1].on["data"] = act
            for victim, other in zip(victims, others, strict=True):
                self.connect(victim, other, False)
            self.pump()
            for _ in range(2):
                for other in others:
                    other.transport.write(b"data")  # type: ignore[union-attr]
                self.pump()

        self._each(scenario)
