"""
A session as a protocol of Twisted's: what the application has of it.

L{MuxProtocol} is the carrier's protocol.  Its base, L{Driver
<twisted_mux.driver.Driver>}, sees to bytes and to time; here is what
L{IMuxSession<twisted_mux.interfaces.IMuxSession>} promises, and what becomes of
the streams that either side opens: the openings that wait, the pings, the end and
who waits for that.  All else is the engine's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_mux.address import MuxAddress, describeAddress
from twisted_mux.config import MuxConfig
from twisted_mux.driver import Driver
from twisted_mux.engine.session import Session
from twisted_mux.errors import (
    HandshakeError,
    LimitExceeded,
    MuxError,
    NotSupported,
    ProtocolError,
    SessionClosed,
    UsageError,
)
from twisted_mux.interfaces import IMuxSession
from twisted_mux.negotiation.proposing import NamedClientEndpoint
from twisted_mux.opening import Opening
from twisted_mux.reasons import SessionLost
from twisted_mux.statistics import SessionStatistics
from twisted_mux.stream_endpoints import SessionClientEndpoint, SessionServerEndpoint
from twisted_mux.transport import StreamTransport
from twisted_mux.wire import stranger
from twisted_mux.wire.base import Codec, Role

if TYPE_CHECKING:
    from twisted_mux.admission import Visitor
    from twisted_mux.engine.stream import Stream


@implementer(IMuxSession)
class MuxProtocol(Driver):
    """
    One carrier being multiplexed.  See L{IMuxSession}.

    @ivar streamFactory: what builds protocols for the streams that the peer
        opens; streams are refused while it is C{None}.
    @ivar hostAddress: our address of the carrier.
    @ivar peerAddress: the peer's.
    @ivar aborting: the streams that were aborted and whose protocols have not
        been told yet.
    """

    _log = Logger()
    hostAddress: IAddress
    peerAddress: IAddress
    _visitor: Visitor | None = None

    _error: MuxError | None = None
    _closedByUs = False

    def __init__(
        self,
        codec: type[Codec],
        role: Role,
        config: MuxConfig,
        streamFactory: IProtocolFactory | None = None,
        *,
        reactor: Any = None,
        started: Callable[[MuxProtocol], object] | None = None,
    ) -> None:
        super().__init__(config.forWire(codec.capabilities), reactor)
        self._started = started
        self._codec = codec
        self._role = role
        self.streamFactory = streamFactory
        self.aborting: dict[Stream, StreamTransport] = {}
        self._waiting: deque[Opening] = deque()
        self._pings: dict[int, Deferred[float]] = {}
        self._whenClosed: list[Deferred[None]] = []
        self._waitsForAck = config.opening == "ack" and codec.capabilities.ack

    # What a carrier's transport calls.

    def connectionMade(self) -> None:
        """
        The carrier is there.
        """
        super().connectionMade()
        self._noteAddresses()
        # What comes first may be a header that tells other addresses (haproxy:).
        self.dataReceived = self._firstReceived  # type: ignore[method-assign]
        self.drive(Session(self._codec, self._role, self.config, self, self._seconds()))
        if self._started is not None:
            self._started(self)

    def _noteAddresses(self) -> None:
        transport = cast(ITransport, self.transport)
        try:
            self.hostAddress = transport.getHost()
            self.peerAddress = transport.getPeer()
        except NotImplementedError:
            # A process has none.
            self.hostAddress = self.peerAddress = MuxAddress(self.wire, None)

    def _firstReceived(self, data: bytes) -> None:
        del self.dataReceived
        self._noteAddresses()
        if self._visitor is not None and not self._visitor.moved(self.peerAddress):
            self.abort()
            return
        what = stranger(data)
        if what is None:
            self.dataReceived(data)
            return
        # In words: to take it for frames tells nobody anything, and to some wires
        # (mplex, vtmux) it would not even be wrong.
        self.engine.fail(ProtocolError(f"the peer {what}"))
        self._flush()

    def admitted(self, visitor: Visitor) -> None:
        """
        The carrier counts from now on, until it is closed.
        """
        self._visitor = visitor
        self.whenClosed().addBoth(visitor.leave)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The carrier is gone, and with it every stream.
        """
        super().connectionLost(reason)
        waiting = list(self._waiting)
        self._waiting.clear()
        for opening in waiting:
            opening.fail(Failure(SessionLost(self.describeEnd(None))))
        pings = list(self._pings.values())
        self._pings.clear()
        for ping in pings:
            ping.errback(Failure(SessionLost(self.describeEnd(None))))
        self.lastTurn()
        whenClosed = self._whenClosed
        self._whenClosed = []
        for deferred in whenClosed:
            self._fireClosed(deferred)

    def _fireClosed(self, deferred: Deferred[None]) -> None:
        reason = self.lostReason
        assert reason is not None
        orderly = reason.check(ConnectionDone) or self._closedByUs
        if self._error is not None:
            deferred.errback(Failure(self._error))
        elif orderly:
            deferred.callback(None)
        else:
            deferred.errback(Failure(SessionLost(self.describeEnd(None))))

    # IMuxSession

    @property
    def wire(self) -> str:
        """
        The name of the wire protocol.
        """
        return self._codec.name

    @property
    def over(self) -> bool:
        """
        Has the session ended?
        """
        return self.engine.over

    @property
    def takesStreams(self) -> bool:
        """
        Would L{openStream} be tried now?
        """
        return self.engine.takesStreams

    def openStream(
        self,
        factory: IProtocolFactory,
        name: bytes = b"",
        address: tuple[str, int] | None = None,
    ) -> Deferred[IProtocol]:
        """
        Open a stream; see L{IMuxSession}.
        """
        try:
            key = None if address is None else self.engine.codec.keyOfAddress(address)
        except UsageError as error:
            return fail(self.located(error))
        try:
            opening = Opening(self, factory, name, key)
        except BaseException:
            return fail()
        deferred = opening.deferred
        assert deferred is not None, "nobody knows of it yet"
        if (self._waiting or not self.engine.opener.mayOpen) and self.takesStreams:
            self._waiting.append(opening)
        else:
            opening.send(self._waitsForAck)
        return deferred

    def clientEndpoint(
        self,
        name: bytes = b"",
        address: tuple[str, int] | None = None,
        protocol: bytes | Iterable[bytes] | None = None,
        negotiate: str = "simple",
    ) -> IStreamClientEndpoint:
        """
        An endpoint whose C{connect} opens a stream; see L{IMuxSession}.
        """
        endpoint = SessionClientEndpoint(self, name, address)
        if protocol is None:
            return endpoint
        return NamedClientEndpoint(endpoint, protocol, negotiate)

    def serverEndpoint(self) -> SessionServerEndpoint:
        """
        An endpoint on which streams of the peer's arrive; see L{IMuxSession}.
        """
        return SessionServerEndpoint(self)

    def ping(self) -> Deferred[float]:
        """
        The round trip in seconds; see L{IMuxSession}.
        """
        try:
            value = self.engine.ping(self._seconds())
        except (NotSupported, SessionClosed) as error:
            return fail(self.located(error))
        deferred: Deferred[float] = Deferred()
        self._pings[value] = deferred
        return deferred

    def close(self, seconds: float | None = None) -> Deferred[None]:
        """
        Let the live streams finish, then close; see L{IMuxSession}.
        """
        if not self.over:
            self._closedByUs = True
        self.engine.drain(
            self._seconds(), self.config.drainTimeout if seconds is None else seconds
        )
        self._failWaiting()
        return self.whenClosed()

    def abort(self) -> None:
        """
        Drop the carrier; see L{IMuxSession}.
        """
        if not self.over:
            self._closedByUs = True
        self._carrier.abort()

    def whenClosed(self) -> Deferred[None]:
        """
        Fires when the carrier is closed; see L{IMuxSession}.
        """
        deferred: Deferred[None] = Deferred()
        if self.lostReason is not None:
            self._fireClosed(deferred)
        else:
            self._whenClosed.append(deferred)
        return deferred

    def statistics(self) -> SessionStatistics:
        """
        What the session has seen; see L{IMuxSession}.
        """
        engine = self.engine
        return SessionStatistics(
            wire=self.wire,
            role=self._role.value,
            peer=describeAddress(self.peerAddress),
            streams=len(engine.streams),
            inboundStreams=engine.inbound,
            bytesHeld=engine.held,
            roundTrip=engine.liveness.lastRoundTrip,
            idleSeconds=engine.idleSeconds(self._seconds()),
            draining=engine.draining,
            reading=self._carrier.reading,
            writing=not self._carrier.full,
            bytesSent=engine.bytesSent,
            **asdict(engine.counters),
        )

    # What streams and openings ask for.

    def openingCancelled(self, opening: Opening) -> None:
        """
        An opening does not wait any more, if it did.
        """
        if opening in self._waiting:
            self._waiting.remove(opening)

    def describe(self) -> str:
        """
        The session, in words.
        """
        return f"{self.wire} session with {describeAddress(self.peerAddress)}"

    def describeEnd(self, error: MuxError | None) -> str:
        """
        The session's end, in words.
        """
        error = error or self._error
        if error is not None:
            cause = error.cause
        elif self.lostReason is not None:
            cause = self.lostReason.getErrorMessage()
        else:
            cause = "it was closed"
        return f"{self.describe()} ended: {cause}"

    def located(self, error: MuxError) -> MuxError:
        """
        An error with the session in its text.
        """
        error.session = self.describe()
        return error

    def describeCode(self, code: int) -> str:
        """
        A code of the peer's, in words.
        """
        return self.engine.codec.describeCode(code)

    def describeStream(self, stream: Stream) -> str:
        """
        A stream, as the wire protocol calls it.
        """
        return self.engine.describe(stream)

    def addressOfStream(self, stream: Stream) -> tuple[str, int] | None:
        """
        The address that a stream was opened with, on wires that have such.
        """
        if not self._codec.capabilities.addressed:
            return None
        return self.engine.codec.addressOfKey(stream.key)

    # What the engine's session tells (see its SessionHandler).

    def streamOpened(self, stream: Stream) -> None:
        """
        The peer opened a stream.
        """
        factory = self.streamFactory
        if factory is None:
            return
        transport = StreamTransport(self, self.config.sendBuffer)
        transport.attach(stream)
        try:
            protocol = factory.buildProtocol(self.peerAddress)
            if protocol is None:
                # As TCP does: accepted, then closed.  (To refuse streams, have
                # no factory.)
                stream.leave()
                return
            transport.connectionOpened(protocol)
        except BaseException:
            transport.receiverFailed()

    def opensAllowed(self) -> None:
        """
        There are places for openings that wait.
        """
        self.later(self._sendWaiting)

    def _sendWaiting(self) -> None:
        # Where none can be opened any more they hear why.
        while self._waiting and (self.engine.opener.mayOpen or not self.takesStreams):
            self._waiting.popleft().send(self._waitsForAck)

    def _failWaiting(self) -> None:
        if self._waiting:
            self.later(self._sendWaiting)

    def limitReached(self, error: LimitExceeded) -> None:
        """
        As many streams as may be are there.
        """
        self._log.warn("{session}: {error}", session=self.describe(), error=error.cause)

    def streamDropped(self, error: MuxError) -> None:
        """
        A stream has to be dropped because of what its peer did.
        """
        # What goes wrong in a handshake is logged by whoever shakes hands.
        if not isinstance(error, HandshakeError):
            self._log.warn(
                "{session}: {error}", session=self.describe(), error=error.cause
            )

    def receiverFailed(self, stream: Stream) -> None:
        """
        A protocol raised after its connection was lost, or aborted.
        """
        transport = self.aborting.pop(stream, None)
        if transport is not None:
            transport.receiverFailed()
            return
        self._log.failure(
            "a protocol on {session} raised after it had lost its connection",
            session=self.describe(),
        )

    def pongReceived(self, value: int, seconds: float) -> None:
        """
        A ping was answered.
        """
        deferred = self._pings.pop(value, None)
        if deferred is not None:
            deferred.callback(seconds)

    def goAwayReceived(self, code: int) -> None:
        """
        The peer takes no more streams.
        """
        self._log.info(
            "{session}: the peer takes no more streams ({code})",
            session=self.describe(),
            code=self.describeCode(code),
        )
        self._failWaiting()

    def sessionEnded(self, error: MuxError | None) -> None:
        """
        The engine's session is over; the carrier is to be closed.
        """
        self._error = error
        if error is not None:
            self._log.warn(
                "{session} ended: {error}", session=self.describe(), error=error.cause
            )
            self.located(error)
        super().sessionEnded(error)
