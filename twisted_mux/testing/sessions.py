"""
Two sessions on a carrier in memory: what it takes to run protocols on streams
without a network.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, cast

from twisted.internet.interfaces import IProtocol, IProtocolFactory
from zope.interface import implementer

from twisted_mux.factory import MuxFactory
from twisted_mux.protocol import MuxProtocol
from twisted_mux.testing.carriers import MemoryConnection
from twisted_mux.testing.clock import VirtualClock
from twisted_mux.testing.pipes import Link

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IAddress

    from twisted_mux.config import MuxConfig


@implementer(IProtocolFactory)
class OneProtocol:
    """
    A factory that has one protocol to give.

    @ivar protocol: the protocol; C{None} once it was given.
    @ivar started: how often C{doStart} was called, less C{doStop}.
    """

    def __init__(self, protocol: IProtocol | None) -> None:
        self.protocol = protocol
        self.started = 0

    def doStart(self) -> None:
        """
        See L{IProtocolFactory<twisted.internet.interfaces.IProtocolFactory>}.
        """
        self.started += 1

    def doStop(self) -> None:
        """
        See L{IProtocolFactory<twisted.internet.interfaces.IProtocolFactory>}.
        """
        self.started -= 1

    def buildProtocol(self, addr: IAddress | None) -> IProtocol | None:
        """
        The protocol, the first time.
        """
        protocol = self.protocol
        self.protocol = None
        return protocol


class SessionPair:
    """
    A carrier in memory with a session at each end.

    Nothing happens until the clock is told to go on: see L{pump},
    L{turn} and L{advance}.

    @ivar clock: the time in which everything happens.
    @ivar carrier: the connection underneath, to cut, stall or pause.
    @ivar client: the session of the side that dialled, a L{MuxProtocol}.
    @ivar server: that of the side that accepted.
    """

    def __init__(
        self,
        wire: str = "yamux",
        *,
        clientConfig: MuxConfig | None = None,
        serverConfig: MuxConfig | None = None,
        clientStreams: IProtocolFactory | None = None,
        serverStreams: IProtocolFactory | None = None,
        clock: VirtualClock | None = None,
        link: Link | None = None,
        back: Link | None = None,
    ) -> None:
        """
        @param wire: the wire protocol's name.
        @param clientConfig: the configuration of the client's session; of the
            server's too, if that has none of its own.
        @param clientStreams: the factory for the streams that the server
            opens.
        @param serverStreams: that for the streams that the client opens.
        @param link: what lies between client and server (see
            L{MemoryConnection<twisted_mux.testing.MemoryConnection>}).
        @param back: the same for the other direction, if that is different.
        """
        self.carrier = MemoryConnection(clock, link, back)
        self.clock = self.carrier.clock
        self.client, self.server = (
            MuxFactory(streams, role=role, wire=wire, config=config).buildProtocol(None)
            for role, streams, config in (
                ("client", clientStreams, clientConfig),
                ("server", serverStreams, serverConfig or clientConfig),
            )
        )
        self.carrier.connect(self.client, self.server)

    def turn(self) -> bool:
        """
        One turn of the reactor.

        @return: was there anything to do?
        """
        return self.clock.turn()

    def pump(self) -> None:
        """
        Let everything happen for which no time needs to go by.
        """
        self.clock.settle()

    def advance(self, seconds: float) -> None:
        """
        Let so many seconds go by, and everything happen that falls due.
        """
        self.clock.advance(seconds)

    def other(self, session: MuxProtocol) -> MuxProtocol:
        """
        The session at the other end.
        """
        return self.server if session is self.client else self.client

    def connect(
        self,
        opener: IProtocol,
        accepter: IProtocol,
        session: MuxProtocol | None = None,
        *,
        name: bytes = b"",
    ) -> Deferred[IProtocol]:
        """
        Open a stream and connect a protocol at each end of it, as soon as the
        clock goes on.

        @param opener: the protocol at the end that opens the stream.
        @param accepter: the one at the other end.
        @param session: the session that opens it; the client, if not given.

        @return: what C{openStream} returns.
        """
        if session is None:
            session = self.client
        other = self.other(session)
        accepters = other.streamFactory
        if not isinstance(accepters, _Accepters):
            accepters = other.streamFactory = _Accepters(other)
        accepters.protocols.append(accepter)
        return session.openStream(cast(IProtocolFactory, OneProtocol(opener)), name)

    def lose(self) -> None:
        """
        Lose the carrier, at both ends.
        """
        self.carrier.cut()


@implementer(IProtocolFactory)
class _Accepters(OneProtocol):
    """
    Gives protocols to a session, one for each stream, and then leaves it with
    the factory that it had before.
    """

    def __init__(self, session: MuxProtocol) -> None:
        super().__init__(None)
        self.protocols: deque[IProtocol] = deque()
        self._session = session
        self._before = session.streamFactory

    def buildProtocol(self, addr: IAddress | None) -> IProtocol | None:
        """
        The next protocol.
        """
        protocol = self.protocols.popleft()
        if not self.protocols:
            self._session.streamFactory = self._before
        return protocol
