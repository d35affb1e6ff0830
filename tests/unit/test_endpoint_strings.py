"""
The options of endpoint strings, and putting a carrier's string together again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.endpoints import _parse

from twisted_mux.config import MuxConfig
from twisted_mux.endpoint_strings import (
    IDLE,
    WAIT,
    Kind,
    MuxString,
    checkLabel,
    parseAddress,
    parseString,
    quote,
    unparse,
)
from twisted_mux.errors import ConfigError, UnknownWire
from twisted_mux.wire import wireNames
from twisted_mux.wire.base import Role

words = st.text(min_size=1)
keywords = st.text(st.characters(max_codepoint=127), min_size=1)


def parse(kind: Kind, text: str) -> MuxString:
    """
    What a whole string says, without its C{mux:}.
    """
    args, options = _parse(text)
    return parseString(kind, args, options)


@given(st.lists(words, min_size=1), st.dictionaries(keywords, words))
def test_unparseIsTheReverse(args: list[str], options: dict[str, str]) -> None:
    assert _parse(unparse(args, options)) == (args, options)


def test_quote() -> None:
    assert quote(r"a\b:c=d") == r"a\\b\:c\=d"


def test_keywordsAreInOrder() -> None:
    assert unparse(["tcp", "7000"], {"b": "2", "a": "1"}) == "tcp:7000:a=1:b=2"


def test_defaults() -> None:
    assert parse(Kind.SERVER, "tcp:7000") == MuxString(
        "tcp:7000", "yamux", Role.SERVER, MuxConfig(), IDLE, 1, WAIT, b"", None
    )
    assert parse(Kind.CLIENT, "tcp:7000").role is Role.CLIENT
    assert parse(Kind.DIAL, "tcp:7000").role is Role.CLIENT
    assert parse(Kind.LISTEN, "tcp:7000").role is Role.SERVER


def test_carriersOwnKeysPassThrough() -> None:
    parsed = parse(
        Kind.CLIENT, r"ssl:host:443:caCertsDir=C\:\\certs:wire=smux2:timeout=9"
    )
    assert parsed.carrier == r"ssl:host:443:caCertsDir=C\:\\certs:timeout=9"
    assert parsed.wire == "smux2"


def test_quotedCarrier() -> None:
    parsed = parse(Kind.CLIENT, r"endpoint=mux\:tcp\:host\:1\:wire=smux1:wire=smux2")
    assert parsed.carrier == "mux:tcp:host:1:wire=smux1"
    assert parsed.wire == "smux2"


def test_carrierWithoutPort() -> None:
    assert parse(Kind.SERVER, "stdio:").carrier == "stdio:"
    assert parse(Kind.SERVER, "stdio").carrier == "stdio"


FIELDS: list[tuple[str, Any]] = [
    ("muxOpen=ack", {"opening": "ack"}),
    ("muxOpen=now", {"opening": "now"}),
    ("muxKeepAlive=0", {"keepAlive": 0}),
    ("muxKeepAlive=2.5", {"keepAlive": 2.5}),
    ("muxKeepAliveTimeout=7", {"keepAliveTimeout": 7}),
    ("muxWindow=524288", {"window": 524288}),
    ("muxMaxWindow=1048576", {"maxWindow": 1048576}),
    ("muxMaxFrame=4096", {"maxFrame": 4096}),
    ("muxMaxStreams=5", {"maxStreams": 5}),
    ("muxMaxPending=0", {"maxPending": 0}),
    ("muxReadSize=1048576", {"readSize": 1048576}),
    ("muxOpen=ack:muxMaxStreams=5", {"opening": "ack", "maxStreams": 5}),
]


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(("options", "fields"), FIELDS)
def test_optionsOfSessions(kind: Kind, options: str, fields: dict[str, Any]) -> None:
    parsed = parse(kind, f"tcp:host:7000:{options}")
    assert parsed.config == replace(MuxConfig(), **fields)
    assert parsed.carrier == "tcp:host:7000"


OPTIONS: list[tuple[Kind, str, dict[str, Any]]] = [
    (Kind.SERVER, "wire=auto", {"wire": "auto"}),
    *((kind, "muxRole=client", {"role": Role.CLIENT}) for kind in Kind),
    *((kind, "muxRole=server", {"role": Role.SERVER}) for kind in Kind),
    (Kind.CLIENT, "muxIdle=0", {"idle": 0}),
    (Kind.DIAL, "muxIdle=1.5", {"idle": 1.5}),
    (Kind.CLIENT, "muxCarriers=3", {"carriers": 3}),
    (Kind.DIAL, "muxCarriers=3", {"carriers": 3}),
    (Kind.LISTEN, "muxWait=9", {"wait": 9}),
    (Kind.CLIENT, "wire=mplex:muxName=é", {"name": "é".encode()}),
    (Kind.LISTEN, "muxName=a\\:b:wire=mplex", {"name": b"a:b"}),
    (
        Kind.CLIENT,
        r"wire=vtmux:muxName=10.0.0.1\:80",
        {"address": ("10.0.0.1", 80), "name": b""},
    ),
    (Kind.CLIENT, r"wire=vtmux:muxName=[\:\:1]\:80", {"address": ("::1", 80)}),
    *((Kind.CLIENT, f"wire={wire}", {"wire": wire}) for wire in wireNames()),
]


@pytest.mark.parametrize(("kind", "options", "expected"), OPTIONS)
def test_otherOptions(kind: Kind, options: str, expected: dict[str, Any]) -> None:
    parsed = parse(kind, f"tcp:host:7000:{options}")
    assert {name: getattr(parsed, name) for name in expected} == expected


@pytest.mark.parametrize("kind", [Kind.SERVER, Kind.LISTEN])
def test_admission(kind: Kind) -> None:
    """
    How many carriers there may be, where they are listened for.
    """
    parsed = parse(kind, "tcp:7000:muxMaxSessions=100:muxMaxSessionsPerPeer=3")
    assert parsed.config == MuxConfig(maxSessions=100, maxSessionsPerPeer=3)
    assert parsed.sharedBy != parse(kind, "tcp:7000").sharedBy


WRONG: list[tuple[Kind, str, str]] = [
    (Kind.CLIENT, "tcp:h:1:muxMaxSessions=5", "muxMaxSessions means nothing for mux: "),
    (
        Kind.DIAL,
        "tcp:h:1:muxMaxSessionsPerPeer=5",
        "PerPeer means nothing for mux-dial",
    ),
    (Kind.SERVER, "tcp:1:muxMaxSessions=many", "muxMaxSessions must be a whole number"),
    (Kind.CLIENT, "", "mux: as a client needs a carrier"),
    (Kind.LISTEN, "wire=smux1", "mux-listen: needs a carrier"),
    (Kind.SERVER, "endpoint=", "endpoint= is empty"),
    (Kind.SERVER, r"tcp:1:endpoint=tcp\:2", "endpoint= gives the whole carrier"),
    (
        Kind.SERVER,
        r"endpoint=tcp\:2:interface=x",
        "there can't be 'interface=x' beside it",
    ),
    (Kind.CLIENT, "tcp:h:1:wire=quic", "unknown wire 'quic': it is one of mplex, "),
    (Kind.SERVER, "tcp:1:wire=quic", "yamux, or auto"),
    (Kind.CLIENT, "tcp:h:1:wire=auto", "wire=auto means nothing for mux: as a client"),
    (Kind.DIAL, "tcp:h:1:wire=auto", "wire=auto means nothing for mux-dial:"),
    (Kind.LISTEN, "tcp:1:wire=auto", "wire=auto means nothing for mux-listen:"),
    (Kind.SERVER, "tcp:1:muxWindows=1", "unknown option muxWindows: .*, muxWindow, "),
    (Kind.SERVER, "tcp:1:muxWindow=x", "muxWindow must be a whole number, not 'x'"),
    (Kind.SERVER, "tcp:1:muxWindow=1.5", "muxWindow must be a whole number"),
    (Kind.SERVER, "tcp:1:muxWindow=-1", "muxWindow must be a whole number"),
    (Kind.SERVER, "tcp:1:muxWindow=1_0", "muxWindow must be a whole number"),
    (Kind.SERVER, "tcp:1:muxWindow=٣", "muxWindow must be a whole number"),
    (Kind.SERVER, "tcp:1:muxWindow=0", "muxWindow=0: window must be at least 1"),
    (Kind.SERVER, "tcp:1:muxWindow=99999999999", "muxWindow=9.*at most"),
    (Kind.SERVER, "tcp:1:muxKeepAlive=often", "muxKeepAlive must be a number"),
    (Kind.SERVER, "tcp:1:muxKeepAlive=inf", "muxKeepAlive must be a number"),
    (Kind.SERVER, "tcp:1:muxOpen=later", "muxOpen=later: opening must be one of"),
    (Kind.SERVER, "tcp:1:muxRole=boss", "muxRole must be client or server, not 'boss'"),
    (Kind.CLIENT, "tcp:h:1:muxCarriers=0", "muxCarriers must be at least 1"),
    (Kind.SERVER, "tcp:1:muxCarriers=2", "muxCarriers means nothing for mux: as a s"),
    (Kind.LISTEN, "tcp:1:muxIdle=2", "muxIdle means nothing for mux-listen:"),
    (Kind.CLIENT, "tcp:h:1:muxWait=2", "muxWait means nothing for mux: as a client"),
    (Kind.SERVER, "tcp:1:muxName=x", "muxName means nothing for mux: as a server"),
    (Kind.CLIENT, "tcp:h:1:muxIdle=", "muxIdle must be a number, not ''"),
    (Kind.CLIENT, "tcp:h:1:muxName=x", "muxName: streams of yamux have no names; "),
    (Kind.CLIENT, "tcp:h:1:wire=vtmux:muxName=x", "muxName: host:port is needed"),
    (Kind.CLIENT, "tcp:h:1:muxProtocol=", "muxProtocol: .* from 1 to 1024 bytes"),
    (
        Kind.SERVER,
        "tcp:1:muxProtocol=na:muxNegotiate=multistream",
        "muxProtocol: no protocol can be called b'na'",
    ),
    (
        Kind.DIAL,
        "tcp:h:1:muxProtocol=x:muxNegotiate=y",
        "muxProtocol: there is no handshake 'y'",
    ),
    (
        Kind.CLIENT,
        "tcp:h:1:muxNegotiate=simple",
        "muxNegotiate means nothing without muxProtocol",
    ),
]


@pytest.mark.parametrize(("kind", "text", "message"), WRONG)
def test_wrong(kind: Kind, text: str, message: str) -> None:
    """
    One line, which names the option.
    """
    with pytest.raises(ValueError, match=message) as caught:
        parse(kind, text)
    assert isinstance(caught.value, ConfigError)
    assert "\n" not in str(caught.value)


def test_unknownWireIsItsOwnError() -> None:
    with pytest.raises(UnknownWire):
        parse(Kind.CLIENT, "tcp:h:1:wire=quic")


@pytest.mark.parametrize(
    "text",
    [
        "host",
        "host:",
        ":1",
        "host:123456",
        "host:65536",
        "[::1]",
        "::1:80:",
        "[a:1",
        "h:x",
    ],
)
def test_wrongAddress(text: str) -> None:
    with pytest.raises(ConfigError, match="host:port is needed"):
        parseAddress(text)


def test_labels() -> None:
    checkLabel("x", "mplex", b"name", None)
    checkLabel("x", "vtmux", b"", ("host", 1))
    checkLabel("x", "yamux", b"", None)
    with pytest.raises(ConfigError, match="x: streams of yamux have no addresses"):
        checkLabel("x", "yamux", b"", ("host", 1))


def test_whoShares() -> None:
    """
    What concerns single streams makes no difference to carriers.
    """
    one = parse(Kind.CLIENT, "tcp:h:1:wire=mplex:muxName=a")
    assert one.sharedBy == parse(Kind.DIAL, "tcp:h:1:wire=mplex").sharedBy
    for other in ("tcp:h:2:wire=mplex", "tcp:h:1", "tcp:h:1:wire=mplex:muxWindow=5"):
        assert one.sharedBy != parse(Kind.CLIENT, other).sharedBy
