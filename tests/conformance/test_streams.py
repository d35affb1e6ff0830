"""
What a stream's transport is and does beyond a TCP connection's: on every wire.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import pytest
from twisted.internet.error import (
    CannotListenError,
    ConnectingCancelledError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    NoProtocol,
)
from twisted.internet.error import ConnectionRefusedError as TwistedRefused
from twisted.internet.interfaces import (
    IHalfCloseableDescriptor,
    IHandshakeListener,
    IReadWriteDescriptor,
    ISSLTransport,
    ISystemHandle,
    ITLSTransport,
    IUNIXTransport,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from twisted_mux.config import MuxConfig
from twisted_mux.errors import NotSupported, SessionClosed, UsageError
from twisted_mux.interfaces import IMuxSession, IStreamTransport
from twisted_mux.reasons import SessionLost, StreamRefused, StreamReset
from twisted_mux.testing import OneProtocol, SessionPair
from twisted_mux.testing.conformance import (
    HalfCloser,
    Producer,
    Recorder,
    StreamConnections,
    casesFor,
)
from twisted_mux.testing.conformance.reentrancy import ReentrancyTests
from twisted_mux.wire import wireNames

if TYPE_CHECKING:
    from tests.conftest import LoggedErrors

MakePair = Callable[..., SessionPair]


def capabilities(pair: SessionPair) -> Any:
    """
    What the wire can do.
    """
    return pair.client.engine.capabilities


def connect(
    pair: SessionPair,
    client: Recorder | None = None,
    server: Recorder | None = None,
    **arguments: Any,
) -> tuple[Any, Any]:
    """
    Two protocols on a new stream.
    """
    client = Recorder() if client is None else client
    server = Recorder() if server is None else server
    pair.connect(client, server, **arguments).addErrback(lambda failure: None)
    pair.pump()
    return client, server


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


# The beginning.


class Factory3:
    """
    A factory that has the three methods that endpoints call, and no other.
    """

    def __init__(self, build: Callable[[Any], Any]) -> None:
        self.build = build
        self.calls: list[str] = []

    def doStart(self) -> None:
        self.calls.append("start")

    def doStop(self) -> None:
        self.calls.append("stop")

    def buildProtocol(self, address: Any) -> Any:
        self.calls.append("build")
        return self.build(address)


def listen(pair: SessionPair, build: Callable[[Any], Any]) -> Factory3:
    """
    A factory that listens on the server's session.
    """
    factory = Factory3(build)
    pair.server.serverEndpoint().listen(cast(Any, factory))
    return factory


def test_connect(pair: SessionPair, outcome: Any) -> None:
    """
    C{connect} fires with the protocol, after C{connectionMade} and not before
    it returns; the factory is started and stopped.
    """
    server = Recorder()
    served = listen(pair, lambda address: server)
    client = Recorder()
    factory = Factory3(lambda address: client)
    endpoint = pair.client.clientEndpoint()
    result = outcome(endpoint.connect(cast(Any, factory)))
    assert factory.calls == ["start"]
    assert client.events == result.results == []
    result.deferred.addCallback(lambda _: client.events.append("fired"))
    pair.pump()
    assert result.value is client
    assert client.events == ["made", "fired"]
    assert factory.calls == ["start", "build"]
    assert served.calls == ["start", "build"]
    cast(Any, client.transport).loseConnection()
    pair.pump()
    assert factory.calls == ["start", "build", "stop"]
    assert served.calls == ["start", "build"]


def test_addressForBuildProtocol(pair: SessionPair) -> None:
    """
    C{buildProtocol} gets the peer's address, on both sides.
    """
    seen = []

    def build(address: Any) -> Any:
        seen.append(address)
        return Recorder()

    listen(pair, build)
    pair.client.openStream(cast(Any, Factory3(build)))
    pair.pump()
    assert sorted(map(str, seen)) == sorted(
        map(str, (pair.carrier.CLIENT, pair.carrier.SERVER))
    )


def test_acceptNone(pair: SessionPair) -> None:
    """
    Where the accepting factory builds no protocol the stream is accepted, then
    closed in order.
    """
    factory = listen(pair, lambda address: None)
    client = Recorder()
    pair.client.openStream(OneProtocol(client))
    pair.pump()
    assert factory.calls == ["start", "build"]
    assert client.events == ["made", "lost"]
    assert type(client.reason) is ConnectionDone
    assert pair.server.statistics().streamsAccepted == 1
    assert not pair.client.engine.streams
    assert not pair.server.engine.streams


def test_acceptRaises(pair: SessionPair, loggedErrors: LoggedErrors) -> None:
    """
    Where the accepting factory raises the stream is reset, which is logged
    once; the session goes on.
    """

    def fail(address: Any) -> None:
        raise ZeroDivisionError

    listen(pair, fail)
    client = Recorder()
    pair.client.openStream(OneProtocol(client))
    pair.pump()
    assert len(loggedErrors.flush(ZeroDivisionError)) == 1
    if "made" in client.events:
        assert isinstance(client.reason, (ConnectionLost, ConnectionDone))
    assert not pair.client.engine.streams
    assert not pair.server.engine.streams
    cast(Any, pair.server.streamFactory).build = lambda address: Recorder()
    connect(pair)


def test_acceptedConnectionMadeRaises(
    pair: SessionPair, loggedErrors: LoggedErrors
) -> None:
    """
    The same for C{connectionMade} on the accepting side.  The protocol is told
    that the connection is lost, as it has had it.
    """

    def fail(recorder: Recorder) -> None:
        raise ZeroDivisionError

    client, server = connect(pair, None, Recorder(made=fail))
    assert len(loggedErrors.flush(ZeroDivisionError)) == 1
    assert server.events == ["made", "lost"]
    assert isinstance(server.reason, ZeroDivisionError)
    if "made" in client.events:
        assert client.gone
    assert not pair.client.engine.streams
    assert not pair.server.engine.streams


def test_openNone(pair: SessionPair, outcome: Any) -> None:
    """
    Where the opening factory builds no protocol C{connect} fails, and the other
    side is told.
    """
    server = Recorder()
    listen(pair, lambda address: server)
    factory = Factory3(lambda address: None)
    result = outcome(pair.client.openStream(cast(Any, factory)))
    pair.pump()
    result.failed(NoProtocol)
    assert factory.calls == ["start", "build", "stop"]
    assert server.events in ([], ["made", "lost"])
    assert not pair.client.engine.streams
    assert not pair.server.engine.streams


def test_openRaises(pair: SessionPair, outcome: Any) -> None:
    """
    Where the opening factory raises C{connect} fails with that, and nothing is
    logged: the caller has it.
    """

    def fail(address: Any) -> None:
        raise ZeroDivisionError

    factory = Factory3(fail)
    listen(pair, lambda address: Recorder())
    result = outcome(pair.client.openStream(cast(Any, factory)))
    pair.pump()
    result.failed(ZeroDivisionError)
    assert factory.calls == ["start", "build", "stop"]
    assert not pair.client.engine.streams
    assert not pair.server.engine.streams


def test_openedConnectionMadeRaises(pair: SessionPair, outcome: Any) -> None:
    """
    The same for C{connectionMade} on the opening side.  The protocol is told
    that the connection is lost.
    """

    def fail(recorder: Recorder) -> None:
        raise ZeroDivisionError

    client, server = Recorder(made=fail), Recorder()
    result = outcome(pair.connect(client, server))
    pair.pump()
    result.failed(ZeroDivisionError)
    assert client.events == ["made", "lost"]
    assert isinstance(client.reason, ZeroDivisionError)
    assert server.events in ([], ["made", "lost"])
    assert not pair.server.engine.streams


def test_lostWhenMade(pair: SessionPair, outcome: Any) -> None:
    """
    C{connect} fires with a protocol that has closed its connection in
    C{connectionMade}.
    """
    client = Recorder(
        made=lambda recorder: cast(Any, recorder).transport.loseConnection()
    )
    result = outcome(pair.connect(client, Recorder()))
    pair.pump()
    assert result.value is client
    assert client.events == ["made", "lost"]


def test_cancelBeforeSent(makePair: MakePair, outcome: Any) -> None:
    """
    A connect that is cancelled before its open was sent fails, and the other
    side never hears of it.  (It is not sent while the peer has too many to
    acknowledge.)
    """
    pair = makePair(clientConfig=MuxConfig(maxUnacknowledged=1))
    pair.carrier.stall()
    factory = Factory3(lambda address: Recorder())
    waiting = [outcome(pair.client.openStream(cast(Any, factory))) for _ in range(3)]
    waiting[2].deferred.cancel()
    waiting[2].failed(ConnectingCancelledError)
    pair.carrier.stall(False)
    streams: list[Recorder] = []

    def build(address: Any) -> Recorder:
        streams.append(Recorder())
        return streams[-1]

    listen(pair, build)
    pair.pump()
    assert waiting[0].value
    assert waiting[1].value
    assert factory.calls.count("build") == 2
    assert factory.calls.count("start") == 3
    assert factory.calls.count("stop") == 1
    if not capabilities(pair).ack:
        # There nothing limits it, so the open had been sent.
        streams.pop()
    assert [stream.events for stream in streams] == [["made"]] * 2


def test_cancelAfterSent(pair: SessionPair, outcome: Any) -> None:
    """
    A connect that is cancelled when its open was sent fails, and the stream is
    reset.
    """
    server = Recorder()
    listen(pair, lambda address: server)
    factory = Factory3(lambda address: Recorder())
    result = outcome(pair.client.openStream(cast(Any, factory)))
    result.deferred.cancel()
    result.failed(ConnectingCancelledError)
    pair.pump()
    assert factory.calls == ["start", "stop"]
    assert server.events in ([], ["made", "lost"])
    assert not pair.client.engine.streams
    assert not pair.server.engine.streams


def test_cancelWhileAcknowledging(makePair: MakePair, outcome: Any) -> None:
    """
    The same while an acknowledgement is waited for, where there are such.
    """
    pair = makePair(clientConfig=MuxConfig(opening="ack"))
    server = Recorder()
    listen(pair, lambda address: server)
    factory = Factory3(lambda address: Recorder())
    pair.carrier.stall()
    result = outcome(pair.client.openStream(cast(Any, factory)))
    pair.pump()
    if not capabilities(pair).ack:
        assert result.value
        return
    assert result.results == []
    assert factory.calls == ["start"]
    result.deferred.cancel()
    result.failed(ConnectingCancelledError)
    pair.carrier.stall(False)
    pair.pump()
    assert factory.calls == ["start", "stop"]
    assert not pair.client.engine.streams
    assert not pair.server.engine.streams


def test_cancelAfterConnect(pair: SessionPair, outcome: Any) -> None:
    """
    To cancel what has fired does nothing.
    """
    client, _ = Recorder(), None
    result = outcome(pair.connect(client, Recorder()))
    pair.pump()
    result.deferred.cancel()
    pair.pump()
    assert client.events == ["made"]


def test_cancelInConnectionMade(pair: SessionPair, outcome: Any) -> None:
    """
    A connect that is cancelled from within C{connectionMade} fails, and the
    protocol, that has its connection, loses it.
    """
    client = Recorder(made=lambda recorder: results[0].deferred.cancel())
    server = Recorder()
    results = [outcome(pair.connect(client, server))]
    pair.pump()
    results[0].failed(ConnectingCancelledError)
    assert client.events == ["made", "lost"]
    assert server.events in ([], ["made", "lost"])


def test_acknowledged(makePair: MakePair, outcome: Any) -> None:
    """
    With C{opening="ack"} C{connect} fires when the peer has acknowledged the
    stream; data that came with the acknowledgement arrives.
    """
    pair = makePair(clientConfig=MuxConfig(opening="ack"))
    server = Recorder(made=lambda recorder: cast(Any, recorder).transport.write(b"hi"))
    client = Recorder()
    result = outcome(pair.connect(client, server))
    pair.turn()
    if capabilities(pair).ack:
        assert client.events == []
    pair.pump()
    assert result.value is client
    assert client.data == b"hi"
    assert client.events == ["made", "data"]


def test_notAcknowledgedInTime(makePair: MakePair, outcome: Any) -> None:
    """
    An acknowledgement that does not come in time fails the connect.
    """
    pair = makePair(clientConfig=MuxConfig(opening="ack", openTimeout=7, keepAlive=0))
    if not capabilities(pair).ack:
        pytest.skip("the wire has no acknowledgement")
    pair.carrier.stall()
    factory = Factory3(lambda address: Recorder())
    result = outcome(pair.client.openStream(cast(Any, factory)))
    pair.advance(6.9)
    assert result.results == []
    pair.advance(0.2)
    error = result.failed(ConnectionLost)
    assert "acknowledged" in str(error)
    assert factory.calls == ["start", "stop"]
    assert not pair.client.engine.streams


@pytest.mark.parametrize("opening", ["now", "ack"])
def test_refused(makePair: MakePair, outcome: Any, opening: str) -> None:
    """
    A stream for which nobody listens is refused: the connect fails with that,
    if it has not fired; and the protocol is told, if it has.
    """
    pair = makePair(clientConfig=MuxConfig(opening=opening))
    client = Recorder()
    result = outcome(pair.client.openStream(OneProtocol(client)))
    pair.pump()
    assert pair.server.statistics().streamsRefused == 1
    assert not pair.client.engine.streams
    assert not pair.server.engine.streams
    if opening == "ack" and capabilities(pair).ack:
        assert isinstance(result.failed(StreamRefused), TwistedRefused)
        assert client.events == []
    else:
        assert result.value is client
        assert client.events == ["made", "lost"]
        assert isinstance(
            client.reason,
            StreamReset if capabilities(pair).reset else ConnectionDone,
        )


def test_carrierLostWhileOpening(makePair: MakePair, outcome: Any) -> None:
    """
    When the carrier is lost every connect that has not fired fails.
    """
    pair = makePair(clientConfig=MuxConfig(opening="ack", maxUnacknowledged=1))
    pair.carrier.stall()
    factory = Factory3(lambda address: Recorder())
    results = [outcome(pair.client.openStream(cast(Any, factory))) for _ in range(3)]
    pair.lose()
    pair.pump()
    for result in results:
        if result.results and not isinstance(result.results[0], Recorder):
            result.failed(SessionLost)
    assert all(result.results for result in results)
    assert factory.calls.count("start") == factory.calls.count("stop") == 3


def test_openOnDeadSession(pair: SessionPair, outcome: Any) -> None:
    """
    A session that is over opens nothing, and says so, in a later turn.
    """
    pair.lose()
    pair.pump()
    factory = Factory3(lambda address: Recorder())
    assert not pair.client.takesStreams
    result = outcome(pair.client.openStream(cast(Any, factory)))
    assert result.results == []
    pair.pump()
    result.failed(SessionClosed)
    assert factory.calls == ["start", "stop"]


def test_listenTwice(pair: SessionPair, outcome: Any) -> None:
    """
    One factory listens at a time; when it has stopped another may.
    """
    endpoint = pair.server.serverEndpoint()
    factory = Factory3(lambda address: Recorder())
    port = outcome(endpoint.listen(cast(Any, factory))).value
    assert port.getHost().wire == pair.server.wire
    assert port.getHost().carrier == pair.carrier.SERVER
    outcome(endpoint.listen(cast(Any, factory))).failed(CannotListenError)
    client, server = Recorder(), None
    pair.client.openStream(OneProtocol(client))
    pair.pump()
    outcome(port.stopListening()).value  # noqa: B018
    outcome(port.stopListening()).value  # noqa: B018
    assert factory.calls == ["start", "build", "stop"]
    # The streams that are open stay.
    cast(Any, client.transport).write(b"x")
    pair.pump()
    assert client.events == ["made"]
    other = Factory3(lambda address: Recorder())
    outcome(endpoint.listen(cast(Any, other))).value  # noqa: B018
    connect(pair)
    assert other.calls == ["start"]
    del server


def test_doStopRaises(pair: SessionPair, outcome: Any) -> None:
    """
    What a factory raises when it is stopped is what C{stopListening} fails with,
    and another one may listen all the same.
    """
    endpoint = pair.server.serverEndpoint()
    factory = Factory3(lambda address: Recorder())

    def fail() -> None:
        raise ZeroDivisionError

    factory.doStop = fail  # type: ignore[method-assign]
    port = outcome(endpoint.listen(cast(Any, factory))).value
    outcome(port.stopListening()).failed(ZeroDivisionError)
    outcome(endpoint.listen(cast(Any, factory))).value  # noqa: B018


# The end.


def test_reasons(pair: SessionPair) -> None:
    """
    The reasons say what happened, to which stream, in words.
    """
    client, server = connect(pair)
    client.transport.abortConnection()
    pair.pump()
    assert type(client.reason) is ConnectionAborted
    if capabilities(pair).reset:
        assert type(server.reason) is StreamReset
        assert server.transport.streamId in str(server.reason)
        assert "192.0.2.1" in str(server.reason)
    else:
        assert type(server.reason) is ConnectionDone
    client, server = connect(pair)
    pair.lose()
    pair.pump()
    for recorder in (client, server):
        assert type(recorder.reason) is SessionLost
        assert isinstance(recorder.reason, ConnectionLost)
        assert pair.client.wire in str(recorder.reason)


def test_connectionLostRaises(pair: SessionPair, loggedErrors: LoggedErrors) -> None:
    """
    What C{connectionLost} or C{stopProducing} raises is logged, and everything
    else happens all the same.
    """

    def fail(_: object = None) -> None:
        raise ZeroDivisionError

    client, server = connect(pair, Recorder(lost=fail))
    other, another = connect(pair)
    client.transport.registerProducer(Producer(stop=fail), True)
    client.transport.loseConnection()
    pair.pump()
    assert len(loggedErrors.flush(ZeroDivisionError)) == 2
    assert client.gone
    assert type(server.reason) is ConnectionDone
    other.transport.write(b"x")
    pair.pump()
    assert another.data == b"x"


def test_allToldOfTheLoss(pair: SessionPair, loggedErrors: LoggedErrors) -> None:
    """
    The loss of the carrier reaches every stream, also when one of their
    protocols raises.
    """

    def fail(_: object = None) -> None:
        raise ZeroDivisionError

    recorders = [
        each
        for number in range(5)
        for each in connect(pair, Recorder(**({"lost": fail} if number == 1 else {})))
    ]
    pair.lose()
    pair.pump()
    assert len(loggedErrors.flush(ZeroDivisionError)) == 1
    assert [each.events.count("lost") for each in recorders] == [1] * 10


def test_dataAfterTheLoss(pair: SessionPair, loggedErrors: LoggedErrors) -> None:
    """
    A protocol that raises after it has closed is logged, once, and costs
    nobody anything.
    """

    def act(recorder: Recorder) -> None:
        transport: Any = recorder.transport
        transport.loseConnection()
        raise ZeroDivisionError

    client, server = connect(pair, None, Recorder(data=act))
    other, another = connect(pair)
    client.transport.write(b"x")
    other.transport.write(b"x")
    pair.pump()
    assert len(loggedErrors.flush(ZeroDivisionError)) == 1
    assert isinstance(server.reason, ZeroDivisionError)
    assert another.data == b"x"
    assert client.gone


def test_receivedIsDeliveredAfterTheLoss(pair: SessionPair) -> None:
    """
    A stream that has ended in both directions has lost nothing with its
    carrier: what its reader has not read yet it can still have.
    """
    client, server = connect(pair)
    server.transport.pauseProducing()
    server.transport.loseWriteConnection()
    client.transport.write(b"all of it")
    client.transport.loseConnection()
    pair.pump()
    assert type(client.reason) is ConnectionDone
    pair.lose()
    pair.pump()
    assert server.events == ["made"]
    server.transport.resumeProducing()
    pair.pump()
    assert server.data == b"all of it"
    assert type(server.reason) is ConnectionDone


def test_endedAndNotLeft(pair: SessionPair) -> None:
    """
    A protocol that has seen both ends, and has not closed, is told when the
    session ends, whether it has read everything by then or not.
    """
    recorders = []
    for paused in (False, True):
        client, server = connect(pair, HalfCloser(), HalfCloser())
        if paused:
            server.transport.pauseProducing()
        client.transport.write(b"x")
        client.transport.loseWriteConnection()
        server.transport.loseWriteConnection()
        recorders += [client, server]
    pair.pump()
    pair.lose()
    pair.pump()
    paused = recorders[-1]
    for recorder in recorders:
        if recorder is paused:
            assert recorder.events == ["made", "writeLost"]
            recorder.transport.resumeProducing()
            pair.pump()
            assert recorder.data == b"x"
        assert recorder.events[-1] == "lost"
        assert recorder.events.count("readLost") == 1
        assert isinstance(recorder.reason, ConnectionLost)


def test_lingering(makePair: MakePair) -> None:
    """
    A stream that one side has closed, and the other never ends, is given up
    after C{lingerTimeout}: nothing is left of it.
    """
    pair = makePair(clientConfig=MuxConfig(lingerTimeout=20))
    client, server = connect(pair, None, HalfCloser())
    client.transport.loseConnection()
    pair.pump()
    assert len(pair.client.engine.streams) == 1
    pair.advance(19)
    assert len(pair.client.engine.streams) == 1
    pair.advance(2)
    assert not pair.client.engine.streams
    if capabilities(pair).reset:
        assert isinstance(server.reason, ConnectionLost)


def test_halfClosedTimeout(makePair: MakePair) -> None:
    """
    If so configured, a stream that is closed in one direction, and on which
    nothing moves, is given up; while something moves it stays.
    """
    pair = makePair(clientConfig=MuxConfig(halfClosedTimeout=10))
    client, server = connect(pair, HalfCloser(), HalfCloser())
    client.transport.loseWriteConnection()
    pair.pump()
    for _ in range(5):
        pair.advance(7)
        server.transport.write(b"x")
    assert client.data == b"xxxx"
    assert not client.gone
    pair.advance(25)
    assert isinstance(client.reason, ConnectionLost)
    assert "half-closed" in str(client.reason)


# Re-entrancy, beyond what one connection can do.


class StreamReentrancyTests(ReentrancyTests):
    """
    Each callback doing what can be done with a session.
    """

    requests: dict[str, Any] = {
        "open": lambda transport: transport.session.openStream(
            Factory.forProtocol(Recorder)
        ).addErrback(lambda failure: None),
        "close": lambda transport: transport.session.close().addErrback(
            lambda failure: None
        ),
        "close at once": lambda transport: transport.session.close(0.001).addErrback(
            lambda failure: None
        ),
        "abort": lambda transport: transport.session.abort(),
        "ping": lambda transport: transport.session.ping().addErrback(
            lambda failure: None
        ),
        "abort both": lambda transport: (
            transport.abortConnection(),
            transport.session.abort(),
        ),
        "statistics": lambda transport: transport.session.statistics(),
    }

    def test_openedProtocols(self) -> None:
        """
        A stream opened from within a callback is a stream.
        """
        client, server = self.connect()
        opened: list[Any] = []
        accepted: list[Any] = []

        def build(address: Any) -> Any:
            accepted.append(Recorder())
            return accepted[-1]

        connections = cast(StreamConnections, self.connections)
        for session in (connections.pair.client, connections.pair.server):
            session.streamFactory = cast(Any, Factory3(build))
        server.on["data"] = lambda recorder: recorder.transport.session.openStream(
            Factory.forProtocol(Recorder)
        ).addCallback(opened.append)
        client.transport.write(b"x")
        self.pump()
        opened[0].transport.write(b"hello")
        self.pump()
        assert accepted[0].data == b"hello"


for name in wireNames():
    globals().update(
        casesFor(
            name.capitalize(),
            lambda name=name: StreamConnections(SessionPair(name)),  # type: ignore[misc]
            (StreamReentrancyTests,),
        )
    )
# Not to be run itself.
del StreamReentrancyTests, ReentrancyTests, SynchronousTestCase


def test_protocolIsGone(pair: SessionPair) -> None:
    """
    After the loss C{protocol} is no attribute any more.
    """
    client, _ = connect(pair)
    client.transport.loseConnection()
    pair.pump()
    with pytest.raises(AttributeError):
        _ = client.transport.protocol


def test_swappedProtocol(pair: SessionPair) -> None:
    """
    A protocol may hand its transport to another one from within
    C{dataReceived}; the rest of the data, and the end, go there.
    """
    successor = Recorder()

    def handOver(recorder: Recorder) -> None:
        transport: Any = recorder.transport
        transport.protocol = successor
        successor.makeConnection(transport)

    client, server = connect(pair, None, Recorder(data=handOver))
    client.transport.write(b"upgrade")
    pair.pump()
    client.transport.write(b"upgraded")
    client.transport.loseConnection()
    pair.pump()
    assert server.events == ["made", "data"]
    assert successor.data == b"upgraded"
    assert successor.events == ["made", "data", "lost"]


def test_plainProtocol(pair: SessionPair) -> None:
    """
    L{Protocol} itself, with nothing overridden, will do.
    """
    client, server = Protocol(), Protocol()
    pair.connect(client, server)
    pair.pump()
    cast(Any, client.transport).write(b"x")
    cast(Any, client.transport).loseConnection()
    pair.pump()
    assert not pair.client.engine.streams
    assert not pair.server.engine.streams
