"""
Tunnels from the start of a process to its end, in virtual time.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory

from tests.conftest import LoggedErrors
from tests.unit.carrying import Network, Peer, Peers, logged, pending, resultOf
from twisted_mux.endpoints import (
    MuxClientEndpoint,
    MuxDialEndpoint,
    MuxListenEndpoint,
    MuxServerEndpoint,
)
from twisted_mux.errors import ConfigError
from twisted_mux.service import CLOSE_TIMEOUT, StartFailed, TunnelService
from twisted_mux.status.sampling import Sampler
from twisted_mux.testing import VirtualClock
from twisted_mux.tunnel_config import StatusPage, Tunnel, TunnelConfig


class Reactor(VirtualClock):
    """
    What the service asks of a reactor.

    @ivar running: does it run?
    @ivar stops: how often it was told to stop.
    """

    def __init__(self) -> None:
        super().__init__()
        self.running = False
        self.stops = 0
        self._hooks: list[Callable[[], object]] = []

    def callWhenRunning(self, hook: Callable[[], object]) -> None:
        """
        See L{IReactorCore}.
        """
        if self.running:
            hook()
        else:
            self._hooks.append(hook)

    def run(self) -> None:
        """
        From now on it runs.
        """
        self.running = True
        for hook in self._hooks:
            hook()

    def stop(self) -> None:
        """
        See L{IReactorCore}.
        """
        self.stops += 1

    def callFromThread(self, function: Callable[[], object]) -> None:
        """
        See L{IReactorFromThreads}.
        """
        self.callLater(0, function)


class Scene:
    """
    Networks by name, and a service between them.

    A string C{name} is the place itself; C{mux NAME}, C{dial NAME} and C{listen NAME}
    have carriers there.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reactor = Reactor()
        self.places: dict[str, Any] = {}
        monkeypatch.setattr("twisted_mux.tunnel.sourceEndpoint", self._endpoint)
        monkeypatch.setattr("twisted_mux.tunnel.targetEndpoint", self._endpoint)
        monkeypatch.setattr("twisted_mux.tunnel.carriersKey", self._key)
        self.targets: dict[str, MuxListenEndpoint] = {}
        self.file: TunnelConfig | Exception = TunnelConfig(())

    def place(self, name: str) -> Network:
        """
        A network.
        """
        network: Network = self.places.setdefault(name, Network(self.reactor))
        return network

    def _endpoint(self, reactor: object, text: str, insecure: bool) -> Any:
        kind, _, name = text.rpartition(" ")
        place: Any = self.place(name)
        if kind == "listen":
            return self.targets.setdefault(
                name, MuxListenEndpoint(self.reactor, place, _label=name)
            )
        if kind == "dial":
            return MuxDialEndpoint(self.reactor, place, _label=name)
        if kind == "mux":
            return MuxServerEndpoint(self.reactor, place, _label=name)
        if kind == "client":
            return MuxClientEndpoint(self.reactor, place, _label=name)
        return place

    def _key(self, text: str) -> str | None:
        kind, _, name = text.rpartition(" ")
        return name if kind == "listen" else None

    def config(self, *pairs: str, **more: Any) -> TunnelConfig:
        """
        A configuration: C{NAME: SOURCE > TARGET}.
        """
        tunnels = []
        for pair in pairs:
            name, _, strings = pair.partition(": ")
            source, target = strings.split(" > ")
            tunnels.append(Tunnel(name, source, target))
        return TunnelConfig(tuple(tunnels), **more)

    def load(self) -> TunnelConfig:
        """
        What the file says.
        """
        if isinstance(self.file, Exception):
            raise self.file
        return self.file

    def service(self, *pairs: str, **more: Any) -> TunnelService:
        """
        A service that has been started.
        """
        service = TunnelService(self.reactor, self.config(*pairs, **more), self.load)
        service.startService()
        return service

    def reload(self, service: TunnelService, *pairs: str, **more: Any) -> str:
        """
        The file says that now.

        @return: what was logged, errors first.
        """
        self.file = self.config(*pairs, **more)
        with logged("error") as errors, logged("info") as lines:
            resultOf(service.reload())
        return "; ".join([*errors, lines[-1]])

    def connect(self, name: str) -> Peer:
        """
        Somebody connects.
        """
        peer = Peer()
        place = self.place(name)
        place.connect(Factory.forProtocol(lambda: peer))
        place.accept()
        return peer


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    """
    The scene.
    """
    return Scene(monkeypatch)


def lost(peer: Peer) -> Any:
    """
    Why a connection was lost.
    """
    assert peer.reason is not None
    return peer.reason.type


def test_start(scene: Scene) -> None:
    """
    Tunnels listen when the service is started, once, and each says where.
    """
    service = TunnelService(scene.reactor, scene.config("a: x > y", "b: dial z > y"))
    assert scene.place("x").listening == 0
    with logged("info") as lines:
        service.privilegedStartService()
        service.startService()
    assert scene.place("x").listening == 1
    assert len(scene.place("z").dials) == 1
    assert lines == [
        "tunnel a: connections at 192.0.2.2:4242 go to y",
        "tunnel b: connections at dial z go to y",
    ]


def test_startTargetThatListens(scene: Scene) -> None:
    """
    Where peers dial in for a target, they can from the start.
    """
    with logged("info") as lines:
        scene.service("a: x > listen y")
    assert scene.place("y").listening == 1
    assert lines[0] == "tunnel a: peers can dial in at 192.0.2.2:4242"


def test_sessions(scene: Scene) -> None:
    """
    A tunnel knows the sessions on either side, as long as there are any.
    """
    service = scene.service("a: dial x > listen y", "b: z > plain")
    running: Any = service.tunnels["a"]
    assert running.sessions == service.tunnels["b"].sessions == ()
    scene.place("x").factory = Factory.forProtocol(Peer)
    scene.place("x").accept()
    peer = MuxDialEndpoint(scene.reactor, scene.place("y"), _label="y")
    peer.listen(Factory.forProtocol(Peer))
    scene.place("y").accept()
    sessions = running.sessions
    assert [session.wire for session in sessions] == ["yamux", "yamux"]
    running.stopListening()
    assert running.sessions == sessions
    assert service.present == list(service.tunnels.values())
    sessions[0].abort()
    scene.reactor.settle()
    assert running.sessions == sessions[1:]


def test_sessionsThatEndWhileDraining(scene: Scene) -> None:
    """
    What a session has done counts once, also if its carrier is closed while the
    tunnel, which takes no more connections, has others.
    """
    service = scene.service("a: mux x > y")
    sampler = Sampler(scene.reactor, lambda: service.present)
    client = MuxClientEndpoint(scene.reactor, scene.place("x"), idle=0, carriers=2)
    peers = Peers()
    for _ in range(2):
        client.connect(peers)
        scene.place("x").accept()
        scene.place("y").factory = Factory.forProtocol(Peer)
        scene.place("y").accept()
    sampler.sample()
    stopped = service.stopService()
    scene.reactor.settle()
    peers.built[0].stream.loseConnection()
    for _ in range(3):
        scene.reactor.settle()
        sampler.sample()
        (wire,) = sampler.snapshot.wires
        assert (wire.live, wire.sessions) == (1, 2)
    peers.built[1].stream.loseConnection()
    scene.reactor.settle()
    resultOf(stopped)


def test_startWithoutPort(scene: Scene) -> None:
    """
    Not everything that endpoints return is a port.
    """

    class Pipes:
        def listen(self, factory: object) -> Deferred[object]:
            return succeed(object())

    scene.places["x"] = Pipes()
    with logged("info") as lines:
        service = scene.service("a: x > y")
    assert lines == ["tunnel a: connections at x go to y"]
    resultOf(service.stopService())


def test_startFails(scene: Scene, loggedErrors: LoggedErrors) -> None:
    """
    A tunnel that can't listen is the end, with status 1, and one line.
    """
    scene.place("x").refuses = OSError("in use")
    with logged("critical") as lines, pytest.raises(StartFailed) as caught:
        scene.service("a: x > y", "b: w > y")
    assert lines == ["tunnel a: in use"]
    assert caught.value.code == 1
    assert str(caught.value) == "tunnel a: in use"
    assert isinstance(caught.value, SystemExit)
    assert isinstance(caught.value, Exception)


class Slow:
    """
    A place where listening takes time.
    """

    def __init__(self) -> None:
        self.cancelled = 0
        self.listening: Deferred[object] = Deferred(self._cancel)

    def _cancel(self, _: object) -> None:
        self.cancelled += 1

    def listen(self, factory: object) -> Deferred[object]:
        """
        See L{IStreamServerEndpoint}.
        """
        return self.listening


def test_startFailsLater(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    If that is known later only, the reactor is stopped, and the interpreter told.
    """
    registered: list[Any] = []
    monkeypatch.setattr("atexit.register", registered.append)
    scene.places["x"] = slow = Slow()
    scene.places["w"] = other = Slow()
    scene.service("a: x > y", "b: w > y")
    with logged("critical") as lines:
        slow.listening.errback(OSError("no"))
        other.listening.errback(OSError("no"))
    assert lines == ["tunnel a: no", "tunnel b: no"]
    assert scene.reactor.stops == 0
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    scene.reactor.run()
    assert scene.reactor.stops == 1
    exits: list[int] = []
    monkeypatch.setattr(os, "_exit", exits.append)
    registered[0]()
    assert exits == [1]


def test_stopWhileStarting(scene: Scene) -> None:
    """
    A tunnel that does not listen yet is given up, which is no failure.
    """
    scene.places["x"] = slow = Slow()
    service = scene.service("a: x > y")
    with logged("critical") as lines:
        resultOf(service.stopService())
    assert slow.cancelled == 1
    assert lines == []


@pytest.fixture
def handlers(monkeypatch: pytest.MonkeyPatch) -> dict[int, Callable[..., None]]:
    """
    The signals' handlers.
    """
    found: dict[int, Callable[..., None]] = {}
    monkeypatch.setattr(signal, "signal", found.__setitem__)
    return found


def test_signals(
    scene: Scene,
    handlers: dict[int, Callable[..., None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    SIGTERM and SIGINT stop the reactor; another one then cuts what is left.  SIGHUP
    reads the file again.
    """
    service = scene.service("a: x > y")
    assert handlers == {}
    scene.reactor.run()
    assert set(handlers) == {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    client = scene.connect("x")
    scene.file = ConfigError("bad")
    with logged("error") as lines:
        handlers[signal.SIGHUP](signal.SIGHUP, None)
        scene.reactor.settle()
    assert lines == ["nothing is changed, for there are errors: bad"]
    handlers[signal.SIGTERM](signal.SIGTERM, None)
    scene.reactor.settle()
    assert scene.reactor.stops == 1
    stopped = service.stopService()
    scene.reactor.settle()
    assert pending(stopped)
    handlers[signal.SIGINT](signal.SIGINT, None)
    scene.reactor.settle()
    assert lost(client) is ConnectionLost
    resultOf(stopped)
    assert scene.reactor.stops == 1
    assert not scene.reactor.calls


def test_signalsWithoutFile(
    scene: Scene,
    handlers: dict[int, Callable[..., None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    Where there is no file SIGHUP means what it always does; nor does every platform
    have all signals.
    """
    monkeypatch.delattr(signal, "SIGINT")
    service = TunnelService(scene.reactor, scene.config("a: x > y"))
    service.startService()
    scene.reactor.run()
    assert set(handlers) == {signal.SIGTERM}
    resultOf(service.reload())


def test_drain(scene: Scene) -> None:
    """
    Nobody is accepted any more; live connections have some time.
    """
    service = scene.service("a: x > y", drain=20.0)
    client = scene.connect("x")
    scene.place("y").listen(Peers())
    scene.place("y").accept()
    with logged("info") as lines:
        stopped = service.stopService()
        scene.reactor.settle()
    assert scene.place("x").factory is None
    assert lines == ["draining: 1 connections have 20 seconds"]
    scene.reactor.advance(10)
    assert pending(stopped)
    client.stream.loseConnection()
    scene.reactor.settle()
    resultOf(stopped)
    assert not scene.reactor.calls


def test_drainTakesTooLong(scene: Scene) -> None:
    """
    After that they are reset.
    """
    service = scene.service("a: x > y", drain=20.0)
    client = scene.connect("x")
    stopped = service.stopService()
    with logged() as lines:
        scene.reactor.advance(20)
    assert lines == ["1 connections are cut off"]
    assert lost(client) is ConnectionLost
    resultOf(stopped)
    assert not scene.reactor.calls


def test_carriersAreClosed(scene: Scene) -> None:
    """
    Carriers are closed in good order, on either side of a tunnel.
    """
    service = scene.service("a: mux x > client y")
    peer = MuxClientEndpoint(scene.reactor, scene.place("x"), idle=1000)
    target = MuxServerEndpoint(scene.reactor, scene.place("y"))
    answering = Peers()
    target.listen(answering)
    client = Peer()
    peer.connect(Factory.forProtocol(lambda: client))
    scene.place("x").accept()
    scene.place("y").accept()
    client.stream.write(b"hello")
    scene.reactor.settle()
    assert answering.built[0].data == b"hello"
    stopped = service.stopService()
    scene.reactor.settle()
    assert pending(stopped)
    client.stream.loseConnection()
    scene.reactor.settle()
    resultOf(stopped)
    assert lost(answering.built[0]) is ConnectionDone
    assert peer.sessions == ()
    assert not scene.reactor.calls


def test_carriersThatStay(scene: Scene) -> None:
    """
    Nobody waits for ever for a carrier that is not closed.
    """
    service = scene.service("a: x > y")
    running = service.tunnels["a"]
    closing: Deferred[None] = Deferred()
    running.target.closeCarriers = lambda: closing  # type: ignore[attr-defined]
    stopped = service.stopService()
    scene.reactor.advance(CLOSE_TIMEOUT - 1)
    assert pending(stopped)
    with logged() as lines:
        service.cut()
    assert lines == []
    scene.reactor.advance(1)
    resultOf(stopped)
    closing.callback(None)


def test_closingFails(scene: Scene) -> None:
    """
    Neither is a carrier that is lost in another way the end of it all.
    """
    service = scene.service("a: mux x > y")
    MuxClientEndpoint(scene.reactor, scene.place("x"), idle=1000).connect(Peers())
    connection = scene.place("x").accept()
    stopped = service.stopService()
    connection.cut()
    scene.reactor.settle()
    scene.reactor.advance(CLOSE_TIMEOUT)
    resultOf(stopped)


# Reloading.


def test_reload(scene: Scene) -> None:
    """
    Tunnels come and go; those that did not change keep their connections.
    """
    service = scene.service("a: x > y", "b: w > y")
    kept, gone = scene.connect("x"), scene.connect("w")
    said = scene.reload(service, "a: x > y", "c: v > y", drain=3.0)
    assert said == "reloaded: tunnels 1 added, 1 removed, 0 changed, 1 unchanged"
    assert scene.place("x").listening == scene.place("v").listening == 1
    assert scene.place("w").factory is None
    assert list(service.tunnels) == ["a", "c"]
    assert service.live == 2
    scene.reactor.advance(3)
    assert lost(gone) is ConnectionLost
    assert kept.reason is None
    assert service.live == 1
    # What has finished needs no limit.
    other = scene.connect("v")
    scene.reload(service, "a: x > y", drain=3.0)
    assert service.live == 2
    scene.place("y").dials[-1].refuse()
    scene.reactor.settle()
    assert lost(other) is ConnectionLost
    assert service.live == 1
    assert service.tunnels["a"].bridge.live == 1


def test_reloadDoesNotMoveTheStatusPage(scene: Scene) -> None:
    """
    The page that shows all of it is where it was until a restart, and that is said as
    long as the file wants it elsewhere.
    """
    service = scene.service("a: x > y")
    elsewhere = StatusPage("tcp:9001")
    warning = "the status page stays as it was: that needs a restart"
    for status, warnings in (
        (elsewhere, [warning]),
        (elsewhere, [warning]),
        (StatusPage(), []),
    ):
        with logged("warn") as lines:
            scene.reload(service, "a: x > y", status=status)
        assert lines == warnings


def test_reloadMoves(scene: Scene) -> None:
    """
    A tunnel that listens elsewhere closes its port before it opens another.
    """
    service = scene.service("a: x > y")
    scene.reload(service, "a: w > y")
    assert scene.place("x").factory is None
    assert scene.place("w").factory is not None


def test_reloadChangesTarget(scene: Scene) -> None:
    """
    Another target is for new connections; the port stays.
    """
    service = scene.service("a: x > y")
    client = scene.connect("x")
    said = scene.reload(service, "a: x > z")
    assert said == "reloaded: tunnels 0 added, 0 removed, 1 changed, 0 unchanged"
    assert scene.place("x").listening == 1
    scene.connect("x")
    assert len(scene.place("y").dials) == len(scene.place("z").dials) == 1
    assert client.reason is None
    assert service.tunnels["a"].bridge.label == "z"


def test_reloadPortInUse(scene: Scene) -> None:
    """
    A port that can't be opened is one line; the next time it is tried again.
    """
    service = scene.service("a: x > y")
    scene.place("w").refuses = OSError("in use")
    said = scene.reload(service, "a: x > y", "b: w > y")
    assert said == (
        "tunnel b: in use; reloaded: tunnels 0 added, 0 removed, 0 changed, "
        "1 unchanged, 1 failed"
    )
    assert list(service.tunnels) == ["a"]
    scene.place("w").refuses = None
    scene.reload(service, "a: x > y", "b: w > y")
    assert list(service.tunnels) == ["a", "b"]


def test_reloadFindsNoFile(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A string that makes no sense any more, since a file that it names is gone, say,
    costs its tunnel, and no other.
    """
    service = scene.service("a: x > y")
    made = scene._endpoint

    def endpoint(reactor: object, text: str, insecure: bool) -> Any:
        if text == "bad":
            raise ConfigError("no such file")
        return made(reactor, text, insecure)

    monkeypatch.setattr("twisted_mux.tunnel.targetEndpoint", endpoint)
    said = scene.reload(service, "a: x > bad", "b: w > bad", "c: v > y")
    assert said == (
        "tunnel a: no such file; tunnel b: no such file; reloaded: tunnels 1 added, "
        "0 removed, 0 changed, 0 unchanged, 2 failed"
    )
    assert list(service.tunnels) == ["a", "c"]
    assert service.tunnels["a"].tunnel.target == "y"


def test_stopWhileReloading(scene: Scene) -> None:
    """
    A tunnel that has been added and does not listen yet is given up, which is no
    failure, and the others end as they should.
    """
    service = scene.service("a: x > y")
    scene.places["w"] = slow = Slow()
    scene.file = scene.config("b: w > y", "a: x > y")
    ended: list[None] = []
    service.reload().addCallback(ended.append)
    assert not ended
    with logged("error") as lines:
        resultOf(service.stopService())
    assert (slow.cancelled, ended, lines) == (1, [None], [])
    assert scene.place("x").factory is None


def test_reloadTargets(scene: Scene) -> None:
    """
    Peers can dial in as long as any tunnel wants them.
    """
    service = scene.service("a: x > listen y", "b: w > listen y")
    scene.reload(service, "a: x > listen y")
    assert scene.place("y").factory is not None
    scene.place("z").refuses = OSError("in use")
    said = scene.reload(service, "a: x > listen z")
    assert said.startswith("tunnel a: in use; ")
    assert scene.place("y").factory is not None
    assert service.tunnels["a"].tunnel.target == "listen y"
    scene.place("z").refuses = None
    scene.reload(service, "a: x > listen z")
    assert scene.place("z").factory is not None
    assert scene.place("y").factory is None


def test_reloadWhileStopping(scene: Scene) -> None:
    """
    What is ending does not begin again.
    """
    service = scene.service("a: x > y")

    class Port:
        def __init__(self) -> None:
            self.stopped: Deferred[None] = Deferred()

        def stopListening(self) -> Deferred[None]:
            return self.stopped

    port = Port()
    service.tunnels["a"]._port = port
    scene.file = scene.config("b: w > y")
    ended: list[None] = []
    service.reload().addCallback(ended.append)
    assert not ended
    stopped = service.stopService()
    port.stopped.callback(None)
    assert ended == [None]
    scene.reactor.settle()
    resultOf(stopped)
    assert scene.place("w").listening == 0
    resultOf(service.reload())
    assert scene.place("w").listening == 0
