"""
Whose turn it is to send.

Data waits in the streams, not in the carrier, so that this question is asked as
late as possible.  The answer is that of fq_codel (RFC 8290, section 4.2), in
bytes rather than packets: streams that were idle (C{sparse}) go before streams
that have been sending (C{busy}), and each gets one quantum at a time.

  - A stream that becomes ready after it was idle gets a turn among the sparse
    ones.  What it has beyond a quantum makes it busy.
  - Busy streams take turns of at most a quantum each, in a ring.
  - A sparse stream that has sent all it had stays in the ring, without data,
    until its turn there comes, if there are busy ones.  If it were idle at
    once, a stream with a small write every now and then would be sparse every
    time, and many of those could starve the busy ones.  So each stream gets at
    most one quantum ahead of the ring in every round of the ring.

So at most one quantum of every other stream is sent before what a stream has
just written, and nothing but the other sparse ones if it was idle.

A quantum is the longest frame.  Frames can be cut at any byte, so there is no
deficit to carry over, as with packets.  Streams without data, or without
credit, are in neither queue and cost nothing.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twisted_mux.engine.stream import Piece, Stream
    from twisted_mux.wire.base import Codec

# Stream.turn: which queue a stream is in.
IDLE, SPARSE, BUSY = range(3)


class Scheduler:
    """
    The streams of one session that have something to send.

    @ivar payloadHeader: makes a frame's header.
    @ivar sparse: the streams that had nothing to send before.  Whoever puts
        one in sets its C{turn} to L{SPARSE}.
    @ivar busy: the streams that had something to send when it was last their turn.
    """

    __slots__ = ("_quantum", "busy", "payloadHeader", "sparse")

    def __init__(self, codec: Codec) -> None:
        self.payloadHeader = codec.headerMaker()
        self._quantum = codec.maxFrame
        self.sparse: deque[Stream] = deque()
        self.busy: deque[Stream] = deque()

    def addBusy(self, stream: Stream) -> None:
        """
        A stream that is in no queue goes on after it had to wait for credit.
        """
        stream.turn = BUSY
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
        while filled < room:
            if sparse:
                stream = sparse.popleft()
            elif busy:
                stream = busy.popleft()
            else:
                break
            length = stream.buffered
            if length > quantum or (length > stream.sendCredit and length):
                length = min(quantum, stream.usableCredit())
                if length <= 0:
                    stream.turn = IDLE
                    continue
            if length:
                stream.sendCredit -= length
                header = payloadHeader(stream.key, length)
                out.append(header)
                if stream.rest is None and length == stream.buffered:
                    out.append(stream.head)
                    stream.head = b""
                    stream.buffered = 0
                else:
                    stream.take(length, out)
                filled += len(header) + length
                if stream.buffered:
                    stream.turn = BUSY
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
            if busy and length:
                stream.turn = BUSY
                busy.append(stream)
            else:
                stream.turn = IDLE
        return filled
