"""
What a hostile or broken peer may send, on every wire: the table of inputs and of
what comes of them (L{tests.conformance.bad_inputs}), and garbage.

An input is ignored, or costs the stream, or ends the session: with which error
on our side, and with which code of a go-away on the peer's.  How it is cut into
chunks makes no difference.  Nothing that is received may raise anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conformance.attacked import Scene, capabilities, everyWire, wiresThat
from tests.conformance.bad_inputs import (
    DATA,
    NEW,
    PAGE,
    SMUX_SYN,
    SYN,
    TABLE,
    UPDATE,
    WINDOW,
    Case,
    mplex,
    netmux,
    page,
    smux,
    vtmux,
    yamux,
)
from tests.property.pipe import Driver
from twisted_mux.engine.stream import Stream
from twisted_mux.errors import PeerComplaint, ProtocolError
from twisted_mux.wire import wireNames, wires
from twisted_mux.wire.base import Role

CODES = {name: codec.goAwayCodes for name, codec in wires().items()}


def test_everyWireHasATable() -> None:
    assert set(TABLE) == set(wireNames())


def cutUp(data: bytes) -> Iterator[list[bytes]]:
    """
    Ways to cut an input: not at all, byte by byte, and at every place; if it is a
    long one, in a few ways.
    """
    yield [data]
    if len(data) > 500:
        yield [data[:7], data[7:13], data[13:1000], data[1000:]]
        yield [data[start : start + 4099] for start in range(0, len(data), 4099)]
        return
    yield [data[index : index + 1] for index in range(len(data))]
    for cut in range(1, len(data)):
        yield [data[:cut], data[cut:]]


@pytest.mark.parametrize(
    ("wire", "case"),
    [
        pytest.param(wire, case, id=f"{wire}: {case.text}")
        for wire, cases in TABLE.items()
        for case in cases
    ],
)
def test_table(wire: str, case: Case) -> None:
    """
    Each input of the table, however it is cut.
    """
    for chunks in cutUp(case.data):
        scene = Scene(wire, paused=case.paused)
        driver = scene.driver
        driver.feed(*chunks)
        heard = scene.remote.heard()
        if case.ended is None:
            assert driver.error is None
            assert scene.live.names() == case.live
            assert scene.ours.names() == case.ours
            assert len(scene.session.streams) == case.streams
            expected = case.heard or []
        else:
            error = driver.endedWith(case.ended)
            assert case.says in str(error)
            for user in (scene.live, scene.ours):
                assert user.events[-1] == ("lost", error)
            expected = []
            if capabilities[wire].goAway and isinstance(error, ProtocolError):
                expected = [("goAwayReceived", CODES[wire][error.kind])]
            if case.heard is None:
                heard = heard[-len(expected) :] if expected else []
        assert heard == expected
        assert len(driver.opened) == case.opened or case.ended
        # Whatever it was: what is held is what the streams hold.
        users = [scene.live, scene.ours, *driver.opened[1:]]
        assert scene.session.held == sum(user.stream.backlogSize for user in users)


CODED = [
    ("netmux", yamux(DATA, 0, 1, 0), 5),
    ("netmux", netmux(9, 0, 1, 0), 1),
    ("netmux", netmux(UPDATE, 0, 1, 0xFFFFFFFF), 3),
    ("yamux", netmux(DATA, 0, 1, 0), 1),
    ("yamux", yamux(9, 0, 1, 0), 1),
    ("yamux", yamux(UPDATE, 0, 1, 0xFFFFFFFF), 1),
]


@pytest.mark.parametrize(("wire", "data", "code"), CODED)
def test_codes(wire: str, data: bytes, code: int) -> None:
    """
    The go-away says what was wrong, in the wire's own numbers.
    """
    scene = Scene(wire)
    scene.driver.feed(data)
    assert scene.remote.heard() == [("goAwayReceived", code)]


@everyWire
def test_theFirstFrameIsValidatedFirst(wire: str) -> None:
    """
    An open that is not valid makes no stream.
    """
    driver = Driver(wire, Role.SERVER)
    bad = {
        "yamux": yamux(UPDATE, SYN, 1, 0xFFFFFFFF),
        "netmux": netmux(DATA, SYN, 2, 0),
        "smux1": smux(1, SMUX_SYN, 3, b"x"),
        "smux2": smux(2, SMUX_SYN, 3, b"x"),
        "mplex": mplex(0, NEW, length=1 << 21),
    }.get(wire)
    if bad is None:
        return
    driver.feed(bad)
    assert driver.opened == []
    assert isinstance(driver.error, ProtocolError)
    driver.assertIdle()


def test_page() -> None:
    """
    The table in the documentation is this one.
    """
    assert PAGE.read_text() == page(), "run python -m tests.conformance.bad_inputs"


# What depends on what was before.


@wiresThat(lambda each: not each.reset)
def test_usedIds(wire: str) -> None:
    """
    Where there is no reset, a stream that both sides have ended leaves its id free;
    where there is, see the table.
    """
    scene = Scene(wire)
    key = scene.live.stream.key
    scene.live.leave()
    scene.remote.send(scene.remote.end(key))
    assert len(scene.session.streams) == 1
    scene.remote.send(scene.remote.opening(key))
    assert len(scene.driver.opened) == 2
    assert scene.driver.error is None


@wiresThat(lambda each: each.ping)
def test_pongs(wire: str) -> None:
    """
    A wrong answer to a ping is none; the right one counts once.
    """
    scene = Scene(wire)
    value = scene.session.ping(scene.driver.now)
    scene.remote.heard()
    codec = scene.remote.codec
    scene.remote.send(codec.encodePong(value + 1))
    assert scene.session.liveness.pinging
    scene.remote.send(codec.encodePong(value))
    assert [event[0] for event in scene.driver.events] == ["pong"]
    scene.remote.send(codec.encodePong(value))
    assert [event[0] for event in scene.driver.events] == ["pong"]
    assert scene.driver.error is None


# Garbage.

#: Numbers that are likely to be the borders of something.
edges = st.sampled_from(
    [
        *(0, 1, 2, 3, 4, 5, 7, 8, 9, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x10000),
        *(WINDOW - 1, WINDOW, WINDOW + 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF),
    ]
)


def nearlyFrames(wire: str) -> st.SearchStrategy[bytes]:
    """
    What has the shape of a frame of the wire, with anything in it.
    """
    payload = st.binary(max_size=20)
    small = st.integers(0, 9)
    if wire in ("yamux", "netmux"):
        version = 0 if wire == "yamux" else 1
        return st.builds(
            lambda kind, flags, key, length, data: (
                pack(">BBHII", version, kind, flags, key, length) + data
            ),
            st.integers(0, 4),
            st.integers(0, 16),
            small,
            edges,
            payload,
        )
    if wire in ("smux1", "smux2"):
        version = int(wire[-1])
        return st.builds(
            lambda command, key, data: smux(version, command, key, data),
            st.integers(0, 5),
            small,
            st.one_of(
                payload,
                st.just(b""),
                st.builds(lambda a, b: pack("<II", a, b), edges, edges),
            ),
        )
    if wire == "mplex":
        return st.builds(mplex, small, st.integers(0, 7), payload)
    return st.builds(
        lambda last, data: vtmux(bytes(17) + bytes([last]), data), small, payload
    )


@given(st.data())
def test_garbage(data: st.DataObject) -> None:
    """
    Whatever comes, in whatever chunks, ends in nothing but what the
    documentation says; every owner is told once; and what is held is counted.
    """
    wire = data.draw(st.sampled_from(wireNames()))
    scene = Scene(wire, maxStreams=5, idleBurst=20, resetBurst=10, window=1000)
    driver = scene.driver
    frames = data.draw(
        st.lists(
            st.one_of(nearlyFrames(wire), nearlyFrames(wire), st.binary(max_size=30)),
            max_size=25,
        )
    )
    habits = data.draw(
        st.lists(
            st.sampled_from(["", "pause", "leave", "reset", "end"]),
            min_size=1,
            max_size=5,
        )
    )

    def accept(stream: Stream) -> None:
        habit = habits[len(driver.opened) % len(habits)]
        if habit == "leave":
            return
        driver.takeStream(stream)
        user = driver.opened[-1]
        if habit == "pause":
            stream.pauseReading()
        elif habit == "reset":
            user.hooks["data"] = lambda _: user.reset()
        elif habit == "end":
            stream.endWriting()

    driver.accept = accept
    for frame in frames:
        driver.feed(frame)
        driver.now += data.draw(st.sampled_from([0, 0, 0.1, 70]))
        if driver.tickTime is not None and driver.tickTime <= driver.now:
            driver.advance(0)
        streams = scene.session.streams
        assert scene.session.inbound <= 5
        assert len(streams) <= 6
        users = [scene.ours, *driver.opened]
        assert scene.session.held == sum(user.stream.backlogSize for user in users)
    error = driver.error
    assert error is None or isinstance(error, ProtocolError | PeerComplaint)
    driver.lose()
    driver.sent()
    for user in (scene.ours, *driver.opened):
        last = [name for name in user.names() if name in ("lost", "reset")]
        assert len(last) <= 1
        user.stream.resumeReading()
        driver.run()
        if not user.finished and not user.over:
            user.leave()
    driver.assertIdle()
