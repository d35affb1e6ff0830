"""
What a stream's transport does in moments that are hard to bring about from
outside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.python.components import registerAdapter
from zope.interface import alsoProvides

from twisted_mux.errors import ProtocolError
from twisted_mux.reasons import StreamDropped, StreamReset
from twisted_mux.testing import SessionPair
from twisted_mux.testing.conformance import HalfCloser, Producer, Recorder
from twisted_mux.transport import StreamWatcher

if TYPE_CHECKING:
    from tests.conftest import LoggedErrors


def connect(pair: SessionPair, *protocols: Recorder) -> tuple[Any, Any]:
    """
    Two protocols on a new stream.
    """
    client, server = protocols or (Recorder(), Recorder())
    pair.connect(client, server)
    pair.pump()
    return client, server


def test_codeOfReset() -> None:
    """
    The code that comes with a reset, where a peer sends one, is in the reason.
    """
    pair = SessionPair("yamux")
    _, server = connect(pair)
    server.transport.streamReset(1)
    assert isinstance(server.reason, StreamReset)
    assert str(server.reason).endswith("was reset by the peer (protocol error).")
    other, _ = connect(pair)
    other.transport.streamReset(4711)
    assert "code 4711" in str(other.reason)


def test_droppedForItsPeersSake() -> None:
    """
    A stream that the engine drops while the session goes on says why.
    """
    pair = SessionPair("yamux")
    _, server = connect(pair)
    pair.server.engine.table.lose(
        server.transport.engineStream, ProtocolError("made up")
    )
    assert isinstance(server.reason, StreamDropped)
    assert isinstance(server.reason, ConnectionLost)
    assert "made up" in str(server.reason)
    assert not pair.server.over


def test_lateNews() -> None:
    """
    Whatever the engine still has to say to a transport that is over, nobody
    hears it.
    """
    pair = SessionPair("yamux")
    client, _ = connect(pair)
    client.transport.registerProducer(Producer(), True)
    client.transport.loseConnection()
    pair.pump()
    events = list(client.events)
    transport = client.transport
    transport.writeBufferEmptied()
    transport.streamReset(0)
    transport.streamLost(None)
    transport.streamAccepted()
    transport.drop(None)
    transport._aborted()
    assert client.events == events


def test_writeAfterTheLoss() -> None:
    """
    What is written when the connection is lost is dropped, even if some of what was
    written before is still to be sent.
    """
    pair = SessionPair("yamux")
    client, server = connect(pair, HalfCloser(), Recorder())
    written = b"x" * (pair.server.config.window + 1)
    client.transport.pauseProducing()
    server.transport.write(written)
    pair.pump()
    client.transport.loseWriteConnection()
    pair.pump()
    assert server.gone
    assert server.transport.engineStream.writable
    server.transport.write(b"late")
    client.transport.resumeProducing()
    pair.pump()
    assert client.received == written


class Aware:
    """
    Hears of half-closes for a protocol.
    """

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol

    def readConnectionLost(self) -> None:
        """
        See L{IHalfCloseableProtocol}.
        """
        self._protocol.heard = True

    writeConnectionLost = readConnectionLost


class Adapted(Recorder):
    """
    Has an adapter that hears of half-closes.
    """


class Conforming(Recorder):
    """
    Says itself who hears of half-closes for it.
    """

    def __conform__(self, interface: object) -> object:
        return Aware(self) if interface is IHalfCloseableProtocol else None


registerAdapter(Aware, Adapted, IHalfCloseableProtocol)


@pytest.mark.parametrize("kind", [Adapted, Conforming])
def test_adaptedForHalfCloses(kind: type[Recorder]) -> None:
    """
    Who hears of a half-close may be an adapter of the protocol, as for TCP.
    """
    pair = SessionPair("yamux")
    client, server = connect(pair, HalfCloser(), kind())
    client.transport.loseWriteConnection()
    pair.pump()
    assert server.heard
    assert not server.gone


class Choosy(Recorder):
    """
    Says itself who hears of half-closes for it, if it wants to.
    """

    wants = False

    def __conform__(self, interface: object) -> object:
        return Aware(self) if self.wants else None


def test_halfClosesOfOneSession() -> None:
    """
    Who hears of a half-close is asked for each protocol, whatever the one before was.
    """
    declared = Recorder()
    declared.readConnectionLost = lambda: setattr(declared, "heard", True)  # type: ignore[attr-defined]
    alsoProvides(declared, IHalfCloseableProtocol)
    choosy = Choosy()
    choosy.wants = True
    pair = SessionPair("yamux")
    for server, aware in (
        (Recorder(), False),
        (Recorder(), False),
        (declared, True),
        (Recorder(), False),
        (Adapted(), True),
        (HalfCloser(), True),
        (Choosy(), False),
        (choosy, True),
        (Recorder(), False),
    ):
        client, _ = connect(pair, HalfCloser(), server)
        client.transport.loseWriteConnection()
        pair.pump()
        assert bool(server.gone) is not aware, server


def test_emptiedWithoutNeed() -> None:
    """
    That all was written is nothing to a push producer that was not paused.
    """
    pair = SessionPair("yamux")
    client, _ = connect(pair)
    producer = Producer()
    client.transport.registerProducer(producer, True)
    client.transport.writeBufferEmptied()
    assert producer.calls == []
    client.transport.unregisterProducer()
    client.transport.writeBufferEmptied()
    assert producer.calls == []


def test_raisesAfterTheEnd(loggedErrors: LoggedErrors) -> None:
    """
    What C{dataReceived} raises after its connection has been lost from within
    (the one case in which that happens: C{loseConnection} after the end of
    writing) is logged, and has no other effect.
    """

    def act(recorder: Recorder) -> None:
        cast(Any, recorder.transport).loseConnection()
        assert recorder.gone
        raise ZeroDivisionError

    pair = SessionPair("yamux")
    client, server = connect(pair, HalfCloser(), HalfCloser(data=act))
    server.transport.loseWriteConnection()
    pair.pump()
    client.transport.write(b"x")
    pair.pump()
    assert len(loggedErrors.flush(ZeroDivisionError)) == 1
    assert isinstance(server.reason, ConnectionDone)
    assert not pair.server.over


def test_watcher() -> None:
    """
    A watcher that wants nothing needs to do nothing.
    """
    watcher = StreamWatcher()
    watcher.accepted()
    watcher.lost(cast(Any, None))


def test_slots() -> None:
    """
    There may be many: a transport has no dictionary.
    """
    client, _ = connect(SessionPair("yamux"))
    assert not hasattr(client.transport, "__dict__")
    with pytest.raises(AttributeError):
        client.transport.something = 1
