"""
Carriers that are accepted: for streams that peers open, and for streams towards
the peers who have dialled in.

There is one port, on behalf of everybody who shares it: the factory that listens
for streams, and those who connect.  The first one opens it, the last one closes it;
who only connects keeps it open for good, or until told to close, since peers can
dial in only while it is open.

B{Connects} go to the newest carrier that takes streams.  A peer that was cut off
dials again, often long before the old carrier is known to be dead, so the newest is
the one that is certain to be alive.  One that has refused a stream is taken only if
all have.  Where there is none a connect waits, for a limited time and not too many
of them.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IProtocol,
    IStreamServerEndpoint,
)
from twisted.python.failure import Failure

from twisted_mux.address import describeAddress
from twisted_mux.admission import RefusedCarrier, Visitor, admissionFor
from twisted_mux.carrier_session import CarrierSession
from twisted_mux.carriers import Carrier, CarrierFactory, Carriers
from twisted_mux.config import MuxConfig
from twisted_mux.connecting import Connecting
from twisted_mux.detection import DetectingProtocol
from twisted_mux.endpoint_strings import AUTO
from twisted_mux.reasons import NoPeer
from twisted_mux.wire import codecNamed
from twisted_mux.wire.base import Codec, Role

__all__ = ["MAX_WAITING", "AcceptedCarriers"]

#: How many connects may wait for a peer to dial in.
MAX_WAITING = 1000


class AcceptedCarriers(Carriers):
    """
    Carriers that arrive on one server endpoint.
    """

    def __init__(
        self,
        reactor: Any,
        endpoint: IStreamServerEndpoint,
        label: str,
        wire: str,
        role: Role,
        config: MuxConfig,
    ) -> None:
        super().__init__(reactor, label, wire, role, config)
        self._endpoint = endpoint
        self._admission = admissionFor(config, reactor.seconds)
        self._listening: Deferred[Any] | None = None
        self._waitingForPort: list[Deferred[Any]] = []
        self._port: Any = None
        self._host: Any = None
        self._opens = False
        # Have carriers been closed?  One may still be on its way up.
        self._unwanted = False
        self._waiting: dict[Connecting, IDelayedCall] = {}

    # The port.

    def getHost(self) -> Any:
        """
        The address of the carriers' port, also after it was closed.
        """
        return self._host

    def _openPort(self) -> Deferred[Any]:
        """
        Open the port, unless it is open.

        @return: fires with the carriers' port, or fails with why there is none.
        """
        self._unwanted = False
        if self._port is not None:
            return succeed(self._port)
        deferred: Deferred[Any] = Deferred(self._notWanted)
        self._waitingForPort.append(deferred)
        if self._listening is None:
            listening = maybeDeferred(self._endpoint.listen, CarrierFactory(self))
            self._listening = listening
            listening.addBoth(self._portOpened)
        return deferred

    def _portOpened(self, port: Any) -> None:
        waiting = self._waitingForPort
        self._waitingForPort = []
        self._listening = None
        if not isinstance(port, Failure):
            self._port = port
            # Not everything that endpoints return is a port: stdio: returns a
            # transport, and others return what they like.
            getHost = getattr(port, "getHost", None)
            self._host = None if getHost is None else getHost()
            if not waiting:
                self._closePort()
        for deferred in waiting:
            deferred.callback(port)

    def _notWanted(self, deferred: Deferred[Any]) -> None:
        self._waitingForPort.remove(deferred)
        if not self._waitingForPort and self._listening is not None:
            self._listening.cancel()

    def _closePort(self) -> Deferred[None]:
        """
        Close the port, if it is open, and every carrier when its streams have
        finished.

        @return: fires when the port is closed.
        """
        port = self._port
        self._port = None
        self._unwanted = True
        self.closeSessions()
        stop = getattr(port, "stopListening", None)
        if stop is None:
            return succeed(None)
        return maybeDeferred(stop).addCallback(lambda _: None)

    # Streams that peers open.

    def startAccepting(self) -> Deferred[Any]:
        """
        See L{Carriers.startAccepting}.
        """
        return self._openPort()

    def stopAccepting(self) -> Deferred[None]:
        """
        See L{Carriers.stopAccepting}.
        """
        return succeed(None) if self._opens else self._closePort()

    def buildProtocol(self, addr: IAddress | None) -> IProtocol:
        """
        See L{Carriers.buildProtocol}.
        """
        visitor: Visitor | None = None
        if self._admission is not None:
            visitor = self._admission.enter(addr)
            if visitor is None:
                return RefusedCarrier()
        if self.wire != AUTO:
            return self._admitted(visitor, codecNamed(self.wire))
        return DetectingProtocol(
            partial(self._admitted, visitor),
            self.config.detectTimeout,
            self.reactor,
            visitor,
        )

    def _admitted(self, visitor: Visitor | None, codec: type[Codec]) -> CarrierSession:
        session = self.buildSession(codec)
        if visitor is not None:
            session.admitted(visitor)
        return session

    def buildSession(self, codec: type[Codec]) -> CarrierSession:
        """
        See L{Carriers.buildSession}.
        """
        session = super().buildSession(codec)
        session.whenUp().addCallbacks(
            self._accepted, self._notAccepted, errbackArgs=(session,)
        )
        return session

    def _accepted(self, session: CarrierSession) -> None:
        carrier = Carrier(self)
        self.members.append(carrier)
        self.carrierIsUp(carrier, session)
        if self._unwanted:
            self.closeSessions()
        for connecting in tuple(self._waiting):
            if connecting in self._waiting:
                self._stopWaiting(connecting)
                connecting.openOn(carrier)

    def _notAccepted(self, reason: Failure, session: CarrierSession) -> None:
        self._log.info(
            "carrier from {peer} refused: {why}",
            peer=describeAddress(session.peerAddress),
            why=reason.getErrorMessage(),
        )

    # Streams that we open.

    def startOpening(self) -> Deferred[Any]:
        """
        Open the port, and keep it open though nobody may listen for streams.

        @return: fires with the carriers' port, or fails with why there is none.
        """
        self._opens = True
        return self._openPort().addErrback(self._portFailed)

    def _portFailed(self, reason: Failure) -> Failure:
        self._opens = self._port is not None
        return reason

    def stopOpening(self) -> Deferred[None]:
        """
        Unless somebody listens for streams, close the port, and every carrier
        when its streams have finished.

        @return: fires when the port is closed.
        """
        self._opens = False
        self._failWaiting(
            Failure(NoPeer(f"no peer is waited for any more at {self.label}"))
        )
        return succeed(None) if self.listener else self._closePort()

    def assign(self, connecting: Connecting) -> None:
        """
        See L{Carriers.assign}.
        """
        healthy = [carrier for carrier in self.members if carrier.healthy]
        if healthy:
            usable = [carrier for carrier in healthy if carrier.usable]
            connecting.openOn((usable or healthy)[-1])
            return
        if len(self._waiting) >= MAX_WAITING:
            connecting.fail(
                Failure(
                    NoPeer(
                        f"no peer has dialled in at {self.label}, and {MAX_WAITING} "
                        "connects wait"
                    )
                )
            )
            return
        self._waiting[connecting] = self.reactor.callLater(
            connecting.wait, self._waitedTooLong, connecting
        )
        self.startOpening().addErrback(self._failWaiting)

    def withdraw(self, connecting: Connecting) -> None:
        """
        See L{Carriers.withdraw}.
        """
        if connecting in self._waiting:
            self._stopWaiting(connecting)

    def _stopWaiting(self, connecting: Connecting) -> None:
        self._waiting.pop(connecting).cancel()

    def _waitedTooLong(self, connecting: Connecting) -> None:
        del self._waiting[connecting]
        connecting.fail(
            Failure(
                NoPeer(
                    f"no peer has dialled in at {self.label} within "
                    f"{connecting.wait:g} seconds"
                )
            )
        )

    def _failWaiting(self, reason: Failure) -> None:
        for connecting in tuple(self._waiting):
            if connecting in self._waiting:
                self._stopWaiting(connecting)
                connecting.fail(reason)

    # Carriers that come and go: it is for the peers to dial.

    def carrierIsDown(self, carrier: Carrier, proven: bool) -> None:
        """
        Nothing: see L{Carriers.carrierIsDown}.
        """

    def peerLeaves(self, carrier: Carrier) -> None:
        """
        Nothing: see L{Carriers.peerLeaves}.
        """

    def carrierUnused(self, carrier: Carrier) -> None:
        """
        Nothing: see L{Carriers.carrierUnused}.
        """
