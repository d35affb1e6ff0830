"""
Named streams: the side that opens, and acceptors of all kinds.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    NoProtocol,
)
from twisted.internet.error import ConnectionRefusedError as TwistedRefused
from twisted.internet.error import TimeoutError as TwistedTimeout
from twisted.internet.interfaces import IProtocol

from tests.unit.negotiating import (
    ECHO,
    HANDSHAKES,
    HEADER,
    KINDS,
    BrokenFactory,
    HalfCloseable,
    Named,
    NoneFactory,
    Outcome,
    RawAcceptor,
    Recorders,
    nothingLeft,
)
from twisted_mux.errors import HandshakeError, MuxError
from twisted_mux.negotiation import NamedClientEndpoint
from twisted_mux.negotiation.handshakes import message
from twisted_mux.negotiation.multistream import (
    line,
)
from twisted_mux.protocol import MuxProtocol
from twisted_mux.reasons import (
    NegotiationFailed,
    NegotiationTimeout,
    ProtocolRefused,
    SessionLost,
    StreamReset,
)


@pytest.mark.parametrize(
    ("negotiate", "answer"),
    [("simple", message(ECHO)), ("multistream", HEADER + line(ECHO))],
)
def test_lazyAcceptor(negotiate: str, answer: bytes) -> None:
    """
    What comes right behind the confirmation is delivered in a later turn, and an
    end behind that as an end.
    """
    acceptor = RawAcceptor(negotiate=negotiate)
    factory = Recorders(HalfCloseable)
    factory.whenMade = lambda protocol: protocol.stream.reactor.callLater(
        0, protocol.events.append, "later"
    )
    outcome = acceptor.connect(ECHO, factory=factory)
    outcome.deferred.addBoth(lambda _: factory.built[0].events.append("fired"))
    acceptor.stream.transport.write(answer + b"data")
    acceptor.stream.transport.loseConnection()
    acceptor.pair.pump()
    (ours,) = factory.built
    assert ours.events == ["made", "fired", "later", b"data", "read lost"]


@pytest.mark.parametrize("negotiate", HANDSHAKES)
def test_pausedAtOnce(negotiate: str) -> None:
    """
    A protocol that pauses in C{connectionMade} gets nothing, not even what has
    come already, until it resumes.
    """
    named = Named(negotiate=negotiate, echo=Recorders(greeting=b"hello"))
    factory = Recorders()
    factory.whenMade = lambda protocol: protocol.stream.pauseProducing()
    outcome = named.connect(ECHO, factory=factory)
    named.pair.pump()
    assert outcome.result.events == ["made"]
    outcome.result.transport.resumeProducing()
    named.pair.pump()
    assert outcome.result.events == ["made", b"hello"]


@pytest.mark.parametrize("negotiate", HANDSHAKES)
@pytest.mark.parametrize("how", ["loseConnection", "abortConnection"])
def test_openerStreamEnds(negotiate: str, how: str) -> None:
    """
    A stream that is closed or reset instead of an answer refuses what was asked.
    """
    acceptor = RawAcceptor(negotiate=negotiate)
    outcome = acceptor.connect(b"/a", b"/b")
    refused: tuple[bytes, ...] = (b"/a",)
    if negotiate == "multistream":
        acceptor.stream.transport.write(HEADER + b"\x03na\n")
        acceptor.pair.pump()
    getattr(acceptor.stream.transport, how)()
    acceptor.pair.pump()
    if negotiate == "simple":
        getattr(acceptor.stream.transport, how)()
        acceptor.pair.pump()
    error = outcome.failed(ProtocolRefused)
    assert error.refused == (*refused, b"/b")
    nothingLeft(acceptor.pair)


@pytest.mark.parametrize(
    ("negotiate", "answer", "text"),
    [
        ("simple", b"\x02/b", "the answer to '/a' is '.*/b'"),
        ("multistream", HEADER + b"\x03/b\n", "the answer to '/a' is '/b'"),
        ("multistream", b"\x00", "an empty message"),
        ("multistream", b"\xff\x7f", "with 1024 allowed"),
    ],
)
def test_openerBroken(negotiate: str, answer: bytes, text: str) -> None:
    """
    Any other answer resets the stream, and the session lives.
    """
    acceptor = RawAcceptor(negotiate=negotiate)
    outcome = acceptor.connect(b"/a")
    acceptor.stream.transport.write(answer)
    acceptor.pair.pump()
    error = outcome.failed(NegotiationFailed)
    assert isinstance(error, ConnectError)
    assert not isinstance(error, TwistedRefused)
    assert re.search(text, str(error))
    assert acceptor.stream.events[-1] is StreamReset
    assert not acceptor.pair.client.over
    assert acceptor.factory.numPorts == 0
    nothingLeft(acceptor.pair)


def test_endlessNa() -> None:
    """
    C{na} is counted against the proposals, so it comes to an end.
    """
    acceptor = RawAcceptor(negotiate="multistream")
    outcome = acceptor.connect(*[b"/%d" % n for n in range(16)])
    acceptor.stream.transport.write(HEADER + b"\x03na\n" * 100)
    acceptor.pair.pump()
    assert len(outcome.failed(ProtocolRefused).refused) == 16
    nothingLeft(acceptor.pair)


@pytest.mark.parametrize("negotiate", HANDSHAKES)
def test_openerTimesOut(negotiate: str) -> None:
    """
    Ten seconds are for all names together, and the stream is reset then.
    """
    acceptor = RawAcceptor(negotiate=negotiate)
    outcome = acceptor.connect(b"/a", b"/b")
    acceptor.pair.advance(6)
    if negotiate == "simple":
        acceptor.stream.transport.loseConnection()
    else:
        acceptor.stream.transport.write(HEADER + b"\x03na\n")
    acceptor.pair.advance(3.9)
    assert not outcome.results
    acceptor.pair.advance(0.2)
    error = outcome.failed(NegotiationTimeout)
    assert isinstance(error, TwistedTimeout)
    assert str(error).endswith(
        "no protocol was agreed upon within 10 seconds"
        + (", but '/a' refused" if negotiate == "simple" else "")
        + " (limit negotiationTimeout: 10)"
    )
    assert acceptor.stream.events[-1] is StreamReset
    assert acceptor.factory.numPorts == 0
    nothingLeft(acceptor.pair)


@pytest.mark.parametrize("negotiate", HANDSHAKES)
def test_sessionLost(negotiate: str) -> None:
    """
    A session that is lost in the middle is the reason, at both ends, once.
    """
    named = Named(negotiate=negotiate)
    named.acceptor.pauseProducing()
    outcome = named.connect(b"/x", ECHO)
    named.pair.pump()
    named.pair.lose()
    named.pair.pump()
    outcome.failed(SessionLost)
    assert named.factory.numPorts == 0
    assert not named.pair.clock.calls


def test_notOpened() -> None:
    """
    If no stream can be opened that is the reason, for the first name and for
    those that follow.
    """
    acceptor = RawAcceptor()
    outcome = acceptor.connect(b"/a", b"/b")
    acceptor.stream.transport.loseConnection()
    acceptor.pair.server.close()
    acceptor.pair.pump()
    assert isinstance(outcome.failed(Exception), (MuxError, ConnectError))
    later = acceptor.connect(b"/a")
    later.failed(MuxError)
    assert acceptor.factory.numPorts == 0


class Openings:
    """
    An endpoint that opens what it is told to, when it is told to.
    """

    def __init__(self, session: MuxProtocol) -> None:
        self.session = session
        self.waiting: list[Any] = []

    def connect(self, factory: Any) -> Deferred[IProtocol]:
        deferred: Deferred[IProtocol] = Deferred()
        self.waiting.append((deferred, factory))
        return deferred

    def open(self) -> None:
        deferred, factory = self.waiting.pop()
        self.session.openStream(factory).chainDeferred(deferred)


@pytest.mark.parametrize("step", range(4))
def test_cancelled(step: int) -> None:
    """
    Cancelling at any time fails the connect, once, and drops the stream.
    """
    acceptor = RawAcceptor()
    openings = Openings(acceptor.pair.client)
    endpoint = NamedClientEndpoint(openings, [b"/a", b"/b"])  # type: ignore[arg-type]
    outcome = Outcome(endpoint.connect(acceptor.factory))
    acceptor.pair.pump()
    if step > 0:
        openings.open()
        acceptor.pair.pump()
    if step > 1:
        acceptor.stream.transport.loseConnection()
        # Until the stream is lost, and not the turn that opens the next.
        while acceptor.pair.client.engine.streams:
            acceptor.pair.turn()
    if step > 2:
        acceptor.pair.pump()
    outcome.deferred.cancel()
    outcome.failed(ConnectingCancelledError if step in (1, 2) else CancelledError)
    assert acceptor.factory.numPorts == 0
    nothingLeft(acceptor.pair)


def test_cancelledWhileOpening() -> None:
    """
    The opening of the stream is cancelled.
    """
    named = Named()
    outcome = named.connect(ECHO)
    outcome.deferred.cancel()
    outcome.failed(ConnectingCancelledError)
    nothingLeft(named.pair)
    assert not named.echo.built


def test_timeoutWhileOpening() -> None:
    """
    The time limit also holds while another stream is being opened.
    """
    acceptor = RawAcceptor()
    openings = Openings(acceptor.pair.client)
    endpoint = NamedClientEndpoint(openings, [b"/a", b"/b"])  # type: ignore[arg-type]
    outcome = Outcome(endpoint.connect(acceptor.factory))
    openings.open()
    acceptor.pair.pump()
    acceptor.stream.transport.loseConnection()
    acceptor.pair.advance(10)
    assert outcome.failed(NegotiationTimeout).refused == (b"/a",)


@pytest.mark.parametrize("wire", KINDS)
def test_openerBuildsNothing(wire: str) -> None:
    """
    C{buildProtocol} returns C{None}, or raises.
    """
    named = Named(wire)
    for factory, error in (
        (NoneFactory(), NoProtocol),
        (BrokenFactory(), ZeroDivisionError),
    ):
        outcome = named.connect(ECHO, factory=factory)
        named.pair.pump()
        outcome.failed(error)
        assert factory.numPorts == 0
        nothingLeft(named.pair)


def test_openerRaises() -> None:
    """
    What C{connectionMade} raises is what the connect fails with.
    """
    named = Named()
    factory = Recorders()
    factory.whenMade = lambda protocol: 1 / 0
    outcome = named.connect(ECHO, factory=factory)
    named.pair.pump()
    outcome.failed(ZeroDivisionError)
    assert factory.built[0].events == ["made", ZeroDivisionError]
    assert factory.numPorts == 0
    nothingLeft(named.pair)


def test_cancelledInConnectionMade() -> None:
    """
    A protocol that cancels its own connect is disconnected, once.
    """
    named = Named()
    factory = Recorders()
    factory.whenMade = lambda protocol: outcome.deferred.cancel()
    outcome: Outcome = named.connect(ECHO, factory=factory)
    named.pair.pump()
    outcome.failed(ConnectingCancelledError)
    assert factory.built[0].events == ["made", ConnectingCancelledError]
    assert factory.numPorts == 0
    nothingLeft(named.pair)


def test_abortedInConnectionMade() -> None:
    """
    Nothing comes after an abort, at either side.
    """
    for opener in (True, False):
        recorders = Recorders()
        recorders.whenMade = lambda protocol: protocol.stream.abortConnection()
        named = Named(echo=None if opener else recorders)
        named.connect(ECHO, factory=recorders if opener else None)
        named.pair.pump()
        assert len(recorders.built[0].events) == 2
        nothingLeft(named.pair)


def test_refuseAfterTheEnd() -> None:
    """
    A stream that is gone, or going, is not refused.
    """
    named = Named()
    ours = named.raw()
    transport = ours.transport
    transport.abortConnection()
    transport.refuse(HandshakeError("late"))
    named.pair.pump()
    transport.refuse(HandshakeError("late"))
    assert len(ours.events) == 2
    assert not named.opener.over
