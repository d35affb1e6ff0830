"""
Floods, on every wire: what comes too often, or never comes.
"""

from __future__ import annotations

from tests.conformance.attacked import Scene, capabilities, everyWire, wiresThat
from tests.conformance.bad_inputs import WINDOW
from tests.property.pipe import User
from twisted_mux.engine.stream import CHUNK_CHARGE, Stream
from twisted_mux.errors import FlowControlError, LimitExceeded, PeerTimeout
from twisted_mux.wire.base import FRAMES_PER_TURN, Credit


def drip(scene: Scene, frame: bytes, times: int) -> int:
    """
    Send a frame again and again, in chunks as a carrier delivers them, as long as
    the session reads.

    @return: how many were sent.
    """
    each = max(1, 65536 // len(frame))
    sent = 0
    while sent < times and scene.session.reading and not scene.session.over:
        scene.driver.feed(frame * each)
        sent += each
    return sent


@wiresThat(lambda each: each.ping)
def test_pingFlood(wire: str) -> None:
    """
    A peer that pings and reads is answered; one that does not read is not read
    either, and in the end given up.
    """
    scene = Scene(wire)
    ping = scene.remote.codec.encodePing(7)
    sent = drip(scene, ping, 20_000)
    assert scene.driver.error is None
    assert len(scene.remote.heard()) == sent

    scene.driver.block()
    sent = drip(scene, ping, 10**6)
    most = scene.session.config.controlBacklog + FRAMES_PER_TURN * len(ping)
    assert sent * len(ping) <= most + 2 * 65536
    assert scene.session.outbox.controlSize <= most
    assert len(scene.session._unread) <= 65536
    scene.driver.advance(scene.session.config.writeTimeout)
    scene.driver.endedWith(PeerTimeout)
    assert len(scene.session._unread) == 0


@everyWire
def test_openFlood(wire: str) -> None:
    """
    No more streams than the limit; those beyond it are refused, and too many of
    those end the session.
    """
    scene = Scene(wire, maxStreams=100)
    remote = scene.remote
    for _ in range(99):
        remote.send(remote.opening(remote.key()))
    assert scene.session.inbound == 100
    refused = 0
    while not scene.session.over:
        remote.send(remote.opening(remote.key()))
        refused += 1
        assert scene.session.inbound <= 100
        assert len(scene.session.table.owed) <= scene.session.config.rememberedStreams
    assert refused == 1001
    assert scene.driver.endedWith(LimitExceeded).limit == "resetBurst"
    assert len(scene.driver.opened) == 100


@wiresThat(lambda each: each.reset)
def test_rapidReset(wire: str) -> None:
    """
    Opening and resetting over and over ends the session (CVE-2023-44487), and
    leaves nothing behind until then.
    """
    scene = Scene(wire)
    remote = scene.remote
    count = 0
    while not scene.session.over:
        key = remote.key()
        remote.send(remote.opening(key) + remote.resetting(key))
        count += 1
        assert len(scene.session.streams) <= 2
    assert count == 1001
    assert scene.driver.endedWith(LimitExceeded).limit == "resetBurst"


@wiresThat(lambda each: each.reset)
def test_madeToReset(wire: str) -> None:
    """
    So does making us reset (CVE-2025-8671).
    """
    scene = Scene(wire)
    remote = scene.remote
    count = 0
    while not scene.session.over:
        user = remote.open()
        user.leave()
        remote.send(remote.data(user.stream.key, b"x"))
        count += 1
    assert count == 1001
    assert scene.driver.endedWith(LimitExceeded).limit == "resetBurst"


@everyWire
def test_openAndEnd(wire: str) -> None:
    """
    Streams that end at once, in order, may come as many as there are keys, and
    leave nothing behind.
    """
    scene = Scene(wire)
    remote = scene.remote

    def accept(stream: Stream) -> None:
        user = User(scene.driver).attach(stream)
        user.hooks["ended"] = user.leave

    scene.driver.accept = accept
    for _ in range(3000):
        key = remote.key()
        remote.send(remote.opening(key) + remote.end(key))
    assert scene.driver.error is None
    assert len(scene.session.streams) == 2
    assert not scene.session.table.owed
    assert not scene.session.table._ended


@everyWire
def test_oneByteFrames(wire: str) -> None:
    """
    One-byte frames to a reader that pauses: what they cost is what is counted.
    """
    scene = Scene(wire, receiveBudget=100_000, window=50_000)
    scene.live.stream.pauseReading()
    frame = scene.remote.data(scene.live.stream.key, b"x")
    drip(scene, frame, 500_000)
    held = scene.live.stream.held
    if wire == "netmux":
        # Others may use the wire's first window before they hear of ours.
        scene.driver.endedWith(FlowControlError)
        return
    assert not scene.session.reading
    assert 90_000 <= held <= 100_000 + FRAMES_PER_TURN
    cost = scene.session.held
    assert cost <= 100_000 + FRAMES_PER_TURN
    backlog = scene.live.stream._backlog
    assert backlog is not None
    assert len(backlog) * CHUNK_CHARGE + held == cost
    assert len(scene.session._unread) <= 65536
    # It all arrives.
    scene.live.stream.resumeReading()
    scene.driver.run()
    assert scene.session.held == 0
    assert scene.session.reading


@everyWire
def test_manyReadersThatPause(wire: str) -> None:
    """
    A peer that fills a thousand streams whose readers pause: no more is held
    than the session's budget, and a turn.
    """
    budget = 2_000_000
    scene = Scene(wire, paused=True, receiveBudget=budget)
    remote = scene.remote
    keys = [remote.key() for _ in range(900)]
    remote.send(*(remote.opening(key) for key in keys))
    remote.heard()
    for key in keys * 100:
        if not scene.session.reading:
            break
        remote.send(remote.data(key, bytes(1000)))
    assert scene.driver.error is None
    assert budget <= scene.session.held <= budget + 1000 + CHUNK_CHARGE
    for user in scene.driver.opened:
        user.stream.resumeReading()
    scene.driver.run()
    assert scene.session.held == 0
    remote.send(remote.data(keys[0], b"on it goes"))
    assert scene.driver.opened[1].received.endswith(b"on it goes")


@everyWire
def test_onePeerThatNeverReads(wire: str) -> None:
    """
    What is written to a peer that does not read waits in the streams, where the
    writers are told of it, and in the end the peer is given up.
    """
    scene = Scene(wire, writeTimeout=30)
    user = scene.live
    scene.driver.block()
    for _ in range(100):
        user.stream.write(bytes(1000))
    scene.driver.run()
    assert user.stream.buffered == 100_000
    scene.driver.advance(29)
    assert user.events == []
    scene.driver.advance(1)
    scene.driver.endedWith(PeerTimeout)
    assert user.stream.buffered == 0


@wiresThat(lambda each: each.credit is not Credit.NONE)
def test_aPeerThatGivesNoCredit(wire: str) -> None:
    """
    A stream whose peer gives no credit waits, holds up nobody else, and is given
    up when its owner has left.
    """
    scene = Scene(wire, lingerTimeout=300)
    scene.live.stream.write(bytes(WINDOW + 1))
    scene.ours.stream.write(b"hello")
    scene.driver.run()
    assert scene.live.stream.buffered == 1
    assert scene.ours.stream.buffered == 0
    scene.driver.advance(10_000)
    assert len(scene.session.streams) == 2
    scene.live.leave()
    scene.driver.run()
    scene.driver.advance(600)
    assert list(scene.session.streams) == [scene.ours.stream.key]


@everyWire
def test_opensAndNeverSends(wire: str) -> None:
    """
    A peer that opens streams and sends nothing has them; they are bounded, and
    nothing runs.
    """
    scene = Scene(wire)
    scene.remote.send(*(scene.remote.opening(scene.remote.key()) for _ in range(999)))
    scene.remote.heard()
    scene.driver.advance(100_000)
    assert scene.driver.error is None
    assert scene.session.inbound == 1000
    assert scene.driver.tickTime is None
    assert not scene.session.hasOutput()


@everyWire
def test_sendsAndNeverCloses(wire: str) -> None:
    """
    A peer that goes on sending to one who has left is reset; or, where there is
    no reset, what it sends is dropped.
    """
    scene = Scene(wire)
    user = scene.live
    user.leave()
    for _ in range(100):
        scene.remote.send(scene.remote.data(user.stream.key, bytes(30_000)))
    assert scene.driver.error is None
    assert scene.session.held == 0
    assert user.stream.gone is capabilities[wire].reset


@everyWire
def test_strayFlood(wire: str) -> None:
    """
    Data for streams that never were ends the session when it gets too much.
    """
    scene = Scene(wire, strayBytes=WINDOW)
    key = scene.remote.key()
    sent = 0
    while not scene.session.over:
        scene.remote.send(scene.remote.data(key, bytes(10_000)))
        sent += 10_000
    assert WINDOW < sent <= WINDOW + 10_000
    assert scene.driver.endedWith(LimitExceeded).limit == "strayBytes"


@wiresThat(lambda each: not each.addressed)
def test_idleFlood(wire: str) -> None:
    """
    Frames without effect end the session when there are too many, in one chunk
    or in many (CVE-2019-9518).
    """
    for times in (1, 5000):
        scene = Scene(wire)
        frame = scene.remote.codec.payloadHeader(
            scene.remote.mirror(scene.live.stream.key), 0
        )
        scene.driver.feed(frame * 1000)
        assert not scene.session.over
        scene.driver.feed(frame * times)
        assert scene.driver.endedWith(LimitExceeded).limit == "idleBurst"


@everyWire
def test_framesOfAWholeTurn(wire: str) -> None:
    """
    A chunk full of frames is no more work than a turn's at once.
    """
    scene = Scene(wire)
    frame = scene.remote.data(scene.live.stream.key, b"x")
    scene.session.receive(frame * 4000, 0)
    assert len(scene.live.received) == FRAMES_PER_TURN
    scene.driver.run()
    assert len(scene.live.received) == 4000
