"""
Which stream it is: what a transport tells of its stream, and changes nothing by
that.

L{StreamIdentity} answers for a stream of the engine: what it is called, who is at
its ends, what has moved, how it stands in the log.  What happens to the stream is
L{StreamTransport<twisted_mux.transport.StreamTransport>}'s affair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from twisted.internet.interfaces import ILoggingContext

if TYPE_CHECKING:
    from twisted_mux.engine.stream import Stream
    from twisted_mux.protocol import MuxProtocol

__all__ = ["StreamIdentity"]


class StreamIdentity:
    """
    What a stream's transport tells of it.  It answers after the end, too.
    """

    __slots__ = ("__weakref__", "_mux", "_stream")

    # Set by the transport: calling for it would cost each stream that is opened.
    _mux: MuxProtocol
    _stream: Stream
    connected: bool

    def __repr__(self) -> str:
        state = "connected" if self.connected else "not connected"
        return f"<{type(self).__name__} {self.wire} stream {self.streamId} {state}>"

    @property
    def engineStream(self) -> Stream:
        """
        The engine's stream.
        """
        return self._stream

    # What IStreamTransport adds.

    @property
    def session(self) -> MuxProtocol:
        """
        The session that the stream belongs to.
        """
        return self._mux

    @property
    def wire(self) -> str:
        """
        The name of the wire protocol.
        """
        return self._mux.wire

    @property
    def streamId(self) -> str:
        """
        What the wire protocol calls the stream.
        """
        return self._mux.describeStream(self._stream)

    @property
    def name(self) -> bytes:
        """
        The name that the stream was opened with, or C{b""}.
        """
        return self._stream.name

    @property
    def address(self) -> tuple[str, int] | None:
        """
        The address that the stream was opened with, on wires that have such.
        """
        return self._mux.addressOfStream(self._stream)

    @property
    def opener(self) -> bool:
        """
        Did this side open the stream?
        """
        return not self._stream.inbound

    @property
    def bytesReceived(self) -> int:
        """
        Bytes of payload that have arrived.
        """
        return self._stream.bytesReceived

    @property
    def bytesSent(self) -> int:
        """
        Bytes of payload that have been handed to the carrier.
        """
        return self._stream.bytesSent

    @property
    def longestMessage(self) -> int:
        """
        How many bytes can be sent as one message, where frames are messages;
        0 elsewhere.
        """
        codec = self._mux.engine.codec
        return codec.maxFrame if codec.capabilities.messages else 0

    @property
    def payloadMissing(self) -> int:
        """
        How many bytes the message that is being delivered lacks, where frames
        are messages; 0 elsewhere.
        """
        return self._mux.engine.codec.payloadMissing(self._stream.key)

    @property
    def reactor(self) -> Any:
        """
        The reactor of the carrier.
        """
        return self._mux.reactor

    def getHost(self) -> Any:
        """
        This side's address of the carrier.
        """
        return self._mux.hostAddress

    def getPeer(self) -> Any:
        """
        The other side's address of the carrier.
        """
        return self._mux.peerAddress

    def logPrefix(self) -> str:
        """
        As that of a TCP connection, with the stream's id for its number.
        """
        protocol: object = self._stream.receiver
        if ILoggingContext.providedBy(protocol):
            prefix = cast(Any, protocol).logPrefix()
        else:
            prefix = "-" if protocol is None else type(protocol).__name__
        if not self._stream.inbound:
            return f"{prefix},client"
        host = getattr(self._mux.peerAddress, "host", self._mux.wire)
        return f"{prefix},{self.streamId},{host}"
