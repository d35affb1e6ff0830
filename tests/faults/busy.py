"""
A busy session: a little of everything that streams do, on each wire, from both sides,
in virtual time; and what everybody must have been told when it is over, however it
came to its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast
from weakref import ref

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from twisted_mux.config import MuxConfig
from twisted_mux.errors import SessionClosed
from twisted_mux.reasons import SessionLost, StreamRefused, StreamReset
from twisted_mux.testing import SessionPair
from twisted_mux.testing.conformance import HalfCloser, Recorder
from twisted_mux.wire import codecNamed
from twisted_mux.wire.base import Credit

#: What is asked, and said again: several frames of it, with L{configFor}.
QUESTION = bytes(range(40))
#: What is said behind that, once the asker has ended its direction.
LAST = b"all"

_MAX_FRAME = 16


def configFor(wire: str, **more: Any) -> MuxConfig:
    """
    With short frames, and with a window that makes the wire's credit show: the
    smallest there is where peers take it to be ours, else one that is announced.
    """
    capabilities = codecNamed(wire).capabilities
    window = MuxConfig.window
    if capabilities.credit is not Credit.NONE:
        window = 2 * window if capabilities.windowAnnounced else 32
    return MuxConfig(window=window, maxFrame=_MAX_FRAME, **more)


class Busy:
    """
    What happens on a pair of sessions.

    @ivar pair: the sessions.
    @ivar recorders: all protocols, each with the reasons that C{connectionLost} may
        be called with, if the carrier is not lost before.
    @ivar results: those of all Deferreds.
    """

    def __init__(self, pair: SessionPair) -> None:
        self.pair = pair
        reset = pair.client.engine.capabilities.reset
        self._whenReset: type[BaseException] = StreamReset if reset else ConnectionDone
        self.recorders: list[tuple[Recorder, type[BaseException]]] = []
        self.results: list[list[Any]] = []
        for session in self._sessions:
            self.watch(session.whenClosed())
            session.streamFactory = cast(Any, Factory.forProtocol(self._answerer))

    @property
    def _sessions(self) -> tuple[Any, Any]:
        return self.pair.client, self.pair.server

    def watch(self, deferred: Any) -> None:
        """
        A Deferred has to fire, once.
        """
        results: list[Any] = []
        deferred.addBoth(results.append)
        self.results.append(results)

    # Protocols.

    def _answerer(self) -> Recorder:
        """
        Says everything again; it can't know beforehand what its peer will do.
        """

        def answer(recorder: Any) -> None:
            recorder.transport.write(recorder.data[recorder.answered :])
            recorder.answered = len(recorder.received)

        def last(recorder: Any) -> None:
            recorder.transport.write(LAST)
            recorder.transport.loseConnection()

        recorder: Any = HalfCloser(data=answer, readLost=last)
        recorder.answered = 0
        self.recorders.append((recorder, self._whenReset))
        return cast(Recorder, recorder)

    def open(
        self,
        session: Any,
        reason: type[BaseException] = ConnectionDone,
        **on: Callable[[Any], object],
    ) -> list[Recorder]:
        """
        Open a stream.

        @return: the protocol, as soon as it is connected.
        """
        built: list[Recorder] = []

        def build() -> Recorder:
            recorder = HalfCloser(**on)
            self.recorders.append((recorder, reason))
            built.append(recorder)
            return recorder

        self.watch(session.openStream(Factory.forProtocol(build)))
        return built

    def talk(self, session: Any) -> None:
        """
        Ask twice, end, and close when the other side has ended as well.
        """

        def ask(recorder: Any) -> None:
            recorder.transport.write(QUESTION)

        def goOn(recorder: Any) -> None:
            if len(recorder.received) == len(QUESTION):
                recorder.transport.write(QUESTION)
                recorder.transport.loseWriteConnection()

        def close(recorder: Any) -> None:
            assert recorder.data == QUESTION * 2 + LAST
            recorder.transport.loseConnection()

        self.open(session, made=ask, data=goOn, readLost=close)

    def drop(self, session: Any) -> None:
        """
        Ask, and abort when the first part of the answer comes.
        """
        self.open(
            session,
            ConnectionAborted,
            made=lambda recorder: recorder.transport.write(QUESTION),
            data=lambda recorder: recorder.transport.abortConnection(),
        )

    def leave(self, session: Any) -> list[Recorder]:
        """
        A stream that says something and stays.
        """
        return self.open(session, made=lambda recorder: recorder.transport.write(LAST))

    # The session.

    def begin(self) -> list[list[Recorder]]:
        """
        Ask from both sides, abort, ping.

        @return: the streams that are left.
        """
        left = []
        for session in self._sessions:
            self.talk(session)
            self.drop(session)
            left.append(self.leave(session))
            if session.engine.capabilities.ping:
                self.watch(session.ping())
        return left

    def run(self) -> None:
        """
        Begin, then drain the session while streams are live, and try to open
        another one; then end those.
        """
        client, server = self._sessions
        left = self.begin()
        self.pair.advance(1)
        self.watch(client.close())
        # One is refused by the peer, the other by our own side.
        self.open(server, self._whenReset)
        self.open(client)
        self.pair.advance(1)
        for built in left:
            for recorder in built:
                cast(Any, recorder.transport).loseConnection()
        self.pair.advance(1)

    def objects(self) -> Iterable[ref[Any]]:
        """
        What must not be there any more once all is over and forgotten.
        """
        for session in self._sessions:
            yield ref(session)
        for recorder, _ in self.recorders:
            if recorder.transport is not None:
                yield ref(recorder.transport)

    # What must be so in the end.

    def check(self, *more: type[BaseException]) -> None:
        """
        All is over, everybody knows why, and nobody has been told twice.

        @param more: what Deferreds may have failed with beside what always may
            happen.
        """
        for recorder, reason in self.recorders:
            if recorder.events:
                self._checkRecorder(recorder, reason)
        for results in self.results:
            [result] = results
            if isinstance(result, Failure):
                assert result.check(
                    SessionLost, SessionClosed, StreamRefused, ConnectionDone, *more
                ), result
        for session in self._sessions:
            assert session.over
            assert not session.engine.streams
            assert session.engine.held == 0
            assert session.engine.inbound == 0
            assert not session.aborting
        for transport in (self.pair.carrier.client, self.pair.carrier.server):
            assert transport.disconnected
            assert not transport._reading
            assert not transport._writing
        assert not self.pair.clock.getDelayedCalls()

    def _checkRecorder(self, recorder: Recorder, reason: type[BaseException]) -> None:
        events = recorder.events
        assert events[0] == "made"
        assert events[-1] == "lost"
        for event in ("made", "readLost", "writeLost", "lost"):
            assert events.count(event) <= 1, events
        lost = recorder.reason
        if type(lost) is SessionLost:
            assert isinstance(lost, ConnectionLost)
            assert f"{self.pair.client.wire} session with 192.0.2." in str(lost)
        else:
            assert type(lost) in (reason, ConnectionDone), (lost, events)
        # What came is the beginning of what was sent, ...
        data = recorder.data
        question = QUESTION * 2
        sent = [question, question + LAST, LAST + LAST, LAST]
        assert any(whole.startswith(data) for whole in sent), data
        if self._whenReset is ConnectionDone:
            # Aborts and refusals look like ends.
            sent += [QUESTION, b""]
        if "readLost" in events and reason is ConnectionDone:
            # ... and all of it, where the end was seen.
            assert data in sent, data
