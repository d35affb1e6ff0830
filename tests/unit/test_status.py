"""
The status page: samples, requests and the service, in virtual time.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Factory
from twisted.internet.testing import StringTransport
from twisted.logger import Logger, LogLevel

from tests.unit.carrying import Network, Peer, logged, pending, resultOf
from twisted_mux.bridge import Bridge
from twisted_mux.errors import ConfigError
from twisted_mux.service import StartFailed, TunnelService
from twisted_mux.status import messages as messagesModule
from twisted_mux.status.messages import Messages
from twisted_mux.status.pages import StatusResource, StatusSite
from twisted_mux.status.report import report
from twisted_mux.status.sampling import COLUMNS, KEPT, PING_EVERY, Sampler
from twisted_mux.status.serving import StatusService
from twisted_mux.testing import Link, SessionPair, VirtualClock
from twisted_mux.tunnel_config import Tunnel, TunnelConfig
from twisted_mux.tunnel_strings import checkStatus


class Running:
    """
    A tunnel, as far as samples are concerned.
    """

    def __init__(self, name: str, bridge: Any, *sessions: Any) -> None:
        self.tunnel = Tunnel(name, f"tcp:{name}", "socks5:password=open\\:sesame:x=1")
        self.bridge = bridge
        self.sessions = sessions


class Scene:
    """
    Two sessions on a carrier, a bridge, and a sampler that looks at one side.
    """

    def __init__(self, wire: str = "yamux") -> None:
        self.pair = SessionPair(wire, link=Link(delay=0.05))
        self.clock = self.pair.clock
        self.source = Network(self.clock)
        self.target = Network(self.clock)
        self.bridge = Bridge(self.clock, "web", self.target)
        self.source.listen(self.bridge)
        self.tunnels = [Running("web", self.bridge, self.pair.client)]
        self.sampler = Sampler(self.clock, lambda: self.tunnels)  # type: ignore[arg-type,return-value]
        self.sampler.start()

    def row(self, name: str) -> Any:
        """
        A figure of the last row.
        """
        return self.sampler.history[-1][COLUMNS.index(name)]


def test_carrier() -> None:
    """
    What a session has done shows in the next sample, and how fast that was.
    """
    scene = Scene()
    peers = Peer(), Peer()
    scene.pair.connect(*peers)
    scene.pair.advance(0.5)
    peers[1].stream.write(b"x" * 10_000)
    scene.pair.advance(0.5)
    (carrier,) = scene.sampler.snapshot.carriers
    assert (carrier.number, carrier.tunnels, carrier.state) == (1, ("web",), "up")
    assert carrier.seconds == pytest.approx(1)
    assert carrier.statistics.streams == 1
    assert carrier.statistics.bytesReceived > 10_000
    assert carrier.rateIn == pytest.approx(carrier.statistics.bytesReceived)
    assert scene.row("rateIn") == pytest.approx(carrier.rateIn, abs=1)
    assert (scene.row("carriers"), scene.row("streams")) == (1, 1)
    scene.pair.advance(1)
    assert scene.row("rateIn") < 100


def test_roundTrip() -> None:
    """
    Sessions are pinged when they are new and now and then, where that can be; there is
    one ping at a time.
    """
    scene = Scene()
    scene.pair.advance(1)
    assert scene.row("roundTrip") == pytest.approx(0.1)
    mute = Scene("mplex")
    mute.pair.advance(2 * PING_EVERY)
    assert mute.row("roundTrip") is None
    asked: list[Deferred[float]] = []

    def ping() -> Deferred[float]:
        asked.append(Deferred())
        return asked[-1]

    slow = Scene()
    slow.pair.advance(1)
    slow.pair.client.ping = ping  # type: ignore[method-assign]
    for _ in range(3):
        slow.pair.advance(PING_EVERY)
    assert len(asked) == 1
    asked[0].callback(1.0)
    slow.pair.advance(PING_EVERY)
    assert len(asked) == 2


def test_states() -> None:
    """
    A session that drains, and one that is over.
    """
    scene = Scene()
    peers = Peer(), Peer()
    scene.pair.connect(*peers)
    closing = scene.pair.client.close(0)
    scene.pair.advance(1)
    (carrier,) = scene.sampler.snapshot.carriers
    assert carrier.state == "draining"
    assert pending(closing)
    scene.pair.client.engine.lost()
    scene.sampler.sample()
    (carrier,) = scene.sampler.snapshot.carriers
    assert carrier.state == "closing"


def test_sums() -> None:
    """
    What sessions have done is not forgotten when they end.
    """
    scene = Scene()
    peers = Peer(), Peer()
    scene.pair.connect(*peers)
    scene.pair.advance(0.5)
    peers[0].stream.abortConnection()
    scene.pair.advance(1)
    (wire,) = scene.sampler.snapshot.wires
    before = wire.counters
    assert (wire.wire, wire.role, wire.live, wire.sessions) == ("yamux", "client", 1, 1)
    assert before["resetsSent"] == 1
    assert sum(row[COLUMNS.index("errors")] or 0 for row in scene.sampler.history) == 1
    scene.pair.lose()
    other = SessionPair("yamux")
    scene.tunnels[0].sessions = (other.client, other.client)
    scene.clock.advance(1)
    (carrier,) = scene.sampler.snapshot.carriers
    assert (carrier.number, carrier.tunnels) == (2, ("web",))
    (wire,) = scene.sampler.snapshot.wires
    assert (wire.live, wire.sessions, wire.streams) == (1, 2, 0)
    assert wire.counters["resetsSent"] == 1
    assert wire.counters["bytesReceived"] >= before["bytesReceived"]
    assert scene.row("errors") == 0


def test_sessionIsOverAlready() -> None:
    """
    A session that is found when its carrier is closed counts at once.
    """
    scene = Scene()
    other = SessionPair("yamux")
    other.lose()
    scene.tunnels[0].sessions = (other.client,)
    scene.clock.advance(1)
    assert scene.sampler.snapshot.wires[0].sessions == 2


def test_tunnel() -> None:
    """
    What a bridge has done, without the secrets of its strings.
    """
    scene = Scene()
    peer = Peer()
    scene.source.connect(Factory.forProtocol(lambda: peer))
    scene.source.accept()
    scene.target.refuse()
    scene.clock.advance(1)
    (tunnel,) = scene.sampler.snapshot.tunnels
    assert (tunnel.name, tunnel.source) == ("web", "tcp:web")
    assert tunnel.target == "socks5:password=***:x=1"
    assert (tunnel.statistics.total, tunnel.statistics.failed) == (1, 1)
    assert scene.row("errors") == 1
    target = Peer()
    scene.target.factory = Factory.forProtocol(lambda: target)
    scene.source.connect(Factory.forProtocol(lambda: peer))
    scene.source.accept()
    scene.target.accept()
    peer.stream.write(b"x" * 1000)
    target.stream.write(b"y" * 500)
    scene.clock.advance(1)
    (tunnel,) = scene.sampler.snapshot.tunnels
    assert tunnel.rateForward == pytest.approx(1000)
    assert tunnel.rateBack == pytest.approx(500)
    assert (scene.row("rateForward"), scene.row("rateBack")) == (1000, 500)
    assert (scene.row("connections"), scene.row("errors")) == (1, 0)


def test_bounded() -> None:
    """
    What is remembered of the past does not grow.
    """
    scene = Scene()
    for _ in range(KEPT + 10):
        scene.clock.advance(1)
    assert len(scene.sampler.history) == KEPT
    scene.sampler.stop()
    scene.sampler.stop()
    last = scene.sampler.history[-1]
    scene.clock.advance(10)
    assert scene.sampler.history[-1] is last


def test_noTime() -> None:
    """
    Without time, or with a clock that was put back, there are no rates.
    """
    scene = Scene()
    scene.sampler.sample()
    assert scene.row("rateIn") == 0


# Messages.


def test_messages() -> None:
    """
    What this package has to say is kept, some of it, once, and without passwords.
    """
    messages = Messages()
    ours, others = Logger("twisted_mux.here"), Logger("twisted.there")
    messages.start()
    try:
        ours.debug("nobody wants to know")
        others.info("not ours")
        ours.info("to {target}", target="socks5:password=secret:allow=a")
        with logged("warn"):
            ours.warn("x" * 1000)
        assert [(level, len(text)) for _, level, text in messages.lines] == [
            ("info", len("to socks5:password=***:allow=a")),
            ("warn", messagesModule.LONGEST),
        ]
        event = {
            "log_namespace": "twisted_mux.here",
            "log_level": LogLevel.info,
            "log_time": 5.0,
            "log_format": "again",
        }
        messages(event)
        messages(event)
        assert list(messages.lines)[2:] == [(5.0, "info", "again")]
        for number in range(2 * messagesModule.KEPT):
            ours.info("{number}", number=number)
    finally:
        messages.stop()
    ours.info("too late")
    assert len(messages.lines) == messagesModule.KEPT
    assert messages.lines[-1][2] == str(2 * messagesModule.KEPT - 1)


# Requests.


class Site:
    """
    The site, in memory.
    """

    def __init__(self, token: str | None = None) -> None:
        self.scene = Scene()
        self.messages = Messages()
        self.resource = StatusResource(self.scene.sampler, self.messages, token)
        self.site = StatusSite(self.resource, VirtualClock())
        self.site.doStart()

    def ask(
        self, path: str, *headers: str, method: str = "GET", body: bytes = b""
    ) -> tuple[int, dict[str, str], bytes]:
        """
        The answer: its code, its headers and its body.
        """
        protocol = self.site.buildProtocol(None)
        transport = StringTransport()
        protocol.makeConnection(transport)
        if not any(header.startswith("Host:") for header in headers):
            headers = ("Host: 127.0.0.1:9000", *headers)
        head = "\r\n".join([f"{method} {path} HTTP/1.1", *headers])
        protocol.dataReceived(f"{head}\r\n\r\n".encode() + body)
        head, _, answer = transport.value().decode().partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        found = dict(line.split(": ", 1) for line in lines)
        protocol.connectionLost(None)
        return int(first.split()[1]), found, answer.encode()


def test_page() -> None:
    """
    The page is one document, whose script and style its policy knows by their hashes.
    """
    code, headers, body = Site().ask("/")
    assert (code, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert body.startswith(b"<!doctype html>")
    assert b"@script@" not in body
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    for outside in (b"http:", b"https:", b"src=", b"innerHTML", b"@import"):
        assert outside not in body.replace(b"http://www.w3.org/2000/svg", b"")


@pytest.mark.parametrize("path", ["/", "/status.json", "/metrics", "/nothing"])
def test_headers(path: str) -> None:
    """
    Every answer forbids what browsers might do with it; HEAD is GET without a body.
    """
    site = Site()
    code, headers, body = site.ask(path)
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "Twisted" not in headers["Server"]
    assert headers["Content-Length"] == str(len(body))
    head = site.ask(path, method="HEAD")
    assert (head[0], head[2]) == (code, b"")
    assert head[1]["Content-Length"] == headers["Content-Length"]


def test_json() -> None:
    """
    What the sampler has seen, as JSON.
    """
    site = Site()
    site.scene.clock.advance(1)
    site.messages.lines.append((1.0, "info", "\N{SNOWMAN} </script>"))
    code, headers, body = site.ask("/status.json")
    assert (code, headers["Content-Type"]) == (200, "application/json")
    status = json.loads(body)
    assert body == report(site.scene.sampler, site.messages)
    assert status["uptime"] == 1.0
    (carrier,) = status["carriers"]
    assert (carrier["wire"], carrier["role"], carrier["roundTrip"]) == (
        *("yamux", "client"),
        pytest.approx(0.1),
    )
    (tunnel,) = status["tunnels"]
    assert (tunnel["from"], tunnel["total"]) == ("tcp:web", 0)
    assert status["history"]["columns"] == list(COLUMNS)
    assert len(status["history"]["rows"]) == 2
    assert status["messages"] == [
        {"time": 1.0, "level": "info", "text": "\N{SNOWMAN} </script>"}
    ]


def test_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The same for Prometheus, or how to get that.
    """
    site = Site()
    code, headers, body = site.ask("/metrics")
    assert code == 200
    assert headers["Content-Type"].startswith("text/plain; version=")
    assert b'twisted_mux_sessions{role="client",wire="yamux"} 1.0\n' in body
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    code, headers, body = site.ask("/metrics")
    assert (code, headers["Content-Type"]) == (501, "text/plain; charset=utf-8")
    assert body == (
        b"prometheus_client is not installed: pip install 'twisted-mux[metrics]'\n"
    )


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "X"])
def test_otherMethods(method: str) -> None:
    """
    There is nothing to be done here but to look, and what comes is not kept.
    """
    site = Site()
    code, headers, body = site.ask(
        "/", "Content-Length: 5", method=method, body=b"12345"
    )
    assert (code, headers["Allow"]) == (405, "GET, HEAD")
    assert body == b"only GET and HEAD\n"


def test_health() -> None:
    """
    The answer's code tells whether connections should be sent here, and carriers.
    """
    site = Site()
    assert site.ask("/ready")[0] == 200
    site.scene.pair.client.close(5)
    site.scene.clock.advance(1)
    assert site.ask("/ready")[::2] == (503, b"no carrier\n")
    assert site.ask("/alive")[::2] == (200, b"yes\n")
    site.resource.alive = False
    for path in ("/alive", "/ready"):
        assert site.ask(path)[::2] == (503, b"about to end\n")


TOKEN = "correct-horse"


@pytest.mark.parametrize(
    ("path", "headers", "code"),
    [
        ("/", (), 401),
        ("/?token=wrong", (), 401),
        ("/?token=", (), 401),
        ("/", ("Authorization: Bearer wrong",), 401),
        ("/", (f"Authorization: Basic {TOKEN}",), 401),
        ("/nothing", (), 401),
        (f"/?token={TOKEN}", (), 200),
        (f"/status.json?token=no&token={TOKEN}", (), 200),
        ("/metrics", (f"Authorization: Bearer {TOKEN}",), 200),
        ("/", (f"Authorization: bearer  {TOKEN}", "Host: status.example"), 200),
    ],
)
def test_token(path: str, headers: tuple[str, ...], code: int) -> None:
    """
    Who has no token, or another, gets to know only that.
    """
    found, answered, body = Site(TOKEN).ask(path, *headers)
    assert found == code
    if code == 401:
        assert body == b"a token is needed\n"
        assert answered["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("localhost:9000", 200),
        ("LOCALHOST", 200),
        ("127.0.0.1:9000", 200),
        ("[::1]:9000", 200),
        ("attacker.example:9000", 403),
        ("", 403),
    ],
)
def test_rebinding(host: str, code: int) -> None:
    """
    Without a token only those are answered who ask by address: not a page from
    elsewhere whose name was made to point here.
    """
    assert Site().ask("/status.json", f"Host: {host}")[0] == code


# The service.


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("tcp:9000", None),
        ("tcp:9000:interface=127.0.0.1", None),
        ("tcp:9000:interface=localhost", None),
        ("tcp6:9000", None),
        ("unix:/run/mux", None),
        ("tcp:9000:interface=", "longenough"),
        ("tcp:9000:interface=0.0.0.0", "longenough"),
    ],
)
def test_mayServe(text: str, token: str | None) -> None:
    """
    Where nobody from beyond this machine can look, or with a token.
    """
    checkStatus(VirtualClock(), text, token)


@pytest.mark.parametrize(
    ("text", "token", "expected"),
    [
        ("tcp:9000:interface=", None, "beyond this machine: status-token is needed"),
        ("tcp:9000:interface=::", None, "status-token is needed"),
        ("tcp6:9000:interface=::", None, "status-token is needed"),
        ("tcp:9000", "short", "8 or more plain characters"),
        ("tcp:9000", "tok\u00e9n-long-enough", "8 or more plain characters"),
        ("tcp:http", None, "'http' is no whole number"),
    ],
)
def test_mayNotServe(text: str, token: str | None, expected: str) -> None:
    """
    Elsewhere, or with strings that make no sense, it does not start.
    """
    with pytest.raises(ConfigError, match=expected):
        checkStatus(VirtualClock(), text.replace("::", r"\:\:"), token)


class Reactor(VirtualClock):
    """
    What services ask of a reactor.
    """

    def callWhenRunning(self, hook: object) -> None:
        """
        It never runs.
        """


def service(monkeypatch: pytest.MonkeyPatch, place: object) -> StatusService:
    """
    A service whose page is at that place, without tunnels.
    """
    reactor = Reactor()
    tunnels = TunnelService(reactor, TunnelConfig(()))
    made = StatusService(reactor, tunnels, "tcp:0")
    monkeypatch.setattr(
        "twisted_mux.status.serving.sourceEndpoint", lambda *args: place
    )
    return made


def test_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    It listens first and only once, and stops last.
    """
    place = Network()
    status = service(monkeypatch, place)
    with logged("info") as lines:
        status.privilegedStartService()
        status.startService()
    assert lines == ["status page at 192.0.2.2:4242"]
    assert place.listening == 1
    assert status.tunnels.running
    assert len(status.sampler.history) == 1
    stopping: Deferred[None] = Deferred()
    monkeypatch.setattr(status.tunnels, "stopService", lambda: stopping)
    stopped = status.stopService()
    assert place.factory is not None
    assert not status._resource.alive
    assert pending(stopped)
    stopping.callback(None)
    resultOf(stopped)
    assert place.factory is None


def test_cannotListen(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    That is one line, and the end; the tunnels have not begun.
    """
    place = Network()
    place.refuses = OSError("in use")
    status = service(monkeypatch, place)
    with logged("critical") as lines, pytest.raises(StartFailed, match="in use"):
        status.startService()
    assert lines == ["status page: in use"]
    assert not status.tunnels.running


def test_stopsBeforeItListens(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    An endpoint that takes its time is told to leave it.
    """
    cancelled: list[object] = []

    class Slow:
        def listen(self, factory: object) -> Deferred[object]:
            return Deferred(cancelled.append)

    status = service(monkeypatch, Slow())
    status.startService()
    resultOf(status.stopService())
    assert len(cancelled) == 1


def test_stopsUnstarted(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    One that was never started stops as well.
    """
    status = service(monkeypatch, Network())
    resultOf(status.stopService())


def test_unixSocket(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where there is no port the address is said as it is.
    """

    class Port:
        def getHost(self) -> UNIXAddress:
            return UNIXAddress("/run/mux")

        def stopListening(self) -> None:
            """
            Done.
            """

    class Socket:
        def listen(self, factory: object) -> Deferred[Port]:
            return succeed(Port())

    status = service(monkeypatch, Socket())
    with logged("info") as lines:
        status.startService()
    assert "/run/mux" in lines[0]
    resultOf(status.stopService())
