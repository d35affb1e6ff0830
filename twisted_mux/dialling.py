"""
Carriers that are dialled: on demand, for streams that are opened here; and kept up,
for streams that the peer opens.

B{On demand.}  A connect goes to the carrier with the fewest streams.  One that is
being dialled counts as a carrier, and connects that wait for it as its streams: so
that many connects at once share one dial, or spread over several.  Another carrier
is dialled when none has nothing to do and there are fewer than asked for.

When a dial fails those that wait for it go to another carrier, if there is one,
and fail with its reason if not; the next connect dials anew.  A dial is given up
when the last one who waits for it is cancelled.

A carrier without streams is kept for a while, in case that another is opened.

A carrier on which the peer has refused a stream gets no more, and is closed when
those that it has are over: its peer may be full, or about to leave, and what
listens at its address may have others to send new carriers to.

B{Kept up.}  While a factory listens there are always as many carriers as asked
for: what is lost, or takes no more streams, is replaced.  After a failure the time
between tries grows exponentially, with a random part, so that the many clients of
a server that has been restarted don't come back at the same moment: the policy is
that of L{twisted.application.internet.ClientService}.  It starts over only when
a peer has shown that it speaks our wire: someone who accepts connections only to
drop them is not dialled faster than someone who refuses them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.internet import backoffPolicy
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.internet.error import ConnectingCancelledError, NoProtocol
from twisted.internet.interfaces import (
    IDelayedCall,
    IProtocol,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure

from twisted_mux.carrier_session import CarrierSession
from twisted_mux.carriers import Carrier, CarrierFactory, Carriers
from twisted_mux.config import MuxConfig
from twisted_mux.connecting import Connecting
from twisted_mux.wire.base import Role

__all__ = ["DialledCarriers"]


class _Dialled(Carrier):
    """
    A carrier that is dialled.

    @ivar waiting: connects that wait for it to come up.
    @ivar dial: the dial, while it is under way.
    @ivar idleCall: will close it, since it has no streams.
    """

    def __init__(self, owner: Carriers) -> None:
        super().__init__(owner)
        self.waiting: list[Connecting] = []
        self.dial: Deferred[Any] | None = None
        self.idleCall: IDelayedCall | None = None

    @property
    def healthy(self) -> bool:
        """
        Being dialled counts as well.
        """
        return self.session is None or self.session.takesStreams

    @property
    def load(self) -> int:
        """
        Waiting connects count as well.
        """
        return len(self.waiting) + super().load

    def take(self, connecting: Connecting) -> None:
        """
        Open a stream for a connect, as soon as possible.
        """
        if self.session is None:
            self.waiting.append(connecting)
        else:
            connecting.openOn(self)

    def acquire(self) -> None:
        """
        Not idle any more.
        """
        self.stopIdling()
        super().acquire()

    def stopIdling(self) -> None:
        """
        Don't close it for having no streams.
        """
        call = self.idleCall
        self.idleCall = None
        if call is not None:
            call.cancel()


class DialledCarriers(Carriers):
    """
    Carriers to the peer behind one client endpoint.
    """

    members: list[_Dialled]  # type: ignore[assignment]

    def __init__(
        self,
        reactor: Any,
        endpoint: IStreamClientEndpoint,
        label: str,
        wire: str,
        role: Role,
        config: MuxConfig,
        idle: float,
        count: int,
        policy: Callable[[int], float] | None = None,
    ) -> None:
        """
        @param idle: seconds that a carrier without streams is kept.
        @param count: how many carriers there are at most, and while a factory
            listens at least.
        @param policy: seconds to wait before the n-th try to replace one.
        """
        super().__init__(reactor, label, wire, role, config)
        self._endpoint = endpoint
        self._idle = idle
        self._count = count
        self._keptUp = False
        self._retryCall: IDelayedCall | None = None
        self._failures = 0
        self._complaint = ""
        self._policy = backoffPolicy() if policy is None else policy

    # Connects.

    def assign(self, connecting: Connecting) -> None:
        """
        See L{Carriers.assign}.
        """
        usable = [carrier for carrier in self.members if carrier.usable]
        best = min(usable, key=lambda carrier: carrier.load, default=None)
        if best is None or (best.load and len(usable) < self._count):
            self._dial(connecting)
        else:
            best.take(connecting)

    def withdraw(self, connecting: Connecting) -> None:
        """
        See L{Carriers.withdraw}.
        """
        for carrier in self.members:
            if connecting in carrier.waiting:
                carrier.waiting.remove(connecting)
                self._giveUpDial(carrier)
                return

    # Dials.

    def _dial(self, *waiting: Connecting) -> None:
        carrier = _Dialled(self)
        carrier.waiting.extend(waiting)
        self.members.append(carrier)
        factory = CarrierFactory(self)
        dial = maybeDeferred(self._endpoint.connect, factory)
        carrier.dial = dial.addCallback(_whenUp, factory)
        carrier.dial.addCallbacks(
            self._dialled, self._notDialled, (carrier,), errbackArgs=(carrier,)
        )

    def _dialled(self, session: CarrierSession, carrier: _Dialled) -> None:
        carrier.dial = None
        self._complaint = ""
        self.carrierIsUp(carrier, session)
        waiting = carrier.waiting
        carrier.waiting = []
        for connecting in waiting:
            connecting.openOn(carrier)
        if not carrier.users:
            # All of them were cancelled meanwhile.
            self.carrierUnused(carrier)

    def _notDialled(self, reason: Failure, carrier: _Dialled) -> None:
        carrier.dial = None
        self.members.remove(carrier)
        waiting = carrier.waiting
        carrier.waiting = []
        usable = [other for other in self.members if other.usable]
        for connecting in waiting:
            if usable:
                min(usable, key=lambda other: other.load).take(connecting)
            else:
                connecting.fail(reason)
        self._replaceLater()
        if self._keptUp and not reason.check(CancelledError, ConnectingCancelledError):
            self._complain(reason.getErrorMessage())

    def _giveUpDial(self, carrier: _Dialled) -> None:
        if carrier.dial is not None and not carrier.waiting and not self._keptUp:
            carrier.dial.cancel()

    # Carriers without streams.

    def carrierUnused(self, carrier: Carrier) -> None:
        """
        See L{Carriers.carrierUnused}.
        """
        assert isinstance(carrier, _Dialled)
        if self._keptUp or carrier not in self.members or carrier.idleCall:
            return
        if self._idle and carrier.usable:
            carrier.idleCall = self.reactor.callLater(
                self._idle, self._idleFor, carrier
            )
        else:
            carrier.close()

    def _idleFor(self, carrier: _Dialled) -> None:
        carrier.idleCall = None
        session = carrier.session
        if session is not None and session.engine.streams:
            # Streams that the peer opened, or that the peer has not ended.
            self.carrierUnused(carrier)
        else:
            carrier.close()

    # Carriers that are kept up.

    def startAccepting(self) -> Deferred[None]:
        """
        See L{Carriers.startAccepting}.  It can't fail: what can't be dialled now
        is tried again.
        """
        self._keptUp = True
        self._failures = 0
        for carrier in self.members:
            carrier.stopIdling()
        self._replace()
        return succeed(None)

    def stopAccepting(self) -> Deferred[None]:
        """
        See L{Carriers.stopAccepting}.
        """
        self._keptUp = False
        self._stopRetrying()
        for carrier in tuple(self.members):
            if carrier.session is None:
                self._giveUpDial(carrier)
            elif not carrier.users:
                carrier.close()
        return succeed(None)

    def _replace(self) -> None:
        self._retryCall = None
        healthy = [carrier for carrier in self.members if carrier.healthy]
        for _ in range(self._count - len(healthy)):
            self._dial()

    def _replaceLater(self) -> None:
        if self._keptUp and self._retryCall is None:
            self._failures += 1
            self._retryCall = self.reactor.callLater(
                self._policy(self._failures), self._replace
            )

    def _stopRetrying(self) -> None:
        call = self._retryCall
        self._retryCall = None
        if call is not None:
            call.cancel()

    def _complain(self, why: str) -> None:
        if why != self._complaint:
            self._complaint = why
            self._log.warn(
                "{carriers}: no carrier: {why}; trying again",
                carriers=self.label,
                why=why,
            )

    def carrierIsDown(self, carrier: Carrier, proven: bool) -> None:
        """
        See L{Carriers.carrierIsDown}.
        """
        assert isinstance(carrier, _Dialled)
        carrier.stopIdling()
        if proven:
            self._failures = 0
        self._replaceLater()

    def carrierRefuses(self, carrier: Carrier) -> None:
        """
        See L{Carriers.carrierRefuses}.  Carriers that are kept up are for the
        peer's streams, and no others will take their place.
        """
        if not self._keptUp:
            super().carrierRefuses(carrier)

    def peerLeaves(self, carrier: Carrier) -> None:
        """
        See L{Carriers.peerLeaves}.
        """
        self._replaceLater()

    # The end.

    def close(self) -> Deferred[None]:
        """
        Let all streams finish, then close the carriers; give up dials.

        @return: fires when the last one is closed.
        """
        closed = self.closeSessions()
        for carrier in tuple(self.members):
            if carrier.dial is not None:
                carrier.dial.cancel()
        return closed


def _whenUp(protocol: IProtocol, factory: CarrierFactory) -> Deferred[CarrierSession]:
    # Some endpoints return what they have wrapped around it.
    session = protocol if isinstance(protocol, CarrierSession) else factory.built
    if not isinstance(session, CarrierSession):
        raise NoProtocol()
    return session.whenUp()
