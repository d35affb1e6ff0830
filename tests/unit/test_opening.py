"""
Opening streams, in moments that are hard to bring about from outside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import pytest
from twisted.internet.error import ConnectingCancelledError, NoProtocol
from twisted.python.failure import Failure

from twisted_mux.config import MuxConfig
from twisted_mux.errors import ConfigError, SessionClosed, UsageError
from twisted_mux.reasons import SessionLost
from twisted_mux.testing import SessionPair
from twisted_mux.testing.conformance import Recorder

if TYPE_CHECKING:
    from tests.conftest import LoggedErrors


class Counting:
    """
    A factory that counts what endpoints call.
    """

    def __init__(self, build: Callable[[], Any] = Recorder) -> None:
        self.calls: list[str] = []
        self._build = build

    def doStart(self) -> None:
        self.calls.append("start")

    def doStop(self) -> None:
        self.calls.append("stop")

    def buildProtocol(self, address: object) -> Any:
        self.calls.append("build")
        return self._build()


def opened(pair: SessionPair, factory: Counting) -> tuple[Any, list[Any]]:
    """
    Open a stream from the client.

    @return: the Deferred, and where its result will be.
    """
    results: list[Any] = []
    deferred = pair.client.openStream(cast(Any, factory))
    deferred.addBoth(results.append)
    return deferred, results


def test_cancelledBeforeItFails() -> None:
    """
    An opening that is cancelled before it is told that it can't be has stopped
    its factory once.
    """
    pair = SessionPair("yamux")
    pair.lose()
    pair.pump()
    factory = Counting()
    deferred, results = opened(pair, factory)
    deferred.cancel()
    assert results[0].check(ConnectingCancelledError)
    pair.pump()
    assert factory.calls == ["start", "stop"]


def test_cancelledThenRaises(loggedErrors: LoggedErrors) -> None:
    """
    What C{connectionMade} raises after it has cancelled its own opening is
    logged, since nobody waits for it any more.
    """

    def act(recorder: Recorder) -> None:
        deferred.cancel()
        raise ZeroDivisionError

    pair = SessionPair("yamux")
    pair.server.streamFactory = cast(Any, Counting())
    client = Recorder(made=act)
    factory = Counting(lambda: client)
    deferred, results = opened(pair, factory)
    pair.pump()
    assert results[0].check(ConnectingCancelledError)
    assert factory.calls == ["start", "build", "stop"]
    assert client.events == ["made", "lost"]
    assert len(loggedErrors.flush(ZeroDivisionError)) == 1


def test_cancelledInBuildProtocol() -> None:
    """
    An opening that is cancelled from within C{buildProtocol} connects nothing.
    """
    client = Recorder()

    def build() -> Recorder:
        deferred.cancel()
        return client

    pair = SessionPair("yamux")
    pair.server.streamFactory = cast(Any, Counting())
    factory = Counting(build)
    deferred, results = opened(pair, factory)
    pair.pump()
    assert results[0].check(ConnectingCancelledError)
    assert client.events == []
    assert factory.calls == ["start", "build", "stop"]
    assert not pair.client.engine.streams


def test_doStartRaises() -> None:
    """
    What a factory raises when it is started is what the opening fails with.
    """
    factory = Counting()

    def fail() -> None:
        raise ZeroDivisionError

    factory.doStart = fail  # type: ignore[method-assign]
    pair = SessionPair("yamux")
    _, results = opened(pair, factory)
    assert results[0].check(ZeroDivisionError)
    pair.pump()
    assert factory.calls == []
    assert not pair.client.engine.streams


def test_openedAgainWhenLost() -> None:
    """
    Who opens again when an opening fails with the session is told, too, and at
    any time after that.
    """
    pair = SessionPair("yamux", clientConfig=MuxConfig(maxUnacknowledged=1))
    pair.carrier.stall()
    results: list[Any] = []

    def again(failure: Failure) -> None:
        assert failure.check(SessionLost)
        pair.client.openStream(cast(Any, factory)).addBoth(results.append)

    factory = Counting()
    opened(pair, Counting())
    for _ in range(2):
        waiting = pair.client.openStream(cast(Any, Counting()))
        waiting.addCallbacks(results.append, again)
    pair.lose()
    pair.pump()
    assert len(results) == 2
    for failure in results:
        assert failure.check(SessionClosed)
    _, late = opened(pair, factory)
    pair.pump()
    assert late[0].check(SessionClosed)
    assert factory.calls == ["start", "start", "stop", "stop", "start", "stop"]


def test_waitingWhenItCloses() -> None:
    """
    Openings that wait their turn when the session is closed fail, at the latest
    when it would have come.
    """
    pair = SessionPair("yamux", clientConfig=MuxConfig(maxUnacknowledged=1))
    pair.server.streamFactory = cast(Any, Counting())
    pair.carrier.stall()
    _, first = opened(pair, Counting())
    factory = Counting()
    _, second = opened(pair, factory)
    pair.client.close()
    pair.carrier.stall(False)
    pair.pump()
    assert first
    assert second[0].check(SessionClosed)
    assert factory.calls == ["start", "stop"]


def test_wrongAddress() -> None:
    """
    An address that is none is an error, and the factory is not touched.
    """
    pair = SessionPair("vtmux")
    factory = Counting()
    results: list[Any] = []
    pair.client.openStream(cast(Any, factory), address=("no address", 1)).addErrback(
        results.append
    )
    assert results[0].check(ConfigError, UsageError)
    assert factory.calls == []


def test_sameAddressTwice() -> None:
    """
    An address that is in use is an error, too, in a later turn.
    """
    pair = SessionPair("vtmux")
    pair.server.streamFactory = cast(Any, Counting())
    results: list[Any] = []
    for _ in range(2):
        pair.client.openStream(cast(Any, Counting()), address=("192.0.2.9", 1)).addBoth(
            results.append
        )
    pair.pump()
    assert isinstance(results[0], Recorder)
    assert results[1].check(UsageError)


@pytest.mark.parametrize("opening", ["now", "ack"])
def test_endedInsteadOfAccepted(opening: str) -> None:
    """
    A peer that ends a stream before it has acknowledged it has accepted it by
    that, whatever C{connectionMade} does about it.
    """
    for act in ("loseConnection", "abortConnection", "write"):
        pair = SessionPair("yamux", clientConfig=MuxConfig(opening=opening))
        client = Recorder(
            made=lambda recorder, act=act: getattr(recorder.transport, act)(  # type: ignore[misc]
                *([b"x"] if act == "write" else [])
            )
        )
        _, results = opened(pair, Counting(lambda client=client: client))  # type: ignore[misc]
        pair.carrier.stall()
        pair.turn()
        # WINDOW_UPDATE with FIN, for stream 1.
        pair.client.dataReceived(bytes.fromhex("00 01 0004 00000001 00000000"))
        pair.pump()
        assert results == [client]
        assert client.events == ["made", "lost"], act


def test_factoryThatCannotBeStopped(loggedErrors: LoggedErrors) -> None:
    """
    What a factory raises when it is stopped is logged; neither its own opening nor
    any other stream goes without the news for that.
    """

    class Unstoppable(Counting):
        def doStop(self) -> None:
            super().doStop()
            raise ZeroDivisionError

    pair = SessionPair("yamux")
    pair.server.streamFactory = cast(Any, Counting())
    bad, good, empty = Unstoppable(), Counting(), Unstoppable(lambda: None)
    results = [opened(pair, factory)[1] for factory in (bad, good, empty)]
    pair.pump()
    assert results[2][0].check(NoProtocol)
    pair.lose()
    pair.pump()
    assert [len(each) for each in results] == [1, 1, 1]
    assert results[0][0].gone
    assert results[1][0].gone
    for factory in (bad, good, empty):
        assert factory.calls == ["start", "build", "stop"]
    assert len(loggedErrors.flush(ZeroDivisionError)) == 2
