"""
Listening for whichever wire a client speaks: C{wire=auto}.

A L{DetectingProtocol} collects the first bytes of a connection until they tell
(L{twisted_mux.wire.detect}), makes a session of that wire and hands everything
over to it, the first bytes as well.

It stays the transport's protocol, since there is no way to replace it that all
transports know: those that wrap others keep their protocol under names of their
own.  So that it costs nothing for the rest of the connection, it puts the session's
methods in the place of its own.

A client that says nothing for a while, or something else, is dropped, with one line
in the log that says who sent what.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.interfaces import IDelayedCall, IHandshakeListener
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_mux.address import describeAddress
from twisted_mux.wire import UnknownBytes, detect
from twisted_mux.wire.base import Codec

if TYPE_CHECKING:
    from twisted_mux.admission import Visitor
    from twisted_mux.protocol import MuxProtocol

__all__ = ["DetectingProtocol"]


@implementer(IHandshakeListener)
class DetectingProtocol(Protocol):
    """
    A connection of which only the first bytes will tell the wire.
    """

    _log = Logger()

    def __init__(
        self,
        build: Callable[[type[Codec]], MuxProtocol],
        seconds: float,
        reactor: Any,
        visitor: Visitor | None = None,
    ) -> None:
        """
        @param build: makes a session for a wire.
        @param seconds: how long the client has to say what it speaks; 0 is for
            ever.
        @param visitor: told when the client has gone before its wire was known.
        """
        self._visitor = visitor
        self._build = build
        self._seconds = seconds
        self._reactor = reactor
        self._begin = b""
        self._timeout: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """
        The client is expected to speak.
        """
        if self._seconds:
            self._timeout = self._reactor.callLater(self._seconds, self._timedOut)

    def handshakeCompleted(self) -> None:
        """
        Nothing: what the session waits for is the first bytes, and these come
        later.
        """

    def dataReceived(self, data: bytes) -> None:
        """
        Look at the first bytes, or hand over.
        """
        self._begin += data
        try:
            codec = detect(self._begin)
        except UnknownBytes as error:
            self._refuse(str(error))
            return
        if codec is None:
            return
        self._stopTimeout()
        session = self._build(codec)
        handOver = cast(Any, self)
        handOver.dataReceived = session.dataReceived
        handOver.connectionLost = session.connectionLost
        transport = self.transport
        assert transport is not None
        session.makeConnection(transport)  # type: ignore[no-untyped-call]
        if IHandshakeListener.providedBy(session):
            # There was data, so that is over.
            cast(IHandshakeListener, session).handshakeCompleted()
        session.dataReceived(self._begin)
        self._begin = b""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        It has gone before it was known.
        """
        self._stopTimeout()
        if self._visitor is not None:
            self._visitor.leave()

    def _timedOut(self) -> None:
        self._timeout = None
        sent = f"only {self._begin.hex(' ')}" if self._begin else "nothing"
        self._refuse(
            f"the peer sent {sent} within {self._seconds:g} seconds "
            f"(limit detectTimeout: {self._seconds:g})"
        )

    def _refuse(self, why: str) -> None:
        self._stopTimeout()
        transport = cast(Any, self.transport)
        self._log.warn(
            "carrier from {peer} refused: {why}",
            peer=describeAddress(transport.getPeer()),
            why=why,
        )
        handOver = cast(Any, self)
        handOver.dataReceived = _ignore
        abort = getattr(transport, "abortConnection", transport.loseConnection)
        abort()

    def _stopTimeout(self) -> None:
        call = self._timeout
        self._timeout = None
        if call is not None:
            call.cancel()


def _ignore(data: bytes) -> None:
    """
    What comes from a peer that was refused.
    """
