"""
What is to be sent, in the order in which it goes out.

Control frames (opens, acknowledgements, credit, resets, pongs) come before any
payload, in the order in which they came up.  A stream's end is no control
frame: it goes out behind the stream's payload, in the stream's turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted_mux.engine.scheduler import Scheduler

if TYPE_CHECKING:
    from twisted_mux.engine.stream import Piece, Stream
    from twisted_mux.wire.base import Codec

# Bytes that are no bulk data yet: streams that send that may have been idle, too,
# for want of credit.
_SMALL = 4096


class Outbox:
    """
    The control frames of one session, and its streams that have something to
    send.

    @ivar waiting: the control frames that wait.
    @ivar controlSize: how many bytes these are.
    @ivar bytesTaken: bytes taken so far.
    @ivar overtook: has a small message gone before others that send in bulk?
        Whoever wants to know resets it.
    @ivar done: the streams that L{settle} has something to tell.
    """

    __slots__ = (
        "_busy",
        "_sparse",
        "bytesTaken",
        "controlSize",
        "done",
        "overtook",
        "scheduler",
        "waiting",
    )

    def __init__(self, codec: Codec) -> None:
        self.scheduler = Scheduler(codec)
        self._sparse = self.scheduler.sparse
        self._busy = self.scheduler.busy
        self.waiting: list[Piece] = []
        self.done: list[Stream] = []
        self.controlSize = 0
        self.bytesTaken = 0
        self.overtook = False

    def take(self, room: int) -> list[Piece]:
        """
        See L{Session.takeOutput<twisted_mux.engine.session.Session>}.
        """
        out = self.waiting
        size = self.controlSize
        # A new list even if it was empty: this one is the caller's now.
        self.waiting = []
        self.controlSize = 0
        if self._busy and self._sparse and self._sparse[0].buffered < _SMALL:
            self.overtook = True
        size += self.scheduler.fill(out, room - size, self.done)
        self.bytesTaken += size
        return out

    def clear(self) -> None:
        """
        Send no more payload.
        """
        self.scheduler.clear()

    def settle(self) -> None:
        """
        Tell the streams whose data has been taken, and that wanted to know,
        one after the other.
        """
        done = self.done
        self.done = []
        for stream in done:
            handler = stream.handler
            if handler is None:
                continue
            if not stream.writable:
                handler.writingEnded()
            elif not stream.buffered:
                handler.writeBufferEmptied()
