"""
The carrier cut at every byte of a busy session, at either end, on every wire.
"""

from __future__ import annotations

import gc
from typing import Any
from weakref import ref

import pytest
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from tests.faults.busy import Busy, configFor
from tests.faults.leftovers import leavingNothing
from tests.unit.wire.sinks import RecordingSink
from twisted_mux.reasons import SessionLost
from twisted_mux.testing import Link, SessionPair
from twisted_mux.wire.base import Credit

# Reads are short, so that what is cut is not always at the end of a long one.
LINK = Link(chunk=20)


def _cutAt(pair: SessionPair, session: Any, cut: int, how: str) -> None:
    """
    Lose the carrier when a session has received so many bytes: at both ends at once
    (C{"cable"}), with all that is under way; or at this end alone, as if somebody
    had closed it (C{"end"}), so that the other end reads what was under way, and
    then an end, or a reset if it has been sending.
    """
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
        if how == "cable":
            pair.lose()
        else:
            lost = session.transport.connectionLost
            pair.clock.callLater(0, lost, Failure(ConnectionDone()))

    session.dataReceived = dataReceived


def _pair(wire: str) -> SessionPair:
    return SessionPair(wire, clientConfig=configFor(wire), link=LINK)


def _recorded(wire: str, side: str) -> int:
    """
    How many bytes one side receives of a session that is not cut.
    """
    pair = _pair(wire)
    busy = Busy(pair)
    busy.run()
    # It was drained, and came to its end by itself.
    busy.check()
    lost = [each for each, _ in busy.recorders if type(each.reason) is SessionLost]
    # But for one stream, which was refused, on a wire that can't say so.
    assert len(lost) == (0 if pair.client.engine.capabilities.reset else 1)
    size: int = getattr(pair, side).statistics().bytesReceived
    return size


def test_busyEnough(wire: str) -> None:
    """
    What is cut has, in both directions, each kind of frame that the wire has for
    streams that are opened, move data, end and are reset, and for pings, credit and
    the end of a session.
    """
    pair = _pair(wire)
    received = []
    for session in (pair.client, pair.server):
        engine = session.engine
        sink = RecordingSink()
        codec = type(engine.codec)(engine.role, sink, engine.config.maxFrame or 0)
        receive = engine.receive

        def both(data: bytes, now: float, codec: Any = codec, to: Any = receive) -> Any:
            codec.receive(data)
            to(data, now)

        engine.receive = both  # type: ignore[method-assign]
        received.append(sink)
    busy = Busy(pair)
    busy.run()
    busy.check()
    capabilities = pair.client.engine.capabilities
    wanted = {"payloadReceived"}
    wanted |= (
        {"openOrEndReceived"}
        if capabilities.addressed
        else {"openReceived", "endReceived"}
    )
    for having, name in (
        (capabilities.reset, "resetReceived"),
        (capabilities.ack, "acceptReceived"),
        (capabilities.ping, "pingReceived"),
        (capabilities.ping, "pongReceived"),
        (capabilities.credit is Credit.CUMULATIVE, "windowReceived"),
    ):
        if having:
            wanted.add(name)
    for sink in received:
        assert wanted <= {call[0] for call in sink.calls}
    calls = {call[0] for sink in received for call in sink.calls}
    assert ("goAwayReceived" in calls) == capabilities.goAway
    if capabilities.credit is Credit.DELTA:
        # Where a window can be announced that is done with the open already.
        opens = [c for sink in received for c in sink.calls if c[0] == "openReceived"]
        granted = any(credit for _, _, credit, _ in opens)
        assert granted or "creditReceived" in calls


@pytest.mark.parametrize("how", ["cable", "end"])
@pytest.mark.parametrize("side", ["client", "server"])
def test_cutAnywhere(wire: str, side: str, how: str) -> None:
    """
    Wherever the carrier is cut, every protocol that had a connection is told once,
    with the reason that is documented for what happened to it; every Deferred fires;
    no delayed call is left, and nobody reads or writes; and nothing is kept alive.
    """
    with leavingNothing():
        size = _recorded(wire, side)
        assert 250 < size < 1200
        left: list[ref[Any]] = []
        for cut in range(size):
            pair = _pair(wire)
            _cutAt(pair, getattr(pair, side), cut, how)
            busy = Busy(pair)
            busy.run()
            busy.check()
            left += busy.objects()
        del pair, busy
        gc.collect()
        assert len(left) > 10 * size
        assert [each for each in left if each() is not None] == []
