"""
Named streams: the side that accepts, and openers of all kinds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.error import (
    ConnectionDone,
)
from twisted.internet.testing import StringTransport
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from zope.interface import implementer

from tests.unit.negotiating import (
    CHAT,
    ECHO,
    HANDSHAKES,
    HEADER,
    KINDS,
    MESSAGE_WIRES,
    PREFIX_WIRES,
    WIRES,
    BrokenFactory,
    HalfCloseable,
    Named,
    NoneFactory,
    RawAcceptor,
    Recorder,
    Recorders,
    nothingLeft,
)
from twisted_mux.config import MuxConfig
from twisted_mux.errors import ConfigError, NotSupported
from twisted_mux.negotiation import NamedProtocols
from twisted_mux.negotiation.handshakes import message
from twisted_mux.negotiation.multistream import (
    line,
)
from twisted_mux.reasons import (
    StreamReset,
)
from twisted_mux.wire import codecNamed


@implementer(ILogObserver)
class Messages:
    """
    What was logged, as text.
    """

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, event: LogEvent) -> None:
        if event["log_namespace"].startswith("twisted_mux"):
            self.texts.append(formatEvent(event))


@pytest.fixture
def logged() -> Iterator[Messages]:
    """
    What the package logs meanwhile.
    """
    messages = Messages()
    globalLogPublisher.addObserver(messages)
    yield messages
    globalLogPublisher.removeObserver(messages)


@pytest.mark.parametrize("wire", PREFIX_WIRES)
@pytest.mark.parametrize(
    ("negotiate", "greeting", "answer"),
    [
        ("simple", message(ECHO), message(ECHO)),
        ("multistream", HEADER + line(ECHO), HEADER + line(ECHO)),
    ],
)
def test_lazyOpener(wire: str, negotiate: str, greeting: bytes, answer: bytes) -> None:
    """
    An opener that sends its data, and even its end, right behind the name: the
    protocol gets it in a later turn, as separate events.
    """
    named = Named(wire, negotiate, echo=Recorders(HalfCloseable))
    named.echo.whenMade = lambda protocol: protocol.stream.reactor.callLater(
        0, protocol.events.append, "later"
    )
    factory = Recorders(HalfCloseable)
    factory.whenMade = lambda protocol: (
        protocol.stream.write(greeting + b"data"),
        protocol.stream.loseWriteConnection(),
    )
    named.opener.openStream(factory)
    named.pair.pump()
    (theirs,) = named.echo.built
    assert theirs.events == ["made", "later", b"data", "read lost"]
    theirs.transport.write(b"reply")
    theirs.transport.loseConnection()
    named.pair.pump()
    assert factory.built[0].data == answer + b"reply"
    factory.built[0].transport.loseConnection()
    nothingLeft(named.pair)


@pytest.mark.parametrize("wire", MESSAGE_WIRES)
def test_messagesAreFrames(wire: str) -> None:
    """
    Where frames are messages the confirmation is one, even if the protocol writes
    at once; an end right behind the name waits until it is sent.
    """
    named = Named(wire, echo=Recorders(HalfCloseable, b"hello"))
    ours = named.raw()
    ours.transport.write(ECHO)
    ours.transport.loseWriteConnection()
    named.pair.pump()
    assert ours.events == ["made", ECHO, b"hello"]
    (theirs,) = named.echo.built
    assert theirs.events == ["made", "read lost"]


@pytest.mark.parametrize("wire", MESSAGE_WIRES)
def test_messageInPieces(wire: str) -> None:
    """
    A frame that the carrier delivers in pieces is one message.
    """
    named = Named(wire)
    ours = named.raw()
    ours.transport.write(CHAT)
    (frame,) = [b"".join(named.opener.engine.takeOutput(1000))]
    for index in range(len(frame)):
        named.acceptor.dataReceived(frame[index : index + 1])
    named.pair.pump()
    assert named.chat.built
    assert ours.events == ["made", CHAT]


@pytest.mark.parametrize("wire", MESSAGE_WIRES)
def test_confirmationWaitsForTheCarrier(wire: str) -> None:
    """
    Until the confirmation was taken the protocol is not connected; if that takes
    too long, it never is.
    """
    for stalled in (False, True):
        named = Named(wire)
        named.acceptor.pauseProducing()
        ours = named.raw(ECHO)
        assert not named.echo.built
        if stalled:
            named.pair.advance(10)
        named.acceptor.resumeProducing()
        named.pair.pump()
        assert len(named.echo.built) == (not stalled)
        assert (ours.events[-1] is StreamReset) == stalled


@pytest.mark.parametrize("wire", MESSAGE_WIRES)
def test_confirmationDoesNotFit(wire: str, logged: Messages) -> None:
    """
    A name that our own frames are too short for can't be confirmed, nor proposed.
    """
    named = Named(wire, config=MuxConfig(maxFrame=8))
    error = named.connect(ECHO)
    named.pair.pump()
    assert "'/echo/1.0' has to fit into a frame, which has 8 bytes" in str(
        error.failed(ConfigError)
    )
    frame = named.opener.engine.codec.payloadHeader(2, len(ECHO)) + ECHO
    opening = named.opener.engine.codec.encodeOpen(2, 0, b"")
    named.acceptor.dataReceived(opening + frame)
    named.pair.pump()
    assert [each for each in logged.texts if "does not fit into 8 bytes" in each]


BROKEN = [
    ("simple", b"\x00", "an empty message"),
    ("simple", b"\xff\xff\x3fx", "with 1024 allowed"),
    ("multistream", b"\x00", "an empty message"),
    ("multistream", HEADER + b"\x00", "an empty message"),
    ("multistream", b"GET / HTTP/1.1\r\n" * 10, "does not end with a newline"),
    ("multistream", b"\x03/a\n", "in the place of '/multistream/1.0.0'"),
    ("multistream", HEADER + b"\x02/a", "does not end with a newline"),
    ("multistream", HEADER + b"\x03na\n" * 17, "17 proposals, with 16 allowed"),
    ("multistream", HEADER + b"\x80\x80\x40" + bytes(2**20), "with 1024 allowed"),
]


@pytest.mark.parametrize(("negotiate", "data", "error"), BROKEN)
@pytest.mark.parametrize("wire", WIRES)
def test_broken(
    wire: str, negotiate: str, data: bytes, error: str, logged: Messages
) -> None:
    """
    The stream is reset, the session goes on, and there is one line in the log.
    """
    if wire in MESSAGE_WIRES and negotiate == "simple":
        data, error = bytes(1025), "with 1024 allowed"
    named = Named(wire, negotiate)
    ours = named.raw(data)
    named.pair.advance(1)
    reset = codecNamed(wire).capabilities.reset
    assert ours.events[-1] is (StreamReset if reset else ConnectionDone)
    (text,) = logged.texts
    assert error in text
    assert named.acceptor.describe() in text
    outcome = named.connect(ECHO)
    named.pair.pump()
    assert isinstance(outcome.result, Recorder)


@pytest.mark.parametrize("negotiate", HANDSHAKES)
@pytest.mark.parametrize("data", [b"", b"\x13/multi"])
@pytest.mark.parametrize("wire", PREFIX_WIRES)
def test_acceptorTimesOut(
    wire: str, negotiate: str, data: bytes, logged: Messages
) -> None:
    """
    Who says nothing, or not enough, is dropped after ten seconds.
    """
    named = Named(wire, negotiate)
    ours = named.raw(data)
    named.pair.advance(9.9)
    assert ours.transport.connected
    named.pair.advance(0.2)
    assert not ours.transport.connected
    (text,) = logged.texts
    assert "no protocol was agreed upon within 10 seconds" in text
    nothingLeft(named.pair)


@pytest.mark.parametrize("negotiate", HANDSHAKES)
def test_noTimeLimit(negotiate: str) -> None:
    """
    The time limit can be switched off, on both sides.
    """
    config = MuxConfig(negotiationTimeout=0, keepAlive=0)
    named = Named(negotiate=negotiate, config=config)
    ours = named.raw()
    named.pair.advance(1000)
    assert ours.transport.connected
    acceptor = RawAcceptor(negotiate=negotiate, config=config)
    outcome = acceptor.connect(ECHO)
    acceptor.pair.advance(1000)
    assert not outcome.results


@pytest.mark.parametrize("how", ["loseConnection", "abortConnection"])
@pytest.mark.parametrize("negotiate", HANDSHAKES)
def test_openerGivesUp(negotiate: str, how: str, logged: Messages) -> None:
    """
    An opener that leaves in the middle is nothing to talk about.
    """
    named = Named(negotiate=negotiate)
    ours = named.raw(b"\x13/multi")
    getattr(ours.transport, how)()
    nothingLeft(named.pair)
    assert not logged.texts


def test_unknownNameIsTold(logged: Messages) -> None:
    """
    The operator can see what was asked for; names are cut and printable.
    """
    named = Named()
    named.raw(message(b"\x1b" + b"n" * 100))
    (text,) = logged.texts
    assert "there is no protocol '\\x1bnnnn" in text
    assert text.endswith("n'…")


def test_tooManyResets() -> None:
    """
    Handshakes that end in a reset are resets that the peer has caused.
    """
    named = Named(config=MuxConfig(resetBurst=3, resetRate=0))
    for _ in range(3):
        named.raw(b"\x00")
        assert not named.acceptor.over
    named.raw(b"\x00")
    assert named.acceptor.over
    named.pair.advance(20)


@pytest.mark.parametrize("negotiate", HANDSHAKES)
@pytest.mark.parametrize("wire", KINDS)
def test_acceptorBuildsNothing(wire: str, negotiate: str) -> None:
    """
    C{buildProtocol} returns C{None}: the stream is confirmed, then closed.
    """
    named = Named(wire, negotiate, echo=NoneFactory())
    outcome = named.connect(ECHO)
    named.pair.pump()
    assert outcome.result.events == ["made", ConnectionDone]


@pytest.mark.parametrize("where", ["buildProtocol", "connectionMade"])
@pytest.mark.parametrize("wire", KINDS)
def test_acceptorRaises(wire: str, where: str, loggedErrors: Any) -> None:
    """
    What C{buildProtocol} or C{connectionMade} raises resets the stream.
    """
    echo: Recorders = BrokenFactory() if where == "buildProtocol" else Recorders()
    echo.whenMade = lambda protocol: 1 / 0
    named = Named(wire, echo=echo)
    named.connect(ECHO)
    named.pair.pump()
    assert len(loggedErrors.flush(ZeroDivisionError)) == 1
    for protocol in echo.built:
        assert protocol.events == ["made", ZeroDivisionError]
    nothingLeft(named.pair)


def test_factoriesAreStartedAndStopped() -> None:
    """
    Each factory once for each time that the registry is, whatever its names; also
    those that come and go meanwhile.
    """
    first, second = Recorders(), Recorders()
    protocols = NamedProtocols({b"/a": first, b"/b": first})
    assert protocols.negotiate == "simple"
    protocols.doStart()
    assert (first.numPorts, second.numPorts) == (1, 0)
    protocols.doStart()
    protocols.add(b"/c", second)
    assert (first.numPorts, second.numPorts) == (2, 2)
    protocols.remove(b"/a")
    assert first.numPorts == 2
    protocols.remove(b"/b")
    assert first.numPorts == 0
    assert list(protocols.names) == [b"/c"]
    protocols.doStop()
    protocols.doStop()
    assert second.numPorts == 0
    protocols.add(b"/a", first)
    assert first.numPorts == 0
    assert protocols.logPrefix() == "NamedProtocols (simple)"


def test_registryRefuses() -> None:
    """
    Two of the same name, names that can't be, and what is not there.
    """
    protocols = NamedProtocols({b"/a": Recorders()}, "multistream")
    with pytest.raises(ConfigError, match="there is a protocol '/a' already"):
        protocols.add(b"/a", Recorders())
    with pytest.raises(ConfigError, match="no protocol can be called b'na'"):
        protocols.add(b"na", Recorders())
    with pytest.raises(KeyError):
        protocols.remove(b"/b")
    with pytest.raises(ConfigError, match="no handshake 'guess'"):
        NamedProtocols({}, "guess")


def test_notOnAPlainConnection() -> None:
    """
    A connection that is no stream is closed, and that is an error.
    """
    transport = StringTransport()
    protocol = NamedProtocols({}).buildProtocol(None)
    with pytest.raises(NotSupported, match="on streams"):
        protocol.makeConnection(transport)
    assert transport.disconnecting


def test_logPrefix() -> None:
    """
    The stream is called after what it does until its protocol is known.
    """
    named = Named()
    factory = Recorders()
    named.opener.openStream(factory)
    named.pair.pump()
    (stream,) = named.acceptor.engine.streams.values()
    assert stream.handler.logPrefix().startswith("negotiation,")  # type: ignore[union-attr]
