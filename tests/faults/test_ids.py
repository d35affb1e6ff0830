"""
Sessions whose ids for streams come to their end: the counter is set close to it.

Every wire refuses then, as its own implementations do: an id that is used again could
be taken for the stream that had it before.  So there is another carrier.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from operator import length_hint
from typing import Any, cast
from weakref import ref

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory

from tests.faults.leftovers import leavingNothing
from tests.unit.carrying import Network, Peers, failureOf, pending, resultOf
from twisted_mux.endpoints import MuxClientEndpoint, MuxServerEndpoint
from twisted_mux.errors import KeysExhausted
from twisted_mux.testing import SessionPair
from twisted_mux.testing.conformance import Recorder
from twisted_mux.wire import codecNamed
from twisted_mux.wire.base import Codec, Key, Role
from twisted_mux.wire.vtmux import AUTOMATIC, VtmuxCodec

# Not a bound method: it is patched below.
Keys = Callable[[Codec], Iterator[Key]]


def nearEnd(codec: Codec, keys: Keys, left: int) -> Iterator[Key]:
    """
    The last keys that there are.
    """
    if isinstance(codec, VtmuxCodec):
        network = AUTOMATIC[codec._role]
        for each in range(left, 0, -1):
            yield codec.keyOfAddress((str(network[-each]), 1))
        return
    every: Any = keys(codec)
    every.__setstate__(length_hint(every) - left)
    yield from every


def echo() -> Any:
    """
    A factory for streams on which everything comes back.
    """
    return Factory.forProtocol(
        lambda: Recorder(
            data=lambda each: cast(Any, each.transport).write(each.data[-1:])
        )
    )


@pytest.mark.parametrize("role", ["client", "server"])
def test_theLastOnes(wire: str, role: str) -> None:
    """
    The last ids are as good as any; then no more streams are opened, while those
    that there are go on, and those that the peer opens.
    """
    with leavingNothing():
        kept = _theLastOnes(wire, role)
        gc.collect()
        assert [each() for each in kept] == [None, None]


def _theLastOnes(wire: str, role: str) -> list[ref[Any]]:
    pair = SessionPair(wire)
    session = getattr(pair, role)
    peer = pair.other(session)
    pair.client.streamFactory = pair.server.streamFactory = echo()
    engine = session.engine
    engine.table.opener._keys = nearEnd(engine.codec, type(engine.codec).keys, 3)
    opened: list[Recorder] = []

    def opener() -> Recorder:
        opened.append(Recorder())
        return opened[-1]

    made = [session.openStream(Factory.forProtocol(opener)) for _ in range(3)]
    pair.pump()
    assert [resultOf(each) for each in made] == opened
    assert session.takesStreams
    for _ in range(2):
        refused = session.openStream(Factory.forProtocol(opener))
        pair.pump()
        failure = failureOf(refused)
        assert failure.check(KeysExhausted)
        assert wire in str(failure.value)
        assert not session.takesStreams
    assert len(opened) == 3
    peer.openStream(Factory.forProtocol(opener))
    pair.pump()
    for number, recorder in enumerate(opened):
        transport: Any = recorder.transport
        transport.write(bytes([number]))
    pair.pump()
    assert [each.data for each in opened] == [b"\0", b"\1", b"\2", b"\3"]
    assert len({each.transport.streamId for each in cast(Any, opened)}) == 4
    for recorder in opened:
        cast(Any, recorder.transport).loseConnection()
    pair.pump()
    assert not session.engine.streams
    assert session.takesStreams is False
    closed = session.close()
    pair.pump()
    resultOf(closed)
    for recorder in opened:
        assert recorder.events[-1] == "lost"
        assert recorder.events.count("lost") == 1
        assert type(recorder.reason) is ConnectionDone
    assert not pair.clock.getDelayedCalls()
    return [ref(each) for each in (session, peer)]


@pytest.fixture
def fewKeys(wire: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[Role], None]:
    """
    From now on sessions in a role have two ids.
    """

    def limit(role: Role) -> None:
        codec = codecNamed(wire)
        keys = codec.keys
        monkeypatch.setattr(
            codec,
            "keys",
            lambda each: nearEnd(each, keys, 2) if each._role is role else keys(each),
        )

    return limit


def _check(peers: Any, wanted: int) -> None:
    """
    Each stream carries, and each is on its own.
    """
    assert len(peers) == wanted
    for number, peer in enumerate(peers):
        peer.stream.write(bytes([number]))


def test_anotherIsDialled(wire: str, fewKeys: Callable[[Role], None]) -> None:
    """
    The endpoint that dials moves on to another carrier, and closes the one without
    ids when its streams are over; everything is on the way it was.
    """
    fewKeys(Role.CLIENT)
    with leavingNothing():
        _anotherIsDialled(wire)


def _anotherIsDialled(wire: str) -> None:
    network = Network()
    theirs, ours = Peers(), Peers()
    server = MuxServerEndpoint(network.clock, network, wire=wire)
    port: Any = resultOf(server.listen(theirs))
    client = MuxClientEndpoint(network.clock, network, wire=wire, idle=30)
    for _ in range(5):
        connecting = client.connect(ours)
        network.clock.settle()
        while network.dials:
            network.accept()
        network.clock.settle()
        resultOf(connecting)
    assert len(client.sessions) == 3
    _check(ours.built, 5)
    network.clock.settle()
    assert [each.data for each in theirs.built] == [bytes([n]) for n in range(5)]
    for peer in ours.built:
        peer.stream.loseConnection()
    network.clock.settle()
    assert [each.takesStreams for each in client.sessions] == [True]
    for peer in (*ours.built, *theirs.built):
        assert peer.reason is not None
        assert peer.reason.check(ConnectionDone)
    port.stopListening()
    client.closeCarriers()
    network.clock.advance(10)
    assert not network.clock.getDelayedCalls()


def test_anotherDialsIn(wire: str, fewKeys: Callable[[Role], None]) -> None:
    """
    The endpoint that is dialled waits for another peer when the one that it has got
    takes no more.
    """
    fewKeys(Role.SERVER)
    with leavingNothing():
        _anotherDialsIn(wire)


def _anotherDialsIn(wire: str) -> None:
    network = Network()
    theirs, ours = Peers(), Peers()
    server = MuxServerEndpoint(network.clock, network, wire=wire)
    opener = server.clientEndpoint()
    resultOf(opener.startListening())
    client = MuxClientEndpoint(network.clock, network, wire=wire, carriers=2)
    listening: Any = resultOf(client.serverEndpoint().listen(theirs))
    first, second = list(network.dials)
    first.accept()
    for _ in range(2):
        connecting = opener.connect(ours)
        network.clock.settle()
        resultOf(connecting)
    connecting = opener.connect(ours)
    network.clock.settle()
    assert pending(connecting)
    second.accept()
    network.clock.settle()
    resultOf(connecting)
    _check(ours.built, 3)
    network.clock.settle()
    assert [each.data for each in theirs.built] == [b"\0", b"\1", b"\2"]
    listening.stopListening()
    opener.closeCarriers()
    client.closeCarriers()
    for peer in ours.built:
        peer.stream.loseConnection()
    network.clock.advance(10)
    for peer in (*ours.built, *theirs.built):
        assert peer.reason is not None
        assert peer.reason.check(ConnectionDone)
    assert not network.clock.getDelayedCalls()
