"""
Sessions as a whole, on every wire: pings, keep-alive, limits, and their ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory
from twisted.logger import ILogObserver, LogLevel, eventAsText, globalLogPublisher
from zope.interface import implementer

from twisted_mux.config import MuxConfig
from twisted_mux.driver import CLOSE_TIMEOUT
from twisted_mux.errors import (
    NotSupported,
    PeerTimeout,
    ProtocolError,
    SessionClosed,
    TooManyStreams,
)
from twisted_mux.protocol import MuxProtocol
from twisted_mux.reasons import SessionLost
from twisted_mux.testing import Link, SessionPair
from twisted_mux.testing.conformance import HalfCloser, Producer, Recorder
from twisted_mux.wire.base import FrameSink

if TYPE_CHECKING:
    from tests.conformance.conftest import Outcome

MakePair = Callable[..., SessionPair]
Watch = Callable[[Any], "Outcome"]


def connect(
    pair: SessionPair,
    client: Recorder | None = None,
    server: Recorder | None = None,
    session: MuxProtocol | None = None,
) -> tuple[Any, Any]:
    """
    Two protocols on a new stream.
    """
    opener = Recorder() if client is None else client
    accepter = Recorder() if server is None else server
    pair.connect(opener, accepter, session)
    pair.pump()
    return opener, accepter


def capabilities(pair: SessionPair) -> Any:
    """
    What the wire can do.
    """
    return pair.client.engine.capabilities


@implementer(ILogObserver)
class Log:
    """
    What is logged meanwhile, as (level, text).
    """

    def __enter__(self) -> list[tuple[LogLevel, str]]:
        self._lines: list[tuple[LogLevel, str]] = []
        globalLogPublisher.addObserver(self)
        return self._lines

    def __call__(self, event: Any) -> None:
        self._lines.append(
            (event["log_level"], eventAsText(event, includeTimestamp=False))
        )

    def __exit__(self, *_: object) -> None:
        globalLogPublisher.removeObserver(self)


# Pings and keep-alive.


def test_ping(makePair: MakePair, outcome: Watch) -> None:
    """
    A ping takes the round trip, where there is one; elsewhere it says so.
    """
    pair = makePair(link=Link(delay=0.05))
    for session in (pair.client, pair.server):
        results = [outcome(session.ping()) for _ in range(3)]
        if not capabilities(pair).ping:
            for result in results:
                result.failed(NotSupported)
            continue
        pair.advance(0.09)
        assert [result.results for result in results] == [[]] * 3
        pair.advance(0.02)
        for result in results:
            assert result.value == pytest.approx(0.1)
        assert session.statistics().roundTrip == pytest.approx(0.1)


def test_pingOfDeadSession(pair: SessionPair, outcome: Watch) -> None:
    """
    A ping fails when the session ends before it is answered, and afterwards.
    """
    pair.carrier.stall()
    waiting = outcome(pair.client.ping())
    pair.lose()
    pair.pump()
    late = outcome(pair.client.ping())
    if capabilities(pair).ping:
        waiting.failed(SessionLost)
        late.failed(SessionClosed)
    else:
        late.failed(NotSupported)


def test_tooManyPings(pair: SessionPair, outcome: Watch) -> None:
    """
    A peer that answers none is not asked for ever.
    """
    if not capabilities(pair).ping:
        return
    pair.carrier.stall()
    results = [outcome(pair.client.ping()) for _ in range(1025)]
    results[-1].failed(SessionClosed)
    pair.carrier.stall(False)
    pair.pump()
    assert [len(result.results) for result in results] == [1] * 1025


def test_idleSessionLives(makePair: MakePair) -> None:
    """
    An idle session stays, with the wire's customary keep-alive and without any.
    """
    for config in (MuxConfig(), MuxConfig(keepAlive=0, keepAliveTimeout=0)):
        pair = makePair(clientConfig=config)
        client, server = connect(pair)
        pair.advance(1000)
        assert not client.gone
        client.transport.write(b"x")
        pair.advance(1)
        assert server.data == b"x"


def test_noKeepAlive(makePair: MakePair) -> None:
    """
    Without keep-alive an idle session sends nothing and has no delayed call.
    """
    pair = makePair(clientConfig=MuxConfig(keepAlive=0, keepAliveTimeout=0))
    connect(pair)
    pair.pump()
    assert not pair.clock.getDelayedCalls()
    sent = pair.client.statistics().bytesSent
    pair.advance(1000)
    assert pair.client.statistics().bytesSent == sent


def test_deadCarrierIsFound(makePair: MakePair, outcome: Watch) -> None:
    """
    A peer from which nothing comes any more is given up in time: every stream
    is told, and so is who waits for the session's end.
    """
    pair = makePair(clientConfig=MuxConfig(keepAlive=10, keepAliveTimeout=5))
    client, _ = connect(pair)
    end = outcome(pair.client.whenClosed())
    pair.advance(3)
    pair.carrier.stall()
    with Log() as lines:
        pair.advance(20)
    assert isinstance(client.reason, ConnectionLost)
    assert isinstance(client.reason, SessionLost)
    assert "seconds" in str(client.reason)
    end.failed(PeerTimeout)
    ours = [line for line in lines if "ended" in line[1]]
    # Both sides find the other one dead.
    assert len(ours) == 2
    assert {level for level, _ in ours} == {LogLevel.warn}


def test_answersOfAnyKindAreSigns(makePair: MakePair) -> None:
    """
    A peer that sends anything at all is not given up, though its answers are
    late.
    """
    pair = makePair(
        clientConfig=MuxConfig(keepAlive=1, keepAliveTimeout=1.5),
        back=Link(delay=0, rate=10_000),
    )
    client, server = connect(pair)
    server.transport.write(bytes(100_000))
    pair.advance(9)
    assert not client.gone
    assert len(client.received) > 80_000
    pair.advance(9)
    assert len(client.received) == 100_000


def test_writingStalls(makePair: MakePair, outcome: Watch) -> None:
    """
    A carrier that takes nothing of what is to be sent is given up.
    """
    pair = makePair(
        clientConfig=MuxConfig(writeTimeout=8, keepAlive=0, keepAliveTimeout=0)
    )
    client, _ = connect(pair)
    end = outcome(pair.client.whenClosed())
    pair.carrier.stall()
    client.transport.write(bytes(1_000_000))
    pair.advance(7)
    assert not client.gone
    pair.advance(2 + CLOSE_TIMEOUT)
    end.failed(PeerTimeout)
    assert isinstance(client.reason, ConnectionLost)


# The end of a session.


def test_closeAtRest(pair: SessionPair, outcome: Watch) -> None:
    """
    A session without streams closes at once, in order on both sides.
    """
    other = outcome(pair.server.whenClosed())
    result = outcome(pair.client.close())
    assert result.results == []
    pair.pump()
    assert result.value is None
    assert other.value is None
    for session in (pair.client, pair.server):
        assert session.over
        assert not session.takesStreams
        assert outcome(session.whenClosed()).value is None
        assert outcome(session.close()).value is None
    assert not pair.clock.getDelayedCalls()


def test_closeLetsStreamsFinish(pair: SessionPair, outcome: Watch) -> None:
    """
    A closing session opens and accepts no more streams; the live ones finish,
    however much they have to say, and then the carrier closes.
    """
    client, server = connect(pair, HalfCloser())
    result = outcome(pair.client.close())
    pair.pump()
    assert result.results == []
    assert pair.client.statistics().draining
    assert not pair.client.takesStreams
    outcome(pair.client.openStream(Factory.forProtocol(Recorder)))
    opener = Recorder()
    refused = outcome(pair.connect(opener, Recorder(), pair.server))
    pair.pump()
    assert refused.results
    assert opener.gone or not opener.events
    server.transport.write(bytes(1_000_000))
    server.transport.loseConnection()
    pair.pump()
    assert len(client.received) == 1_000_000
    assert type(server.reason) is ConnectionDone
    assert result.results == []
    client.transport.loseConnection()
    pair.pump()
    assert type(client.reason) is ConnectionDone
    assert result.value is None
    assert not pair.clock.getDelayedCalls()


def test_openWhileClosing(pair: SessionPair, outcome: Watch) -> None:
    """
    To open a stream on a closing session is an error, that says so.
    """
    connect(pair)
    pair.client.close()
    result = outcome(pair.client.openStream(Factory.forProtocol(Recorder)))
    pair.pump()
    result.failed(SessionClosed)


def test_closeWhileOpeningsWait(makePair: MakePair, outcome: Watch) -> None:
    """
    Openings that wait for earlier ones to be acknowledged hear at once that the
    session is closing, not when it has closed; so do those that come behind them.
    """
    pair = makePair(clientConfig=MuxConfig(maxUnacknowledged=1))
    connect(pair)
    pair.carrier.stall()
    first, second = (
        outcome(pair.client.openStream(Factory.forProtocol(Recorder))) for _ in range(2)
    )
    waits = not pair.client.engine.opener.mayOpen
    assert waits is capabilities(pair).ack
    pair.client.close()
    third = outcome(pair.client.openStream(Factory.forProtocol(Recorder)))
    pair.pump()
    third.failed(SessionClosed)
    if waits:
        second.failed(SessionClosed)
    assert isinstance(first.value, Recorder)


def test_peerLeavesWhileOpeningsWait(makePair: MakePair, outcome: Watch) -> None:
    """
    So do they when the peer says that it takes no more streams.
    """
    pair = makePair(clientConfig=MuxConfig(maxUnacknowledged=1))
    connect(pair)
    if not capabilities(pair).goAway:
        return
    pair.carrier.stall()
    outcome(pair.client.openStream(Factory.forProtocol(Recorder)))
    waiting = outcome(pair.client.openStream(Factory.forProtocol(Recorder)))
    codec = pair.server.engine.codec
    pair.client.dataReceived(codec.encodeGoAway(codec.goAwayCodes["normal"]))
    pair.pump()
    assert not pair.client.over
    waiting.failed(SessionClosed)


def test_peerIsTold(makePair: MakePair, outcome: Watch) -> None:
    """
    Where the wire has a go-away that leaves streams alone, the peer opens no
    more; its live streams go on.
    """
    pair = makePair(clientConfig=MuxConfig(goAway="first"))
    client, server = connect(pair)
    pair.client.close()
    pair.pump()
    assert pair.server.takesStreams is not capabilities(pair).goAway
    if capabilities(pair).goAway:
        outcome(
            pair.server.openStream(Factory.forProtocol(Recorder))
        ).deferred.addErrback(lambda failure: None)
    client.transport.write(b"still here")
    pair.pump()
    assert server.data == b"still here"


def test_peerIsToldLast(makePair: MakePair, outcome: Watch) -> None:
    """
    With C{goAway="last"} the peer hears of it when the streams have finished.
    """
    pair = makePair(clientConfig=MuxConfig(goAway="last"))
    client, _ = connect(pair)
    result = outcome(pair.client.close())
    pair.pump()
    assert pair.server.takesStreams
    client.transport.loseConnection()
    pair.pump()
    assert result.value is None


def test_closeInTime(pair: SessionPair, outcome: Watch) -> None:
    """
    Streams that do not finish in time are lost, and the session's end is an
    error.  A second call may make the time shorter.
    """
    client, server = connect(pair)
    result = outcome(pair.client.close(100))
    other = outcome(pair.client.close(4))
    pair.advance(3.9)
    assert not client.gone
    pair.advance(0.2)
    for end in (result, other):
        assert "to drain" in str(end.failed(PeerTimeout))
    assert isinstance(client.reason, SessionLost)
    assert isinstance(server.reason, ConnectionLost)


def test_closeWithoutLimit(pair: SessionPair, outcome: Watch) -> None:
    """
    With C{close(0)} the streams may take as long as they like.
    """
    client, _ = connect(pair)
    result = outcome(pair.client.close(0))
    pair.advance(3600)
    assert not client.gone
    client.transport.loseConnection()
    pair.pump()
    assert result.value is None


def test_bothClose(pair: SessionPair, outcome: Watch) -> None:
    """
    Both sides may close at once.
    """
    client, server = connect(pair)
    results = [outcome(pair.client.close()), outcome(pair.server.close())]
    pair.pump()
    client.transport.loseConnection()
    pair.pump()
    for result in results:
        assert result.value is None
    assert type(server.reason) is ConnectionDone


def test_closeWithUnreadData(pair: SessionPair, outcome: Watch) -> None:
    """
    What a paused reader has not read yet when its session closes in order it
    can read afterwards.
    """
    client, server = connect(pair)
    server.transport.pauseProducing()
    server.transport.loseWriteConnection()
    client.transport.write(b"all of it")
    client.transport.loseConnection()
    pair.pump()
    for session in (pair.server, pair.client):
        result = outcome(session.close())
        pair.pump()
        assert result.value is None
    server.transport.resumeProducing()
    pair.pump()
    assert server.data == b"all of it"
    assert type(server.reason) is ConnectionDone


def test_closeTellsWhoIsLeft(pair: SessionPair, outcome: Watch) -> None:
    """
    A protocol that has seen both ends of its stream, and stays, does not keep
    the session from closing, and is told.
    """
    client, server = connect(pair, HalfCloser(), HalfCloser())
    client.transport.loseWriteConnection()
    server.transport.loseWriteConnection()
    pair.pump()
    result = outcome(pair.client.close())
    pair.pump()
    assert result.value is None
    assert client.events[-1] == server.events[-1] == "lost"


def test_peerDoesNotRead(makePair: MakePair, outcome: Watch) -> None:
    """
    A carrier that can't be closed in order, since the peer reads nothing, is
    aborted.
    """
    pair = makePair(clientConfig=MuxConfig(keepAlive=0, keepAliveTimeout=0))
    client, _ = connect(pair)
    pair.carrier.stall()
    client.transport.write(bytes(1_000_000))
    pair.pump()
    pair.client.engine.fail(PeerTimeout("made up"))
    pair.advance(CLOSE_TIMEOUT - 0.1)
    result = outcome(pair.client.whenClosed())
    assert result.results == []
    pair.advance(0.2)
    result.failed(PeerTimeout)


def test_abort(pair: SessionPair, outcome: Watch) -> None:
    """
    C{abort} drops the carrier and everything with it, in a later turn; calling
    it again does nothing.
    """
    client, server = connect(pair)
    ours = outcome(pair.client.whenClosed())
    theirs = outcome(pair.server.whenClosed())
    pair.client.abort()
    pair.client.abort()
    assert not client.gone
    pair.pump()
    assert isinstance(client.reason, SessionLost)
    assert isinstance(server.reason, SessionLost)
    assert ours.value is None
    theirs.failed(SessionLost)
    pair.client.abort()
    pair.pump()


def test_carrierIsLost(pair: SessionPair, outcome: Watch) -> None:
    """
    When the carrier is lost who waits for the session's end is told why.
    """
    results = [outcome(pair.client.whenClosed()) for _ in range(2)]
    pair.lose()
    pair.pump()
    late = outcome(pair.client.whenClosed())
    for result in (*results, late):
        assert isinstance(result.failed(SessionLost), ConnectionLost)


def test_cancelWhenClosed(pair: SessionPair, outcome: Watch) -> None:
    """
    Who waits for the end may give up waiting; the others are told.
    """
    first, second = (outcome(pair.client.whenClosed()) for _ in range(2))
    first.deferred.cancel()
    pair.client.close()
    pair.pump()
    assert len(first.results) == 1
    assert second.value is None


class Listener:
    """
    Passes on what a codec says, and writes down the codes of go-aways.
    """

    def __init__(self, sink: FrameSink) -> None:
        self.sink = sink
        self.told: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sink, name)

    def goAwayReceived(self, code: int) -> None:
        self.told.append(code)
        self.sink.goAwayReceived(code)


def breakCodec(session: MuxProtocol, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Give a session a codec to which all that comes is an error.
    """
    codec = session.engine.codec
    kind: Any = type(codec)

    class Broken(kind):  # type: ignore[misc]
        def receive(self, data: bytes) -> bytes:
            raise ProtocolError("made up for the test")

    broken = Broken(codec._role, codec._sink, codec.maxFrame)
    monkeypatch.setattr(session.engine, "codec", broken)


def test_peerBreaksTheProtocol(
    pair: SessionPair, outcome: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A peer that breaks the protocol ends the session: with one line in the log,
    that says who and why; every stream's C{connectionLost}; and word to the
    peer, where the wire can.
    """
    streams = [connect(pair) for _ in range(3)]
    for _, server in streams:
        server.transport.registerProducer(Producer(), True)
    opening = outcome(pair.server.openStream(Factory.forProtocol(Recorder)))
    ends = [outcome(each.whenClosed()) for each in (pair.server, pair.client)]
    codec = pair.client.engine.codec
    listener = Listener(codec._sink)
    monkeypatch.setattr(codec, "_sink", listener)
    breakCodec(pair.server, monkeypatch)
    streams[0][0].transport.write(b"whatever")
    with Log() as lines:
        pair.pump()
    ours = [line for line in lines if "made up" in line[1]]
    assert len(ours) == 1
    level, text = ours[0]
    assert level is LogLevel.warn
    assert "192.0.2.1:49152" in text
    assert pair.server.wire in text
    for client, server in streams:
        assert type(server.reason) is SessionLost
        assert "made up" in str(server.reason)
        assert isinstance(client.reason, ConnectionLost)
        assert server.transport.producer is None
    assert "made up" in str(ends[0].failed(ProtocolError))
    assert len(ends[1].results) == 1
    assert len(opening.results) == 1
    if capabilities(pair).goAway:
        assert listener.told == [codec.goAwayCodes["protocol"]]
    # Whatever comes after that is not looked at.
    pair.server.dataReceived(b"more")
    pair.advance(CLOSE_TIMEOUT)
    assert not pair.clock.getDelayedCalls()


# Limits.


def test_maxStreams(makePair: MakePair, outcome: Watch) -> None:
    """
    Streams beyond C{maxStreams} are refused; when one has ended there is room
    again.
    """
    pair = makePair(serverConfig=MuxConfig(maxStreams=3))
    streams = [connect(pair) for _ in range(3)]
    client = Recorder()
    outcome(pair.connect(client, Recorder()))
    pair.pump()
    assert pair.server.statistics().streamsRefused == 1
    assert client.gone or not client.events
    streams[1][0].transport.loseConnection()
    pair.pump()
    pair.server.streamFactory = Factory.forProtocol(Recorder)
    late = Recorder()
    pair.connect(late, Recorder())
    pair.pump()
    assert late.events == ["made"]
    for opener, _ in (streams[0], streams[2]):
        assert not opener.gone


def test_maxOutboundStreams(makePair: MakePair, outcome: Watch) -> None:
    """
    Opening more streams than C{maxOutboundStreams} is an error on this side.
    """
    pair = makePair(clientConfig=MuxConfig(maxOutboundStreams=2))
    streams = [connect(pair) for _ in range(2)]
    result = outcome(pair.client.openStream(Factory.forProtocol(Recorder)))
    pair.pump()
    result.failed(TooManyStreams)
    assert pair.server.statistics().streamsAccepted == 2
    streams[0][0].transport.loseConnection()
    pair.pump()
    connect(pair)


def test_maxUnacknowledged(makePair: MakePair, outcome: Watch) -> None:
    """
    Where peers bound the streams that they have not acknowledged, further ones
    wait their turn, and then open in order.
    """
    pair = makePair(clientConfig=MuxConfig(maxUnacknowledged=2))
    pair.carrier.stall()
    served: list[Any] = []

    class Server(Recorder):
        def connectionMade(self) -> None:
            served.append(self)
            super().connectionMade()

    pair.server.streamFactory = Factory.forProtocol(Server)

    def hello(number: int) -> Any:
        return Recorder(
            made=lambda recorder: recorder.transport.write(b"%d" % number)  # type: ignore[union-attr]
        )

    clients = [hello(number) for number in range(7)]
    results = [
        outcome(pair.client.openStream(Factory.forProtocol(lambda each=each: each)))  # type: ignore[misc]
        for each in clients
    ]
    pair.pump()
    if capabilities(pair).ack:
        assert sum(bool(result.results) for result in results) == 2
    pair.carrier.stall(False)
    pair.pump()
    assert [result.value for result in results] == clients
    assert [each.data for each in served] == [b"%d" % number for number in range(7)]


def test_thousandStreams(pair: SessionPair) -> None:
    """
    A thousand streams at once, opened from both sides, each closed by halves in
    one order or the other, leave empty tables and no delayed call.
    """
    before = len(pair.clock.getDelayedCalls())

    def finish(recorder: Recorder) -> None:
        transport: Any = recorder.transport
        transport.write(b"answer to " + recorder.data)
        transport.loseWriteConnection()

    def leave(recorder: Recorder) -> None:
        recorder.transport.loseConnection()  # type: ignore[union-attr]

    streams = []
    for number in range(500):
        for session in (pair.client, pair.server):
            client = HalfCloser(readLost=leave)
            server = HalfCloser(readLost=finish, writeLost=leave)
            pair.connect(client, server, session)
            streams.append((number, client, server))
    pair.pump()
    assert pair.client.statistics().streams == 1000
    assert pair.client.statistics().inboundStreams == 500
    for number, client, _ in streams:
        transport: Any = client.transport
        transport.write(b"question %d" % number)
        transport.loseWriteConnection()
    pair.pump()
    for number, client, server in streams:
        assert client.data == b"answer to question %d" % number
        assert client.events == ["made", "writeLost", "data", "readLost", "lost"]
        assert server.events == ["made", "data", "readLost", "writeLost", "lost"]
        assert type(client.reason) is type(server.reason) is ConnectionDone
    for session in (pair.client, pair.server):
        assert not session.engine.streams
        assert session.statistics().streams == session.statistics().inboundStreams == 0
        assert session.statistics().streamsOpened == 500
        assert session.statistics().streamsAccepted == 500
        assert not session.aborting
    assert len(pair.clock.getDelayedCalls()) == before


def test_manyShortStreams(pair: SessionPair) -> None:
    """
    Streams one after the other, closed in every way, leave nothing either.
    """
    for number in range(300):
        client, server = connect(pair)
        client.transport.write(b"x")
        pair.pump()
        assert server.data == b"x"
        first = (client, server)[number % 2].transport
        (first.loseConnection, first.abortConnection)[number // 2 % 2]()
        pair.pump()
        assert client.gone
        assert server.gone
    for session in (pair.client, pair.server):
        assert not session.engine.streams


# Statistics.


def test_statistics(pair: SessionPair) -> None:
    """
    A session's figures are plain, and right.
    """
    client, server = connect(pair)
    connect(pair, session=pair.server)
    client.transport.write(bytes(1000))
    pair.advance(0.5)
    server.transport.abortConnection()
    pair.advance(2)
    ours, theirs = pair.client.statistics(), pair.server.statistics()
    assert (ours.wire, ours.role) == (pair.client.wire, "client")
    assert (theirs.wire, theirs.role) == (pair.client.wire, "server")
    assert ours.peer == "192.0.2.2:4242"
    assert theirs.peer == "192.0.2.1:49152"
    assert ours.streams == theirs.streams == 1
    assert (ours.inboundStreams, theirs.inboundStreams) == (1, 0)
    assert ours.streamsOpened == ours.streamsAccepted == 1
    assert ours.bytesSent == theirs.bytesReceived > 1000
    assert theirs.bytesSent == ours.bytesReceived > 0
    assert ours.resetsReceived == theirs.resetsSent == int(capabilities(pair).reset)
    assert ours.reading
    assert ours.writing
    assert not ours.draining
    assert ours.idleSeconds == pytest.approx(2)
    assert all(
        isinstance(value, (str, int, float, bool)) for value in asdict(ours).values()
    )


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_cutAnywhere(makePair: MakePair, chunk: int) -> None:
    """
    It makes no difference in what pieces the carrier delivers.
    """
    pair = makePair(link=Link(chunk=chunk))
    content = bytes(range(256)) * 20
    client, server = connect(
        pair, None, Recorder(data=lambda recorder: recorder.note("more"))
    )
    client.transport.write(content)
    server.transport.write(content)
    client.transport.loseConnection()
    pair.pump()
    assert server.data == content
    assert type(server.reason) is ConnectionDone
    assert pair.client.close() is not None
    pair.pump()
    assert pair.server.over
