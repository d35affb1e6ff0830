"""
The carrier's protocol on carriers of all kinds, and its factory.
"""

from __future__ import annotations

from typing import Any, cast

import pytest
from twisted.internet.address import IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory
from twisted.internet.testing import StringTransport
from twisted.python import context
from twisted.python.failure import Failure
from twisted.python.log import ILogContext

from tests.unit.wire.sinks import RecordingSink
from twisted_mux.config import MuxConfig
from twisted_mux.driver import CLOSE_TIMEOUT
from twisted_mux.errors import ProtocolError, UnknownWire
from twisted_mux.factory import MuxFactory
from twisted_mux.protocol import MuxProtocol
from twisted_mux.testing import MemoryConnection, SessionPair, VirtualClock
from twisted_mux.testing.conformance import Producer, Recorder
from twisted_mux.wire import codecNamed
from twisted_mux.wire.base import Role

DONE = Failure(ConnectionDone())


def session(transport: Any, clock: Any = None, **arguments: Any) -> MuxProtocol:
    """
    A client's session on a carrier.
    """
    arguments.setdefault("wire", "yamux")
    mux = MuxFactory(role="client", reactor=clock, **arguments).buildProtocol(None)
    mux.makeConnection(transport)
    return mux


# The factory.


def test_unknown() -> None:
    """
    A wire or a role that there is not is an error when the factory is made.
    """
    with pytest.raises(UnknownWire):
        MuxFactory(role="client", wire="pigeon")
    with pytest.raises(ValueError, match="bystander"):
        MuxFactory(role="bystander")


def test_roles() -> None:
    """
    A role may be given as what it is or by its name.
    """
    assert MuxFactory(role=Role.SERVER).role is Role.SERVER
    assert MuxFactory(role="server").role is Role.SERVER


def test_factoryOfStreams() -> None:
    """
    The streams' factory is started and stopped with the carriers'; there need
    not be one.
    """
    streams: Any = Factory.forProtocol(Recorder)
    factory = MuxFactory(streams, role="server")
    factory.doStart()
    factory.doStart()
    assert streams.numPorts == 2
    factory.doStop()
    assert streams.numPorts == 1
    alone = MuxFactory(role="server")
    alone.doStart()
    alone.doStop()


def test_sessionStarted() -> None:
    """
    Who is to know of each session is told when it can be used.
    """
    seen: list[MuxProtocol] = []

    def started(mux: MuxProtocol) -> None:
        assert mux.takesStreams
        seen.append(mux)
        mux.openStream(Factory.forProtocol(Recorder))

    clock = VirtualClock()
    connection = MemoryConnection(clock)
    client = MuxFactory(role="client", sessionStarted=started).buildProtocol(None)
    server = MuxFactory(
        Factory.forProtocol(Recorder), role="server", sessionStarted=seen.append
    ).buildProtocol(None)
    connection.connect(client, server)
    assert seen == [server, client]
    clock.settle()
    assert server.statistics().streamsAccepted == 1


def test_configurations() -> None:
    """
    A session has the configuration of its factory, with the wire's own
    defaults.
    """
    mux = MuxFactory(
        role="client", config=MuxConfig(window=1234), wire="smux2"
    ).buildProtocol(None)
    assert mux.config.window == 1234
    assert mux.config.keepAlive == 10


# Carriers.


def test_reactorOfCarrier() -> None:
    """
    Delayed calls are the carrier's reactor's, if it has one, and no other was
    given; else the global one's.
    """
    clock = VirtualClock()
    assert session(MemoryConnection(clock).client).reactor is clock
    other = VirtualClock()
    assert session(MemoryConnection(clock).client, other).reactor is other
    from twisted.internet import reactor

    mux = session(StringTransport(), config=MuxConfig(keepAlive=0))
    assert mux.reactor is reactor
    mux.connectionLost(DONE)


class Bare:
    """
    A carrier with what is needed and nothing more: no addresses, no
    C{abortConnection}, closed at once.
    """

    def __init__(self, mux: MuxProtocol | None = None) -> None:
        self.mux = mux
        self.producer: Any = None
        self.calls: list[str] = []
        self.written = b""

    def getHost(self) -> Any:
        raise NotImplementedError

    getPeer = getHost

    def write(self, data: bytes) -> None:
        self.written += data

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None
        self.calls.append("unregister")

    def loseConnection(self) -> None:
        self.calls.append("lose")
        if self.mux is not None:
            self.mux.connectionLost(DONE)

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")


def test_carrierWithoutAddresses() -> None:
    """
    A carrier that has no addresses has the wire's name for one.
    """
    clock = VirtualClock()
    mux = session(Bare(), clock)
    client = Recorder()
    mux.openStream(cast(Any, Factory.forProtocol(lambda: client)))
    clock.turn()
    assert "yamux" in mux.statistics().peer
    assert "yamux" in str(cast(Any, client.transport).getPeer())
    assert "yamux" in mux.describe()
    assert cast(Any, client.transport).logPrefix() == "Recorder,client"


def test_acceptedWithoutAddresses() -> None:
    """
    The accepting side's log prefix does without the peer's host then.
    """
    clock = VirtualClock()
    server = Recorder()
    mux = MuxFactory(
        cast(Any, Factory.forProtocol(lambda: server)),
        role="server",
        wire="yamux",
        reactor=clock,
    ).buildProtocol(None)
    mux.makeConnection(cast(Any, Bare()))
    # A stream is opened: WINDOW_UPDATE with SYN.
    mux.dataReceived(bytes.fromhex("00 01 0001 00000001 00000000"))
    assert cast(Any, server.transport).logPrefix() == "Recorder,1,yamux"


def test_unixCarrier() -> None:
    """
    A carrier with addresses of another kind is described by them.
    """
    transport = StringTransport(peerAddress=UNIXAddress("/run/peer"))
    mux = session(transport, VirtualClock())
    assert "/run/peer" in mux.statistics().peer


def test_ipv6Carrier() -> None:
    """
    An IPv6 address is written with brackets.
    """
    transport = StringTransport(peerAddress=IPv6Address("TCP", "2001:db8::1", 7))
    mux = session(transport, VirtualClock())
    assert mux.statistics().peer == "[2001:db8::1]:7"
    assert "[2001:db8::1]:7" in mux.describe()


def test_abortWithoutAbort() -> None:
    """
    A carrier that can't be aborted is closed; its producer is unregistered
    first, as TLS wants it.
    """
    bare = Bare()
    mux = session(bare, VirtualClock())
    mux.abort()
    assert bare.calls == ["unregister", "lose"]


def test_closedFromWithin() -> None:
    """
    A carrier may be lost from within C{loseConnection}: nothing is left to be
    done.
    """
    clock = VirtualClock()
    bare = Bare()
    mux = session(bare, clock)
    bare.mux = mux
    results: list[Any] = []
    mux.close().addBoth(results.append)
    clock.settle()
    assert results == [None]
    assert bare.calls == ["unregister", "lose"]
    assert not clock.getDelayedCalls()


def test_carrierThatNeverCloses() -> None:
    """
    One that does not close in time is aborted.
    """
    aborted: list[None] = []

    class Stuck(StringTransport):
        def abortConnection(self) -> None:
            aborted.append(None)

    clock = VirtualClock()
    transport = Stuck()
    mux = session(transport, clock)
    mux.close()
    clock.settle()
    assert transport.disconnecting
    clock.advance(CLOSE_TIMEOUT - 1)
    assert not aborted
    clock.advance(1)
    assert aborted
    mux.connectionLost(DONE)
    assert not clock.getDelayedCalls()


def test_lostWhileClosing() -> None:
    """
    The time for closing is over when the carrier is.
    """
    clock = VirtualClock()
    mux = session(StringTransport(), clock)
    mux.close()
    clock.settle()
    assert clock.getDelayedCalls()
    mux.connectionLost(DONE)
    assert not clock.getDelayedCalls()


def test_readingPausedWhenLost() -> None:
    """
    A carrier whose reading was paused for want of memory is not resumed once
    it is lost.
    """
    pair = SessionPair("mplex", clientConfig=MuxConfig(receiveBudget=1000))
    client, server = Recorder(), Recorder()
    pair.connect(client, server)
    pair.pump()
    cast(Any, server.transport).pauseProducing()
    cast(Any, client.transport).write(bytes(100_000))
    pair.pump()
    assert not pair.server.statistics().reading
    pair.lose()
    pair.pump()
    assert server.gone


def test_resumedToBeClosed() -> None:
    """
    A carrier whose reading is paused is resumed before it is closed; one that is
    closed is told neither.
    """
    clock = VirtualClock()
    bare = Bare()
    mux = session(bare, clock, wire="mplex", config=MuxConfig(receiveBudget=100))
    paused = Recorder(made=lambda recorder: recorder.transport.pauseProducing())  # type: ignore[union-attr]
    mux.streamFactory = cast(Any, Factory.forProtocol(lambda: paused))
    # A stream is opened, and 200 bytes sent on it.
    mux.dataReceived(bytes.fromhex("00 00 02 c8 01") + bytes(200))
    clock.settle()
    assert bare.calls == ["pause"]
    mux.engine.fail(ProtocolError("made up"))
    clock.settle()
    assert bare.calls == ["pause", "resume", "unregister", "lose"]
    mux.dataReceived(b"more")
    clock.settle()
    assert len(bare.calls) == 4
    mux.connectionLost(DONE)


def test_readingPausedWhenClosing() -> None:
    """
    A session whose carrier's reading was paused can be closed as any other.
    """
    pair = SessionPair("mplex", clientConfig=MuxConfig(receiveBudget=1000))
    client, server = Recorder(), Recorder()
    pair.connect(client, server)
    pair.pump()
    cast(Any, server.transport).pauseProducing()
    cast(Any, client.transport).write(bytes(1_000_000))
    pair.pump()
    pair.server.engine.fail(ProtocolError("made up"))
    pair.advance(2 * CLOSE_TIMEOUT)
    assert pair.client.over
    assert isinstance(client.reason, ConnectionLost)


def test_stopProducing() -> None:
    """
    A carrier that stops us takes nothing more.
    """
    clock = VirtualClock()
    transport = StringTransport()
    mux = session(transport, clock)
    mux.stopProducing()
    assert not mux.statistics().writing
    transport.clear()
    mux.ping().addErrback(lambda failure: None)
    clock.settle()
    assert transport.value() == b""
    mux.connectionLost(DONE)


def test_pausedInTheMiddle() -> None:
    """
    A carrier may pause and resume us from within C{write}.
    """

    class Strict(StringTransport):
        producer: Any

        def write(self, data: bytes) -> None:
            super().write(data)
            self.producer.pauseProducing()
            if len(self.value()) < 300_000:
                self.producer.resumeProducing()

    clock = VirtualClock()
    transport = Strict()
    mux = session(transport, clock)
    client = Recorder()
    mux.openStream(cast(Any, Factory.forProtocol(lambda: client)))
    clock.turn()
    cast(Any, client.transport).write(bytes(200_000))
    clock.settle()
    assert 200_000 < len(transport.value()) < 210_000


def test_deliveredInTheMiddle() -> None:
    """
    A carrier may deliver from within C{write}, as two that are wired to each
    other do.
    """

    class Wire(StringTransport):
        other: MuxProtocol
        depth = 0

        def write(self, data: bytes) -> None:
            self.depth += 1
            assert self.depth < 50
            self.other.dataReceived(data)
            self.depth -= 1

    clock = VirtualClock()
    ends = Wire(), Wire()
    client, server = (
        MuxFactory(role=role, reactor=clock).buildProtocol(None)
        for role in ("client", "server")
    )
    ends[0].other, ends[1].other = server, client
    client.makeConnection(cast(Any, ends[0]))
    server.makeConnection(cast(Any, ends[1]))
    accepted = Recorder(
        data=lambda recorder: cast(Any, recorder.transport).write(b"answer")
    )
    server.streamFactory = cast(Any, Factory.forProtocol(lambda: accepted))
    opened = Recorder()
    client.openStream(cast(Any, Factory.forProtocol(lambda: opened)))
    clock.settle()
    cast(Any, opened.transport).write(b"question")
    clock.settle()
    assert accepted.data == b"question"
    assert opened.data == b"answer"
    client.connectionLost(DONE)
    server.connectionLost(DONE)
    assert not clock.getDelayedCalls()


def test_carrierThatGoesOn() -> None:
    """
    A carrier that calls us after it was lost does no harm.
    """
    clock = VirtualClock()
    transport = StringTransport()
    mux = session(transport, clock)
    mux.connectionLost(DONE)
    transport.clear()
    mux.dataReceived(b"more")
    mux.resumeProducing()
    clock.settle()
    assert transport.value() == b""
    assert transport.producerState == "producing"


def test_callsCancelled() -> None:
    """
    A test's clean-up may have cancelled our delayed calls before the carrier is
    lost.
    """
    clock = VirtualClock()
    mux = session(StringTransport(), clock)
    mux.openStream(Factory.forProtocol(Recorder)).addErrback(lambda failure: None)
    for call in list(clock.getDelayedCalls()):
        call.cancel()
    mux.connectionLost(DONE)
    clock.settle()
    assert not clock.getDelayedCalls()


def test_carrierThatGoesOnWithinADelivery() -> None:
    """
    A carrier may take more, and deliver more, while a protocol is being called:
    nothing gets out of order.
    """
    recorders: list[Recorder] = []

    def build() -> Recorder:
        recorders.append(Recorder(data=react))
        return recorders[-1]

    def react(recorder: Recorder) -> None:
        if recorder.data == b"a":
            cast(Any, recorders[1].transport).loseConnection()
            mux.resumeProducing()
            assert recorders[1].gone
            mux.dataReceived(peer.payloadHeader(1, 1) + b"c")
            mux.dataReceived(peer.payloadHeader(1, 1) + b"d")

    clock = VirtualClock()
    streams: Any = Factory.forProtocol(build)
    mux = MuxFactory(streams, role="server", reactor=clock).buildProtocol(None)
    mux.makeConnection(cast(Any, StringTransport()))
    peer = codecNamed("yamux")(Role.CLIENT, RecordingSink(), 1000)
    window = mux.config.window
    mux.dataReceived(peer.encodeOpen(1, window, b"") + peer.encodeOpen(3, window, b""))
    clock.settle()
    mux.dataReceived(
        (peer.payloadHeader(1, 1) + b"a") + peer.payloadHeader(1, 1) + b"b"
    )
    clock.settle()
    assert recorders[0].data == b"abcd"


def test_whoReadsOnIsNext() -> None:
    """
    On a carrier that takes all, an echo that reads only as fast as it can write is
    not held up by a producer that always has more: when its data is sent it reads
    on before that one has written much.  (Otherwise what waits to be read stops the
    carrier; and a peer that can't write then reads no more either, on a wire
    without credit.)
    """
    size = 1024 * 1024
    relay, bulk = Recorder(), Recorder()
    protocols = [relay, bulk]
    streams: Any = Factory.forProtocol(lambda: protocols.pop(0))
    clock = VirtualClock()
    mux = MuxFactory(streams, role="server", wire="smux1", reactor=clock).buildProtocol(
        None
    )
    mux.makeConnection(cast(Any, StringTransport()))
    peer = codecNamed("smux1")(Role.CLIENT, RecordingSink(), 32 * 1024)
    mux.dataReceived(peer.encodeOpen(1, 0, b"") + peer.encodeOpen(3, 0, b""))
    clock.settle()
    relaying: Any = relay.transport
    relaying.registerProducer(relaying, True)
    relay.on["data"] = lambda _: relaying.write(bytes(16 * 1024))
    sending: Any = bulk.transport
    producer = Producer(resume=lambda: sending.write(bytes(16 * 1024)))
    sending.registerProducer(producer, False)
    frame = peer.payloadHeader(1, 16 * 1024) + bytes(16 * 1024)
    mux.dataReceived(frame * (size // (16 * 1024)))
    while relaying.bytesSent < size:
        assert clock.turn()
    assert sending.bytesSent <= size
    mux.connectionLost(DONE)


# The log.


def test_logContext() -> None:
    """
    While a chunk is dealt with, the log's context is that of the stream whose
    payload it is at that moment, however it is asked for.
    """
    seen: list[Any] = []

    def look(recorder: Recorder) -> None:
        current = context.get(ILogContext)
        seen.append((current["system"], current.copy()["system"], current["isError"]))
        with pytest.raises(KeyError):
            current["no such thing"]

    pair = SessionPair("yamux")
    clients = []
    servers = []
    for _ in range(3):
        client, server = Recorder(), Recorder(data=look)
        pair.connect(client, server)
        clients.append(client)
        servers.append(server)
    pair.pump()
    assert pair.server.currentPrefix() == "yamux"
    for client in clients:
        cast(Any, client.transport).write(b"x")
    pair.pump()
    prefixes = [cast(Any, server.transport).logPrefix() for server in servers]
    assert seen == [(prefix, prefix, 0) for prefix in prefixes]
    assert pair.server.currentPrefix() == prefixes[-1]
    assert context.get(ILogContext) is not None
    assert "yamux" not in str(context.get(ILogContext))


def test_logContextAtTheEnd() -> None:
    """
    What a carrier's loss finds put off is read in the context of its stream, too.
    """
    recorder = Recorder()
    streams: Any = Factory.forProtocol(lambda: recorder)
    mux = MuxFactory(streams, role="server", reactor=VirtualClock()).buildProtocol(None)
    mux.makeConnection(cast(Any, StringTransport()))
    peer = codecNamed("yamux")(Role.CLIENT, RecordingSink(), 1000)
    mux.dataReceived(
        peer.encodeOpen(1, mux.config.window, b"") + peer.payloadHeader(1, 1) + b"x"
    )
    assert recorder.events == ["made"]
    mux.connectionLost(DONE)
    assert recorder.events == ["made", "data", "lost"]
    assert set(recorder.systems.values()) == {
        f"Recorder,1,{cast(Any, mux.peerAddress).host}"
    }
