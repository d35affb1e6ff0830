"""
C{startTLS} on a stream.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import twisted
from twisted.internet.error import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
)
from twisted.internet.interfaces import ISSLTransport, ITLSTransport
from twisted.internet.ssl import ClientContextFactory, KeyPair, PrivateCertificate
from zope.interface.verify import verifyObject

from twisted_mux.starttls import SecureStreamTransport
from twisted_mux.testing import SessionPair
from twisted_mux.testing.conformance import Producer, Recorder
from twisted_mux.transport import StreamTransport

pytestmark = pytest.mark.filterwarnings(
    "ignore:.* does not explicitly provide any OpenSSL connection-creator"
)

_PEM = (Path(twisted.__file__).parent / "test" / "server.pem").read_bytes()
_SERVER = PrivateCertificate.load(_PEM, KeyPair.load(_PEM, 1), 1).options()
_CLIENT = ClientContextFactory()


class Both:
    """
    A stream under TLS, in memory.
    """

    def __init__(self, start: bool = True) -> None:
        self.pair = SessionPair("yamux")
        self.client: Any = Recorder()
        self.server: Any = Recorder()
        self.pair.connect(self.client, self.server)
        self.pair.pump()
        self.transports = (self.client.transport, self.server.transport)
        if start:
            self.start()

    def start(self) -> None:
        """
        Start TLS on both sides, and let them shake hands.
        """
        self.client.transport.startTLS(_CLIENT)
        self.server.transport.startTLS(_SERVER)
        self.pair.pump()

    def end(self) -> None:
        """
        Close it all.
        """
        self.pair.lose()
        self.pair.pump()
        assert not self.pair.clock.getDelayedCalls()


def test_transportChanges() -> None:
    """
    The transport stays the same object, and the protocol's; it now is and
    provides what TLS on TCP does.
    """
    both = Both(start=False)
    assert {type(transport) for transport in both.transports} == {StreamTransport}
    assert not ISSLTransport.providedBy(both.client.transport)
    both.start()
    for recorder, transport in zip(
        (both.client, both.server), both.transports, strict=True
    ):
        assert recorder.transport is transport
        secure: Any = transport
        assert type(secure) is SecureStreamTransport
        verifyObject(ISSLTransport, transport)
        verifyObject(ITLSTransport, transport)
        assert transport.TLS is True
        assert transport.getHandle().get_protocol_version_name().startswith("TLS")
        assert recorder.events == ["made"]
    assert both.client.transport.getPeerCertificate() is not None
    assert not hasattr(both.client.transport, "__dict__")
    both.end()


def test_whatTLSSees() -> None:
    """
    The TLS protocol sees the stream with all that it has.
    """
    both = Both()
    secure = both.client.transport.protocol
    assert secure.getPeer() == both.client.transport.getPeer()
    assert secure.transport.streamId == both.client.transport.streamId
    # What it writes there is not encrypted again.
    secure.transport.writeSequence([])
    both.end()


def test_data() -> None:
    """
    What is written is encrypted on the way, and arrives.
    """
    both = Both()
    seen: list[bytes] = []
    received = both.pair.server.dataReceived

    def dataReceived(data: bytes) -> None:
        seen.append(data)
        received(data)

    both.pair.server.dataReceived = dataReceived  # type: ignore[method-assign]
    both.client.transport.write(b"secret words")
    both.client.transport.writeSequence([b", and ", b"more"])
    both.client.transport.writeSequence(piece for piece in (b" of", b" them"))
    both.server.transport.write(b"x" * 100_000)
    both.pair.pump()
    assert both.server.data == b"secret words, and more of them"
    assert both.client.data == b"x" * 100_000
    assert b"secret" not in b"".join(seen)
    both.end()


def test_onlyBytes() -> None:
    """
    Only bytes can be written, before the end and after.
    """
    both = Both()
    for _ in range(2):
        for wrong in ("text", bytearray(b"x"), memoryview(b"x")):
            with pytest.raises(TypeError):
                both.client.transport.write(wrong)
            with pytest.raises(TypeError):
                both.client.transport.writeSequence([b"x", wrong])
        both.client.transport.abortConnection()
        both.pair.pump()
    assert both.server.data == b""
    both.end()


def test_close() -> None:
    """
    C{loseConnection} closes TLS, then the stream; a second call does nothing,
    nor does anything else after the end.
    """
    both = Both()
    both.client.transport.write(b"last words")
    both.client.transport.loseConnection()
    both.client.transport.loseConnection()
    both.pair.pump()
    assert both.server.data == b"last words"
    for recorder in (both.client, both.server):
        assert type(recorder.reason) is ConnectionDone
        transport = recorder.transport
        transport.write(b"x")
        transport.writeSequence([b"x"])
        transport.loseConnection()
        transport.unregisterProducer()
        producer = Producer()
        transport.registerProducer(producer, True)
        assert producer.calls == ["stop"]
    both.end()


def test_abort() -> None:
    """
    C{abortConnection} works as without TLS.  (TLS has its own idea of the reason,
    over TCP as well.)
    """
    both = Both()
    both.client.transport.abortConnection()
    both.pair.pump()
    assert isinstance(both.client.reason, (ConnectionAborted, ConnectionLost))
    assert both.server.gone
    both.end()


# Pull producers are not here: Twisted's TLS drives them with its global cooperator,
# on the real reactor.


def test_producerAfterwards() -> None:
    """
    A producer of the protocol's is paused and resumed under TLS, too.
    """
    both = Both()
    producer = Producer()
    transport = both.client.transport
    transport.registerProducer(producer, True)
    transport.write(bytes(300_000))
    both.pair.pump()
    assert producer.calls[-1] == "resume"
    assert len(both.server.received) == 300_000
    transport.unregisterProducer()
    transport.loseConnection()
    both.pair.pump()
    assert type(both.client.reason) is ConnectionDone
    both.end()


def test_producerBefore() -> None:
    """
    A producer that is registered when TLS is started stays registered.
    """
    both = Both(start=False)
    producer = Producer()
    transport = both.client.transport
    transport.registerProducer(producer, True)
    both.start()
    before = len(producer.calls)
    transport.write(bytes(300_000))
    both.pair.pump()
    assert len(producer.calls) > before
    assert producer.calls[-1] == "resume"
    transport.unregisterProducer()
    both.end()


def test_pause() -> None:
    """
    Pausing the transport holds the peer up under TLS, too.
    """
    both = Both()
    both.server.transport.pauseProducing()
    both.client.transport.write(bytes(2_000_000))
    both.pair.pump()
    assert len(both.server.received) == 0
    assert both.client.transport.engineStream.buffered > 0
    both.server.transport.resumeProducing()
    both.pair.pump()
    assert len(both.server.received) == 2_000_000
    both.end()


def test_otherWayRound() -> None:
    """
    With C{normal=False} the side that opened the stream is TLS's server.
    """
    both = Both(start=False)
    both.client.transport.startTLS(_SERVER, False)
    both.server.transport.startTLS(_CLIENT, False)
    both.pair.pump()
    both.client.transport.write(b"x")
    both.pair.pump()
    assert both.server.data == b"x"
    both.end()


def test_rightAfterAWrite() -> None:
    """
    What was written before goes in the clear: that is how STARTTLS answers.
    """
    both = Both(start=False)
    both.server.transport.write(b"go ahead")
    both.server.transport.startTLS(_SERVER)
    both.pair.pump()
    assert both.client.data == b"go ahead"
    both.client.transport.startTLS(_CLIENT)
    both.client.transport.write(b"secret")
    both.pair.pump()
    assert both.server.data == b"secret"
    both.end()


def test_handshakeFails() -> None:
    """
    A peer that does not speak TLS costs the stream, and nothing else.
    """
    both = Both(start=False)
    both.server.transport.startTLS(_SERVER)
    both.client.transport.write(b"HELO there, this is no handshake\r\n" * 100)
    both.pair.pump()
    assert both.server.gone
    assert both.client.gone
    assert not both.pair.server.over
    both.end()


def test_brokenContext() -> None:
    """
    A context that can't be made raises from C{startTLS}.
    """

    class Broken:
        def getContext(self) -> None:
            raise ZeroDivisionError

    both = Both(start=False)
    with pytest.raises(ZeroDivisionError):
        both.client.transport.startTLS(Broken())
    both.end()


def test_everyWriteTakesLittle() -> None:
    """
    Small writes are joined on the stream's own reactor, whatever that is.
    """
    both = Both()
    sent = both.pair.client.statistics().bytesSent
    for _ in range(1000):
        both.client.transport.write(b"x")
    both.pair.pump()
    assert both.server.data == b"x" * 1000
    assert both.pair.client.statistics().bytesSent - sent < 1200
    both.end()
