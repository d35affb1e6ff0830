"""
Carriers that belong together, because the same endpoint made them: what it takes
to get a stream onto one of them.

L{Carriers} has two kinds: those that are dialled
(L{twisted_mux.dialling.DialledCarriers}) and those that are accepted
(L{twisted_mux.accepting.AcceptedCarriers}).  Either kind takes streams in both
directions: a factory may listen for those that peers open, and connects open
streams towards the peers.  How carriers come up, and which of them a connect gets,
is where they differ; everything else is here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, cast

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import (
    IAddress,
    ILoggingContext,
    IProtocol,
    IProtocolFactory,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_mux.address import MuxAddress
from twisted_mux.carrier_session import CarrierSession
from twisted_mux.config import MuxConfig
from twisted_mux.connecting import Connecting
from twisted_mux.endpoint_strings import WAIT
from twisted_mux.errors import ProtocolError
from twisted_mux.reasons import SessionLost
from twisted_mux.wire import codecNamed
from twisted_mux.wire.base import Codec, Role

__all__ = ["Carrier", "CarrierFactory", "Carriers"]


@implementer(IProtocolFactory, ILoggingContext)
class CarrierFactory:
    """
    Builds the sessions of L{Carriers}.

    @ivar built: what was built last.
    """

    def __init__(self, carriers: Carriers) -> None:
        self._carriers = carriers
        self.built: IProtocol | None = None

    def doStart(self) -> None:
        """
        Nothing: the application's factory is started when it begins to listen.
        """

    def doStop(self) -> None:
        """
        Nothing.
        """

    def logPrefix(self) -> str:
        """
        How Twisted's ports call us in their messages.
        """
        return f"mux ({self._carriers.wire})"

    def buildProtocol(self, addr: IAddress) -> IProtocol:
        """
        A session for a new carrier.
        """
        self.built = self._carriers.buildProtocol(addr)
        return self.built


class Carrier:
    """
    One carrier, or one that is to be.

    @ivar session: its session, once it is up.
    @ivar users: how many connects of ours have a stream on it, or are about to.
    @ivar dismissed: was it closed by the application's wish?
    @ivar doubtful: did the peer refuse a stream on it?  Some peers, which would
        lose their streams if they said so, don't say that they are about to
        leave, and refuse all that is opened meanwhile.
    """

    def __init__(self, owner: Carriers, session: CarrierSession | None = None) -> None:
        self._owner = owner
        self.session = session
        self.users = 0
        self.dismissed = False
        self.doubtful = False
        self._refused = 0

    @property
    def healthy(self) -> bool:
        """
        Can a stream be opened on it?
        """
        return self.session is not None and self.session.takesStreams

    @property
    def usable(self) -> bool:
        """
        Will a stream that is opened on it be accepted, as far as we know?
        """
        return self.healthy and not self.doubtful

    @property
    def load(self) -> int:
        """
        How many streams there are on it, in either direction, or soon will be.
        """
        session = self.session
        return self.users + (0 if session is None else session.engine.inbound)

    def acquire(self) -> None:
        """
        A connect is about to open a stream.
        """
        self.users += 1

    def release(self) -> None:
        """
        That stream is over, or there was none.
        """
        self.users -= 1
        assert self.session is not None
        refused = self.session.engine.table.opener.refused
        if refused > self._refused:
            self._refused = refused
            self._owner.carrierRefuses(self)
        if not self.users:
            self._owner.carrierUnused(self)

    def close(self) -> Deferred[None]:
        """
        Let its streams finish, for as long as they take, and close it.

        @return: fires when it is closed, however that went.
        """
        session = self.session
        assert session is not None
        # One that is at its end already has its own reason.
        closed = session.whenClosed() if session.over else session.close(0)
        return closed.addErrback(lambda _: None)


class Carriers(ABC):
    """
    Carriers that the same endpoint made.

    @ivar label: how messages call the endpoint of the carriers.
    @ivar wire: the wire's name, or C{"auto"}.
    @ivar carriersUp: how many carriers have come up so far.
    @ivar members: the carriers, those that are not up yet included, in the
        order in which they came.
    @ivar listener: who listens for the streams that peers open, if anybody.
    """

    _log = Logger()

    def __init__(
        self, reactor: Any, label: str, wire: str, role: Role, config: MuxConfig
    ) -> None:
        self.reactor = reactor
        self.label = label
        self.wire = wire
        self.role = role
        self.config = config
        self.carriersUp = 0
        self.members: list[Carrier] = []
        self.listener: object = None
        self._streamFactory: IProtocolFactory | None = None

    @property
    def sessions(self) -> tuple[CarrierSession, ...]:
        """
        The live sessions, the oldest first.
        """
        return tuple(
            carrier.session for carrier in self.members if carrier.session is not None
        )

    def acceptStreams(self, factory: IProtocolFactory | None) -> None:
        """
        From now on C{factory} builds protocols for the streams that peers open,
        on all carriers, present and future; without one they are refused.
        """
        self._streamFactory = factory
        for session in self.sessions:
            session.streamFactory = factory

    def connect(
        self,
        factory: IProtocolFactory,
        name: bytes = b"",
        address: tuple[str, int] | None = None,
        wait: float = WAIT,
    ) -> Deferred[IProtocol]:
        """
        Open a stream on one of the carriers.

        @param wait: how many seconds to wait for a peer that has to dial.
        """
        connecting = Connecting(self, factory, name, address, wait)
        deferred = cast("Deferred[IProtocol]", connecting.deferred)
        self.assign(connecting)
        return deferred

    @abstractmethod
    def assign(self, connecting: Connecting) -> None:
        """
        Find a carrier for a connect: call its C{openOn}, or its C{fail}, now or
        later.
        """

    @abstractmethod
    def withdraw(self, connecting: Connecting) -> None:
        """
        A connect that has no carrier yet does not want one any more.
        """

    @abstractmethod
    def startAccepting(self) -> Deferred[Any]:
        """
        See to it that carriers come up, for streams that peers open.

        @return: fires when that is under way, and fails if it can't be.
        """

    @abstractmethod
    def stopAccepting(self) -> Deferred[None]:
        """
        Nobody listens for streams any more: no more are accepted, live ones go
        on.

        @return: fires when no more carriers come up on the listener's behalf.
        """

    def getHost(self) -> Any:
        """
        The address of whoever listens.
        """
        return self.address()

    def address(self) -> MuxAddress:
        """
        Our own address of the newest carrier, if there is one.
        """
        sessions = self.sessions
        return MuxAddress(self.wire, sessions[-1].hostAddress if sessions else None)

    def buildProtocol(self, addr: IAddress | None) -> IProtocol:
        """
        A protocol for a new connection.
        """
        return self.buildSession(codecNamed(self.wire))

    def buildSession(self, codec: type[Codec]) -> CarrierSession:
        """
        A session, not connected yet.
        """
        return CarrierSession(
            codec, self.role, self.config, self._streamFactory, reactor=self.reactor
        )

    def carrierIsUp(self, carrier: Carrier, session: CarrierSession) -> None:
        """
        A carrier has come up: it is watched from now on.
        """
        carrier.session = session
        session.streamFactory = self._streamFactory
        self.carriersUp += 1
        self._log.info("{session}: carrier up", session=session.describe())
        session.whenPeerLeaves(lambda: self.peerLeaves(carrier))
        session.whenClosed().addBoth(self._closed, carrier)

    def _closed(self, result: Failure | None, carrier: Carrier) -> None:
        self.members.remove(carrier)
        session = cast(CarrierSession, carrier.session)
        # The session itself logs its peer's offences.
        if result is None or result.check(SessionLost):
            self._log.info(
                "{session}: carrier down{why}",
                session=session.describe(),
                why="" if result is None else f": {result.getErrorMessage()}",
            )
        spoke = session.engine.counters.bytesReceived > 0
        self.carrierIsDown(
            carrier, spoke and not (result and result.check(ProtocolError))
        )

    @abstractmethod
    def carrierIsDown(self, carrier: Carrier, proven: bool) -> None:
        """
        A carrier that was up is gone.

        @param proven: did the peer speak our wire?
        """

    @abstractmethod
    def peerLeaves(self, carrier: Carrier) -> None:
        """
        The peer takes no more streams on a carrier.
        """

    @abstractmethod
    def carrierUnused(self, carrier: Carrier) -> None:
        """
        The last stream that was opened on a carrier is over.
        """

    def carrierRefuses(self, carrier: Carrier) -> None:
        """
        The peer has refused a stream that was opened on a carrier.
        """
        carrier.doubtful = True

    def closeSessions(self) -> Deferred[None]:
        """
        Let the streams of all carriers finish, for as long as they take; then
        close the carriers.

        @return: fires when the last one is closed.
        """
        closing = []
        for carrier in tuple(self.members):
            if carrier.session is not None:
                carrier.dismissed = True
                closing.append(carrier.close())
        return DeferredList(closing).addCallback(lambda _: None)
