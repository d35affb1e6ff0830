"""
What drives a session of the engine with Twisted: the carrier and the clock.

L{Driver} is what L{twisted_mux.engine.session} asks for.  It owns the carrier's
transport and the two delayed calls that a session may have: the next turn, and
the next thing that is due.  It knows nothing of streams.

B{Sending} happens at one place, L{Driver._flush}: at the end of each chunk that the
carrier delivers, and otherwise in the session's next turn.  So all that one chunk
causes, or one turn of the reactor writes, goes out in as few writes as it takes,
and is copied once on its way.

B{Being paused.}  The session is the carrier's push producer.  While it is paused
data stays in the streams, where it can still be put in a fair order; a batch is
no larger than what the carrier's buffer takes.  Of streams whose producers wait,
those are resumed that have just been sent, one after the other.

B{Closing} the carrier takes unregistering ourselves first, since TLS waits for
its producer otherwise, and a time limit, since a peer may not read what is left
to be sent.

B{The log.}  Protocols of streams are called in a context from which a log takes
whose message it is, as with any transport of Twisted's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python import context
from twisted.python.failure import Failure
from twisted.python.log import ILogContext
from zope.interface import implementer

from twisted_mux.carrier import Carrier, carrierOf
from twisted_mux.transport import StreamTransport

if TYPE_CHECKING:
    from twisted_mux.config import MuxConfig
    from twisted_mux.engine.session import Session
    from twisted_mux.errors import MuxError

__all__ = ["CLOSE_TIMEOUT", "Driver"]

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

    def __init__(self, driver: Driver) -> None:
        super().__init__()
        self._driver = driver

    def copy(self) -> dict[str, object]:
        return {"isError": 0, "system": self._driver.currentPrefix()}

    def __missing__(self, name: str) -> object:
        return self.copy()[name]


@implementer(IPushProducer)
class Driver(Protocol):
    """
    The protocol of a carrier, as far as it is about bytes and time.

    @ivar engine: the session of the engine, from L{drive} on.
    @ivar config: the configuration, with the wire's own defaults.
    @ivar reactor: for the delayed calls.
    @ivar telling: the stream of which something other than payload is being told.
    @ivar unaware: what the last protocol provides that turned out not to be
        half-closeable: the next is most likely of the same class.
    @ivar lostReason: why the carrier is gone; C{None} as long as it is not.
    """

    engine: Session
    _carrier: Carrier
    # What the end needs is no attribute of each instance before, as CPython is slower with
    # those of instances that have more than 30.
    _closeCall: IDelayedCall | None = None
    _ended = False
    _closing = False

    def __init__(self, config: MuxConfig, reactor: Any) -> None:
        """
        @param reactor: C{None} for the carrier's.
        """
        self.config = config
        self.reactor = reactor
        self.lostReason: Failure | None = None
        self._turnCall: IDelayedCall | None = None
        self._tickCall: IDelayedCall | None = None
        self._laters: list[Callable[[], None]] = []
        self.telling: StreamTransport | None = None
        self.unaware: object = None

    # What a carrier's transport calls.

    def connectionMade(self) -> None:
        """
        The carrier is there; L{drive} is to follow.
        """
        transport = self.transport
        assert transport is not None
        if self.reactor is None:
            self.reactor = getattr(transport, "reactor", None)
            if self.reactor is None:
                from twisted.internet import reactor

                self.reactor = reactor
        self._seconds = self.reactor.seconds
        # All else happens in this thread, the reactor's.
        self._contexts = context.theContextTracker.currentContext().contexts
        self._context = {**self._contexts[-1], ILogContext: _LogContext(self)}
        self._carrier = carrierOf(
            transport, self, self.config.turnBytes, self.config.readSize, self._seconds
        )

    def drive(self, engine: Session) -> None:
        """
        Drive that session, from now on.
        """
        self.engine = engine
        self._carrier.start()

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
            self._flush()
        finally:
            self._contexts.pop()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The carrier is gone, and with it every stream.  L{lastTurn} is to follow.
        """
        self.lostReason = reason
        self._cancel("_tickCall")
        self._cancel("_closeCall")
        # It has to be read to the end first.
        context.call(self._context, self.engine.lost)

    def lastTurn(self) -> None:
        """
        Do what was put off, since no other turn is to come.
        """
        if self._turnCall is not None:
            self._cancel("_turnCall")
            self._turn()

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
        self.engine.resumeWriting(self._seconds())
        context.call(self._context, self._flush)

    def stopProducing(self) -> None:
        """
        The carrier takes nothing more; C{connectionLost} follows.
        """
        self._carrier.full = True

    # Calling others.

    def later(self, function: Callable[[], None]) -> None:
        """
        Call C{function}, which must not raise, in the next turn.
        """
        self._laters.append(function)
        self.wake(False)

    def tell(
        self,
        transport: StreamTransport,
        function: Callable[..., object],
        *args: object,
    ) -> None:
        """
        Call C{function} in the log context of a stream.
        """
        # As for chunks: log.callWithContext takes ten times as long, most of it
        # for a prefix that nobody asks for.
        before = self.telling
        self.telling = transport
        self._contexts.append(self._context)
        try:
            function(*args)
        finally:
            self._contexts.pop()
            self.telling = before

    def currentPrefix(self) -> str:
        """
        The log prefix of the stream whose protocol is being called.
        """
        if self.telling is not None:
            return self.telling.logPrefix()
        engine = self.engine
        handler = None if engine.current is None else engine.current.handler
        if isinstance(handler, StreamTransport):
            return handler.logPrefix()
        return engine.codec.name

    # What the engine's session tells of time and of its end (see its SessionHandler).

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

    def sessionEnded(self, error: MuxError | None) -> None:
        """
        The engine's session is over; the carrier is to be closed.
        """
        self._ended = True
        self.wake(False)

    # Turns.

    def _turn(self) -> None:
        self._turnCall = None
        context.call(self._context, self._do)

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
        if self.lostReason is None:
            self._flush()

    def _tick(self) -> None:
        self._tickCall = None
        context.call(self._context, self.engine.tick, self._seconds())
        context.call(self._context, self._flush)

    def _flush(self) -> None:
        """
        Send what there is to be sent and the carrier takes; then see to the
        carrier's reading and to the session's end.
        """
        engine = self.engine
        carrier = self._carrier
        room = carrier.burst
        while not carrier.full and engine.hasOutput():
            if room <= 0:
                self.wake(False)
                break
            size = self._write(carrier.batch)
            room -= size if size > _LEAST_CHARGE else _LEAST_CHARGE
            engine.settle()
            if engine.delivers():
                # Who was waiting to write and reads on now comes next, not those
                # who have more to write at once.  A turn is due.
                break
        if (
            engine.reading is not carrier.reading
            and not self._ended
            and self.lostReason is None
        ):
            carrier.read(engine.reading)
        if engine.draining and engine.drained:
            engine.finish()
        if self._ended and not self._closing:
            self._write(carrier.batch)
            self._closeCarrier()

    def _write(self, room: int) -> int:
        engine = self.engine
        outbox = engine.outbox
        before = outbox.bytesTaken
        pieces = engine.takeOutput(room)
        size = outbox.bytesTaken - before
        if size > _LEAST_CHARGE and engine.overtook():
            self._carrier.overtaken(self._seconds())
        if size:
            self._carrier.write(pieces, size)
        return size

    def _closeCarrier(self) -> None:
        self._closing = True
        self._cancel("_tickCall")
        self._carrier.close()
        if self.lostReason is None:
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
