"""
The receiving rules: what each frame of the peer's does to which stream.

L{Reader} is the sink of the session's codec.  The one method that counts is
L{Reader.payloadReceived}: a look-up, a subtraction, a comparison, and the
payload is with its reader.  Whatever is not ordinary shows in that one
comparison (C{Stream.direct}: a stream that is not C{flowing}, or whose credit has
sunk below its C{lowWater}), and is dealt with elsewhere.

B{Nothing is delivered from within a request.}  What waits for a reader that
resumes, and all that comes for a stream in the same chunk as its open, is
delivered in the session's next turn.  So a protocol finds the order of events
that a TCP connection has: C{connectionMade}, then whatever it had put off with
C{callLater(0)}, then data.

B{Payload for streams that are not there} is skipped, as all peers do.  A stream
that has just gone explains it; otherwise it is counted against
C{MuxConfig.strayBytes}.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted_mux.engine.credit import (
    NEVER,
    UNBOUNDED,
    Tuner,
    addCredit,
    grantStep,
    windowCredit,
)
from twisted_mux.engine.limits import RecentKeys, TokenBucket
from twisted_mux.engine.scheduler import IDLE
from twisted_mux.engine.states import (
    CLOSED,
    LOCAL_ENDED,
    OPEN,
    RECEIVE_RESET,
    REMOTE_ENDED,
    afterReceiveEnd,
)
from twisted_mux.errors import FlowControlError, LimitExceeded, ProtocolError
from twisted_mux.wire.base import Breach, Credit, Key

if TYPE_CHECKING:
    from twisted_mux.config import MuxConfig
    from twisted_mux.engine.session import Session
    from twisted_mux.engine.stream import Stream


class Reader:
    """
    The sink of one session's codec.

    @ivar held: what the chunks that wait for readers cost, in bytes, all of
        the session's streams together.
    @ivar deliverable: the streams that have something for their readers, which
        is delivered in the next turn.
    @ivar current: the stream whose payload was delivered last.
    @ivar window: the receive window that a new stream is announced with, in
        bytes.
    @ivar initialReceive: what a peer may send on a new stream, in bytes.
    @ivar lowWater: C{Stream.lowWater} for a new stream.
    """

    def __init__(
        self,
        session: Session,
        streams: dict[Key, Stream],
        config: MuxConfig,
        now: float,
    ) -> None:
        """
        @param streams: the session's table, which it changes itself.
        """
        self._session = session
        self._streams = streams
        self._config = config
        capabilities = session.capabilities
        self._capabilities = capabilities
        self._unbounded = capabilities.credit is Credit.NONE
        if self._unbounded:
            self.window = self.initialReceive = self.initialSend = UNBOUNDED
        else:
            self.window = config.window
            initial = capabilities.initialWindow
            if not capabilities.windowAnnounced:
                initial = config.window
            self.initialSend = initial
            self.initialReceive = max(initial, config.window)
        # A peer may have used the wire's window before it hears of ours.
        self._tolerance = self.initialReceive - self.window
        self.lowWater = self.window - grantStep(self.window) + 1
        if self._tolerance and capabilities.credit is Credit.CUMULATIVE:
            self.lowWater = self.initialReceive
        self.deliverable: list[Stream] = []
        self._grown = 0
        self._resets = TokenBucket(config.resetBurst, config.resetRate, now)
        self._idles = TokenBucket(config.idleBurst, config.idleRate, now)
        self._strays = TokenBucket(config.strayBytes, config.strayBytes / 60, now)
        self.recent = RecentKeys(config.rememberedStreams)
        self.held = 0
        self.current: Stream | None = None

    # Payload.

    def payloadReceived(self, key: Key, data: bytes) -> None:
        try:
            stream = self._streams[key]
        except KeyError:
            self._strayPayload(key, len(data))
            return
        credit = stream.receiveCredit - len(data)
        stream.receiveCredit = credit
        if credit < stream.direct:
            self._payloadAside(stream, data)
            return
        self.current = stream
        try:
            stream.receiver.dataReceived(data)  # type: ignore[union-attr]
        except BaseException:
            self._receiverFailed(stream)

    def _payloadAside(self, stream: Stream, data: bytes) -> None:
        if stream.receiveCredit < 0 and stream.receiveCredit + self._tolerance < 0:
            raise FlowControlError(
                f"stream {self._session.describe(stream)}: {len(data)} bytes came when "
                f"{max(0, stream.receiveCredit + len(data))} were allowed "
                f"(window: {stream.receiveWindow})"
            )
        if stream.direct != NEVER:
            self._deliver(stream, data)
        elif stream.state is REMOTE_ENDED or stream.state is CLOSED:
            self._breach(
                stream, self._capabilities.afterEnd, "data after the end of the stream"
            )
        elif stream.handler is None:
            self._discard(stream)
        elif stream.deaf:
            if self._unbounded and stream.receiveCredit < stream.lowWater:
                # There is no credit to run out of.
                self.returnCredit(stream)
        else:
            self.held += stream.hold(data)
            if self._unbounded and stream.held > self._config.window:
                self._session.readerIsSlow(stream)

    def _deliver(self, stream: Stream, data: bytes) -> None:
        self.current = stream
        try:
            stream.receiver.dataReceived(data)  # type: ignore[union-attr]
        except BaseException:
            self._receiverFailed(stream)
        if stream.receiveCredit < stream.lowWater:
            self.returnCredit(stream)

    def _receiverFailed(self, stream: Stream) -> None:
        if stream.handler is None:
            # It had left already; there is nobody else to tell.
            self._session.handler.receiverFailed(stream)
        else:
            stream.handler.receiverFailed()

    def _discard(self, stream: Stream) -> None:
        if self._capabilities.reset:
            # As TCP does: the peer writes to somebody who has left.
            self.chargeReset()
            self._session.table.drop(stream)
            return
        self._session.table.discarded(stream)
        if stream.receiveCredit < stream.lowWater:
            # The peer can't be told, so let it finish.
            self.returnCredit(stream)

    def _strayPayload(self, key: Key, size: int) -> None:
        session = self._session
        if session.over:
            return
        if key in self.recent:
            session.table.repeatEnd(key)
            return
        if not self._strays.take(self._session.now, size):
            raise LimitExceeded(
                "strayBytes",
                self._config.strayBytes,
                f"data for streams that never were, last for {session.describeKey(key)}",
            )

    # Deliveries that were put off.

    def deliverLater(self, stream: Stream) -> None:
        """
        Deliver what waits for this stream's reader in the next turn.
        """
        if not stream.queued:
            stream.queued = True
            self.deliverable.append(stream)

    def deliverHeld(self, room: int) -> None:
        """
        Give readers what waits for them, until about C{room} bytes have been
        delivered; the rest waits for another turn.
        """
        streams = self.deliverable
        self.deliverable = []
        for position, stream in enumerate(streams):
            if room <= 0:
                self.deliverable[:0] = streams[position:]
                return
            stream.queued = False
            room -= self._drain(stream, room)

    def _drain(self, stream: Stream, room: int) -> int:
        given = 0
        while stream.reading and not stream.queued and stream.handler is not None:
            if not stream.backlogSize:
                if stream.endWaits:
                    stream.endWaits = False
                    stream.handler.streamEnded()
                    self._session.table.forsake(stream)
                else:
                    stream.flow()
                break
            if given >= room:
                self.deliverLater(stream)
                break
            before = stream.backlogSize
            data = stream.nextHeld()
            self.held -= before - stream.backlogSize
            given += len(data)
            self._deliver(stream, data)
        if self._unbounded and stream.held <= self._config.window:
            self._session.readerCaughtUp(stream)
        if not self._session.reading:
            self._session.readOn()
        return given

    def unread(self, stream: Stream, data: bytes) -> None:
        """
        A reader gives back a part of what it was given.
        """
        stream.direct = NEVER
        if data and stream.handler is not None and not stream.deaf:
            self.held += stream.holdFirst(data)
        self.deliverLater(stream)

    def dropHeld(self, stream: Stream) -> None:
        """
        What waits for this stream's reader will not be wanted.
        """
        if stream.backlogSize:
            self.held -= stream.dropHeld()
            self._session.readOn()

    # Credit for the peer.

    def returnCredit(self, stream: Stream) -> None:
        """
        Grant again what the reader has taken, if that is enough to be worth a
        frame.
        """
        if stream.state is not OPEN and stream.state is not LOCAL_ENDED:
            return
        if self._unbounded:
            delta = UNBOUNDED - stream.receiveCredit - stream.held
            stream.receiveCredit += delta
            stream.granted += delta
            return
        tuner = stream.tuner
        window = self.window if tuner is None else tuner.window
        delta = window - stream.receiveCredit - stream.held
        if tuner is not None and delta < grantStep(window):
            return
        if tuner is None:
            if delta < grantStep(window) and stream.lowWater != self.initialReceive:
                return
            consumed = stream.granted - stream.receiveCredit - stream.held
            tuner = stream.tuner = Tuner(window, consumed, self._session.now)
        delta += self._widen(stream, tuner)
        window = tuner.window
        consumed = stream.granted - stream.receiveCredit - stream.held
        tuner.granted(stream.granted, self._session.now)
        if delta > 0 or self._capabilities.credit is Credit.CUMULATIVE:
            stream.receiveCredit += delta
            stream.granted += delta
            self._session.control(
                self._session.codec.encodeCredit(stream.key, delta, consumed, window)
            )
        stream.lowWater = window - grantStep(window) + 1
        if stream.flowing:
            stream.direct = stream.lowWater

    def _widen(self, stream: Stream, tuner: Tuner) -> int:
        """
        Let the window grow, if it should.

        @return: by how much, in bytes.
        """
        liveness = self._session.liveness
        if not liveness.measured:
            if self._capabilities.ping:
                self._session.measure()
            else:
                liveness.estimate(
                    tuner.roundTrip(
                        stream.granted - stream.receiveCredit, self._session.now
                    )
                )
        consumed = stream.granted - stream.receiveCredit - stream.held
        wanted = tuner.wanted(
            consumed, liveness.roundTrip, liveness.measured, self._session.now
        )
        wanted = min(wanted, self._config.maxWindow)
        more = wanted - tuner.window
        budget = self._config.receiveBudget or 0
        if more <= 0 or self._grown + more > budget:
            return 0
        tuner.window = wanted
        self._grown += more
        return more

    def forget(self, tuner: Tuner) -> None:
        """
        The stream has gone whose window that was.
        """
        self._grown -= tuner.window - self.window

    # Frames other than payload.

    def openReceived(self, key: Key, credit: int, name: bytes) -> None:
        session = self._session
        if session.over:
            return
        stream = self._streams.get(key)
        if stream is not None:
            self._breach(
                stream, self._capabilities.duplicateOpen, "opened while it is open"
            )
            return
        granted = self.initialSend
        if credit:
            granted = self._added(key, granted, credit)
        session.table.openedByPeer(key, granted, name)

    def _added(self, key: Key, credit: int, delta: int) -> int:
        try:
            return addCredit(credit, delta, self._capabilities.maxCredit)
        except FlowControlError as error:
            raise self._about(key, error) from None

    def _about(self, key: Key, error: FlowControlError) -> FlowControlError:
        return FlowControlError(f"stream {self._session.describeKey(key)}: {error}")

    def acceptReceived(self, key: Key, credit: int) -> None:
        stream = self._streams.get(key)
        if stream is None:
            self._strayFrame(key)
            return
        if credit:
            self._moreCredit(stream, credit)
        if stream.acknowledged:
            # Asked for by nobody, or sent twice; it changes nothing.
            self.idleReceived()
        else:
            self._session.opener.acknowledged(stream)

    def creditReceived(self, key: Key, delta: int) -> None:
        stream = self._streams.get(key)
        if stream is None:
            self._strayFrame(key)
            return
        self._moreCredit(stream, delta)

    def _moreCredit(self, stream: Stream, delta: int) -> None:
        stream.permit(self._added(stream.key, stream.sendCredit, delta))
        if stream.buffered and stream.turn == IDLE:
            self._session.unblocked(stream)

    def windowReceived(self, key: Key, consumed: int, window: int) -> None:
        stream = self._streams.get(key)
        if stream is None:
            self._strayFrame(key)
            return
        before = stream.sendCredit
        window = min(window, self._capabilities.maxCredit)
        try:
            credit = windowCredit(stream.bytesSent, consumed, window)
        except FlowControlError as error:
            raise self._about(key, error) from None
        stream.permit(credit)
        if credit == before:
            self.idleReceived()
        elif credit > 0 and stream.buffered and stream.turn == IDLE:
            self._session.unblocked(stream)

    def endReceived(self, key: Key) -> None:
        stream = self._streams.get(key)
        if stream is None:
            self._strayFrame(key)
            return
        session = self._session
        if not stream.acknowledged and self._capabilities.ack:
            # Some peers (hashicorp's yamux) have only this answer to a stream
            # that has ended before they accept it.  Its owner may do anything
            # when it hears of it: pause, resume, reset.
            session.opener.acknowledged(stream)
            if self._streams.get(key) is not stream:
                return
        state = afterReceiveEnd(stream.state)
        if state is None:
            self._breach(stream, self._capabilities.afterEnd, "ended twice")
            return
        stream.state = state
        deliver = stream.direct != NEVER
        stream.direct = NEVER
        if state is CLOSED:
            session.table.remove(stream)
        elif session.table.limitsHalfClosed:
            session.table.halfClosed(stream)
        if stream.handler is None:
            return
        if deliver:
            stream.handler.streamEnded()
        else:
            stream.endWaits = True

    def resetReceived(self, key: Key, code: int) -> None:
        stream = self._streams.get(key)
        if stream is None:
            self._strayFrame(key)
            return
        self.chargeReset()
        handler = stream.handler
        self._session.table.close(stream, RECEIVE_RESET)
        if handler is not None:
            handler.streamReset(code)

    def openOrEndReceived(self, key: Key) -> None:
        if key in self._streams:
            self.endReceived(key)
        elif not self._session.table.settleEnd(key):
            self.openReceived(key, 0, b"")

    def pingReceived(self, value: int) -> None:
        session = self._session
        if not session.over:
            session.control(session.codec.encodePong(value))

    def pongReceived(self, value: int) -> None:
        self._session.pong(value)

    def goAwayReceived(self, code: int) -> None:
        self._session.wentAway(code)

    def idleReceived(self) -> None:
        if not self._idles.take(self._session.now):
            raise LimitExceeded(
                "idleBurst", self._config.idleBurst, "too many frames without effect"
            )

    def _strayFrame(self, key: Key) -> None:
        if not self._session.over and key not in self.recent:
            self.idleReceived()

    def chargeReset(self) -> None:
        """
        A stream is reset by the peer, or because of it.

        @raise LimitExceeded: there are too many.
        """
        if not self._resets.take(self._session.now):
            raise LimitExceeded(
                "resetBurst", self._config.resetBurst, "too many streams reset"
            )

    def _breach(self, stream: Stream, consequence: Breach, what: str) -> None:
        if consequence is Breach.IGNORE:
            self.idleReceived()
            return
        error = ProtocolError(f"stream {self._session.describe(stream)}: {what}")
        if consequence is Breach.SESSION:
            raise error
        self.chargeReset()
        self._session.table.lose(stream, error)
