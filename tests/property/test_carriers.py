"""
Carriers, dialled and accepted, whatever happens in whatever order: every connect
ends in one way, every factory is stopped as often as it was started, and nothing is
left behind.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from tests.unit.carrying import Network, Peers, resultOf
from twisted_mux.config import MuxConfig
from twisted_mux.endpoints import MuxClientEndpoint, MuxServerEndpoint

# What happens next, and to which of those to whom it can happen.
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "connect",
                "connect",
                "cancel",
                "accept",
                "accept",
                "refuse",
                "close",
                "abort",
                "cut",
                "drain",
                "closeCarriers",
                "listen",
                "stop",
                "wait",
            ]
        ),
        st.integers(0, 5),
    ),
    max_size=40,
)


class Play:
    """
    One run.

    Both sides of all carriers are of the same network: one dials them, the other
    accepts them, and both open streams and listen for them.
    """

    def __init__(self, idle: float, carriers: int, opening: str, goAway: str) -> None:
        config = MuxConfig(opening=opening, goAway=goAway)
        self.network = Network()
        self.clock = self.network.clock
        self.dialling = MuxClientEndpoint(
            self.clock, self.network, config=config, idle=idle, carriers=carriers
        )
        self.server = MuxServerEndpoint(self.clock, self.network, config=config)
        self.accepting = self.server.clientEndpoint(wait=20)
        self.accepting.startListening()
        self.clients: list[Any] = [self.dialling, self.accepting]
        self.ports: list[Any] = []
        self.factories: list[Peers] = []
        self.connects: list[Deferred[Any]] = []
        self.results: list[Any] = []
        self.carriers: set[Any] = {client._source.current() for client in self.clients}

    def step(self, what: str, which: int) -> None:
        """
        Something happens.
        """
        getattr(self, what)(which)
        if which % 2:
            self.clock.settle()

    def factory(self) -> Peers:
        """
        A new factory.
        """
        self.factories.append(Peers())
        return self.factories[-1]

    def connect(self, which: int) -> None:
        """
        Somebody connects.
        """
        deferred = self.clients[which % 2].connect(self.factory())
        self.connects.append(deferred)
        deferred.addBoth(self.results.append)

    def cancel(self, which: int) -> None:
        """
        A connect is cancelled.
        """
        if self.connects:
            self.connects[which % len(self.connects)].cancel()

    def accept(self, which: int) -> None:
        """
        A dial is answered.
        """
        if self.network.dials and self.network.factory is not None:
            dial = self.network.dials.pop(which % len(self.network.dials))
            if not dial.cancelled:
                dial.accept()

    def refuse(self, which: int) -> None:
        """
        A dial is not answered.
        """
        if self.network.dials:
            dial = self.network.dials.pop(which % len(self.network.dials))
            if not dial.cancelled:
                dial.refuse()

    def _peers(self) -> list[Any]:
        return [
            peer.stream
            for factory in self.factories
            for peer in factory.built
            if peer.transport is not None
        ]

    def close(self, which: int) -> None:
        """
        A connection is closed.
        """
        peers = self._peers()
        if peers:
            peers[which * 7 % len(peers)].loseConnection()

    def abort(self, which: int) -> None:
        """
        A connection is aborted.
        """
        peers = self._peers()
        if peers:
            peers[which * 7 % len(peers)].abortConnection()

    def cut(self, which: int) -> None:
        """
        A carrier is lost.
        """
        if self.network.connections:
            self.network.connections[which % len(self.network.connections)].cut()

    def drain(self, which: int) -> None:
        """
        A session is told to close.
        """
        sessions = self.clients[which % 2].sessions
        if sessions:
            sessions[which % len(sessions)].close().addErrback(lambda _: None)

    def closeCarriers(self, which: int) -> None:
        """
        All carriers are to be closed.
        """
        self.clients[which % 2].closeCarriers()

    def listen(self, which: int) -> None:
        """
        Somebody listens for streams.
        """
        endpoint: Any = self.dialling.serverEndpoint() if which % 2 else self.server
        port: Any = resultOf(endpoint.listen(self.factory()))
        self.ports.append(port)
        self.carriers.add(port._carriers)

    def stop(self, which: int) -> None:
        """
        Somebody who listens does so no more.
        """
        if self.ports:
            self.ports.pop(which % len(self.ports)).stopListening()

    def wait(self, which: int) -> None:
        """
        Time goes by.
        """
        self.clock.advance(2.0**which)

    def finish(self) -> None:
        """
        Everybody goes home.
        """
        for port in self.ports:
            port.stopListening()
        for deferred in self.connects:
            deferred.cancel()
        for client in self.clients:
            client.closeCarriers()
        self.clock.settle()
        for connection in self.network.connections:
            connection.cut()
        self.clock.advance(1000)


@given(
    STEPS,
    st.sampled_from([0, 5]),
    st.sampled_from([1, 3]),
    st.sampled_from(["now", "ack"]),
    st.sampled_from(["first", "last"]),
)
def test_nothingIsLeft(
    steps: list[tuple[str, int]], idle: float, carriers: int, opening: str, goAway: str
) -> None:
    play = Play(idle, carriers, opening, goAway)
    for what, which in steps:
        play.step(what, which)
    play.finish()
    assert len(play.results) == len(play.connects)
    assert [factory.running for factory in play.factories] == [0] * len(play.factories)
    for carriers_ in play.carriers:
        assert not carriers_.members
        assert not carriers_.sessions
    assert not play.clock.getDelayedCalls()
