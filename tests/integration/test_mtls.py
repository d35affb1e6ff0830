"""
C{mtls:} on real sockets: both sides are who they should be, or there is one line that says
why not.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    HostnameEndpoint,
    clientFromString,
    serverFromString,
)
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.integration.authority import Authority, fingerprintOf
from tests.integration.forwarder import LOOPBACK, onReactor, reactor
from tests.integration.programs import (
    PATIENCE,
    ROOT,
    Programs,
    curl,
    freePort,
    webServer,
)
from tests.unit.carrying import logged
from twisted_mux import mtls_handshake
from twisted_mux.endpoint_strings import quote
from twisted_mux.tls_reasons import TLSFailed


class World:
    """
    Two authorities and what they have issued.

    @ivar good: the options of two sides that accept each other.
    """

    def __init__(self, folder: Path) -> None:
        (folder / "others").mkdir()
        self.one = Authority(folder)
        below = Authority(folder, "below", self.one)
        self.other = Authority(folder / "others")
        self.server = self.one.issue(
            "server", ["localhost", LOOPBACK, "*.zone.example"]
        )
        self.client = self.one.issue("client", ["client.example"])
        self.plain = self.one.issue("plain")
        self.old = self.one.issue("old", ["localhost"], days=(-2, -1))
        self.coming = self.one.issue("coming", ["localhost"], days=(1, 2))
        self.chained = below.issue("chained", ["localhost"], chain=[below])
        self.stranger = self.other.issue("stranger", ["localhost"])

    def options(
        self, certificate: Path, roots: Authority | None = None, **more: object
    ) -> str:
        """
        Options in a string.
        """
        trusted = (roots or self.one).file
        options = {"certificate": certificate, "trustRoots": trusted, **more}
        return "".join(f":{key}={quote(str(to))}" for key, to in options.items())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """
    Certificates.
    """
    return World(tmp_path_factory.mktemp("world"))


@implementer(IHandshakeListener)
class Echo(Protocol):
    """
    Answers with what it gets.

    @ivar completed: was it told that there is TLS?
    """

    completed = False
    transport: Any

    def handshakeCompleted(self) -> None:
        """
        There is.
        """
        self.completed = True

    def dataReceived(self, data: bytes) -> None:
        """
        Answer.
        """
        assert self.completed
        self.transport.write(data)


class Asks(Protocol):
    """
    Says something, and waits for the answer.

    @ivar done: fires with that, or with why there is none.
    @ivar over: fires when the connection is gone.
    """

    transport: Any

    def __init__(self) -> None:
        self.done: Deferred[bytes] = Deferred()
        self.over: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        """
        Ask.
        """
        self.transport.write(b"hello")

    def dataReceived(self, data: bytes) -> None:
        """
        An answer.
        """
        self.done.callback(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        No answer.
        """
        if not self.done.called:
            self.done.errback(reason)
        self.over.callback(None)


@contextmanager
def awaited(text: str) -> Iterator[Deferred[None]]:
    """
    Fires when a line with C{text} is logged.
    """
    found: Deferred[None] = Deferred()

    @implementer(ILogObserver)
    def observe(event: LogEvent) -> None:
        if not found.called and text in formatEvent(event):
            found.callback(None)

    globalLogPublisher.addObserver(observe)
    try:
        yield found
    finally:
        globalLogPublisher.removeObserver(observe)


async def attempt(
    server: str, client: str, prefix: str = "mtls", host: str = "localhost"
) -> tuple[str, list[str]]:
    """
    Have one connect to the other.

    @return: why that went wrong for the client, if it did; and what was logged.
    """
    why = ""
    where = f"mtls:0:interface={LOOPBACK}"
    with logged() as lines, awaited("refused") as refusal:
        port = await serverFromString(reactor, where + server).listen(
            Factory.forProtocol(Echo)
        )
        text = f"{prefix}:{host}:{port.getHost().port}{client}"
        asks = Asks()
        factory = Factory.forProtocol(lambda: asks)
        try:
            assert await clientFromString(reactor, text).connect(factory) is asks
            assert await asks.done == b"hello"
            versions = asks.transport.getHandle().get_protocol_version_name()
            assert versions in ("TLSv1.2", "TLSv1.3")
        except TLSFailed as error:
            why = str(error)
            await refusal
        else:
            asks.transport.loseConnection()
            await asks.over
        await port.stopListening()
    return why, [line for line in lines if "mtls:" in line]


@onReactor
async def test_accepted(world: World) -> None:
    """
    Both sides are whom the other expects: by authority alone, by name, by fingerprint,
    and with an authority in between.
    """
    good = world.options(world.server), world.options(world.client)
    prints = f"{'0' * 64},{fingerprintOf(world.client)}"
    for server, client in (
        good,
        (world.options(world.server, peer="x,client.example"), good[1]),
        (world.options(world.server, fingerprint=prints), good[1]),
        (world.options(world.server, peer="plain"), world.options(world.plain)),
        (good[0], world.options(world.client, peer="some.zone.example")),
        (
            good[0],
            world.options(world.client, fingerprint=fingerprintOf(world.server)),
        ),
        (world.options(world.chained), world.options(world.chained)),
    ):
        assert await attempt(server, client) == ("", [])
    assert await attempt(*good, host=LOOPBACK) == ("", [])


@pytest.mark.parametrize(
    ("side", "change", "client", "server"),
    [
        (
            "client",
            {"certificate": "stranger"},
            "does not trust our",
            "no authority in",
        ),
        (
            "client",
            {"certificate": "old"},
            "takes our certificate for exp",
            "has expir",
        ),
        ("client", {"certificate": "coming"}, "does not accept our", "not valid yet"),
        ("client", {"roots": "other"}, "no authority in trustRoots", "not trust our"),
        ("client", {"peer": "elsewhere"}, ", not for elsewhere", "refuses us"),
        ("client", {"fingerprint": "0" * 64}, "another fingerprint", "refuses us"),
        ("server", {"certificate": "old"}, "certificate has expired", "for expired"),
        ("server", {"certificate": "client"}, "not for localhost", "refuses us"),
        ("server", {"peer": "a,b"}, "refuses us", "client.example, not for a or b"),
        ("server", {"fingerprint": "0" * 64}, "refuses us", "another fingerprint"),
    ],
)
@onReactor
async def test_refused(
    side: str, change: dict[str, str], client: str, server: str, world: World
) -> None:
    """
    One side is not right: the other refuses it, and both have a line that says why, as
    far as they can know.
    """
    options: dict[str, dict[str, Any]] = {
        "server": {"certificate": world.server},
        "client": {"certificate": world.client},
    }
    for key, value in change.items():
        what = key in ("certificate", "roots")
        options[side][key] = getattr(world, value) if what else value
    why, lines = await attempt(
        world.options(**options["server"]), world.options(**options["client"])
    )
    assert client in why
    assert why.startswith("TLS: ")
    (line,) = lines
    assert server in line
    assert line.startswith(f"mtls: connection from {LOOPBACK}:")


class Silent(Protocol):
    """
    Says nothing, or not the right thing.
    """

    transport: Any

    def __init__(self, data: bytes = b"") -> None:
        self._data = data
        self.over: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        """
        Speak.
        """
        self.transport.write(self._data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Gone.
        """
        self.over.callback(None)


@pytest.mark.parametrize("kind", ["silent", "leaving", "http"])
@onReactor
async def test_noTLS(kind: str, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Clients that say nothing, leave, or do not speak TLS.
    """
    if kind == "silent":
        monkeypatch.setattr(mtls_handshake, "TIMEOUT", 0.01)
    where = f"mtls:0:interface={LOOPBACK}{world.options(world.server)}"

    class Unwanted(Factory):
        def buildProtocol(self, addr: object) -> None:
            """
            Never.
            """
            raise AssertionError

    with logged() as lines, awaited("refused") as refusal:
        port = await serverFromString(reactor, where).listen(Unwanted())
        silent = Silent(b"GET / HTTP/1.1\r\n\r\n" if kind == "http" else b"")
        endpoint = HostnameEndpoint(reactor, LOOPBACK, port.getHost().port)
        await endpoint.connect(Factory.forProtocol(lambda: silent))
        if kind == "leaving":
            silent.transport.loseConnection()
        await silent.over
        await refusal
        await port.stopListening()
    expected = {
        "silent": "no handshake within 0.01 seconds",
        "leaving": "closed before the handshake was done",
        "http": "the peer does not speak TLS",
    }
    refused = [line for line in lines if "refused" in line]
    assert [line.endswith(expected[kind]) for line in refused] == [True]


class Never(Factory):
    """
    Builds nothing; and what its ports are called.
    """

    def buildProtocol(self, addr: object) -> None:
        """
        No.
        """


@onReactor
async def test_applicationDoesNotWant(world: World) -> None:
    """
    A factory that builds nothing refuses the connection, on either side.
    """
    server = f"mtls:0:interface={LOOPBACK}{world.options(world.server)}"
    port = await serverFromString(reactor, server).listen(Factory.forProtocol(Echo))
    where = f"mtls:localhost:{port.getHost().port}{world.options(world.client)}"
    with pytest.raises(TLSFailed, match="the application does not want"):
        await clientFromString(reactor, where).connect(Never())
    await port.stopListening()


@onReactor
async def test_nobodyListens(world: World) -> None:
    """
    Without TCP there is no TLS.
    """
    where = f"mtls:{LOOPBACK}:{freePort()}{world.options(world.client)}"
    with pytest.raises(Refused):
        await clientFromString(reactor, where).connect(Factory.forProtocol(Asks))


@pytest.mark.parametrize("early", [True, False])
@onReactor
async def test_cancelled(early: bool, world: World) -> None:
    """
    A connect may be cancelled, before there is TCP and during the handshake.
    """
    began: Deferred[None] = Deferred()

    class Greeted(Silent):
        def dataReceived(self, data: bytes) -> None:
            """
            The handshake has begun.
            """
            began.callback(None)

    silent = Greeted()
    port = await serverFromString(reactor, f"tcp:0:interface={LOOPBACK}").listen(
        Factory.forProtocol(lambda: silent)
    )
    where = f"mtls:{LOOPBACK}:{port.getHost().port}{world.options(world.client)}"
    connecting = clientFromString(reactor, where).connect(Factory.forProtocol(Asks))
    if not early:
        await began
    connecting.cancel()
    with pytest.raises(ConnectingCancelledError):
        await connecting
    if not early:
        await silent.over
    await port.stopListening()


# With real programs.


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_tunnel(world: World, programs: Programs, tmp_path: Path) -> None:
    """
    C{twist mux} accepts such carriers on every interface, without more ado; and who
    has another authority's certificate is told so.
    """
    (tmp_path / "file").write_bytes(b"content")
    with webServer(tmp_path) as port:
        options = world.options(
            world.server, peer="client.example", interface="0.0.0.0"
        )
        carrierPort = freePort()
        serve = programs.tunnel(
            f"mux:mtls:{carrierPort}{options}", f"tcp:127.0.0.1:{port}"
        )
        serve.saw("connections at 0.0.0.0")
        where = f"mux:mtls:localhost:{carrierPort}"
        dial = programs.tunnel("tcp:0", where + world.options(world.client))
        stranger = programs.tunnel("tcp:0", where + world.options(world.stranger))
        assert curl(dial.port, "file") == b"content"
        with pytest.raises(subprocess.CalledProcessError):
            curl(stranger.port, "file")
        stranger.saw("TLS: the peer does not trust our certificate's authority")
        (line,) = serve.saw("mtls: connection from .* refused")
        assert "no authority in trustRoots" in line
        assert [dial.terminate(), serve.terminate()] == [0, 0]


PAGE = (ROOT / "docs/how-to/certificates.md").read_text(encoding="utf-8")


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_page(programs: Programs, tmp_path: Path) -> None:
    """
    The certificates and the tunnel of the page in the documentation, with other ports,
    and a name that leads here.
    """
    lines = re.findall(r"^\$ (.*)$", PAGE, re.MULTILINE)
    for line in lines[:-2]:
        subprocess.run(
            shlex.split(line),
            check=True,
            cwd=tmp_path,
            capture_output=True,
            timeout=PATIENCE,
        )
    # As strict as the standard library's clients are since Python 3.13.
    strict = ["openssl", "verify", "-x509_strict", "-CAfile", "ca.pem"]
    for own in ("server.pem", "laptop.pem"):
        subprocess.run([*strict, own], check=True, cwd=tmp_path, timeout=PATIENCE)
    (tmp_path / "file").write_bytes(b"content")
    with webServer(tmp_path) as port:
        carrierPort = str(freePort())
        changes = {
            "7000": carrierPort,
            "8000": str(port),
            "8080": "0",
            "tls:server.example": "tls:localhost",
        }
        for line in lines[-2:]:
            for old, new in changes.items():
                line = line.replace(old, new)
            program = programs.mux(*shlex.split(line)[2:])
            program.saw("connections at")
        assert curl(program.port, "file") == b"content"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_openssl(world: World, programs: Programs) -> None:
    """
    C{openssl s_client}: with a certificate it is let in, without one it is not, and
    neither with an old version of TLS.
    """
    options = world.options(world.server)
    program = programs.tunnel(f"mux:mtls:0{options}", "tcp:127.0.0.1:1")

    def connect(*more: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{program.port}", *more],
            input=b"",
            capture_output=True,
            timeout=PATIENCE,
        )

    connect()
    program.saw("refused: TLS: the peer has no certificate")
    connect("-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0")
    program.saw("refused: TLS: there is no version of TLS that both sides accept")
    done = connect("-cert", str(world.client), "-CAfile", str(world.one.file))
    assert b"Verify return code: 0 (ok)" in done.stdout
    program.saw("carrier up")
