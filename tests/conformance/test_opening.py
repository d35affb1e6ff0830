"""
How streams begin, on every wire: opening, accepting, refusing, cancelling.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from twisted.internet.error import (
    CannotListenError,
    ConnectingCancelledError,
    ConnectionDone,
    ConnectionLost,
    NoProtocol,
)
from twisted.internet.error import ConnectionRefusedError as TwistedRefused

from tests.conformance.streams import Factory3, MakePair, capabilities, connect, listen
from twisted_mux.config import MuxConfig
from twisted_mux.errors import SessionClosed
from twisted_mux.reasons import SessionLost, StreamRefused, StreamReset
from twisted_mux.testing import OneProtocol, SessionPair
from twisted_mux.testing.conformance import (
    Recorder,
)

if TYPE_CHECKING:
    from tests.conftest import LoggedErrors


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
    client = Recorder()
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


def test_stoppedPortStaysStopped(pair: SessionPair, outcome: Any) -> None:
    """
    A port that has stopped leaves alone what listens now, also if that is the same
    factory.
    """
    endpoint = pair.server.serverEndpoint()
    factory = Factory3(lambda address: Recorder())
    port = outcome(endpoint.listen(cast(Any, factory))).value
    outcome(port.stopListening()).value  # noqa: B018
    again = outcome(endpoint.listen(cast(Any, factory))).value
    outcome(port.stopListening()).value  # noqa: B018
    assert factory.calls == ["start", "stop", "start"]
    pair.server.streamFactory = other = cast(Any, Factory3(lambda address: None))
    outcome(again.stopListening()).value  # noqa: B018
    assert factory.calls == ["start", "stop", "start", "stop"]
    assert pair.server.streamFactory is other


def test_doStartRaises(pair: SessionPair, outcome: Any) -> None:
    """
    What a factory raises when it is started is what C{listen} fails with, and
    another one may listen all the same.
    """
    endpoint = pair.server.serverEndpoint()
    factory = Factory3(lambda address: Recorder())

    def fail() -> None:
        raise ZeroDivisionError

    factory.doStart = fail  # type: ignore[method-assign]
    outcome(endpoint.listen(cast(Any, factory))).failed(ZeroDivisionError)
    other = Factory3(lambda address: Recorder())
    outcome(endpoint.listen(cast(Any, other))).value  # noqa: B018


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
