"""
Carriers on which nothing comes through any more, though nobody has closed them, in
virtual time: as when a cable is out, a peer's machine is off, or a firewall has
forgotten a connection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.error import ConnectionDone, ConnectionLost

from tests.faults.busy import Busy, configFor
from tests.faults.leftovers import leavingNothing
from twisted_mux.config import MuxConfig
from twisted_mux.driver import CLOSE_TIMEOUT
from twisted_mux.errors import PeerTimeout
from twisted_mux.reasons import SessionLost
from twisted_mux.testing import Link, SessionPair
from twisted_mux.testing.conformance import Recorder
from twisted_mux.wire import codecNamed

INTERVAL = 4
SILENCE = 10
# So that a transfer takes a while.
LINK = Link(delay=0.03, rate=5_000)
#: When it happens: before anything came through, in the middle of everything, and
#: when nothing moves any more.
MOMENTS = [0, 0.05, 0.12, 0.2, 3]


def _stall(pair: SessionPair, how: str) -> None:
    there, back = pair.carrier._pipes
    if how != "back":
        there.stall(True)
    if how != "there":
        back.stall(True)


def _over(session: Any) -> Callable[[], bool]:
    return lambda: bool(session.over)


def _secondsUntil(pair: SessionPair, condition: Callable[[], bool]) -> float:
    began: float = pair.clock.seconds()
    while not condition():
        pair.advance(0.1)
        assert pair.clock.seconds() < began + 1000
    seconds: float = pair.clock.seconds() - began
    return seconds


@pytest.mark.parametrize("moment", MOMENTS)
def test_foundInTime(wire: str, moment: float) -> None:
    """
    A peer that has vanished is found by each side, in the time that was configured:
    with a ping, within that after the next one; without, after so long a silence.
    """
    with leavingNothing():
        config = configFor(wire, keepAlive=INTERVAL, keepAliveTimeout=SILENCE)
        pair = SessionPair(wire, clientConfig=config, link=LINK)
        busy = Busy(pair)
        busy.begin()
        pair.advance(moment)
        _stall(pair, "both")
        for session in (pair.client, pair.server):
            seconds = _secondsUntil(pair, _over(session))
            silent = session.engine.idleSeconds(pair.clock.seconds())
            assert seconds < INTERVAL + SILENCE + 0.2
            assert silent > SILENCE - 0.2
        pair.advance(CLOSE_TIMEOUT + 0.1)
        busy.check(PeerTimeout)
        live = [each for each, _ in busy.recorders if type(each.reason) is SessionLost]
        assert live
        for recorder in live:
            assert "nothing came from the peer for 1" in str(recorder.reason)
        del pair, busy, session, live, recorder


@pytest.mark.parametrize("how", ["there", "back"])
def test_oneDirection(wire: str, how: str) -> None:
    """
    Where only one direction is dead, the side that hears nothing finds out; the
    other, which hears its peer, knows it from that.
    """
    with leavingNothing():
        config = configFor(wire, keepAlive=INTERVAL, keepAliveTimeout=SILENCE)
        pair = SessionPair(wire, clientConfig=config, link=LINK)
        busy = Busy(pair)
        busy.begin()
        pair.advance(0.2)
        _stall(pair, how)
        deaf = pair.server if how == "there" else pair.client
        _secondsUntil(pair, _over(deaf))
        both = INTERVAL + SILENCE + CLOSE_TIMEOUT
        pair.advance(both)
        busy.check(PeerTimeout)
        del pair, busy, deaf


def _waiting(pair: SessionPair) -> Recorder:
    opener, accepter = Recorder(), Recorder()
    pair.connect(opener, accepter)
    pair.advance(1)
    return opener


def test_byDefault(wire: str) -> None:
    """
    With what is configured by default an idle session's dead peer is found within
    the custom of the wire: on those that have neither a ping nor a probe there is
    none, and it is found only when something is to be sent.
    """
    pair = SessionPair(wire)
    opener = _waiting(pair)
    capabilities = pair.client.engine.capabilities
    pair.carrier.stall()
    custom = capabilities.keepAlive + capabilities.keepAliveTimeout
    pair.advance(custom + CLOSE_TIMEOUT + 1000)
    assert opener.gone == bool(custom)
    if not custom:
        assert wire in ("mplex", "vtmux")
        opener.transport.write(bytes(1_000_000))  # type: ignore[union-attr]
        pair.advance(MuxConfig.writeTimeout + 0.1)
        assert pair.client.over
        assert "took nothing" in str(opener.reason)
    assert isinstance(opener.reason, ConnectionLost)
    pair.lose()
    pair.advance(1)
    assert not pair.clock.getDelayedCalls()


def test_goesOn(wire: str) -> None:
    """
    A stall that is shorter than that costs nothing but time.
    """
    capabilities = codecNamed(wire).capabilities
    # Without either, an idle session is one whose peer may be dead.
    signs = capabilities.ping or capabilities.probe
    silence = SILENCE if signs else 0
    config = configFor(wire, keepAlive=INTERVAL, keepAliveTimeout=silence)
    pair = SessionPair(wire, clientConfig=config, link=LINK)
    busy = Busy(pair)
    left = busy.begin()
    for _ in range(5):
        pair.advance(0.11)
        pair.carrier.stall()
        pair.advance(SILENCE - 2)
        pair.carrier.stall(False)
    pair.advance(3)
    for recorder, reason in busy.recorders:
        if any(recorder in built for built in left):
            assert not recorder.gone
        elif recorder.gone:
            assert type(recorder.reason) in (reason, ConnectionDone)
    pair.lose()
    pair.advance(1)
    busy.check()
