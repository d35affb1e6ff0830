"""
One tunnel at work: an endpoint that listens, a bridge, an endpoint that connects.

It begins by listening, in two places where the target is C{mux-listen:}: peers have to
be able to dial in before anybody wants them.  It ends in steps that the service asks
for one by one, since what is to happen between them, and to whom else, is not known
here: listen no more; let live connections finish, or cut them; close the carriers.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger

from twisted_mux.address import MuxAddress, describeAddress
from twisted_mux.bridge import Bridge
from twisted_mux.carrier_session import CarrierSession
from twisted_mux.masking import masked
from twisted_mux.tunnel_config import Tunnel
from twisted_mux.tunnel_strings import (
    carriersKey,
    sourceEndpoint,
    targetEndpoint,
)

__all__ = ["RunningTunnel", "allOf", "within"]


def allOf(waiting: Iterable[Deferred[Any]]) -> Deferred[None]:
    """
    @return: fires when all have fired, however that went.
    """
    return DeferredList(tuple(waiting), consumeErrors=True).addCallback(lambda _: None)


def within(
    reactor: Any, seconds: float, waiting: Iterable[Deferred[Any]]
) -> Deferred[None]:
    """
    @return: fires when all have fired, however that went, or when the time is up.
    """
    done: Deferred[None] = Deferred()
    limit = reactor.callLater(seconds, done.callback, None)

    def finished(_: None) -> None:
        if limit.active():
            limit.cancel()
            done.callback(None)

    allOf(waiting).addCallback(finished)
    return done


class RunningTunnel:
    """
    A tunnel, from the time when it is to listen.

    @ivar tunnel: what it is to be.
    @ivar bridge: its connections.
    @ivar target: where it connects to.
    """

    _log = Logger()

    def __init__(self, reactor: Any, tunnel: Tunnel, insecureCarrier: bool) -> None:
        """
        @raise ConfigError: its strings make no sense.
        """
        self.tunnel = tunnel
        self._reactor = reactor
        self._source = sourceEndpoint(reactor, tunnel.source, insecureCarrier)
        self.target: IStreamClientEndpoint = targetEndpoint(
            reactor, tunnel.target, insecureCarrier
        )
        self.bridge = Bridge(
            reactor,
            tunnel.name,
            self.target,
            masked(tunnel.target),
            tunnel.connectTimeout,
        )
        self._listening: Deferred[Any] | None = None
        self._port: Any = None
        # Those that were there when it stopped listening, until they are closed.
        self._sessions: list[CarrierSession] = []

    @property
    def targetKey(self) -> Hashable:
        """
        What its target's carriers are known by, if they are listened for; else
        C{None}.
        """
        return carriersKey(self.tunnel.target)

    @property
    def sessions(self) -> tuple[CarrierSession, ...]:
        """
        The live sessions on its carriers, on either side, if there is any mux in it.
        """
        ours = getattr(self._port, "sessions", self._sessions)
        return (*ours, *getattr(self.target, "sessions", ()))

    # The beginning.

    def start(self) -> Deferred[None]:
        """
        Listen.

        @return: fires when it does, and fails if it can't.
        """
        starting: Deferred[Any] = self._startTarget()
        starting.addCallback(lambda _: maybeDeferred(self._source.listen, self.bridge))
        starting.addCallback(self._started)
        self._listening = starting
        return starting.addBoth(self._startEnded)

    def _startTarget(self) -> Deferred[Any]:
        start = getattr(self.target, "startListening", None)
        if start is None:
            return succeed(None)
        return maybeDeferred(start).addCallback(self._targetStarted)

    def _targetStarted(self, port: Any) -> None:
        where = describeAddress(port.getHost())
        self._log.info(
            "tunnel {tunnel}: peers can dial in at {address}",
            tunnel=self.tunnel.name,
            address=where,
        )

    def _started(self, port: Any) -> None:
        self._port = port
        # Not everything that endpoints return is a port (AcceptedCarriers has more).
        host = port.getHost() if hasattr(port, "getHost") else None
        if host is None or isinstance(host, MuxAddress):
            where = masked(self.tunnel.source)
        else:
            where = describeAddress(host)
        self._log.info(
            "tunnel {tunnel}: connections at {address} go to {target}",
            tunnel=self.tunnel.name,
            address=where,
            target=masked(self.tunnel.target),
        )

    def _startEnded(self, result: Any) -> Any:
        self._listening = None
        return result

    def retarget(self, tunnel: Tunnel, insecureCarrier: bool) -> Deferred[None]:
        """
        Have new connections made to another target; live ones stay.

        @param tunnel: like the one up to now, but for the target and what concerns
            that.
        @return: fires when that is so, and fails if the target's peers can't dial
            in; then all is as it was.
        @raise ConfigError: the target makes no sense.
        """
        target = targetEndpoint(self._reactor, tunnel.target, insecureCarrier)
        before = self.tunnel, self.target
        self.tunnel = tunnel
        self.target = target

        def changed(_: object) -> None:
            self.bridge.target = self.target
            self.bridge.label = masked(tunnel.target)
            self.bridge.connectTimeout = tunnel.connectTimeout

        def failed(reason: Any) -> Any:
            self.tunnel, self.target = before
            return reason

        return self._startTarget().addCallbacks(changed, failed)

    # The end.

    def stopListening(self) -> Deferred[None]:
        """
        Take no more connections.

        @return: fires when that is so.
        """
        if self._listening is not None:
            self._listening.cancel()
        port = self._port
        self._port = None
        self._sessions = list(getattr(port, "sessions", ()))
        for session in tuple(self._sessions):
            session.whenClosed().addBoth(self._sessionClosed, session)
        stop = getattr(port, "stopListening", None)
        if stop is None:
            return succeed(None)
        return maybeDeferred(stop).addCallback(lambda _: None)

    def _sessionClosed(self, _: object, session: CarrierSession) -> None:
        self._sessions.remove(session)

    def closeCarriers(self) -> Deferred[None]:
        """
        Close the carriers that were used, on either side, if there is any mux in it:
        they have no streams any more, or soon will not.

        @return: fires when they are closed.
        """
        waiting = [
            session.whenClosed().addErrback(lambda _: None)
            for session in self._sessions
        ]
        close = getattr(self.target, "closeCarriers", None)
        if close is not None:
            waiting.append(maybeDeferred(close))
        return allOf(waiting)
