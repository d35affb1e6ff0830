"""
Opening and accepting streams, and refusing them.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest

from tests.property.pipe import Driver, Pipe, Remote, User
from twisted_mux.config import MuxConfig
from twisted_mux.engine.stream import Stream
from twisted_mux.errors import (
    ConfigError,
    FlowControlError,
    KeyInUse,
    KeysExhausted,
    LimitExceeded,
    NotSupported,
    SessionClosed,
    TooManyStreams,
)
from twisted_mux.wire import codecNamed, wireNames, wires
from twisted_mux.wire.base import Credit, Role

everyWire = pytest.mark.parametrize("wire", wireNames())
everyRole = pytest.mark.parametrize("role", list(Role))
wiresWith: Callable[[str], list[str]] = lambda what: [  # noqa: E731
    name for name, codec in wires().items() if getattr(codec.capabilities, what)
]
wiresWithout: Callable[[str], list[str]] = lambda what: [  # noqa: E731
    name for name, codec in wires().items() if not getattr(codec.capabilities, what)
]


@everyWire
@everyRole
def test_open(wire: str, role: Role) -> None:
    """
    The open goes out in the next turn, before anything else of the stream, with
    the wire's first key.
    """
    driver = Driver(wire, role)
    user = driver.open()
    assert driver.woken
    assert user.stream.key == next(
        type(driver.session.codec).keys(driver.session.codec)
    )
    user.stream.write(b"hello")
    calls = Remote(driver).heard()
    assert calls[0][0] in ("openReceived", "openOrEndReceived")
    assert calls[0][1] == user.stream.key
    assert calls[-1] == ("payloadReceived", user.stream.key, b"hello")
    assert not user.stream.inbound
    assert driver.session.counters.streamsOpened == 1
    assert driver.session.inbound == 0


@everyWire
@everyRole
def test_accept(wire: str, role: Role) -> None:
    """
    A stream of the peer's is acknowledged at once, where the wire can.
    """
    driver = Driver(wire, role)
    remote = Remote(driver)
    user = remote.open()
    stream = user.stream
    assert stream.inbound
    assert stream.acknowledged
    assert driver.session.streams == {stream.key: stream}
    assert driver.session.inbound == 1
    assert driver.session.counters.streamsAccepted == 1
    acks = [("acceptReceived", stream.key, 0)]
    assert remote.heard() == (acks if driver.session.capabilities.ack else [])
    assert user.events == []


def test_names() -> None:
    driver = Driver("mplex", Role.SERVER)
    user = Remote(driver).open(name=b"a name")
    assert user.stream.name == b"a name"
    mine = driver.open(b"another")
    assert mine.stream.name == b"another"
    [call] = Remote(driver).heard()
    assert call[3] == b"another"


@pytest.mark.parametrize("wire", wiresWithout("names"))
def test_noNames(wire: str) -> None:
    driver = Driver(wire, Role.CLIENT)
    with pytest.raises(NotSupported, match="no names"):
        driver.open(b"a name")
    driver.assertIdle()


def test_aNameThatIsTooLong() -> None:
    """
    What can't be sent leaves no stream behind.
    """
    driver = Driver("mplex", Role.CLIENT)
    with pytest.raises(ConfigError):
        driver.open(b"x" * 2000)
    driver.assertIdle()
    assert driver.session.counters.streamsOpened == 0


def test_addresses() -> None:
    driver = Driver("vtmux", Role.CLIENT)
    key = driver.session.codec.keyOfAddress(("192.0.2.1", 80))
    user = driver.open(key=key)
    assert user.stream.key == key
    assert driver.session.describe(user.stream) == "192.0.2.1:80"
    with pytest.raises(KeyInUse, match=r"192\.0\.2\.1:80"):
        driver.open(key=key)
    assert len(driver.session.streams) == 1


@everyWire
def test_described(wire: str) -> None:
    """
    Both sides call a stream the same.
    """
    pipe = Pipe(wire)
    for side in pipe.sides:
        user = side.open()
        pipe.pump()
        name = side.session.describe(user.stream)
        other = pipe.other(side)
        assert name == other.session.describe(other.opened[-1].stream)


def test_keysThatAreTaken() -> None:
    """
    A key that the peer uses already, though it should not, is passed over.
    """
    driver = Driver("smux1", Role.CLIENT)
    remote = Remote(driver)
    remote.send(remote.opening(5))
    assert [driver.open().stream.key for _ in range(3)] == [3, 7, 9]


@everyWire
def test_keysRunOut(wire: str) -> None:
    """
    When the ids are used up no more streams are opened; all else goes on.
    """
    driver = Driver(wire, Role.CLIENT)
    session = driver.session
    session.table.opener._keys = islice(session.codec.keys(), 2)
    first, second = driver.open(), driver.open()
    assert session.takesStreams
    for _ in range(2):
        with pytest.raises(KeysExhausted, match=wire):
            driver.open()
        assert not session.takesStreams
    assert session.opener.mayOpen
    assert set(session.streams) == {first.stream.key, second.stream.key}
    Remote(driver).open()
    assert len(session.streams) == 3


def test_tooManyOfOurs() -> None:
    driver = Driver("yamux", Role.CLIENT, MuxConfig(maxOutboundStreams=2))
    Remote(driver).open()
    first, _ = driver.open(), driver.open()
    with pytest.raises(TooManyStreams, match="2 streams"):
        driver.open()
    first.reset()
    driver.open()


@everyWire
def test_tooManyOfThePeers(wire: str) -> None:
    """
    Beyond the limit streams are refused, without a state for any, and nothing
    else happens to the session.
    """
    driver = Driver(wire, Role.SERVER, MuxConfig(maxStreams=3))
    remote = Remote(driver)
    users = [remote.open() for _ in range(3)]
    remote.heard()
    # Those that we open aren't counted.
    driver.open()
    remote.heard()
    key = remote.key()
    remote.send(remote.opening(key), remote.data(key, b"early"))
    assert len(driver.opened) == 3
    assert len(driver.session.streams) == 4
    ended = {"mplex": "resetReceived", "vtmux": "openOrEndReceived"}
    name = ended.get(wire) or (
        "resetReceived" if driver.session.capabilities.reset else "endReceived"
    )
    assert [call[:2] for call in remote.heard()] == [(name, key)]
    assert driver.session.counters.streamsRefused == 1
    # Data for it, and its end, mean nothing.
    remote.send(remote.data(key, b"late"), remote.end(key))
    assert remote.heard() == []
    assert len(driver.session.streams) == 4
    assert driver.session.held == 0
    # Where one ends another may come.
    remote.send(remote.end(users[0].stream.key))
    users[0].leave()
    driver.run()
    remote.open()


@everyWire
def test_refusedByTheApplication(wire: str) -> None:
    """
    A stream that nobody takes is reset, or ended where the wire can do no more.
    """
    driver = Driver(wire, Role.SERVER)
    driver.accept = lambda stream: None
    remote = Remote(driver)
    key = remote.key()
    remote.send(remote.opening(key), remote.data(key, b"early"))
    calls = remote.heard()
    assert [call[1] for call in calls] == [key]
    assert calls[0][0] in ("resetReceived", "endReceived", "openOrEndReceived")
    remote.send(remote.data(key, b"late"), remote.end(key))
    assert remote.heard() == []
    driver.assertIdle()
    assert driver.session.counters.streamsRefused == 1
    assert driver.session.counters.streamsAccepted == 0


@pytest.mark.parametrize("wire", ["smux1", "smux2"])
@pytest.mark.parametrize("how", ["limit", "application"])
def test_refusalThatMayBeMissed(wire: str, how: str) -> None:
    """
    The end that refuses a stream is sent again when data comes for the stream, once,
    since go-smux may have got it too early; but not for data that was under way when
    it was sent.  No more of them are remembered than of other streams that are gone.
    """
    config = MuxConfig(maxStreams=1, rememberedStreams=3)
    driver = Driver(wire, Role.SERVER, config)
    remote = Remote(driver)
    if how == "limit":
        remote.open()
    else:
        driver.accept = lambda stream: None
    remote.heard()
    key = remote.key()
    remote.send(remote.opening(key))
    assert remote.heard() == [("endReceived", key)]
    remote.send(remote.data(key, b"late"))
    assert remote.heard() == [("endReceived", key)]
    remote.send(remote.data(key, b"later"), remote.end(key))
    assert remote.heard() == []
    assert not driver.session.table.missable
    key = remote.key()
    remote.send(remote.opening(key), remote.data(key, b"early"))
    assert remote.heard() == [("endReceived", key)]
    remote.send(remote.data(key, b"late"), remote.end(key))
    assert remote.heard() == []
    keys = [remote.key() for _ in range(5)]
    for each in keys:
        remote.send(remote.opening(each), remote.end(each))
    assert list(driver.session.table.missable) == keys[-3:]


@everyWire
@pytest.mark.parametrize("how", ["leave", "reset"])
def test_closedAtOnce(wire: str, how: str) -> None:
    """
    A stream may be left, or reset, the moment that it is opened.
    """
    driver = Driver(wire, Role.SERVER)

    def accept(stream: Stream) -> None:
        getattr(User(driver).attach(stream), how)()

    driver.accept = accept
    remote = Remote(driver)
    key = remote.key()
    remote.send(remote.opening(key))
    calls = remote.heard()
    assert [call[1] for call in calls] == [key] * len(calls)
    last = calls[-1][0]
    assert last in ("resetReceived", "endReceived", "openOrEndReceived")
    if driver.session.capabilities.reset and how == "reset":
        assert len(calls) == 1
    remote.send(remote.end(key))
    driver.assertIdle()


def test_theSessionIsAbortedMeanwhile() -> None:
    """
    Whoever is told of a stream may drop the whole session.
    """
    driver = Driver("yamux", Role.SERVER)

    def accept(stream: Stream) -> None:
        driver.opened.append(User(driver).attach(stream))
        driver.session.abort()

    driver.accept = accept
    remote = Remote(driver)
    key = remote.key()
    remote.send(
        remote.opening(key), remote.data(key, b"x"), remote.opening(remote.key())
    )
    [user] = driver.opened
    assert user.events == [("lost", None)]
    assert remote.heard() == []
    driver.assertIdle()


@pytest.mark.parametrize("wire", wiresWith("ack"))
def test_acknowledged(wire: str) -> None:
    driver = Driver(wire, Role.CLIENT)
    remote = Remote(driver)
    user = driver.open()
    remote.heard()
    assert user.events == []
    remote.send(remote.accept(user.stream.key))
    assert user.events == [("accepted",)]
    # A second one is a frame without effect.
    remote.send(remote.accept(user.stream.key))
    assert user.events == [("accepted",)]


@pytest.mark.parametrize("wire", wiresWith("ack"))
def test_anEndAcknowledges(wire: str) -> None:
    driver = Driver(wire, Role.CLIENT)
    remote = Remote(driver)
    user = driver.open()
    remote.send(remote.end(user.stream.key))
    assert user.names() == ["accepted", "ended"]


@pytest.mark.parametrize("wire", wiresWith("ack"))
def test_acknowledgedTooLate(wire: str) -> None:
    """
    After the owner has left nobody is told; after the stream has gone it is
    nothing at all.
    """
    driver = Driver(wire, Role.CLIENT)
    remote = Remote(driver)
    user = driver.open()
    user.leave()
    remote.send(remote.accept(user.stream.key))
    other = driver.open()
    other.reset()
    remote.send(remote.accept(other.stream.key))
    assert driver.error is None


def test_mayOpen() -> None:
    """
    There is a bound on streams that the peer has not acknowledged; where one is
    acknowledged, or gone, there is room again, and that is told once.
    """
    driver = Driver("yamux", Role.CLIENT, MuxConfig(maxUnacknowledged=2))
    remote = Remote(driver)
    session = driver.session
    first = driver.open()
    may = [session.opener.mayOpen]
    second = driver.open()
    may.append(session.opener.mayOpen)
    assert driver.events == []
    remote.send(remote.accept(first.stream.key))
    may.append(session.opener.mayOpen)
    assert driver.events == [("opensAllowed",)]
    third = driver.open()
    may.append(session.opener.mayOpen)
    third.reset()
    may.append(session.opener.mayOpen)
    assert driver.events == [("opensAllowed",)] * 2
    remote.send(remote.accept(second.stream.key))
    assert driver.events == [("opensAllowed",)] * 2
    fourth = driver.open()
    fifth = driver.open()
    may.append(session.opener.mayOpen)
    assert may == [True, False, True, False, True, False]
    remote.send(remote.resetting(fourth.stream.key))
    assert driver.events == [("opensAllowed",)] * 3
    assert fourth.events == [("reset", 0)]
    assert fifth.events == []


@pytest.mark.parametrize(
    ("wire", "most"), [("yamux", 256), ("netmux", 0), ("smux2", 0), ("mplex", 0)]
)
def test_unacknowledgedByDefault(wire: str, most: int) -> None:
    """
    As many as the wire's peers allow.
    """
    driver = Driver(wire, Role.CLIENT)
    for _ in range(most or 2000):
        assert driver.session.opener.mayOpen
        driver.open()
    assert driver.session.opener.mayOpen is (most == 0)


@pytest.mark.parametrize("wire", wireNames())
def test_windows(wire: str) -> None:
    """
    A receive window other than the wire's own is announced with the open or the
    acceptance, and what the peer announces may be sent.
    """
    window = 1024 * 1024
    pipe = Pipe(wire, MuxConfig(window=window))
    mine = pipe.client.open()
    pipe.pump()
    theirs = pipe.server.opened[0]
    capabilities = codecNamed(wire).capabilities
    for user in (mine, theirs):
        if capabilities.credit is Credit.NONE:
            assert user.stream.sendCredit > window
        else:
            assert user.stream.sendCredit == window
            assert user.stream.receiveWindow == window


def test_moreCreditThanTheWireCounts() -> None:
    driver = Driver("yamux", Role.SERVER)
    remote = Remote(driver)
    remote.send(remote.opening(1, window=0xFFFFFFFF + 0))
    assert driver.opened[0].stream.sendCredit == 0xFFFFFFFF
    remote.send(remote.codec._frame(1, 1, 3, 0xFFFFFFFF))  # type: ignore[attr-defined]
    assert isinstance(driver.error, FlowControlError)


@everyWire
def test_aKeyAgain(wire: str) -> None:
    """
    A key that is free again may be used again.
    """
    driver = Driver(wire, Role.SERVER)
    remote = Remote(driver)
    user = remote.open()
    key = user.stream.key
    remote.send(remote.end(key))
    user.leave()
    driver.assertIdle()
    remote.heard()
    remote.send(remote.opening(key), remote.data(key, b"again"))
    assert bytes(driver.opened[1].received) == b"again"
    assert user.received == b""


@everyWire
def test_opensByNobody(wire: str) -> None:
    """
    Many that are refused end the session: they are counted as resets.
    """
    driver = Driver(
        wire, Role.SERVER, MuxConfig(maxStreams=1, resetBurst=20, resetRate=0)
    )
    remote = Remote(driver)
    remote.open()
    for _ in range(20):
        remote.send(remote.opening(remote.key()))
    assert driver.error is None
    remote.send(remote.opening(remote.key()))
    error = driver.endedWith(LimitExceeded)
    assert error.limit == "resetBurst"
    assert driver.opened[0].events == [("lost", error)]


calls: list[tuple[str, Callable[[Driver], Any]]] = [
    ("opened", lambda driver: driver.open()),
    ("pinged", lambda driver: driver.session.ping(driver.now)),
]


@pytest.mark.parametrize(
    "what", [call for _, call in calls], ids=[name for name, _ in calls]
)
def test_afterTheEnd(what: Callable[[Driver], Any]) -> None:
    driver = Driver("yamux", Role.CLIENT)
    taken = [driver.session.takesStreams]
    driver.lose()
    with pytest.raises(SessionClosed):
        what(driver)
    taken.append(driver.session.takesStreams)
    assert taken == [True, False]


def test_nothingComesOfItAfterTheEnd() -> None:
    driver = Driver("yamux", Role.CLIENT)
    driver.lose()
    driver.session.drain(0, 10)
    driver.session.receive(b"garbage", 1.0)
    driver.session.tick(1e9)
    driver.session.lost()
    driver.assertIdle()
    assert driver.ended == 0


def test_afterTheStart() -> None:
    """
    C{start} on a stream that has gone meanwhile, or was left, does nothing.
    """
    driver = Driver("yamux", Role.CLIENT)
    remote = Remote(driver)
    gone = driver.open(start=False)
    left = driver.open(start=False)
    remote.send(remote.resetting(gone.stream.key))
    left.leave()
    for user in (gone, left):
        driver.session.start(user.stream)
    driver.run()
    assert gone.events == [("reset", 0)]
    assert left.events == []


def test_dataBeforeTheStart() -> None:
    """
    Nothing is delivered before a stream is started; then all is, in a turn of
    its own.
    """
    driver = Driver("smux1", Role.CLIENT)
    remote = Remote(driver)
    user = driver.open(start=False)
    key = user.stream.key
    remote.send(remote.data(key, b"early"), remote.end(key))
    assert user.events == []
    driver.session.start(user.stream)
    assert user.events == []
    driver.run()
    assert user.names() == ["data", "ended"]
    assert user.received == b"early"


@pytest.mark.parametrize("wire", wiresWith("reset"))
def test_refusalsAreCounted(wire: str) -> None:
    """
    A stream of ours that is reset before the peer had anything to say about it was
    refused; one that is reset later, or by us, was not.
    """
    driver = Driver(wire, Role.CLIENT)
    remote = Remote(driver)
    refused, used, ours = (driver.open().stream.key for _ in range(3))
    driver.run()
    remote.send(remote.accept(used), remote.data(used, b"x"), remote.resetting(used))
    driver.session.streams[ours].reset()
    assert driver.session.table.opener.refused == 0
    remote.send(remote.resetting(refused))
    assert driver.session.table.opener.refused == 1
    theirs = remote.key()
    remote.send(remote.opening(theirs), remote.resetting(theirs))
    assert driver.session.table.opener.refused == 1
