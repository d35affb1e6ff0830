"""
Joins what arrives at one endpoint to connections that are made to another.

A L{Bridge} is the factory of the listening side.  Each connection that it gets
(B{incoming}) makes it connect to its target (B{outgoing}); from then on what one
side receives is written to the other, and each is the push producer of the other, so
that a reader who is slow in the end slows the writer in the beginning.  It knows
nothing of streams and carriers: both sides may be anything that has an endpoint.

The rules for the two sides of a connection are in L{twisted_mux.joint}.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.logger import Logger
from zope.interface import implementer

from twisted_mux.joint import Joint

__all__ = ["CONNECT_TIMEOUT", "Bridge", "BridgeStatistics"]

#: Seconds that a connection to the target may take.  A little more than what C{tcp:}
#: and C{mux-listen:} allow themselves (30), since these know better why it failed.
CONNECT_TIMEOUT = 40.0


@dataclass(frozen=True)
class BridgeStatistics:
    """
    What a bridge has seen.

    @ivar live: connections that are there now, those that wait for the target
        included.
    @ivar total: all that have arrived.
    @ivar failed: those for which the target could not be reached, or was lost, and not
        in good order, before it had said anything.
    @ivar bytesForward: from those who connected to the target.
    @ivar bytesBack: from the target to those who connected.
    """

    live: int
    total: int
    failed: int
    bytesForward: int
    bytesBack: int


@implementer(IProtocolFactory)
class Bridge:
    """
    What arrives goes to C{target}.

    @ivar name: how messages call it.
    @ivar target: where connections are made to; another applies from the next
        connection on.
    @ivar label: how messages call that.
    @ivar connectTimeout: seconds that it may take.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        name: str,
        target: IStreamClientEndpoint,
        label: str = "the target",
        connectTimeout: float = CONNECT_TIMEOUT,
    ) -> None:
        self.reactor = reactor
        self.name = name
        self.target = target
        self.label = label
        self.connectTimeout = connectTimeout
        self._joints: set[Joint] = set()
        self._total = 0
        self._failed = 0
        self._bytesForward = 0
        self._bytesBack = 0
        self._whenIdle: list[Deferred[None]] = []

    # IProtocolFactory

    def doStart(self) -> None:
        """
        Nothing: see L{IProtocolFactory}.
        """

    def doStop(self) -> None:
        """
        Nothing: see L{IProtocolFactory}.
        """

    def buildProtocol(self, addr: IAddress | None) -> IProtocol:
        """
        One side of a new connection; see L{IProtocolFactory}.
        """
        return Joint(self).incoming

    # What there is.

    @property
    def live(self) -> int:
        """
        How many connections there are.
        """
        return len(self._joints)

    def statistics(self) -> BridgeStatistics:
        """
        What it has seen up to now.
        """
        return BridgeStatistics(
            live=len(self._joints),
            total=self._total,
            failed=self._failed,
            bytesForward=self._bytesForward,
            bytesBack=self._bytesBack,
        )

    def whenIdle(self) -> Deferred[None]:
        """
        @return: a new Deferred that fires when there is no connection (any more);
            it may be cancelled.
        """
        if not self._joints:
            return succeed(None)
        deferred: Deferred[None] = Deferred(self._whenIdle.remove)
        self._whenIdle.append(deferred)
        return deferred

    def abort(self) -> None:
        """
        Drop all connections, on both sides.
        """
        for joint in tuple(self._joints):
            joint.abort()

    # What joints tell.

    def began(self, joint: Joint) -> None:
        """
        Somebody has connected.
        """
        self._total += 1
        self._joints.add(joint)

    def failed(self, peer: str, why: str) -> None:
        """
        Somebody could not be connected to the target.
        """
        self._failed += 1
        self._log.warn(
            "tunnel {tunnel}: connection from {peer} failed: {target}: {why}",
            tunnel=self.name,
            peer=peer,
            target=self.label,
            why=why,
        )

    def ended(self, joint: Joint) -> None:
        """
        Both sides of a connection are gone.
        """
        self._joints.discard(joint)
        if not self._joints:
            waiting = self._whenIdle
            self._whenIdle = []
            for deferred in waiting:
                deferred.callback(None)

    def moved(self, forward: int, back: int) -> None:
        """
        So many bytes were passed on.
        """
        self._bytesForward += forward
        self._bytesBack += back
