"""
Named streams: both sides of the handshakes on every wire.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.error import (
    ConnectionDone,
)
from twisted.internet.error import ConnectionRefusedError as TwistedRefused

from tests.unit.negotiating import (
    CHAT,
    ECHO,
    HANDSHAKES,
    WIRES,
    Named,
    Outcome,
    Recorders,
    nothingLeft,
)
from twisted_mux.errors import MuxError
from twisted_mux.interfaces import IStreamTransport
from twisted_mux.reasons import (
    ProtocolRefused,
)
from twisted_mux.testing import SessionPair


@pytest.mark.parametrize("byServer", [False, True])
@pytest.mark.parametrize("negotiate", HANDSHAKES)
@pytest.mark.parametrize("wire", WIRES)
def test_agreed(wire: str, negotiate: str, byServer: bool) -> None:
    """
    On every wire, whoever opens: the first name that the other side has is taken,
    each side's protocol has the stream as its own transport, and data passes.
    """
    named = Named(wire, negotiate, byServer=byServer, echo=Recorders(greeting=b"hello"))
    outcome = named.connect(b"/x", ECHO, CHAT)
    named.pair.pump()
    ours = outcome.result
    assert ours is named.factory.built[0]
    (theirs,) = named.echo.built
    assert not named.chat.built
    for protocol in (ours, theirs):
        transport: Any = protocol.transport
        assert transport.protocol is protocol
        assert transport.protocolName == ECHO
        assert IStreamTransport.providedBy(transport)
    ours.transport.write(b"question")
    theirs.transport.write(b" and answer")
    named.pair.pump()
    assert ours.events[0] == theirs.events[0] == "made"
    assert ours.data == b"hello and answer"
    assert theirs.data == b"question"
    assert named.factory.numPorts == 1
    ours.transport.loseConnection()
    named.pair.advance(20)
    assert ours.events[-1] is theirs.events[-1] is ConnectionDone
    assert named.factory.numPorts == 0
    nothingLeft(named.pair)


@pytest.mark.parametrize("negotiate", HANDSHAKES)
@pytest.mark.parametrize("wire", WIRES)
def test_refused(wire: str, negotiate: str) -> None:
    """
    If there is none of the names the error lists them, and nothing stays behind.
    """
    named = Named(wire, negotiate)
    outcome = named.connect(b"/x", b"/y")
    named.pair.pump()
    error = outcome.failed(ProtocolRefused)
    assert error.refused == (b"/x", b"/y")
    assert "the peer refused '/x', '/y'" in str(error)
    assert named.opener.describe() in str(error)
    assert isinstance(error, TwistedRefused)
    assert isinstance(error, MuxError)
    assert not named.factory.built
    assert named.factory.numPorts == 0
    nothingLeft(named.pair)
    assert not named.opener.over


def test_simpleOpensAStreamPerName() -> None:
    """
    With C{simple} each name has a stream of its own; C{multistream} takes one.
    """
    for negotiate, streams in (("simple", 3), ("multistream", 1)):
        named = Named(negotiate=negotiate)
        named.connect(b"/x", b"/y", ECHO)
        named.pair.pump()
        assert named.opener.statistics().streamsOpened == streams


def test_addressIsKept() -> None:
    """
    The next stream can have the same address as the last.
    """
    named = Named("vtmux")
    outcome = Outcome(
        named.opener.clientEndpoint(
            address=("192.0.2.9", 9), protocol=[b"/x", ECHO]
        ).connect(named.factory)
    )
    named.pair.pump()
    assert outcome.result.transport.address == ("192.0.2.9", 9)


def test_withoutProtocol() -> None:
    """
    Without a name there is no handshake.
    """
    streams = Recorders()
    pair = SessionPair(serverStreams=streams)
    outcome = Outcome(pair.client.clientEndpoint().connect(Recorders()))
    pair.pump()
    assert outcome.result.transport.protocolName == b""
    assert streams.built[0].data == b""
