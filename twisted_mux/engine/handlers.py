"""
What the engine calls: the three kinds of object that its user provides.

They are structural types: nothing has to inherit from them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from twisted_mux.engine.stream import Stream
    from twisted_mux.errors import LimitExceeded, MuxError


class Receiver(Protocol):
    """
    What takes a stream's payload.
    """

    def dataReceived(self, data: bytes) -> object:
        """
        Take a chunk, never empty.  It may do anything to this stream, to
        others and to the session.  If it raises, the stream's handler is told.
        """


class StreamHandler(Protocol):
    """
    What is told of everything else that happens to a stream.  Each method may
    do anything to this stream, to others and to the session, and must not
    raise.
    """

    def streamAccepted(self) -> None:
        """
        The peer acknowledged the stream that we opened.  Once at most.
        """

    def streamEnded(self) -> None:
        """
        The peer's direction is at its end, and all of it was delivered.  Once.
        """

    def streamReset(self, code: int) -> None:
        """
        The peer dropped the stream (or refused it, if it had not accepted it
        yet).  The stream is gone; nothing else follows.
        """

    def streamLost(self, error: MuxError | None) -> None:
        """
        The session is over, or it had to drop this stream.  The stream is
        gone; nothing else follows.

        @param error: why, or C{None} if the carrier was lost.
        """

    def writeBufferEmptied(self) -> None:
        """
        All that was written has been taken, and C{wantsEmpty} was set.
        """

    def writingEnded(self) -> None:
        """
        All that was written has been taken, and the end behind it.  Once.
        """

    def receiverFailed(self) -> None:
        """
        The receiver raised: called while the exception is being handled.
        """


class SessionHandler(Protocol):
    """
    What a session tells its driver.  No method may raise.
    """

    def wake(self, afresh: bool) -> None:
        """
        There is something to do: call L{Session.turn}, then send, soon.

        @param afresh: it must come after everything that has been put off
            until now, even if a turn is due already.
        """

    def tickAt(self, when: float) -> None:
        """
        Call L{Session.tick} at that time; earlier requests are void.
        """

    def streamOpened(self, stream: Stream) -> None:
        """
        The peer opened a stream.  Set its C{handler} and C{receiver}, or it
        is refused; its payload comes in a later turn.
        """

    def opensAllowed(self) -> None:
        """
        C{Session.opener.mayOpen} has become true again.
        """

    def limitReached(self, error: LimitExceeded) -> None:
        """
        A stream of the peer's is refused, since as many as may be are there.
        Said once a minute at most for each limit, however many follow.
        """

    def receiverFailed(self, stream: Stream) -> None:
        """
        A receiver raised after its stream's handler had left: called while
        the exception is being handled.
        """

    def pongReceived(self, value: int, seconds: float) -> None:
        """
        A ping of ours was answered, after so many seconds.
        """

    def goAwayReceived(self, code: int) -> None:
        """
        The peer takes no more streams.
        """

    def sessionEnded(self, error: MuxError | None) -> None:
        """
        It is over, and every stream has been told: send what is left, then
        close the carrier.  Called once, unless the carrier was lost or
        L{Session.abort} called.

        @param error: why, or C{None} when it was drained.
        """
