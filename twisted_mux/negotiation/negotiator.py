"""
A handshake on a stream: what both sides have in common.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from twisted_mux.errors import HandshakeError, NotSupported
from twisted_mux.interfaces import IStreamTransport
from twisted_mux.negotiation.handshakes import Handshake

if TYPE_CHECKING:
    from twisted_mux.transport import StreamTransport

__all__ = ["Negotiator"]


class Negotiator(Protocol):
    """
    A stream's protocol for as long as the handshake lasts.

    @ivar stream: the stream's transport.
    @ivar handshake: the handshake.
    """

    stream: StreamTransport
    handshake: Handshake

    def connectionMade(self) -> None:
        """
        Begin.

        @raise NotSupported: this is no stream: what is on a plain connection has
            no name.
        """
        transport = cast("StreamTransport", self.transport)
        if not IStreamTransport.providedBy(transport):
            transport.loseConnection()
            raise NotSupported(
                f"names of protocols are agreed upon on streams, not on {transport!r}"
            )
        self.stream = transport
        self.handshake = self.begin(self.stream.longestMessage)
        self.stream.write(self.handshake.greet())

    def dataReceived(self, data: bytes) -> None:
        """
        Go on, or come to the end.
        """
        handshake = self.handshake
        try:
            answer = handshake.receive(data, not self.stream.payloadMissing)
        except HandshakeError as error:
            self.broken(error)
            return
        self.stream.write(answer)
        name = handshake.selected
        if name is not None:
            self.stream.protocolName = name
            self.stream.unread(handshake.unread)
            self.selected(name)
        elif handshake.over:
            self.refused(handshake.refused)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The stream is over, and the handshake is not.
        """
        self.lost(reason)

    def logPrefix(self) -> str:
        """
        How we are called in messages.
        """
        return "negotiation"

    # What each side has to say to it.

    def begin(self, longestMessage: int) -> Handshake:
        """
        The stream is there: make the handshake.

        @param longestMessage: how long a message may be, in bytes, where messages
            are frames; 0 elsewhere.
        """
        raise NotImplementedError(f"{type(self).__name__}.begin")

    def selected(self, name: bytes) -> None:
        """
        A name was agreed upon.
        """
        raise NotImplementedError(f"{type(self).__name__}.selected")

    def refused(self, names: list[bytes]) -> None:
        """
        No name was agreed upon.
        """
        raise NotImplementedError(f"{type(self).__name__}.refused")

    def broken(self, error: HandshakeError) -> None:
        """
        The peer broke a rule.
        """
        raise NotImplementedError(f"{type(self).__name__}.broken")

    def lost(self, reason: Failure) -> None:
        """
        The stream is over.
        """
        raise NotImplementedError(f"{type(self).__name__}.lost")
