"""
The carrier's protocol: what drives a session of the engine with Twisted.

L{MuxProtocol} owns the carrier's transport, the two delayed calls that a
session may have (the next turn, and the next thing that is due), and the
openings that are under way.  Everything else is the engine's.

B{Sending} happens at one place, L{MuxProtocol._flush}: at the end of each
chunk that the carrier delivers, and otherwise in the session's next turn.  So
all that one chunk causes, or one turn of the reactor writes, goes out in as few
writes as it takes, and is copied once on its way.

B{Being paused.}  The session is the carrier's push producer.  While it is paused
data stays in the streams, where it can still be put in a fair order; a batch is
no larger than what the carrier's buffer takes.  Of streams whose producers wait,
those are resumed that have just been sent, one after the other.

B{Closing} the carrier takes unregistering ourselves first, since TLS waits for
its producer otherwise, and a time limit, since a peer may not read what is left
to be sent.
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
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    IPushProducer,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python import context
from twisted.python.failure import Failure
from twisted.python.log import ILogContext
from zope.interface import implementer

from twisted_mux.address import MuxAddress, describeAddress
from twisted_mux.admission import admissionFor
from twisted_mux.carrier import Carrier, carrierOf
from twisted_mux.config import MuxConfig
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
from twisted_mux.wire import codecNamed, stranger
from twisted_mux.wire.base import Codec, Role

if TYPE_CHECKING:
    from twisted_mux.admission import Visitor
    from twisted_mux.engine.stream import Stream

# What each round of a turn counts for, in bytes, at least: a producer that writes
# a byte whenever it may shall not keep the reactor busy.
_LEAST_CHARGE = 4096
#: Seconds that a carrier has to close before it is aborted.
CLOSE_TIMEOUT = 5.0


class _LogContext(dict[str, object]):
    """
    The context in which protocols of streams are called: C{copy}, which is how
    it is read, makes out whose that is at that moment, so that nobody has to
    note it for each frame.
    """

    def __init__(self, mux: MuxProtocol) -> None:
        super().__init__()
        self._mux = mux

    def copy(self) -> dict[str, object]:
        return {"isError": 0, "system": self._mux.currentPrefix()}

    def __missing__(self, name: str) -> object:
        return self.copy()[name]


@implementer(IMuxSession, IPushProducer)
class MuxProtocol(Protocol):
    """
    One carrier being multiplexed.  See L{IMuxSession}.

    @ivar streamFactory: what builds protocols for the streams that the peer
        opens; streams are refused while it is C{None}.
    @ivar engine: the session of the engine, from C{connectionMade} on.
    @ivar config: the configuration, with the wire's own defaults.
    @ivar hostAddress: our address of the carrier.
    @ivar peerAddress: the peer's.
    @ivar aborting: the streams that were aborted and whose protocols have not
        been told yet.
    """

    _log = Logger()
    engine: Session
    _carrier: Carrier
    hostAddress: IAddress
    peerAddress: IAddress
    _visitor: Visitor | None = None

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
        self._started = started
        self._codec = codec
        self._role = role
        self.config = config.forWire(codec.capabilities)
        self.streamFactory = streamFactory
        self.reactor = reactor
        self._turnCall: IDelayedCall | None = None
        self._tickCall: IDelayedCall | None = None
        self._closeCall: IDelayedCall | None = None
        self._laters: list[Callable[[], None]] = []
        # The stream (and its protocol) of which something other than payload is
        # being told.
        self._telling: tuple[StreamTransport, object] | None = None
        self.aborting: dict[Stream, StreamTransport] = {}
        self._waiting: deque[Opening] = deque()
        self._pings: dict[int, Deferred[float]] = {}
        self._whenClosed: list[Deferred[None]] = []
        self._ended = False
        self._error: MuxError | None = None
        self._closedByUs = False
        self._bytesWritten = 0
        self._closing = False
        self._lostReason: Failure | None = None

    # What a carrier's transport calls.

    def connectionMade(self) -> None:
        """
        The carrier is there.
        """
        transport = self.transport
        assert transport is not None
        if self.reactor is None:
            self.reactor = getattr(transport, "reactor", None)
            if self.reactor is None:
                from twisted.internet import reactor

                self.reactor = reactor
        self._seconds = self.reactor.seconds
        self._noteAddresses()
        # What comes first may be a header that tells other addresses (haproxy:).
        self.dataReceived = self._firstReceived  # type: ignore[method-assign]
        # All else happens in this thread, the reactor's.
        self._contexts = context.theContextTracker.currentContext().contexts
        self._context = {**self._contexts[-1], ILogContext: _LogContext(self)}
        self._carrier = carrierOf(
            transport, self, self.config.turnBytes, self.config.readSize, self._seconds
        )
        self.engine = Session(
            self._codec, self._role, self.config, self, self._seconds()
        )
        self._carrier.start()
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

    def dataReceived(self, data: bytes) -> None:
        """
        The carrier delivers.
        """
        carrier = self._carrier
        if len(data) >= carrier.fullChunk:
            carrier.readMore()
        elif len(data) < carrier.smallChunk:
            carrier.readLess()
        # context.call, in a tenth of its time: this is done for every chunk.
        self._contexts.append(self._context)
        try:
            self.engine.receive(data, self._seconds())
        finally:
            self._contexts.pop()
        self._flush()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The carrier is gone, and with it every stream.
        """
        self._lostReason = reason
        self._cancel("_tickCall")
        self._cancel("_closeCall")
        self.engine.lost()
        waiting = list(self._waiting)
        self._waiting.clear()
        for opening in waiting:
            opening.fail(Failure(SessionLost(self.describeEnd(None))))
        pings = list(self._pings.values())
        self._pings.clear()
        for ping in pings:
            ping.errback(Failure(SessionLost(self.describeEnd(None))))
        if self._turnCall is not None:
            self._cancel("_turnCall")
            self._turn()
        whenClosed = self._whenClosed
        self._whenClosed = []
        for deferred in whenClosed:
            self._fireClosed(deferred)

    def _fireClosed(self, deferred: Deferred[None]) -> None:
        reason = self._lostReason
        assert reason is not None
        orderly = reason.check(ConnectionDone) or self._closedByUs
        if self._error is not None:
            deferred.errback(Failure(self._error))
        elif orderly:
            deferred.callback(None)
        else:
            deferred.errback(Failure(SessionLost(self.describeEnd(None))))

    def pauseProducing(self) -> None:
        """
        The carrier's buffer is full.
        """
        self._carrier.full = True
        self.engine.pauseWriting(self._seconds())

    def resumeProducing(self) -> None:
        """
        The carrier's buffer is empty.
        """
        self._carrier.full = False
        self.engine.resumeWriting()
        self._flush()

    def stopProducing(self) -> None:
        """
        The carrier takes nothing more; C{connectionLost} follows.
        """
        self._carrier.full = True

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
        if not self.over and (self._waiting or not self.engine.mayOpen):
            self._waiting.append(opening)
        else:
            opening.send(self._waitsForAck)
        return deferred

    @property
    def _waitsForAck(self) -> bool:
        return self.config.opening == "ack" and self._codec.capabilities.ack

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
        if self._lostReason is not None:
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

    def later(self, function: Callable[[], None]) -> None:
        """
        Call C{function}, which must not raise, in the next turn.
        """
        self._laters.append(function)
        self.wake(False)

    def tell(
        self,
        transport: StreamTransport,
        protocol: object,
        function: Callable[..., object],
        *args: object,
    ) -> None:
        """
        Call C{function} in the log context of a stream with that protocol.
        """
        # As for chunks: log.callWithContext takes ten times as long, most of it
        # for a prefix that nobody asks for.
        before = self._telling
        self._telling = (transport, protocol)
        contexts = self._contexts
        within = contexts[-1] is self._context
        if not within:
            contexts.append(self._context)
        try:
            function(*args)
        finally:
            if not within:
                contexts.pop()
            self._telling = before

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
        elif self._lostReason is not None:
            cause = self._lostReason.getErrorMessage()
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

    def currentPrefix(self) -> str:
        """
        The log prefix of the stream whose protocol is being called.
        """
        if self._telling is not None:
            transport, protocol = self._telling
            return transport.prefixFor(protocol)
        current = self.engine.current
        handler = None if current is None else current.handler
        return (
            handler.logPrefix() if isinstance(handler, StreamTransport) else self.wire
        )

    # What the engine's session tells (see its SessionHandler).

    def wake(self, afresh: bool) -> None:
        """
        There is something to do in a turn of its own.
        """
        call = self._turnCall
        if call is None:
            self._turnCall = self.reactor.callLater(0, self._turn)
        elif afresh:
            call.reset(0)

    def tickAt(self, when: float) -> None:
        """
        Something is due at that time.
        """
        self._cancel("_tickCall")
        self._tickCall = self.reactor.callLater(
            max(0, when - self._seconds()), self._tick
        )

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
        while self._waiting and self.engine.mayOpen:
            self._waiting.popleft().send(self._waitsForAck)

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

    def sessionEnded(self, error: MuxError | None) -> None:
        """
        The engine's session is over; the carrier is to be closed.
        """
        self._ended = True
        self._error = error
        if error is not None:
            self._log.warn(
                "{session} ended: {error}", session=self.describe(), error=error.cause
            )
            self.located(error)
        self.wake(False)

    # Turns.

    def _turn(self) -> None:
        self._turnCall = None
        context.call(self._context, self._do)
        if self._lostReason is None:
            self._flush()

    def _do(self) -> None:
        """
        Do what was put off.
        """
        laters = self._laters
        if laters:
            self._laters = []
            for function in laters:
                function()
        self.engine.turn(self._seconds())

    def _tick(self) -> None:
        self._tickCall = None
        self.engine.tick(self._seconds())
        self._flush()

    def _flush(self) -> None:
        """
        Send what there is to be sent and the carrier takes; then see to the
        carrier's reading and to the session's end.
        """
        engine = self.engine
        carrier = self._carrier
        room = carrier.burst
        while not carrier.full and engine.hasOutput:
            if room <= 0:
                self.wake(False)
                break
            size = self._write(carrier.batch)
            room -= size if size > _LEAST_CHARGE else _LEAST_CHARGE
            engine.settle()
        if (
            engine.reading is not carrier.reading
            and not self._ended
            and self._lostReason is None
        ):
            carrier.read(engine.reading)
        if engine.draining and engine.drained:
            engine.finish()
        if self._ended and not self._closing:
            self._write(carrier.batch)
            self._closeCarrier()

    def _write(self, room: int) -> int:
        engine = self.engine
        pieces = engine.takeOutput(room)
        before = self._bytesWritten
        self._bytesWritten = engine.bytesSent
        size = self._bytesWritten - before
        if size > _LEAST_CHARGE and engine.overtook():
            self._carrier.overtaken(self._seconds())
        if size:
            self._carrier.write(pieces, size)
        return size

    def _closeCarrier(self) -> None:
        self._closing = True
        self._cancel("_tickCall")
        self._carrier.close()
        if self._lostReason is None:
            self._closeCall = self.reactor.callLater(CLOSE_TIMEOUT, self._closeNow)

    def _closeNow(self) -> None:
        self._closeCall = None
        self._carrier.abort()

    def _cancel(self, name: str) -> None:
        call: IDelayedCall | None = getattr(self, name)
        if call is not None:
            setattr(self, name, None)
            if call.active():
                call.cancel()


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
