"""
The streams of the soak over sockets: what is sent on them, and what is checked.

What a side sends on a stream is a part of a text that both know, at a place that is
drawn for each stream.  So whoever receives knows at every moment what it must have
received, even of a stream that was cut, and cannot take one stream's bytes for
another's.

A stream begins with a L{Header} of its opener's, which says what each side will send
and what will happen.  The plans are those that protocols have: both sides send and
half-close, and the side that was called answers with the hash of all that it got
(L{EXCHANGE}); one side aborts in the middle; the opener sends all it has and closes.

B{What counts as lost.}  A direction has ended cleanly when its reader was told so by
an end, not by a loss; then all of it must be there.  A wire without a reset tells an
abort by an end, as its specification has it, so the direction of a side that was to
abort is checked for wrong bytes only.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from struct import Struct
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import (
    IDelayedCall,
    IHalfCloseableProtocol,
    IPullProducer,
    IPushProducer,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_mux.reasons import SessionLost, StreamReset
from twisted_mux.wire import codecNamed

#: In place of a wire: what concerns all of them.
EVERY = "every wire"
#: The plans.
EXCHANGE, OPENER_ABORTS, ACCEPTER_ABORTS, SEND_ONLY = range(4)

_HEADER = Struct(">BIIIIH")
_DIGEST = hashlib.sha256().digest_size
# Both sides make the same text of it.
_TEXT = Random(20).randbytes(1 << 20)
# The longest piece that is written at once.
_PIECE = 60_000
_ENDLESS = _TEXT + _TEXT[:_PIECE]
# How often a reader pauses, for each chunk, and for how many seconds at most.
_PAUSES = 0.03
_LONGEST_PAUSE = 0.4


def piece(place: int, length: int) -> bytes:
    """
    So many bytes, L{_PIECE} at most, of the text without end, from a place on.
    """
    begin = place % len(_TEXT)
    return _ENDLESS[begin : begin + length]


def hashOf(place: int, length: int) -> Any:
    """
    The hash, to which more can be added, of any number of them.
    """
    hashed = hashlib.sha256()
    while length > 0:
        size = min(length, _PIECE)
        hashed.update(piece(place, size))
        place += size
        length -= size
    return hashed


@dataclass(frozen=True)
class Header:
    """
    What is going to happen on a stream.

    @ivar plan: one of the plans.
    @ivar up: from where on the opener sends the text,
    @ivar upSize: and how much of it.
    @ivar down: the same for the accepter,
    @ivar downSize: without the hash that follows.
    @ivar abortAfter: milliseconds until the side that is to abort does so.
    """

    plan: int
    up: int
    upSize: int
    down: int
    downSize: int
    abortAfter: int

    SIZE = _HEADER.size

    @classmethod
    def drawn(cls, random: Random) -> Header:
        """
        Mostly short streams, and some that fill every window there is.
        """

        def size() -> int:
            return min(int(random.lognormvariate(8.5, 2.2)), 4_000_000)

        plan = random.choices(range(4), (70, 8, 8, 14))[0]
        return cls(
            plan,
            random.getrandbits(32),
            size(),
            random.getrandbits(32),
            0 if plan == SEND_ONLY else size(),
            random.randrange(300),
        )

    @classmethod
    def decoded(cls, data: bytes) -> Header:
        """
        What the peer sent.
        """
        return cls(*_HEADER.unpack(data))

    def encode(self) -> bytes:
        """
        As it is sent.
        """
        return _HEADER.pack(
            self.plan,
            self.up,
            self.upSize,
            self.down,
            self.downSize,
            self.abortAfter,
        )


@dataclass
class Tally:
    """
    What became of the streams of one wire on one side.

    @ivar counts: how many there were of each kind.
    @ivar violations: what must not happen, in words.
    """

    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """
        Count those as well.
        """
        self.counts.update(other.counts)
        self.violations += other.violations


class Side:
    """
    What the streams of one process share.

    @ivar live: the streams that there are.
    @ivar tallies: what became of them, by wire.
    @ivar stopping: are no more to be opened?
    """

    def __init__(self, reactor: Any, seed: int) -> None:
        self.reactor = reactor
        self.random = Random(seed)
        self.live: set[Party] = set()
        self.tallies: dict[str, Tally] = {}
        self.stopping = False

    def tally(self, wire: str) -> Tally:
        """
        That of a wire.
        """
        return self.tallies.setdefault(wire, Tally())

    def accepter(self, wire: str) -> Any:
        """
        A factory for the streams that the peer opens.
        """
        factory = Factory.forProtocol(lambda: Accepter(self, wire))
        factory.noisy = False
        return factory

    def opener(self, wire: str) -> Opener:
        """
        A protocol for a stream that we open.
        """
        return Opener(self, wire, Header.drawn(self.random))

    def takeTallies(self) -> dict[str, Tally]:
        """
        The tallies, which begin anew.
        """
        taken = self.tallies
        self.tallies = {}
        return taken

    def checkAge(self, seconds: float) -> None:
        """
        Note, and abort, the streams that have not ended in so many seconds.
        """
        before = self.reactor.seconds() - seconds
        for party in [each for each in self.live if each.began < before]:
            party.complain(f"has not ended in {seconds:g} seconds")
            party.transport.abortConnection()


@implementer(IPullProducer, IPushProducer)
class _Sender:
    """
    Sends a part of the text, as a push or a pull producer.
    """

    def __init__(self, party: Party, place: int, size: int, streaming: bool) -> None:
        self._party = party
        self._place = place
        self._left = size
        self._streaming = streaming
        self._paused = False

    def start(self) -> None:
        """
        Begin.
        """
        self._party.transport.registerProducer(self, self._streaming)
        if self._streaming:
            self.resumeProducing()

    def pauseProducing(self) -> None:
        """
        See L{IPushProducer}.
        """
        self._paused = True

    def stopProducing(self) -> None:
        """
        See L{IPushProducer}.
        """
        self._paused = True
        self._left = -1

    def resumeProducing(self) -> None:
        """
        Write a piece; as a push producer more of them, until told to pause.
        """
        self._paused = False
        party = self._party
        while self._left > 0 and not self._paused:
            length = min(self._left, party.side.random.randint(1, _PIECE))
            data = piece(self._place, length)
            self._place += length
            self._left -= length
            party.transport.write(data)
            if not self._streaming:
                break
        if self._left == 0:
            self._left = -1
            party.transport.unregisterProducer()
            party.sent()


@implementer(IHalfCloseableProtocol)
class Party(Protocol):
    """
    One side of a stream.

    @ivar began: when it was connected.
    """

    transport: Any
    opener = False
    began = 0.0

    def __init__(self, side: Side, wire: str) -> None:
        self.side = side
        self.wire = wire
        self._header: Header | None = None
        self._received = 0
        self._hash = hashlib.sha256()
        self._calls: list[IDelayedCall] = []
        self._sent = self._ended = self._aborted = self._lost = False

    @property
    def _tally(self) -> Tally:
        return self.side.tally(self.wire)

    def connectionMade(self) -> None:
        self.began = self.side.reactor.seconds()
        self.side.live.add(self)
        self._tally.counts["opened" if self.opener else "accepted"] += 1

    def complain(self, what: str) -> None:
        """
        Something is not as it has to be.
        """
        who = "opener" if self.opener else "accepter"
        self._tally.violations.append(
            f"{self.wire}, {who}, {self._header}: {what} ({self._received} bytes came)"
        )

    def begin(self, header: Header) -> None:
        """
        It is known what is to be done.
        """
        self._header = header
        place, size = self._outgoing
        streaming = self.side.random.random() < 0.5
        if header.plan == (OPENER_ABORTS if self.opener else ACCEPTER_ABORTS):
            self._later(header.abortAfter / 1000, self._abort)
        _Sender(self, place, size, streaming).start()

    @property
    def _outgoing(self) -> tuple[int, int]:
        header = self._header
        assert header is not None
        if self.opener:
            return header.up, header.upSize
        return header.down, header.downSize

    def _later(self, seconds: float, call: Callable[[], object]) -> None:
        self._calls = [each for each in self._calls if each.active()]
        self._calls.append(self.side.reactor.callLater(seconds, call))

    def _abort(self) -> None:
        self._aborted = True
        self.transport.abortConnection()

    def sent(self) -> None:
        """
        All that was to be sent has been written.
        """
        self._sent = True

    def dataReceived(self, data: bytes) -> None:
        if self._lost or self._ended:
            self.complain("data after the end")
        self._received += len(data)
        self._hash.update(data)
        random = self.side.random
        if random.random() < _PAUSES:
            self.transport.pauseProducing()
            seconds = random.random() * _LONGEST_PAUSE
            self._later(seconds, lambda: self.transport.resumeProducing())

    def readConnectionLost(self) -> None:
        if self._ended:
            self.complain("a second end")
        self._ended = True

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._lost:
            self.complain("a second loss")
        self._lost = True
        self.side.live.discard(self)
        for call in self._calls:
            if call.active():
                call.cancel()
        self._calls.clear()
        self._check(reason)

    def _check(self, reason: Failure) -> None:
        header = self._header
        counts = self._tally.counts
        if reason.check(ConnectionDone):
            counts["done"] += 1
        elif reason.check(SessionLost):
            counts["cut"] += 1
        elif reason.check(ConnectionAborted, StreamReset):
            # Without a header: its opener has aborted before that was sent.
            if header is None or header.plan in (OPENER_ABORTS, ACCEPTER_ABORTS):
                counts["aborted"] += 1
            elif self.opener and reason.check(StreamReset) and not self._received:
                counts["refused"] += 1
            else:
                self.complain(f"was dropped, which was not planned: {reason.value}")
        else:
            self.complain(f"was lost: {reason.value!r}")
        if header is not None:
            self._checkReceived(header)

    def _checkReceived(self, header: Header) -> None:
        if self.opener:
            place, size, theirs = header.down, header.downSize, ACCEPTER_ABORTS
            answer = _DIGEST if header.plan == EXCHANGE else 0
        else:
            place, size, theirs = header.up, header.upSize, OPENER_ABORTS
            answer = 0
        counts = self._tally.counts
        received = self._received
        counts["bytes"] += received
        if self._ended and header.plan != theirs:
            if (
                not received
                and self.opener
                and not codecNamed(self.wire).capabilities.reset
            ):
                # How such a wire refuses a stream.
                counts["refused"] += 1
                return
            counts["ended"] += 1
            counts["endedBytes"] += received
            if received != size + answer:
                counts["lostBytes"] += abs(size + answer - received)
                self.complain(f"{size + answer} bytes were sent")
                return
        expected = hashOf(place, min(received, size))
        if received > size:
            whole = hashOf(header.up, header.upSize).digest()
            expected.update(whole[: received - size])
        if expected.digest() != self._hash.digest():
            counts["wrongStreams"] += 1
            self.complain("other bytes came than were sent")


class Opener(Party):
    """
    The side that opens.

    @ivar done: fires when the stream is over.
    """

    opener = True

    def __init__(self, side: Side, wire: str, header: Header) -> None:
        super().__init__(side, wire)
        self._drawn = header
        self.done: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.write(self._drawn.encode())
        self.begin(self._drawn)

    def sent(self) -> None:
        super().sent()
        if self._drawn.plan == SEND_ONLY:
            self.transport.loseConnection()
        else:
            self.transport.loseWriteConnection()
            self._maybeClose()

    def readConnectionLost(self) -> None:
        super().readConnectionLost()
        self._maybeClose()

    def _maybeClose(self) -> None:
        if self._sent and self._ended:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self.done.callback(None)


class Accepter(Party):
    """
    The side that is called.
    """

    def __init__(self, side: Side, wire: str) -> None:
        super().__init__(side, wire)
        self._first = b""

    def dataReceived(self, data: bytes) -> None:
        if self._header is None:
            self._first += data
            if len(self._first) < Header.SIZE:
                return
            data = self._first[Header.SIZE :]
            self.begin(Header.decoded(self._first[: Header.SIZE]))
        if data:
            super().dataReceived(data)

    def sent(self) -> None:
        super().sent()
        self._maybeClose()

    def readConnectionLost(self) -> None:
        super().readConnectionLost()
        if self._header is None:
            # Its opener aborted before it had sent as much, on a wire without reset.
            self.transport.loseConnection()
        else:
            self._maybeClose()

    def _maybeClose(self) -> None:
        if not (self._sent and self._ended):
            return
        header = self._header
        if header is not None and header.plan == EXCHANGE:
            self.transport.write(self._hash.digest())
        self.transport.loseConnection()
