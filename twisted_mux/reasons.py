"""
Why a stream's C{connectionLost} was called, or a connect failed.

Each is an exception of this package's tree and at the same time the error of
L{twisted.internet.error} that existing protocols check for.  An orderly end is
L{twisted.internet.error.ConnectionDone} itself, and our own abort
L{twisted.internet.error.ConnectionAborted}: there is nothing to add to those.
"""

from __future__ import annotations

from twisted.internet.error import ConnectError, ConnectionLost
from twisted.internet.error import ConnectionRefusedError as TwistedRefused
from twisted.internet.error import TimeoutError as TwistedTimeout

from twisted_mux.errors import MuxError

__all__ = [
    "NegotiationFailed",
    "NegotiationTimeout",
    "NoPeer",
    "ProtocolRefused",
    "SessionLost",
    "StreamDropped",
    "StreamRefused",
    "StreamReset",
]


class StreamReset(MuxError, ConnectionLost):
    """
    The peer dropped the stream.
    """


class StreamDropped(MuxError, ConnectionLost):
    """
    The stream was dropped by this side because of what its peer did, or did
    not do.
    """


class SessionLost(MuxError, ConnectionLost):
    """
    The session came to its end, or its carrier was lost, with the stream open.
    """


class StreamRefused(MuxError, TwistedRefused):
    """
    The peer refused the stream.
    """


class NegotiationFailed(MuxError, ConnectError):
    """
    A stream was opened, but no protocol was agreed upon for it.

    @ivar refused: the names that the peer has refused, in the order in which
        they were proposed.
    """

    def __init__(self, text: str, refused: tuple[bytes, ...] = ()) -> None:
        super().__init__(string=text)  # type: ignore[no-untyped-call]
        self._text = text
        self.refused = refused

    def __str__(self) -> str:
        return self._text


class ProtocolRefused(NegotiationFailed, TwistedRefused):
    """
    The peer has none of the protocols that were proposed to it.
    """


class NegotiationTimeout(NegotiationFailed, TwistedTimeout):
    """
    No protocol was agreed upon in time.
    """


class NoPeer(MuxError, TwistedTimeout):
    """
    No peer has dialled in to whom a stream could be opened.
    """

    def __init__(self, text: str) -> None:
        super().__init__(string=text)  # type: ignore[no-untyped-call]
        self._text = text

    def __str__(self) -> str:
        return self._text
