"""
Streams on which data keeps moving, both ways, until something happens to their carrier.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from twisted_mux.config import MuxConfig
from twisted_mux.factory import MuxFactory
from twisted_mux.protocol import MuxProtocol

LOOPBACK = "127.0.0.1"
# What is under way on each stream, in bytes.
_CHUNK = bytes(700)
# A stream is moving when so many have come.
_ENOUGH = 3 * len(_CHUNK)


class Mover(Protocol):
    """
    Sends back what it gets; somebody has to begin.

    @ivar losses: what C{connectionLost} was called with, each time.
    """

    transport: Any

    def __init__(self, movers: Movers, begins: bool) -> None:
        self._movers = movers
        self._begins = begins
        self.received = 0
        self.losses: list[Failure] = []

    def connectionMade(self) -> None:
        self._movers.all.append(self)
        if self._begins:
            self.transport.write(_CHUNK)

    def dataReceived(self, data: bytes) -> None:
        before = self.received
        self.received += len(data)
        if before < _ENOUGH <= self.received:
            self._movers.noteMoving()
        self.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.losses.append(reason)
        self._movers.noteLost()


class Movers:
    """
    All of one side.

    @ivar all: those that were connected.
    @ivar sessions: their sessions; there should be one.
    @ivar moving: fires when data moves on as many streams as there should be.
    @ivar lost: fires when all have lost their connections.
    @ivar results: those of whoever waits for the ends of sessions.
    """

    def __init__(self, streams: int) -> None:
        """
        @param streams: how many there will be, opened by both sides together.
        """
        self._streams = streams
        self._notMoving = streams
        self._notLost = streams
        self.all: list[Mover] = []
        self.sessions: list[MuxProtocol] = []
        self.moving: Deferred[None] = Deferred()
        self.lost: Deferred[None] = Deferred()
        self.results: list[Any] = []

    def noteMoving(self) -> None:
        """
        One more is moving.
        """
        self._notMoving -= 1
        if not self._notMoving:
            self.moving.callback(None)

    def noteLost(self) -> None:
        """
        One has lost its connection.
        """
        self._notLost -= 1
        if not self._notLost:
            self.lost.callback(None)

    def _factory(self, begins: bool) -> Any:
        factory = Factory.forProtocol(lambda: Mover(self, begins))
        factory.noisy = False
        return factory

    def factory(
        self, wire: str, role: str, config: MuxConfig | None = None
    ) -> MuxFactory:
        """
        A factory for the carrier, on which this side opens half of the streams.
        """
        factory = MuxFactory(
            self._factory(False),
            role=role,
            wire=wire,
            config=config,
            sessionStarted=self._started,
        )
        cast(Any, factory).noisy = False
        return factory

    def _started(self, session: MuxProtocol) -> None:
        self.sessions.append(session)
        session.whenClosed().addBoth(self.results.append)
        for _ in range(self._streams // 2):
            session.openStream(self._factory(True))

    def reasons(self) -> Counter[str]:
        """
        Of what types the reasons were; of a stream that was told twice, or not at
        all, that.
        """
        return Counter(
            type(mover.losses[0].value).__name__
            if len(mover.losses) == 1
            else f"told {len(mover.losses)} times"
            for mover in self.all
        )

    def check(self, wanted: str) -> None:
        """
        All is over, for one reason, and everybody was told of it once.
        """
        assert self.reasons() == {wanted: self._streams}
        [session] = self.sessions
        assert session.over
        assert not session.engine.streams
        assert session.engine.held == 0
        assert not session.aborting
        assert len(self.results) == 1
