"""
The carrier cut at every byte of a session, on every wire.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from twisted.internet.error import ConnectionClosed
from twisted.internet.protocol import Factory

from twisted_mux.testing import Link, SessionPair
from twisted_mux.testing.conformance import HalfCloser, Recorder


class Session:
    """
    A session with a little of everything.

    @ivar recorders: all protocols.
    @ivar results: those of all Deferreds.
    """

    def __init__(self, pair: SessionPair) -> None:
        self.pair = pair
        self.recorders: list[Recorder] = []
        self.results: list[list[Any]] = []
        for session in (pair.client, pair.server):
            self._watch(session.whenClosed())
            session.streamFactory = cast(Any, Factory.forProtocol(self._answerer))

    def _watch(self, deferred: Any) -> None:
        results: list[Any] = []
        deferred.addBoth(results.append)
        self.results.append(results)

    def _answerer(self) -> Recorder:
        def answer(recorder: Any) -> None:
            recorder.transport.write(b"answer")
            recorder.transport.loseConnection()

        recorder = HalfCloser(readLost=answer)
        self.recorders.append(recorder)
        return recorder

    def _open(self, session: Any, **on: Callable[[Any], object]) -> None:
        def build() -> Recorder:
            recorder = HalfCloser(**on)
            self.recorders.append(recorder)
            return recorder

        self._watch(session.openStream(Factory.forProtocol(build)))

    def run(self) -> None:
        """
        Ask from both sides, abort, ping, and leave one stream open.
        """

        def ask(recorder: Any) -> None:
            recorder.transport.write(b"question")
            recorder.transport.loseWriteConnection()

        for session in (self.pair.client, self.pair.server):
            self._open(session, made=ask)
            self._open(session, made=lambda each: each.transport.abortConnection())
            self._open(session, made=lambda each: each.transport.write(b"and on"))
            self._watch(session.ping())
        self.pair.advance(1)

    def check(self) -> None:
        """
        All is over, and everybody knows.
        """
        for recorder in self.recorders:
            events = recorder.events
            if events:
                assert events.count("made") == events.count("lost") == 1, events
                assert events[-1] == "lost"
                assert isinstance(recorder.reason, ConnectionClosed)
        assert [len(each) for each in self.results] == [1] * len(self.results)
        for session in (self.pair.client, self.pair.server):
            assert session.over
            assert not session.engine.streams
            assert session.engine.held == 0
            assert not session.aborting
        assert not self.pair.clock.getDelayedCalls()


@pytest.mark.parametrize("side", ["client", "server"])
def test_cutAnywhere(wire: str, side: str) -> None:
    """
    Wherever the carrier is cut, every protocol that had a connection is told
    once, every Deferred fires, and nothing is left.
    """
    whole = Session(SessionPair(wire))
    whole.run()
    size = getattr(whole.pair, side).statistics().bytesReceived
    whole.pair.lose()
    whole.pair.pump()
    whole.check()
    assert 30 < size < 1000
    for cut in range(size):
        pair = SessionPair(wire, link=Link(chunk=16))
        session = getattr(pair, side)
        _cutAt(pair, session, cut)
        running = Session(pair)
        running.run()
        pair.lose()
        pair.pump()
        running.check()


def _cutAt(pair: SessionPair, session: Any, cut: int) -> None:
    left = [cut]
    received = session.dataReceived

    def dataReceived(data: bytes) -> None:
        if len(data) <= left[0]:
            left[0] -= len(data)
            received(data)
            return
        data = data[: left[0]]
        left[0] = 0
        session.dataReceived = lambda data: None
        if data:
            received(data)
        pair.lose()

    session.dataReceived = dataReceived
