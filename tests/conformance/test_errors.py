"""
What errors tell: the session with its wire and its peer, the stream, and the
figure, wherever they come out.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory

from tests.conformance.conftest import Outcome
from tests.conformance.streams import MakePair, capabilities, connect
from tests.unit.carrying import Peer, logged
from twisted_mux.address import describeAddress
from twisted_mux.config import MuxConfig
from twisted_mux.errors import (
    ConfigError,
    FlowControlError,
    LimitExceeded,
    MuxError,
    NotSupported,
    PeerComplaint,
    PeerError,
    PeerTimeout,
    ProtocolError,
    SessionClosed,
    TooManyStreams,
    UsageError,
    VersionError,
)
from twisted_mux.reasons import SessionLost, StreamDropped
from twisted_mux.testing import MemoryConnection, SessionPair
from twisted_mux.testing.conformance import HalfCloser
from twisted_mux.wire.base import Credit

Watch = Any


def clientOf(pair: SessionPair) -> str:
    """
    How the client's messages call the session.
    """
    return f"{pair.client.wire} session with {describeAddress(MemoryConnection.SERVER)}"


def serverOf(pair: SessionPair) -> str:
    """
    How the server's do.
    """
    return f"{pair.server.wire} session with {describeAddress(MemoryConnection.CLIENT)}"


def test_sessionEndsWithAnError(pair: SessionPair, outcome: Watch) -> None:
    """
    What the peer did is in the log once, in what C{whenClosed} fails with, in
    every stream's reason, and there as the cause as well.
    """
    _, server = connect(pair)
    _, other = connect(pair)
    before = outcome(pair.server.whenClosed())
    size = pair.server.config.strayBytes
    with logged() as lines:
        codec = pair.client.engine.codec
        frame = codec.payloadHeader(strayKey(pair), 10_000) + bytes(10_000)
        for _ in range(size // 10_000 + 1):
            pair.server.dataReceived(frame)
    pair.pump()
    late = outcome(pair.server.whenClosed())
    for result in (before, late):
        error = result.failed(LimitExceeded)
        assert str(error).startswith(f"{serverOf(pair)}: data for streams that never")
        assert str(error).endswith(f"(limit strayBytes: {size})")
        assert error.limit == "strayBytes"
    (line,) = [line for line in lines if line.startswith(serverOf(pair))]
    assert line == f"{serverOf(pair)} ended: {error.cause}"
    for each in (server, other):
        assert type(each.reason) is SessionLost
        assert str(each.reason).endswith(f": {line}.")
        assert each.reason.__cause__ is error


def strayKey(pair: SessionPair) -> Any:
    """
    A key that the client has not used, as it calls it.
    """
    keys = pair.client.engine.codec.keys()
    for _ in range(50):
        key = next(keys)
    return key


@pytest.mark.parametrize(
    ("begin", "text"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "the peer seems to speak HTTP"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the peer seems to speak HTTP"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "the peer seems to speak SSH"),
        (
            bytes.fromhex("16030100c8010000c40303") + bytes(60),
            "the peer seems to speak TLS (wrap the endpoint in tls: or ssl:)",
        ),
        (
            bytes.fromhex("15030100020246"),
            "the peer seems to speak TLS (wrap the endpoint in tls: or ssl:)",
        ),
    ],
)
def test_strangers(pair: SessionPair, outcome: Watch, begin: bytes, text: str) -> None:
    """
    Whoever speaks something well known is told apart on every wire, on either side, and
    named in the log.
    """
    ends = [outcome(session.whenClosed()) for session in (pair.client, pair.server)]
    with logged() as lines:
        pair.client.dataReceived(begin)
        pair.server.dataReceived(begin)
        pair.pump()
    assert lines == [f"{each(pair)} ended: {text}" for each in (clientOf, serverOf)]
    for end in ends:
        assert str(end.failed(ProtocolError)).endswith(text)
    for session in (pair.client, pair.server):
        assert not session.engine.streams


def test_goAwayCodes(pair: SessionPair, outcome: Watch) -> None:
    """
    The code of a go-away is named, at whoever gets it.
    """
    if not capabilities(pair).goAway:
        return
    client, _ = connect(pair)
    result = outcome(pair.client.whenClosed())
    pair.server.engine.fail(ProtocolError("made up"))
    pair.pump()
    complaint = result.failed(PeerComplaint)
    assert f"{clientOf(pair)}: the peer ended the session: protocol" in str(complaint)
    assert type(client.reason) is SessionLost
    assert client.reason.__cause__ is complaint


def test_peerTakesNoMore(makePair: MakePair, outcome: Watch) -> None:
    """
    So is that of an orderly one.
    """
    pair = makePair(serverConfig=MuxConfig(goAway="first"))
    if not capabilities(pair).goAway:
        return
    connect(pair)
    with logged("info") as lines:
        pair.server.close(0)
        pair.pump()
    line = f"{clientOf(pair)}: the peer takes no more streams (normal)"
    assert line in lines
    result = outcome(pair.client.openStream(Factory.forProtocol(Peer)))
    pair.pump()
    assert str(result.failed(SessionClosed)) == (
        f"{clientOf(pair)}: the peer takes no more streams"
    )


def test_localMisuse(makePair: MakePair, outcome: Watch) -> None:
    """
    What can't be done says on which session.
    """
    pair = makePair(clientConfig=MuxConfig(maxOutboundStreams=1))
    connect(pair)
    factory = Factory.forProtocol(Peer)
    excess = outcome(pair.client.openStream(factory))
    pair.pump()
    assert str(excess.failed(TooManyStreams)) == (
        f"{clientOf(pair)}: 1 streams are open (limit maxOutboundStreams: 1)"
    )
    if not capabilities(pair).addressed:
        addressed = outcome(pair.client.openStream(factory, address=("::1", 1)))
        assert clientOf(pair) in str(addressed.failed(NotSupported, ConfigError))
    if not capabilities(pair).ping:
        assert clientOf(pair) in str(outcome(pair.client.ping()).failed(NotSupported))
    if not capabilities(pair).names:
        pair = makePair()
        named = outcome(pair.client.openStream(factory, name=b"name"))
        pair.pump()
        assert clientOf(pair) in str(named.failed(NotSupported))


def test_droppedStream(makePair: MakePair) -> None:
    """
    A stream that has to be dropped has one line in the log, and a reason, that
    say which stream, why and at which figure.
    """
    pair = makePair(serverConfig=MuxConfig(halfClosedTimeout=20))
    client, server = connect(pair, HalfCloser(), HalfCloser())
    stream = server.transport.streamId
    client.transport.loseWriteConnection()
    pair.pump()
    with logged() as lines:
        pair.advance(25)
    text = (
        f"stream {stream}: half-closed, and nothing moved in 20 seconds "
        "(limit halfClosedTimeout: 20)"
    )
    assert lines == [f"{serverOf(pair)}: {text}"]
    assert type(server.reason) is StreamDropped
    assert str(server.reason).endswith(f"{serverOf(pair)}: {text}.")
    assert type(server.reason.__cause__) is PeerTimeout
    assert server.reason.__cause__.limit == "halfClosedTimeout"


def test_window(pair: SessionPair, outcome: Watch) -> None:
    """
    Too much data says for which stream, how much, and how much was allowed.
    """
    if capabilities(pair).credit is Credit.NONE:
        return
    _, server = connect(pair)
    stream = server.transport.streamId
    server.transport.pauseProducing()
    codec = pair.client.engine.codec
    (key,) = pair.client.engine.streams
    result = outcome(pair.server.whenClosed())
    for _ in range(9):
        pair.server.dataReceived(codec.payloadHeader(key, 32_760) + bytes(32_760))
    pair.pump()
    assert str(result.failed(FlowControlError)) == (
        f"{serverOf(pair)}: stream {stream}: 32760 bytes came when 64 were "
        "allowed (window: 262144)"
    )


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            LimitExceeded("maxStreams", 1000, "too many"),
            "too many (limit maxStreams: 1000)",
        ),
        (
            LimitExceeded("receiveBudget", 67108864, "x"),
            "x (limit receiveBudget: 67108864)",
        ),
        (
            PeerTimeout("too late", "writeTimeout", 0.5),
            "too late (limit writeTimeout: 0.5)",
        ),
        (PeerTimeout("too late"), "too late"),
        (PeerComplaint("protocol error"), "the peer ended the session: protocol error"),
    ],
)
def test_texts(error: MuxError, text: str) -> None:
    """
    Limits and figures are in the text, and attributes too.
    """
    assert str(error) == error.cause == text
    error.session = "yamux session with somebody"
    assert str(error) == f"yamux session with somebody: {text}"
    assert error.cause == text


def test_tree() -> None:
    """
    Local misuse and what peers do are apart.
    """
    assert issubclass(ProtocolError, PeerError)
    assert issubclass(PeerComplaint, PeerError)
    assert issubclass(VersionError, ProtocolError)
    assert not issubclass(PeerError, UsageError)
    assert not issubclass(UsageError, PeerError)
    for kind in (SessionLost, StreamDropped):
        assert issubclass(kind, MuxError)
        assert issubclass(kind, ConnectionLost)


def test_lostCarrier(pair: SessionPair, outcome: Watch) -> None:
    """
    A lost carrier says which, in Twisted's words.
    """
    client, _ = connect(pair)
    result: Outcome = outcome(pair.client.whenClosed())
    pair.lose()
    pair.pump()
    for text in (str(result.failed(SessionLost)), str(client.reason)):
        assert f"{clientOf(pair)} ended: " in text
    assert client.reason.__cause__ is None
