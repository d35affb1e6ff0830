"""
Each limit of a session, attacked.

With the limit lifted the attack does harm: that is measured in what the engine itself
counts (bytes held, frames queued, streams, protocols built, sessions that stay).  With
the limit on it does not; the session ends, or a stream, or nothing but a refusal comes of
it, as the table says; there is one line in the log, with peer, limit and figure; and
those who are honest notice nothing: not on a session of their own, and not on a stream
of the attacked session, if that goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from itertools import islice
from typing import Any

import pytest
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from zope.interface import alsoProvides, implementer

from tests.attacks.scene import Scene, Victim
from tests.unit.carrying import Peer, logged
from twisted_mux.config import MuxConfig
from twisted_mux.errors import (
    FlowControlError,
    LimitExceeded,
    PeerTimeout,
    ProtocolError,
)
from twisted_mux.negotiation import NamedProtocols
from twisted_mux.wire import codecNamed, wireNames
from twisted_mux.wire.base import FRAMES_PER_TURN, Capabilities, Credit

KIB = 1024
MIB = 1024 * KIB
HOUR = 3600.0
NEVER = 10**9

Can = Callable[[Capabilities], bool]


def always(can: Capabilities) -> bool:
    """
    On every wire.
    """
    return True


def credit(can: Capabilities) -> bool:
    """
    On wires with credit.
    """
    return can.credit is not Credit.NONE


@dataclass
class Attack:
    """
    An attack on one limit.

    @ivar limit: the field of L{MuxConfig}.
    @ivar text: what the attacker does.
    @ivar run: does it; the result is the harm.
    @ivar harm: how much that is, at least, without the limit.
    @ivar most: how much it is, at most, with it.
    @ivar lifted: the configuration without the limit,
    @ivar limited: with it,
    @ivar both: and what both have.
    @ivar wires: where it can be tried.
    @ivar ends: the error that the session ends with, if it does.
    @ivar says: the end of the line in the log; there is none if it is empty.
    @ivar others: is there a line before that, for another limit?
    @ivar neighbour: does a stream of the same session go on?
    @ivar deaf: does the attacker not read?
    """

    limit: str
    text: str
    run: Callable[[Scene], int]
    harm: int
    most: int
    lifted: dict[str, Any]
    limited: dict[str, Any] = field(default_factory=dict)
    both: dict[str, Any] = field(default_factory=dict)
    wires: Can = always
    ends: type[ProtocolError] | None = None
    says: str = ""
    others: Can = lambda can: False
    neighbour: Can = always
    deaf: bool = False


def paused(victim: Victim) -> None:
    """
    A reader that pauses.
    """
    victim.stream.pauseProducing()


# Memory.


def overrun(scene: Scene) -> int:
    """
    @return: bytes held for one reader.
    """
    scene.victims.whenMade = paused
    key = scene.open()
    held = 0
    for _ in range(4 * MIB // 32768):
        scene.send(scene.data(key, bytes(32768)))
        held = max(held, scene.engine.held)
    return held


def widen(scene: Scene) -> int:
    """
    Pretend to be far away: answer pings late, and send a window at a time.

    @return: the window, in bytes.
    """
    scene.victims.echoes = False
    key = scene.open()
    stream = scene.streamOf(key)
    for _ in range(60):
        scene.send(scene.data(key, bytes(stream.receiveCredit)))
        scene.clock.advance(1)
        for call in scene.heard():
            if call[0] == "pingReceived":
                scene.send(scene.codec.encodePong(call[1]))
        if stream.receiveWindow >= 4 * MIB:
            break
    return int(stream.receiveWindow)


def fillAll(scene: Scene) -> int:
    """
    @return: bytes held for all readers.
    """
    scene.victims.whenMade = paused
    keys = [scene.key() for _ in range(40)]
    scene.send(*map(scene.opening, keys))
    for _ in range(6):
        for key in keys:
            if scene.engine.reading:
                scene.send(scene.data(key, bytes(32768)))
    return int(scene.engine.held) + len(scene.engine._unread)


def neverRead(scene: Scene) -> int:
    """
    Have something sent, and do not take it.

    @return: bytes that wait to be sent.
    """
    if not credit(scene.capabilities):
        scene.stopReading()
    writers = []
    scene.victims.whenMade = lambda victim: writers.append(Writer(victim))
    key = scene.open()
    scene.victims.whenMade = None
    return int(scene.streamOf(key).buffered)


@implementer(IPushProducer)
class Writer:
    """
    Writes until it is told not to, or has written 4 MiB.
    """

    def __init__(self, victim: Victim) -> None:
        self._stream = victim.stream
        self._left = 4 * MIB
        self._pause = False
        self._stream.registerProducer(self, True)
        self.resumeProducing()

    def resumeProducing(self) -> None:
        self._pause = False
        while self._left and not self._pause:
            self._left -= 1024
            self._stream.write(bytes(1024))

    def pauseProducing(self) -> None:
        self._pause = True

    def stopProducing(self) -> None:
        self._pause = True


def neverReadAnswers(scene: Scene) -> int:
    """
    Ask, and read no answers: pings, or where there are none, opens that are refused.

    @return: bytes of control frames that wait.
    """
    scene.stopReading()
    if scene.capabilities.ping:
        frames: Iterator[bytes] = (scene.codec.encodePing(n) for n in range(100_000))
    else:
        frames = (scene.opening(scene.key()) for _ in range(150_000))
    most = 0
    for frame in frames:
        if not scene.engine.reading:
            break
        scene.send(frame, *islice(frames, 499))
        most = max(most, scene.engine.outbox.controlSize)
    scene.clock.advance(31)
    return most


def openAndEnd(scene: Scene) -> int:
    """
    @return: ids that are remembered.
    """
    for _ in range(50):
        keys = [scene.key() for _ in range(100)]
        scene.send(*(scene.opening(key) + scene.codec.encodeEnd(key) for key in keys))
    return len(scene.engine._reader.recent)


# Streams.


def openMany(scene: Scene) -> int:
    """
    @return: how many streams there are.
    """
    scene.flood(scene.opening(scene.key()) for _ in range(1500))
    return int(scene.engine.inbound)


def openPending(scene: Scene) -> int:
    """
    Open streams that the application can't accept at once.

    @return: how many it has not accepted.
    """
    scene.victims.whenMade = lambda victim: victim.stream.deferAccepting()
    scene.flood(scene.opening(scene.key()) for _ in range(900))
    return len(scene.engine.table.pending)


def rapidReset(scene: Scene) -> int:
    """
    @return: how many protocols the application has built.
    """

    def pairs() -> Iterator[bytes]:
        for _ in range(5000):
            key = scene.key()
            yield scene.opening(key) + scene.codec.encodeReset(key)

    scene.flood(pairs())
    return len(scene.victims.built)


def madeToReset(scene: Scene) -> int:
    """
    Write to those who have left.

    @return: how many resets were sent.
    """
    scene.victims.whenMade = lambda victim: victim.stream.loseConnection()
    for _ in range(20):
        keys = [scene.key() for _ in range(250)]
        scene.send(*map(scene.opening, keys))
        scene.send(*(scene.data(key, b"x") for key in keys))
    return int(scene.engine.counters.resetsSent)


def openRefused(scene: Scene) -> int:
    """
    @return: how many streams were refused.
    """
    scene.flood(scene.opening(scene.key()) for _ in range(5000))
    return int(scene.engine.counters.streamsRefused)


# Work.


def idle(scene: Scene) -> int:
    """
    @return: how many frames without effect were read.
    """
    scene.victims.whenMade = lambda victim: alsoProvides(victim, IHalfCloseableProtocol)
    key = scene.open()
    if scene.capabilities.addressed:
        # There an empty frame is an end, and what comes behind is ignored.
        scene.send(scene.codec.encodeEnd(key))
        frame = scene.data(key, b"x")
    else:
        frame = scene.codec.payloadHeader(key, 0)
    return scene.flood(frame for _ in range(20_000))


def stray(scene: Scene) -> int:
    """
    @return: how many bytes for nobody were read.
    """
    frame = scene.data(scene.key(), bytes(10_000))
    return 10_000 * scene.flood((frame for _ in range(500)), 1)


# Time.


def alive(scene: Scene) -> int:
    """
    @return: 1 if the session is still there in an hour.
    """
    scene.clock.advance(HOUR)
    return 0 if scene.engine.over else 1


def streamsLater(scene: Scene) -> int:
    """
    @return: how many streams are still there in an hour.
    """
    before = len(scene.engine.streams)
    scene.clock.advance(HOUR)
    assert before
    return len(scene.engine.streams)


def silent(scene: Scene) -> int:
    """
    Say nothing at all.
    """
    return alive(scene)


def halfAHeader(scene: Scene) -> int:
    """
    Begin a frame, and do not finish it.
    """
    scene.send(scene.opening(scene.key())[:1])
    return alive(scene)


def takeNothing(scene: Scene) -> int:
    """
    Have so much sent that the carrier is full, and take nothing.
    """
    scene.stopReading()
    scene.victims.whenMade = lambda victim: victim.stream.write(bytes(MIB))
    for _ in range(4):
        scene.open()
    return alive(scene)


def notAcknowledge(scene: Scene) -> int:
    """
    Acknowledge nothing.
    """
    opening = scene.session.openStream(Factory.forProtocol(Peer))
    opening.addErrback(lambda _: None)
    scene.clock.settle()
    return streamsLater(scene)


def agreeUponNothing(scene: Scene) -> int:
    """
    Say no name.
    """
    protocols: Any = NamedProtocols({b"/x": scene.victims})
    scene.session.streamFactory = protocols
    scene.open()
    scene.session.streamFactory = scene.victims
    return streamsLater(scene)


def halfClose(scene: Scene) -> int:
    """
    End one's own direction, and leave it at that.
    """
    scene.victims.whenMade = lambda victim: alsoProvides(victim, IHalfCloseableProtocol)
    scene.send(scene.codec.encodeEnd(scene.open()))
    return streamsLater(scene)


def neverEnd(scene: Scene) -> int:
    """
    Do not end one's own direction when the other has ended.
    """
    scene.victims.whenMade = lambda victim: victim.stream.loseConnection()
    scene.open()
    return streamsLater(scene)


def slowly(scene: Scene) -> int:
    """
    Send to a reader who does not read, where there is no credit.

    @return: bytes that are held in an hour.
    """
    scene.victims.whenMade = paused
    key = scene.open()
    scene.send(scene.data(key, bytes(300_000)))
    scene.clock.advance(HOUR)
    return int(scene.engine.held)


def neverLeave(scene: Scene) -> int:
    """
    Keep a stream open when the session is to close.
    """
    scene.open()
    scene.session.close().addErrback(lambda _: None)
    return alive(scene)


def nobody(can: Capabilities) -> bool:
    """
    There is nobody else on the session, or it ends.
    """
    return False


ATTACKS = [
    Attack(
        "window",
        "sends more than it may to a reader who pauses",
        overrun,
        4 * MIB,
        WINDOW := 256 * KIB + 64 * 8,
        {"window": 16 * MIB, "maxWindow": 16 * MIB, "receiveBudget": 64 * MIB},
        wires=credit,
        ends=FlowControlError,
        says="32768 bytes came when 0 were allowed (window: 262144)",
    ),
    Attack(
        "maxWindow",
        "answers pings late, to get a wide window",
        widen,
        4 * MIB,
        MIB,
        {"maxWindow": 2**30, "receiveBudget": 2**32},
        {"maxWindow": MIB},
        wires=credit,
    ),
    Attack(
        "receiveBudget",
        "fills the windows of many readers who pause",
        fillAll,
        40 * 6 * 32768,
        MIB + 64 * KIB + 64,
        {"receiveBudget": 2**40},
        {"receiveBudget": MIB},
        neighbour=nobody,
    ),
    Attack(
        "sendBuffer",
        "takes nothing of what a stream writes",
        neverRead,
        3 * MIB,
        64 * KIB + 1024,
        {"sendBuffer": 2**40},
        both={"writeTimeout": 0},
        neighbour=credit,
    ),
    Attack(
        "controlBacklog",
        "asks, and does not read the answers",
        neverReadAnswers,
        100_000,
        64 * KIB + FRAMES_PER_TURN * 32,
        {"controlBacklog": 2**30, "writeTimeout": 0},
        both={"maxStreams": 1, "resetBurst": NEVER},
        ends=PeerTimeout,
        says="took nothing of what was sent to it for 30 seconds (limit writeTimeout: 30)",
        others=lambda can: not can.ping,
        deaf=True,
    ),
    Attack(
        "rememberedStreams",
        "opens and ends streams for as long as there are ids",
        openAndEnd,
        5000,
        2 * 1024 + 2,
        {"rememberedStreams": 10**6},
    ),
    Attack(
        "maxStreams",
        "opens streams",
        openMany,
        1500,
        1000,
        {"maxStreams": 10**6},
        says="is refused: 1000 streams of the peer's are open (limit maxStreams: 1000)",
    ),
    Attack(
        "maxPending",
        "opens streams that can't be accepted at once",
        openPending,
        900,
        256,
        {"maxPending": 0},
        says="is refused: 256 streams of the peer's wait to be accepted "
        "(limit maxPending: 256)",
    ),
    Attack(
        "resetBurst",
        "opens and resets (CVE-2023-44487)",
        rapidReset,
        5000,
        1001 + 1,
        {"resetBurst": NEVER},
        wires=lambda can: can.reset,
        ends=LimitExceeded,
        says="too many streams reset (limit resetBurst: 1000)",
    ),
    Attack(
        "resetBurst",
        "writes to those who have left (CVE-2025-8671)",
        madeToReset,
        5000,
        1000,
        {"resetBurst": NEVER},
        wires=lambda can: can.reset,
        ends=LimitExceeded,
        says="too many streams reset (limit resetBurst: 1000)",
    ),
    Attack(
        "resetBurst",
        "opens far more than it may",
        openRefused,
        5000 - 10,
        1001,
        {"resetBurst": NEVER},
        both={"maxStreams": 10},
        ends=LimitExceeded,
        says="too many streams reset (limit resetBurst: 1000)",
        others=always,
    ),
    Attack(
        "idleBurst",
        "sends frames without effect (CVE-2019-9518)",
        idle,
        20_000,
        1500,
        {"idleBurst": NEVER},
        ends=LimitExceeded,
        says="too many frames without effect (limit idleBurst: 1000)",
    ),
    Attack(
        "strayBytes",
        "sends data for streams that never were",
        stray,
        5_000_000,
        256 * KIB + 10_000,
        {"strayBytes": NEVER},
        ends=LimitExceeded,
        says="(limit strayBytes: 262144)",
    ),
    Attack(
        "frameTimeout",
        "does not finish a header",
        halfAHeader,
        1,
        0,
        {"frameTimeout": 0},
        ends=PeerTimeout,
        says="has not finished a frame for 60 seconds (limit frameTimeout: 60)",
    ),
    Attack(
        "writeTimeout",
        "takes nothing off the carrier",
        takeNothing,
        1,
        0,
        {"writeTimeout": 0},
        both={"window": MIB},
        ends=PeerTimeout,
        says="took nothing of what was sent to it for 30 seconds (limit writeTimeout: 30)",
        deaf=True,
    ),
    Attack(
        "keepAliveTimeout",
        "is not there any more",
        silent,
        1,
        0,
        {"keepAlive": 0, "keepAliveTimeout": 0},
        {"keepAlive": 30, "keepAliveTimeout": 40},
        wires=lambda can: can.ping or can.probe,
        ends=PeerTimeout,
        says="nothing came from the peer for 40 seconds (limit keepAliveTimeout: 40)",
    ),
    Attack(
        "openTimeout",
        "does not acknowledge a stream",
        notAcknowledge,
        2,
        1,
        {"openTimeout": 0},
        both={"opening": "ack"},
        wires=lambda can: can.ack,
        says="not acknowledged in 75 seconds (limit openTimeout: 75)",
    ),
    Attack(
        "negotiationTimeout",
        "does not say which protocol it wants",
        agreeUponNothing,
        2,
        1,
        {"negotiationTimeout": 0},
        says="within 10 seconds (limit negotiationTimeout: 10)",
    ),
    Attack(
        "halfClosedTimeout",
        "half-closes",
        halfClose,
        2,
        1,
        {},
        {"halfClosedTimeout": 60},
        says="nothing moved in 60 seconds (limit halfClosedTimeout: 60)",
    ),
    Attack(
        "lingerTimeout",
        "never ends its direction",
        neverEnd,
        2,
        1,
        {"lingerTimeout": 0},
    ),
    Attack(
        "slowReaderGrace",
        "sends to a reader who does not read",
        slowly,
        300_000,
        0,
        {"slowReader": "pause"},
        {"slowReader": "reset"},
        wires=lambda can: not credit(can),
        says="bytes for 5 seconds (limit slowReaderGrace: 5)",
    ),
    Attack(
        "drainTimeout",
        "does not let a session end that is to close",
        neverLeave,
        1,
        0,
        {"drainTimeout": 0},
        ends=PeerTimeout,
        says="did not end in the time to drain (limit drainTimeout: 30)",
        neighbour=nobody,
    ),
]

CASES = [
    pytest.param(wire, attack, id=f"{attack.limit}: {attack.text}: {wire}")
    for attack in ATTACKS
    for wire in wireNames()
    if attack.wires(codecNamed(wire).capabilities)
]


@pytest.mark.parametrize(("wire", "attack"), CASES)
def test_lifted(wire: str, attack: Attack) -> None:
    """
    Without the limit the attack does harm.
    """
    scene = Scene(wire, **{**attack.both, **attack.lifted})
    scene.neighbour()
    assert attack.run(scene) >= attack.harm
    assert not scene.engine.over


@pytest.mark.parametrize(("wire", "attack"), CASES)
def test_limited(wire: str, attack: Attack) -> None:
    """
    With the limit it does not.
    """
    scene = Scene(wire, **{**attack.both, **attack.limited})
    neighbour = scene.neighbour()
    neighbour()
    scene.honest()
    ends: list[Any] = []
    scene.session.whenClosed().addBoth(ends.append)
    with logged() as lines:
        harm = attack.run(scene)
        scene.clock.settle()
    assert harm <= attack.most
    scene.honest()
    assert scene.engine.over is (attack.ends is not None)
    if attack.says:
        *before, line = lines
        assert line.startswith(scene.name)
        assert line.endswith(attack.says)
        assert len(before) == attack.others(scene.capabilities)
    else:
        assert lines == []
    if attack.ends is None:
        assert ends == []
        if attack.neighbour(scene.capabilities):
            neighbour()
        return
    scene.clock.advance(6)
    assert scene.raw.lost or attack.deaf
    (failure,) = ends
    assert isinstance(failure, Failure)
    error: Any = failure.value
    assert type(error) is attack.ends
    assert str(error).startswith(scene.name)
    assert str(error).endswith(attack.says)
    assert not scene.engine.streams
    assert scene.engine.held == 0
    if scene.capabilities.goAway and not attack.deaf:
        code = scene.codec.goAwayCodes[error.kind]
        assert scene.heard()[-1] == ("goAwayReceived", code)


def test_everyLimit() -> None:
    """
    Every bound of L{MuxConfig} is attacked, here or where it is said.
    """
    elsewhere = {
        # Attacked in test_elsewhere, since they are not a session's.
        "maxSessions",
        "maxSessionsPerPeer",
        "detectTimeout",
        # What a turn is.
        "turnBytes",
        # The second half of the same bucket.
        "resetRate",
        "idleRate",
        # No limits on peers: what we do ourselves.
        "keepAlive",
        "maxFrame",
        "maxOutboundStreams",
        "readSize",
        "maxUnacknowledged",
        "opening",
        "goAway",
        "slowReader",
    }
    attacked = {attack.limit for attack in ATTACKS}
    assert not attacked & elsewhere
    assert attacked | elsewhere == {each.name for each in fields(MuxConfig)}
