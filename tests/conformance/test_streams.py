"""
What a stream's transport is and does beyond a TCP connection's: on every wire.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from twisted.internet.interfaces import (
    IHalfCloseableDescriptor,
    IHandshakeListener,
    IReadWriteDescriptor,
    ISSLTransport,
    ISystemHandle,
    ITLSTransport,
    IUNIXTransport,
)
from twisted.internet.protocol import Factory
from zope.interface.verify import verifyObject

from tests.conformance.streams import capabilities, connect
from twisted_mux.errors import NotSupported, UsageError
from twisted_mux.interfaces import IMuxSession, IStreamTransport
from twisted_mux.testing import OneProtocol, SessionPair
from twisted_mux.testing.conformance import (
    HalfCloser,
    Producer,
    Recorder,
)

if TYPE_CHECKING:
    pass


# What it is.


def test_interfaces(pair: SessionPair) -> None:
    """
    It declares what it is, and nothing of a socket's.
    """
    for recorder in connect(pair):
        transport = recorder.transport
        verifyObject(IStreamTransport, transport)
        verifyObject(ITLSTransport, transport)
        for interface in (
            IHalfCloseableDescriptor,
            IHandshakeListener,
            IReadWriteDescriptor,
            ISSLTransport,
            ISystemHandle,
            IUNIXTransport,
        ):
            assert not interface.providedBy(transport), interface
        assert transport.TLS is False
    verifyObject(IMuxSession, pair.client)


def test_carrierDoesNotShowThrough(pair: SessionPair) -> None:
    """
    Nothing of the carrier's is to be had by asking the stream, least of all
    what L{twisted.web} looks for.
    """
    client, _ = connect(pair)
    for name in ("negotiatedProtocol", "getHandle", "socket", "fileno", "logstr"):
        assert not hasattr(client.transport, name)


def test_attributes(pair: SessionPair) -> None:
    """
    A stream says which session it belongs to, who opened it and what it is
    called.
    """
    client, server = connect(pair)
    assert client.transport.session is pair.client
    assert server.transport.session is pair.server
    assert client.transport.opener is True
    assert server.transport.opener is False
    assert client.transport.wire == server.transport.wire == pair.client.wire
    assert client.transport.streamId == server.transport.streamId
    assert client.transport.name == server.transport.name == b""
    assert client.transport.streamId in repr(client.transport)
    assert "not connected" not in repr(client.transport)
    accepter, opener = Recorder(), Recorder()
    pair.connect(opener, accepter, pair.server)
    pair.pump()
    ours, theirs = cast(Any, accepter.transport), cast(Any, opener.transport)
    assert (ours.opener, theirs.opener) == (False, True)
    assert ours.streamId == theirs.streamId != client.transport.streamId
    client.transport.loseConnection()
    pair.pump()
    assert "not connected" in repr(client.transport)
    assert client.transport.streamId == server.transport.streamId


def test_name(pair: SessionPair) -> None:
    """
    A name goes with the stream where the wire can, and is refused where it
    can't.
    """
    if capabilities(pair).names:
        client, server = connect(pair, name=b"what for")
        assert client.transport.name == server.transport.name == b"what for"
    else:
        failures: list[Any] = []
        pair.client.openStream(Factory.forProtocol(Recorder), b"what for").addErrback(
            failures.append
        )
        pair.pump()
        assert failures[0].check(NotSupported, UsageError)


def test_address(pair: SessionPair) -> None:
    """
    A stream is labelled with a socket address where the wire does that;
    elsewhere asking for one is an error.
    """
    results: list[Any] = []
    server = Recorder()
    pair.server.streamFactory = OneProtocol(server)
    pair.client.openStream(
        Factory.forProtocol(Recorder), address=("192.0.2.9", 99)
    ).addBoth(results.append)
    pair.pump()
    if capabilities(pair).addressed:
        assert results[0].transport.address == ("192.0.2.9", 99)
        assert cast(Any, server.transport).address == ("192.0.2.9", 99)
    else:
        assert results[0].check(UsageError)
        client, _ = connect(pair)
        assert client.transport.address is None


def test_counts(pair: SessionPair) -> None:
    """
    A stream counts the bytes of its payload.
    """
    client, server = connect(pair)
    for _ in range(3):
        client.transport.write(bytes(100_000))
        server.transport.write(b"x")
        pair.pump()
    assert client.transport.bytesSent == server.transport.bytesReceived == 300_000
    assert server.transport.bytesSent == client.transport.bytesReceived == 3


def test_addressesAreTheCarriers(pair: SessionPair) -> None:
    """
    Host and peer are the carrier's, exactly: protocols look into them.
    """
    client, server = connect(pair)
    assert client.transport.getHost() == pair.carrier.CLIENT
    assert client.transport.getPeer() == pair.carrier.SERVER
    assert server.transport.getHost() == pair.carrier.SERVER
    assert type(server.transport.getPeer()) is type(pair.carrier.CLIENT)


def test_logPrefix(pair: SessionPair) -> None:
    """
    The accepting side's prefix has the stream's id and the peer's host.
    """
    client, server = connect(pair)
    assert client.transport.logPrefix() == "Recorder,client"
    assert (
        server.transport.logPrefix()
        == f"Recorder,{server.transport.streamId},192.0.2.1"
    )
    client.transport.abortConnection()
    pair.pump()
    assert client.transport.logPrefix() == "-,client"


def test_logContextOfEverything(pair: SessionPair) -> None:
    """
    Every callback runs in its own stream's context, the first and the last
    included, and a producer's as well.
    """
    client, server = connect(pair, HalfCloser(), HalfCloser())
    prefix = server.transport.logPrefix()
    seen = []

    def produce() -> None:
        server.note("resume")
        seen.append(server.systems["resume"])

    server.transport.registerProducer(Producer(resume=produce), True)
    server.transport.write(bytes(100_000))
    client.transport.write(b"x")
    client.transport.loseWriteConnection()
    pair.pump()
    server.transport.unregisterProducer()
    server.transport.abortConnection()
    pair.pump()
    assert seen == [prefix]
    assert server.systems == dict.fromkeys(
        ("made", "data", "readLost", "resume", "lost"), prefix
    )


# Writing, beyond what FileDescriptor does.


def test_writeSequenceOfAnything(pair: SessionPair) -> None:
    """
    C{writeSequence} takes generators and other iterables, and sends nothing at
    all when one item is wrong.
    """
    client, server = connect(pair)
    client.transport.writeSequence(b"%d" % number for number in range(5))
    client.transport.writeSequence(iter([]))
    client.transport.writeSequence({b"five": 5})
    with pytest.raises(TypeError):
        client.transport.writeSequence(iter([b"no", "nor this"]))
    with pytest.raises(TypeError):
        client.transport.writeSequence(b"bytes are no sequence of bytes")
    pair.pump()
    assert server.data == b"01234five"


def test_bytesSubclass(pair: SessionPair) -> None:
    """
    A subclass of bytes is bytes.
    """

    class Named(bytes):
        pass

    client, server = connect(pair)
    client.transport.write(Named(b"a"))
    client.transport.writeSequence([Named(b"b")])
    pair.pump()
    assert server.data == b"ab"


def test_afterHalfCloseWithProducer(pair: SessionPair) -> None:
    """
    A pull producer holds up the end of this direction, and when it has
    unregistered both sides are told.
    """
    client, server = connect(pair, HalfCloser(), HalfCloser())
    client.transport.registerProducer(Producer(), False)
    client.transport.loseWriteConnection()
    pair.pump()
    assert client.events == server.events == ["made"]
    client.transport.unregisterProducer()
    pair.pump()
    assert client.events == ["made", "writeLost"]
    assert server.events == ["made", "readLost"]
