"""
TLS on a stream that is connected already, through Twisted's own TLS layer.

The transport becomes a L{SecureStreamTransport}: the same object, and the same
slots, with the other class's methods.  So a stream without TLS pays nothing for
the possibility, neither in memory nor by asking at every write.  The TLS
protocol, which is the stream's protocol from then on, reaches the stream itself
through L{_Bypass}.
"""

from __future__ import annotations

from collections.abc import Iterable
from inspect import signature
from typing import Any, cast

from twisted.internet.interfaces import IProducer, ISSLTransport
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from twisted_mux.transport import StreamTransport, mustBeBytes

__all__ = ["SecureStreamTransport", "startTLS"]

# Older versions of Twisted have no such thing.
_TAKES_CLOCK = "clock" in signature(TLSMemoryBIOFactory).parameters


class _Bypass:
    """
    The transport of the TLS protocol: the stream as it was before.
    """

    def __init__(self, transport: StreamTransport) -> None:
        self._transport = transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        StreamTransport.write(self._transport, data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        StreamTransport.writeSequence(self._transport, data)

    def loseConnection(self, *args: object) -> None:
        StreamTransport.loseConnection(self._transport)

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        StreamTransport.registerProducer(self._transport, producer, streaming)

    def unregisterProducer(self) -> None:
        StreamTransport.unregisterProducer(self._transport)


@implementer(ISSLTransport)
class SecureStreamTransport(StreamTransport):
    """
    A stream under TLS.
    """

    __slots__ = ()

    TLS = True

    @property
    def _secure(self) -> TLSMemoryBIOProtocol:
        return cast(TLSMemoryBIOProtocol, self.protocol)

    def getHandle(self) -> Any:
        """
        The connection object of pyOpenSSL.
        """
        return self._secure.getHandle()

    def getPeerCertificate(self) -> Any:
        """
        See L{ISSLTransport}.
        """
        return self._secure.getPeerCertificate()

    def write(self, data: bytes) -> None:
        """
        Encrypt and send C{data}.
        """
        mustBeBytes(data)
        if self.connected:
            self._secure.write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """
        Encrypt and send all of C{data}.
        """
        pieces = list(data)
        for piece in pieces:
            mustBeBytes(piece)
        self.write(b"".join(pieces))

    def loseConnection(self, *_: object) -> None:
        """
        Close TLS, then the stream.
        """
        if self.connected and not self.disconnecting:
            self._secure.loseConnection()

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """
        See L{twisted.internet.interfaces.IConsumer}.
        """
        if self.disconnected:
            producer.stopProducing()
        else:
            self._secure.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """
        See L{twisted.internet.interfaces.IConsumer}.
        """
        if self.connected:
            self._secure.unregisterProducer()


def startTLS(transport: StreamTransport, contextFactory: Any, client: bool) -> None:
    """
    Put TLS between a connected stream and its protocol.

    @param client: is this side the client of TLS?
    """
    producer = transport.producer
    streaming = transport.streamingProducer
    if producer is not None:
        transport.unregisterProducer()
    # Small writes are put off to be joined, on the stream's reactor if it can be told.
    clock = {"clock": transport.reactor} if _TAKES_CLOCK else {}
    factory = TLSMemoryBIOFactory(contextFactory, client, cast(Any, None), **clock)
    secure = factory.protocol(factory, transport.protocol, False)
    transport.protocol = secure
    transport.__class__ = SecureStreamTransport
    secure.makeConnection(_Bypass(transport))
    if producer is not None:
        transport.registerProducer(producer, streaming)
