"""
Carriers that are accepted: for streams that peers open, and for streams towards
the peers who have dialled in.

There is one port, on behalf of everybody who shares it: the factory that listens
for streams, and those who connect.  The first one opens it, the last one closes it;
who only connects keeps it open for good, or until told to close, since peers can
dial in only while it is open.

B{Connects} go to the newest carrier that takes streams.  A peer that was cut off
dials again, often long before the old carrier is known to be dead, so the newest is
the one that is certain to be alive.  Where there is none a connect waits, for a
limited time and not too many of them.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import (
    IDelayedCall,
    IListeningPort,
    IProtocol,
    IStreamServerEndpoint,
)
from twisted.python.failure import Failure

from twisted_mux.carriers import (
    Carrier,
    CarrierFactory,
    Carriers,
    CarrierSession,
    Connecting,
)
from twisted_mux.config import MuxConfig
from twisted_mux.detection import DetectingProtocol
from twisted_mux.endpoint_strings import AUTO, WAIT
from twisted_mux.reasons import NoPeer
from twisted_mux.wire.base import Codec, Role

__all__ = ["MAX_WAITING", "AcceptedCarriers"]

#: How many connects may wait for a peer to dial in.
MAX_WAITING = 1000


class AcceptedCarriers(Carriers):
    """
    Carriers that arrive on one server endpoint.

    @ivar wait: seconds for which a connect waits for a peer.
    """

    def __init__(
        self,
        reactor: Any,
        endpoint: IStreamServerEndpoint,
        wire: str,
        role: Role,
        config: MuxConfig,
    ) -> None:
        super().__init__(reactor, wire, role, config)
        self._endpoint = endpoint
        self._listening: Deferred[Any] | None = None
        self._waitingForPort: list[Deferred[Any]] = []
        self._port: Any = None
        self._opens = False
        self.wait = WAIT
        self._waiting: dict[Connecting, IDelayedCall] = {}

    # The port.

    @property
    def port(self) -> Any:
        """
        The carriers' L{IListeningPort}, or C{None} while it is not open.
        """
        return self._port

    def startListening(self) -> Deferred[Any]:
        """
        Open the port, unless it is open.

        @return: fires with the carriers' port, or fails with why there is none.
        """
        if self._port is not None:
            return succeed(self._port)
        deferred: Deferred[Any] = Deferred()
        self._waitingForPort.append(deferred)
        if self._listening is None:
            listening = maybeDeferred(self._endpoint.listen, CarrierFactory(self))
            self._listening = listening
            listening.addCallbacks(self._listens)
            listening.addBoth(self._listenDone)
        return deferred

    def _listens(self, port: IListeningPort) -> IListeningPort:
        self._port = port
        return port

    def _listenDone(self, result: Any) -> None:
        self._listening = None
        waiting = self._waitingForPort
        self._waitingForPort = []
        for deferred in waiting:
            deferred.callback(result)

    def stopListening(self) -> Deferred[None]:
        """
        Close the port, if it is open, and every carrier when its streams have
        finished.

        @return: fires when the port is closed.
        """
        port = self._port
        self._port = None
        self._opens = False
        self.closeSessions()
        # Not everything that endpoints return is a port: stdio: has none.
        stop = getattr(port, "stopListening", None)
        if stop is None:
            return succeed(None)
        return maybeDeferred(stop).addCallback(lambda _: None)

    # Streams that peers open.

    def stopAccepting(self) -> Deferred[None]:
        """
        Nobody listens for streams any more: live ones go on, and no more are
        accepted.
        """
        self.streamFactory = None
        return succeed(None) if self._opens else self.stopListening()

    def buildProtocol(self) -> IProtocol:
        """
        See L{Carriers.buildProtocol}.
        """
        if self.wire == AUTO:
            return DetectingProtocol(
                self.buildSession, self.config.detectTimeout, self.reactor
            )
        return super().buildProtocol()

    def buildSession(self, codec: type[Codec]) -> CarrierSession:
        """
        See L{Carriers.buildSession}.
        """
        session = super().buildSession(codec)
        session.whenUp().addCallbacks(self._accepted, self._notAccepted)
        return session

    def _accepted(self, session: CarrierSession) -> None:
        carrier = Carrier(self)
        self.members.append(carrier)
        self.carrierIsUp(carrier, session)
        for connecting in tuple(self._waiting):
            self._stopWaiting(connecting)
            connecting.openOn(carrier)

    def _notAccepted(self, reason: Failure) -> None:
        self._log.info("carrier refused: {why}", why=reason.getErrorMessage())

    # Streams that we open.

    def startOpening(self) -> Deferred[Any]:
        """
        Open the port, and keep it open though nobody may listen for streams.
        """
        self._opens = True
        return self.startListening()

    def assign(self, connecting: Connecting) -> None:
        """
        See L{Carriers.assign}.
        """
        for carrier in reversed(self.members):
            if carrier.usable:
                connecting.openOn(carrier)
                return
        if len(self._waiting) >= MAX_WAITING:
            connecting.fail(
                Failure(NoPeer(f"no peer has dialled in, and {MAX_WAITING} wait"))
            )
            return
        self._waiting[connecting] = self.reactor.callLater(
            self.wait, self._waitedTooLong, connecting
        )
        self.startOpening().addErrback(self._failWaiting)

    def withdraw(self, connecting: Connecting) -> None:
        """
        See L{Carriers.withdraw}.
        """
        if connecting in self._waiting:
            self._stopWaiting(connecting)

    def _stopWaiting(self, connecting: Connecting) -> None:
        call = self._waiting.pop(connecting)
        if call.active():
            call.cancel()

    def _waitedTooLong(self, connecting: Connecting) -> None:
        del self._waiting[connecting]
        connecting.fail(
            Failure(NoPeer(f"no peer has dialled in within {self.wait:g} seconds"))
        )

    def _failWaiting(self, reason: Failure) -> None:
        for connecting in tuple(self._waiting):
            if connecting in self._waiting:
                self._stopWaiting(connecting)
                connecting.fail(reason)
