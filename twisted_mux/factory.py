"""
One configuration for many carriers: what makes sessions out of connections.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IAddress, IProtocolFactory
from zope.interface import implementer

from twisted_mux.admission import admissionFor
from twisted_mux.config import MuxConfig
from twisted_mux.protocol import MuxProtocol
from twisted_mux.wire import codecNamed
from twisted_mux.wire.base import Role


@implementer(IProtocolFactory)
class MuxFactory:
    """
    Builds a L{MuxProtocol} for each carrier, on either side: it goes with any
    endpoint's C{listen} or C{connect}.

    @ivar streamFactory: what builds protocols for the streams that peers
        open; without one they are refused (but see
        L{IMuxSession.serverEndpoint<twisted_mux.interfaces.IMuxSession>}).
    """

    def __init__(
        self,
        streamFactory: IProtocolFactory | None = None,
        *,
        role: str | Role,
        wire: str = "yamux",
        config: MuxConfig | None = None,
        sessionStarted: Callable[[MuxProtocol], object] | None = None,
        reactor: Any = None,
    ) -> None:
        """
        @param role: C{"server"} where carriers are accepted, C{"client"}
            where they are dialled.
        @param wire: the wire protocol's name.
        @param sessionStarted: called with each session when its carrier is
            connected, before anything has arrived.
        @param reactor: for the sessions' delayed calls; without, the
            carrier's.
        @raise UnknownWire: there is no such wire protocol.
        @raise ValueError: there is no such role.
        """
        self.streamFactory = streamFactory
        self.role = Role(role)
        self.codec = codecNamed(wire)
        self.config = config if config is not None else MuxConfig()
        self._sessionStarted = sessionStarted
        self._reactor = reactor
        self._admission = admissionFor(self.config, self._now)

    def _now(self) -> float:
        if self._reactor is None:
            from twisted.internet import reactor

            self._reactor = reactor
        seconds: float = self._reactor.seconds()
        return seconds

    def doStart(self) -> None:
        """
        See L{IProtocolFactory}.
        """
        if self.streamFactory is not None:
            self.streamFactory.doStart()

    def doStop(self) -> None:
        """
        See L{IProtocolFactory}.
        """
        if self.streamFactory is not None:
            self.streamFactory.doStop()

    def buildProtocol(self, addr: IAddress | None) -> MuxProtocol:
        """
        A session for a new carrier; if there are too many of them already
        (C{maxSessions} and C{maxSessionsPerPeer} of the configuration), one
        that is dropped at once, and never said to have started.
        """
        admission = self._admission
        visitor = None if admission is None else admission.enter(addr)
        if admission is not None and visitor is None:
            return self._session(None, MuxProtocol.abort)
        session = self._session(self.streamFactory, self._sessionStarted)
        if visitor is not None:
            session.admitted(visitor)
        return session

    def _session(
        self,
        streamFactory: IProtocolFactory | None,
        started: Callable[[MuxProtocol], object] | None,
    ) -> MuxProtocol:
        return MuxProtocol(
            self.codec,
            self.role,
            self.config,
            streamFactory,
            reactor=self._reactor,
            started=started,
        )
