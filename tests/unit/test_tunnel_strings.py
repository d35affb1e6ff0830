"""
The endpoint strings of tunnels.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.endpoints import _parse
from twisted.internet.testing import MemoryReactorClock

from twisted_mux.endpoints import MuxListenEndpoint, MuxServerEndpoint
from twisted_mux.errors import ConfigError
from twisted_mux.tunnel_strings import (
    carrierComplaint,
    carriersKey,
    sourceEndpoint,
    takeApart,
    targetEndpoint,
    withInterface,
)


@pytest.mark.parametrize(
    "text",
    [
        "tcp:8080",
        "tcp:8080:",
        "a::b",
        "",
        "a\\:b=c:d=e\\=f\\\\:g",
        "mux:endpoint=mux\\:tcp\\:7000:wire=smux2",
        "x:interface=",
    ],
)
def test_takeApart(text: str) -> None:
    """
    Strings are taken apart as Twisted does it.
    """
    assert takeApart(text) == tuple(_parse(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tcp:80", "tcp:80:interface=127.0.0.1"),
        ("tcp:80:0.0.0.0", "tcp:80:0.0.0.0"),
        ("tcp:80:interface=", "tcp:80:interface="),
        ("tcp6:80", "tcp6:80:interface=\\:\\:1"),
        ("ssl:443:privateKey=k", "ssl:443:privateKey=k:interface=127.0.0.1"),
        ("tls:/certs:443", "tls:/certs:443:interface=127.0.0.1"),
        ("unix:/run/socket", "unix:/run/socket"),
        ("systemd:domain=INET:index=0", "systemd:domain=INET:index=0"),
        ("haproxy:tcp:80", "haproxy:tcp:80:interface=127.0.0.1"),
        ("mux:tcp:7000:wire=smux2", "mux:tcp:7000:wire=smux2:interface=127.0.0.1"),
        ("mux-dial:tcp:example.org:7000", "mux-dial:tcp:example.org:7000"),
        (
            "mux:endpoint=tcp\\:7000:wire=smux2",
            "mux:endpoint=tcp\\:7000\\:interface\\=127.0.0.1:wire=smux2",
        ),
        ("mux", "mux"),
        ("", ""),
    ],
)
def test_withInterface(text: str, expected: str) -> None:
    """
    A port is one on the loopback interface if the string does not say otherwise.
    """
    assert withInterface(text) == expected
    assert withInterface(expected) == expected


@pytest.mark.parametrize(
    "text",
    [
        "mux:tcp:7000:interface=127.0.0.1",
        "mux:tcp:7000:127.0.0.9",
        "mux:tcp6:7000:interface=\\:\\:1",
        "mux-listen:tcp:7000:interface=localhost",
        "mux:unix:/run/socket",
        "mux:endpoint=unix\\:/run/socket",
        "mux:stdio:",
        "mux-dial:tcp:example.org:7000",
        "tcp:80:interface=0.0.0.0",
        "",
    ],
)
def test_nothingAgainstCarriers(text: str) -> None:
    """
    There carriers can only come from this machine, or there are none.
    """
    assert carrierComplaint(text) == ""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("mux:tcp:7000:interface=", "every interface is"),
        ("mux:tcp:7000:0.0.0.0", "0.0.0.0 is"),
        ("mux-listen:ssl:7000:interface=192.0.2.1", "192.0.2.1 is"),
        ("mux:haproxy:tcp:7000:interface=example.org", "example.org is"),
        ("mux:endpoint=tcp\\:7000\\:interface\\=10.0.0.1", "10.0.0.1 is"),
        ("mux:systemd:domain=INET:index=0", "systemd: may be"),
        ("mux:onion:80", "onion: may be"),
    ],
)
def test_carriersFromAnywhere(text: str, why: str) -> None:
    """
    Others could come from anywhere.
    """
    complaint = carrierComplaint(text)
    assert complaint.startswith(why)
    assert complaint.endswith("--insecure-carrier allows it")


def test_carriersKey() -> None:
    """
    Strings that share their carriers have the same key.
    """
    keys = [
        carriersKey(text)
        for text in (
            "mux-listen:tcp:7000",
            "mux-listen:tcp:7000:muxWait=5",
            "mux-listen:tcp:7000:wire=smux2",
            "mux:tcp:localhost:7000",
        )
    ]
    assert keys[0] == keys[1]
    assert keys[0] is not None
    assert keys[2] not in (None, keys[0])
    assert keys[3] is None


@pytest.fixture
def reactor() -> Any:
    """
    A reactor that does nothing.
    """
    return MemoryReactorClock()


def test_endpoints(reactor: Any) -> None:
    """
    Strings that are right are endpoints, on the loopback interface.
    """
    source = sourceEndpoint(reactor, "mux:tcp:7000", False)
    assert isinstance(source, MuxServerEndpoint)
    target = targetEndpoint(reactor, "mux-listen:tcp:7001", False)
    assert isinstance(target, MuxListenEndpoint)
    target.startListening()
    assert reactor.tcpServers[0][0] == 7001
    assert reactor.tcpServers[0][3] == "127.0.0.1"
    targetEndpoint(reactor, "tcp:example.org:80", False)


def test_insecureCarriers(reactor: Any) -> None:
    """
    Carriers from anywhere are accepted only if that was said.
    """
    source = "mux:tcp:7000:interface=0.0.0.0"
    target = "mux-listen:tcp:7000:interface=0.0.0.0"
    for parse, text in ((sourceEndpoint, source), (targetEndpoint, target)):
        with pytest.raises(ConfigError, match=r"0\.0\.0\.0 is reached from beyond"):
            parse(reactor, text, False)
        parse(reactor, text, True)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("tcp:80:colour=red", "unknown option colour"),
        ("tcp", "'port' is missing"),
        ("tcp:80:a:b:c:d:e:f", "too many parts"),
        ("tcp:http", "'http' is no whole number"),
        ("foo:1", "no kind of endpoints is called 'foo'"),
        ("systemd:domain=INET:index=7", "there is no "),
        ("mux:tcp:http", "carrier 'tcp:http:interface=127.0.0.1': "),
        ("mux:tcp:80:wire=morse", "morse"),
        ("mux:tcp:80:muxSpeed=9", "unknown option muxSpeed"),
        ("ssl:443:privateKey=/nowhere", "/nowhere"),
    ],
)
def test_wrongStrings(text: str, why: str, reactor: Any) -> None:
    """
    What is wrong with a string is one line, in terms of the string.
    """
    with pytest.raises(ConfigError) as caught:
        sourceEndpoint(reactor, text, False)
    message = str(caught.value)
    assert message.startswith(f"{withInterface(text)}: ")
    assert why in message
    assert "\n" not in message


def test_errorsWithoutText(reactor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    An error that says nothing has a name at least.
    """

    def parse(reactor: object, text: str) -> None:
        raise RuntimeError

    monkeypatch.setattr("twisted_mux.tunnel_strings.clientFromString", parse)
    with pytest.raises(ConfigError, match=r"^tcp:a:1: RuntimeError$"):
        targetEndpoint(reactor, "tcp:a:1", False)
