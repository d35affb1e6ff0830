"""
C{mtls:} strings and files, and the words for what goes wrong.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography import x509
from OpenSSL.SSL import Error as OpenSSLError
from OpenSSL.SSL import SysCallError
from twisted.internet.address import IPv4Address
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import CertificateOptions
from twisted.internet.testing import (
    MemoryReactorClock,
    StringTransportWithDisconnection,
)
from twisted.python.failure import Failure

from tests.integration.authority import Authority, fingerprintOf
from tests.unit.carrying import failureOf
from twisted_mux.endpoint_strings import quote
from twisted_mux.errors import ConfigError
from twisted_mux.mtls import MTLSClientEndpoint, MTLSServerEndpoint
from twisted_mux.mtls_handshake import GuardFactory
from twisted_mux.mtls_identity import (
    Identity,
    nameComplaint,
    namesIn,
    parseIdentity,
    toASCII,
)
from twisted_mux.tls_reasons import TLSFailed, explainTLS, explainVerification
from twisted_mux.tunnel_strings import sourceEndpoint, withInterface


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """
    An authority.
    """
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def own(authority: Authority) -> Path:
    """
    Our certificate.
    """
    return authority.issue("own", ["own.example", "192.0.2.7", "me@own.example"])


@pytest.fixture
def files(authority: Authority, own: Path) -> dict[str, str]:
    """
    Options that are right.
    """
    return {"certificate": str(own), "trustRoots": str(authority.file)}


def written(options: dict[str, str]) -> str:
    """
    Options as they stand in a string.
    """
    return "".join(f":{key}={quote(value)}" for key, value in options.items())


def server(options: dict[str, str], rest: str = "mtls:7000") -> Any:
    """
    The endpoint of a server.
    """
    return serverFromString(MemoryReactorClock(), rest + written(options))


def client(options: dict[str, str], rest: str = "mtls:own.example:7000") -> Any:
    """
    The endpoint of a client.
    """
    return clientFromString(MemoryReactorClock(), rest + written(options))


def test_strings(files: dict[str, str], own: Path) -> None:
    """
    All that strings can say.
    """
    fingerprint = fingerprintOf(own)
    colons = ":".join(fingerprint[at : at + 2] for at in range(0, 64, 2)).upper()
    files["privateKey"] = str(own)
    files["peer"] = "One.example,spiffe://a/B,2001:DB8::1"
    files["fingerprint"] = f"sha256:{colons},{'0' * 64}"
    listening = server({**files, "interface": "192.0.2.1", "backlog": "7"})
    assert isinstance(listening, MTLSServerEndpoint)
    identity = listening._identity
    assert identity.peers == {"one.example", "spiffe://a/B", "2001:db8::1"}
    assert identity.fingerprints == {fingerprint, "0" * 64}
    assert (listening._interface, listening._backlog) == ("192.0.2.1", 7)
    assert server(files, "mtls:7000:192.0.2.1")._interface == "192.0.2.1"
    connecting = client({**files, "peer": "other.example", "timeout": "7"})
    assert isinstance(connecting, MTLSClientEndpoint)
    assert (connecting._name, connecting._timeout) == ("other.example", 7)
    assert connecting._identity.peers == frozenset()


@pytest.mark.parametrize(
    ("change", "rest", "why"),
    [
        ({"certificate": ""}, "mtls:7000", "mtls: needs certificate="),
        ({"trustRoots": ""}, "mtls:7000", "mtls: needs trustRoots="),
        ({"certificate": "/nowhere"}, "mtls:7000", "certificate=/nowhere: No such"),
        ({"trustRoots": "/nowhere"}, "mtls:7000", "trustRoots=/nowhere: No such"),
        ({"privateKey": "/nowhere"}, "mtls:7000", "privateKey=/nowhere: No such"),
        ({"certificate": "a\0b"}, "mtls:7000", "certificate=a.b: embedded null"),
        ({"peer": "a,,b"}, "mtls:7000", "peer= has an empty entry"),
        ({"fingerprint": "sha256"}, "mtls:7000", "64 hex digits of SHA-256"),
        ({"fingerprint": ""}, "mtls:7000", "fingerprint= has an empty"),
        ({"backlog": "many"}, "mtls:7000", "backlog must be a whole number"),
        ({"colour": "blue"}, "mtls:7000", "unknown option colour"),
        ({}, "mtls", "port must be a whole number up to 65535, not ''"),
        ({}, "mtls:http", "port must be a whole number up to 65535"),
        ({}, "mtls:65536", "port must be a whole number up to 65535"),
        ({}, "mtls:7000:192.0.2.1:more", "too many parts: more"),
    ],
)
def test_badServers(
    change: dict[str, str], rest: str, why: str, files: dict[str, str]
) -> None:
    """
    What makes no sense is one line.
    """
    with pytest.raises(ConfigError, match=why):
        server({**files, **change}, rest)


@pytest.mark.parametrize(
    ("change", "rest", "why"),
    [
        ({}, "mtls:own.example", "needs a host and a port"),
        ({}, "mtls::7000", "needs a host and a port"),
        ({"peer": "a,b"}, "mtls:a:7000", "peer= of a client is one name"),
        ({"timeout": "soon"}, "mtls:a:7000", "timeout must be a whole number"),
        ({"interface": "b"}, "mtls:a:7000", "unknown option interface"),
        ({}, "mtls:a:7000:b", "too many parts: b"),
        ({"trustRoots": "/nowhere"}, "mtls:a:7000", "trustRoots=/nowhere: No such"),
        ({"peer": "a" * 64}, "mtls:a:7000", "is no name of a host"),
    ],
)
def test_badClients(
    change: dict[str, str], rest: str, why: str, files: dict[str, str]
) -> None:
    """
    What makes no sense is one line.
    """
    with pytest.raises(ConfigError, match=why):
        client({**files, **change}, rest)


def test_badFiles(
    files: dict[str, str], authority: Authority, own: Path, tmp_path: Path
) -> None:
    """
    What is wrong with a file is one line with its name.
    """
    damaged = tmp_path / "damaged.pem"
    damaged.write_bytes(own.read_bytes().replace(b"MII", b"III"))
    empty = tmp_path / "empty.pem"
    empty.write_bytes(b"nothing\n")
    folder = tmp_path / "folder"
    folder.mkdir()
    secret = authority.issue("secret", password=b"secret")
    other = authority.issue("another")
    for change, why in (
        ({"certificate": damaged}, "certificate=.*damaged.pem: a certificate is dam"),
        ({"certificate": empty}, "certificate=.*empty.pem: no certificate in PEM"),
        ({"trustRoots": empty}, "trustRoots=.*empty.pem: no certificate in PEM"),
        ({"trustRoots": folder}, "trustRoots=.*folder: no file .*pem is there"),
        ({"privateKey": empty}, "privateKey=.*empty.pem: no key in PEM"),
        ({"privateKey": secret}, "privateKey=.*secret.pem: the key has a password"),
        ({"privateKey": other}, "privateKey=.*another.pem does not belong to cert"),
    ):
        with pytest.raises(ConfigError, match=why) as caught:
            server({**files, **{key: str(value) for key, value in change.items()}})
        assert "\n" not in str(caught.value)


def test_badKey(files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """
    OpenSSL has something against a certificate.
    """

    def refuse(*_: object) -> None:
        raise OpenSSLError([("SSL routines", "", "ee key too small")])

    connecting = client(files)
    monkeypatch.setattr(CertificateOptions, "getContext", refuse)
    why = r"^certificate=.*own.pem: TLS: ee key too small$"
    with pytest.raises(ConfigError, match=why):
        server(files)
    failure = failureOf(connecting.connect(object()))
    assert failure.check(ConfigError)
    assert "ee key too small" in failure.getErrorMessage()


def test_filesAreReadAgain(
    files: dict[str, str], authority: Authority, tmp_path: Path
) -> None:
    """
    What has become of the files meanwhile is known at the next C{listen} and
    C{connect}.
    """
    copy = tmp_path / "copy.pem"
    copy.write_bytes(authority.issue("copied").read_bytes())
    files["certificate"] = str(copy)
    endpoints = server(files).listen, client(files).connect
    copy.unlink()
    for function in endpoints:
        failure = failureOf(function(object()))
        assert failure.check(ConfigError)
        assert "No such file" in failure.getErrorMessage()


def test_folderOfRoots(authority: Authority, files: dict[str, str]) -> None:
    """
    All files of a folder that are called C{*.pem} are trusted.
    """
    files["trustRoots"] = str(authority.file.parent)
    identity, rest = parseIdentity({**files, "more": "1"})
    assert rest == {"more": "1"}
    assert identity.options() is not None


def certificateIn(file: Path) -> x509.Certificate:
    """
    The first one.
    """
    return x509.load_pem_x509_certificate(file.read_bytes())


def test_names(own: Path, authority: Authority) -> None:
    """
    The names of a certificate: the alternative ones, or the common one.
    """
    assert namesIn(certificateIn(own)) == {
        "own.example",
        "192.0.2.7",
        "me@own.example",
    }
    assert namesIn(certificateIn(authority.issue("Plain"))) == {"plain"}
    uri = certificateIn(authority.issue("uri", ["spiffe://a/B"]))
    assert namesIn(uri) == {"spiffe://a/B"}
    assert namesIn(certificateIn(authority.issue(""))) == frozenset()


def test_complaints(own: Path, authority: Authority) -> None:
    """
    Names and fingerprints: one of them has to be right, if there are any.
    """
    certificate = certificateIn(own)
    nameless = certificateIn(authority.issue(""))

    def complaint(peers: set[str], prints: set[str], of: x509.Certificate) -> str:
        return Identity("", "", "", frozenset(peers), frozenset(prints)).complaint(of)

    assert complaint(set(), set(), certificate) == ""
    right = fingerprintOf(own)
    assert complaint({"own.example", "x"}, {right, "0" * 64}, certificate) == ""
    assert complaint({"x", "a"}, set(), certificate).endswith(", not for a or x")
    assert complaint({"x"}, set(), nameless).endswith("is for nobody, not for x")
    assert complaint(set(), {"0" * 64}, certificate).endswith(right)


def test_serversName(own: Path, authority: Authority) -> None:
    """
    A server has the name that a client wants, or address.
    """
    certificate = certificateIn(own)
    assert nameComplaint("own.example", certificate) == ""
    assert nameComplaint("192.0.2.7", certificate) == ""
    expected = "is for 192.0.2.7, me@own.example, own.example, not for other.example"
    assert nameComplaint("other.example", certificate).endswith(expected)
    assert nameComplaint("192.0.2.8", certificate).endswith(", not for 192.0.2.8")
    nameless = certificateIn(authority.issue(""))
    assert nameComplaint("a", nameless).endswith("is for nobody, not for a")
    assert toASCII("bücher.example") == "xn--bcher-kva.example"


def test_notUnderstood(own: Path) -> None:
    """
    A certificate with which nothing can be done is not the right one.
    """

    def check(_: object) -> str:
        raise ValueError("what is this?")

    factory = GuardFactory(
        MemoryReactorClock(), Factory(), check, lambda result, _: results.append(result)
    )
    results: list[Any] = []
    guard: Any = factory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 7))
    assert not guard.verify(certificateIn(own))
    guard.connectionLost(Failure(ConnectionLost()))
    assert results[0].getErrorMessage().endswith("understood: what is this?")


def test_neverVerified() -> None:
    """
    If OpenSSL should let somebody in without having asked, they are refused.
    """
    done: list[Any] = []
    factory = GuardFactory(
        MemoryReactorClock(), Factory(), lambda _: "", lambda *args: done.append(args)
    )
    guard: Any = factory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 7))
    transport = StringTransportWithDisconnection()
    transport.protocol = guard
    guard.makeConnection(transport)
    guard.handshakeCompleted()
    ((failure, _),) = done
    assert failure.getErrorMessage() == "TLS: the peer was not verified"
    assert factory.logPrefix() == "Factory"
    factory.inner = Protocol  # type: ignore[assignment]
    assert factory.logPrefix() == "type"


class Failing(Protocol):
    """
    Raises when it is connected.
    """

    def connectionMade(self) -> None:
        """
        See L{Failing}.
        """
        raise ZeroDivisionError


@pytest.mark.parametrize("build", [Failing, lambda: 1 // 0], ids=["made", "built"])
def test_protocolRaises(own: Path, build: Callable[[], Any]) -> None:
    """
    What a factory, or C{connectionMade}, raises is told to whoever waits, once.
    """
    done: list[Any] = []
    inner: Any = Factory.forProtocol(cast(Any, build))
    factory = GuardFactory(
        MemoryReactorClock(), inner, lambda _: "", lambda *args: done.append(args)
    )
    guard: Any = factory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 7))
    guard.makeConnection(StringTransportWithDisconnection())
    assert guard.verify(certificateIn(own))
    with pytest.raises(ZeroDivisionError):
        guard.handshakeCompleted()
    guard.connectionLost(Failure(ConnectionLost()))
    ((failure, _),) = done
    assert failure.check(ZeroDivisionError)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("peer did not return a certificate", "the peer has no certificate"),
        ("certificate verify failed", "the peer's certificate is not accepted"),
        ("tlsv13 alert certificate required", "the peer wants a certificate"),
        ("tlsv1 alert unknown ca", "does not trust our certificate's authority"),
        ("ssl/tls alert unknown ca", "does not trust our certificate's authority"),
        ("sslv3 alert certificate expired", "takes our certificate for expired"),
        ("sslv3 alert bad certificate", "our certificate .bad certificate."),
        ("ssl/tls alert certificate revoked", "our certificate .certificate revoked."),
        ("wrong version number", "the peer does not speak TLS"),
        ("http request", "the peer does not speak TLS"),
        ("unsupported protocol", "no version of TLS"),
        ("tlsv1 alert protocol version", "no version of TLS"),
        ("tlsv1 alert internal error", "the peer refuses us; its log says why"),
        ("tlsv1 alert access denied", "the peer says: access denied"),
        ("unexpected eof while reading", "closed by the peer without TLS's own end"),
        ("something else", "something else"),
    ],
)
def test_reasons(words: str, expected: str) -> None:
    """
    What OpenSSL says, in words.
    """
    explained = explainTLS(Failure(OpenSSLError([("SSL routines", "", words)])))
    assert explained.check(TLSFailed, ConnectionLost)
    message = explained.getErrorMessage()
    assert message.startswith("TLS: ")
    assert expected.replace(".", "") in message.replace("(", "").replace(")", "")


def test_otherReasons() -> None:
    """
    What has nothing to do with TLS stays what it is; our own complaint goes before
    OpenSSL's.
    """
    for error in (ConnectionLost("x"), SysCallError(-1, "Unexpected EOF")):
        failure = Failure(error)
        assert explainTLS(failure, "complaint") is failure
    nothing = explainTLS(Failure(OpenSSLError()))
    assert nothing.getErrorMessage() == "TLS: no reason given"
    words = OpenSSLError([("", "", "certificate verify failed")])
    told = explainTLS(Failure(words), "it is blue")
    assert told.getErrorMessage() == "TLS: it is blue"


@pytest.mark.parametrize(
    ("code", "depth", "expected"),
    [
        (10, 0, "the peer's certificate has expired"),
        (10, 1, "an authority of the peer's certificate has expired"),
        (20, 0, "the peer's certificate is of no authority in trustRoots"),
        (19, 1, "the peer's certificate is of no authority in trustRoots"),
        (99, 0, "the peer's certificate is not valid (OpenSSL's error 99)"),
    ],
)
def test_verification(code: int, depth: int, expected: str) -> None:
    """
    What is wrong with a certificate, in words.
    """
    assert explainVerification(code, depth) == expected


def test_tunnels(files: dict[str, str]) -> None:
    """
    Tunnels accept carriers from anywhere on such endpoints, and listen on the loopback
    interface if a string does not say otherwise.
    """
    assert withInterface("mtls:7000:peer=a") == "mtls:7000:peer=a:interface=127.0.0.1"
    text = f"mux:mtls:7000:interface=0.0.0.0{written(files)}"
    assert sourceEndpoint(MemoryReactorClock(), text, False) is not None


def test_withoutLibraries(
    files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Without the libraries there is one line that says which.
    """
    original = builtins.__import__

    def blocked(name: str, *args: Any) -> Any:
        if name == "twisted_mux" and args[2] == ("mtls",):
            raise ImportError("No module named 'OpenSSL'")
        return original(name, *args)

    monkeypatch.setattr(builtins, "__import__", blocked)
    with pytest.raises(ConfigError, match=r"needs twisted-mux\[tls\].*OpenSSL"):
        server(files)
