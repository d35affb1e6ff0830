"""
Whose turn it is to send.

Data waits in the streams, not in the carrier, so that this question is asked as
late as possible.  The answer is that of fq_codel (RFC 8290, section 4.2), in
bytes rather than packets: streams that were idle (C{sparse}) go before streams
that have been sending (C{busy}), and each gets one quantum at a time.

  - A stream that becomes ready after it was idle gets a turn among the sparse
    ones.  What it has beyond a quantum makes it busy.
  - Busy streams take turns of at most a quantum each, in a ring.
  - A sparse stream that has sent all it had gets a place in the ring, without
    data, if there are busy ones.  Until its turn there comes it may go ahead of
    the ring again and again, but with no more than L{_AHEAD} bytes altogether
    (C{Stream.ahead}); with more it waits for that turn.
  - A busy stream that has sent all it had waits for its next turn in any case.

The third rule is where this differs from fq_codel, in which a stream goes ahead
once a round.  A round of packets is soon over; one of a hundred streams' frames
is some megabytes, and an echo would wait for that each time.  If such a stream had
no place in the ring, on the other hand, many small writes could starve the busy
ones; and if it could have a whole quantum ahead, one that sends in bulk in small
pieces would get several times the share of one that does so in large ones.

So each stream sends two quanta in a round at most, one ahead and one in its turn.
No more than that of every other stream goes out before what a stream has just
written; and nothing but what others have sent ahead, if it may go ahead itself.

A quantum is the longest frame.  Frames can be cut at any byte, so there is no
other deficit to carry over, as with packets.  Streams without data, or without
credit, are in neither queue after a round and cost nothing.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twisted_mux.engine.stream import Piece, Stream
    from twisted_mux.wire.base import Codec

# Bytes that are small messages still, altogether.
_AHEAD = 16 * 1024

# Stream.turn: which queue a stream waits in.  An idle one may have its place in
# the ring.
IDLE, SPARSE, BUSY = range(3)


class Scheduler:
    """
    The streams of one session that have something to send.

    @ivar payloadHeader: makes a frame's header.
    @ivar sparse: the streams that had nothing to send before.  Whoever puts
        one in sets its C{turn} to L{SPARSE}.
    @ivar busy: the ring: streams that had something to send when it was last
        their turn, and those that are C{ahead}.
    """

    __slots__ = ("_ahead", "_quantum", "busy", "payloadHeader", "sparse")

    def __init__(self, codec: Codec) -> None:
        self.payloadHeader = codec.headerMaker()
        self._quantum = codec.maxFrame
        self._ahead = min(_AHEAD, codec.maxFrame)
        self.sparse: deque[Stream] = deque()
        self.busy: deque[Stream] = deque()

    def addBusy(self, stream: Stream) -> None:
        """
        An idle stream goes on after it had to wait for credit.
        """
        stream.turn = BUSY
        if not stream.ahead:
            self.busy.append(stream)

    def clear(self) -> None:
        """
        Nobody has anything to send any more.
        """
        self.sparse.clear()
        self.busy.clear()

    def fill(self, out: list[Piece], room: int, done: list[Stream]) -> int:
        """
        Let streams have their turns, until about C{room} bytes are taken (the
        last one may exceed it by a frame) or none is ready.

        @param out: where frames are appended, in pieces.
        @param done: where streams are appended that wanted to know when they
            have sent all they had, or whose end was sent.
        @return: how many bytes were appended.
        """
        sparse = self.sparse
        busy = self.busy
        quantum = self._quantum
        payloadHeader = self.payloadHeader
        filled = 0
        # How many in the ring were there before.
        older = len(busy)
        while filled < room:
            if sparse:
                early = True
                stream = sparse.popleft()
                ahead = stream.ahead
                if ahead and ahead + stream.buffered > self._ahead:
                    stream.turn = BUSY
                    continue
            elif busy:
                early = False
                stream = busy.popleft()
                older -= 1
                if older < 0 and not stream.buffered and not stream.ending:
                    # It has only just sent all it had.  It is to hear of that, and
                    # may write more, before it loses its place.
                    busy.appendleft(stream)
                    break
                stream.ahead = ahead = 0
            else:
                break
            length = stream.buffered
            if length:
                credit = stream.sendCredit
                if length > quantum or length > credit:
                    credit = stream.usableCredit()
                    length = min(quantum, credit)
                    if length <= 0:
                        stream.turn = IDLE
                        continue
                stream.sendCredit = credit - length
                header = payloadHeader(stream.key, length)
                out.append(header)
                filled += len(header) + length
                if length == stream.buffered and not stream.offset:
                    out.append(stream.head)
                    if stream.rest is not None:
                        out.extend(stream.rest)
                        stream.rest = None
                    stream.head = b""
                    stream.buffered = 0
                else:
                    stream.take(length, out)
                    if stream.buffered:
                        stream.turn = BUSY
                        if early and ahead:
                            stream.ahead = ahead + length
                        else:
                            busy.append(stream)
                        continue
            if stream.ending:
                end = stream.takeEnd()
                out.append(end)
                filled += len(end)
                done.append(stream)
                stream.turn = IDLE
                continue
            if stream.wantsEmpty and length:
                done.append(stream)
            stream.turn = IDLE
            if busy and length:
                if not ahead:
                    busy.append(stream)
                if early:
                    stream.ahead = ahead + length
                else:
                    stream.turn = BUSY
        return filled
