"""
Endpoint strings, of all kinds: whatever is in them, C{ConfigError} comes out, in one
line, or an endpoint.  What is valid means what it says, and the same again when it is
written down anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.endpoints import _parse, clientFromString, serverFromString
from twisted.internet.testing import MemoryReactorClock

from tests.integration.certificates import Certificates
from twisted_mux.config import OPENINGS, MuxConfig
from twisted_mux.endpoint_strings import (
    AUTO,
    Kind,
    MuxString,
    parseAddress,
    parseString,
    quote,
    unparse,
)
from twisted_mux.errors import ConfigError
from twisted_mux.negotiation.handshakes import LONGEST_NAME, LS, NA, NEGOTIATIONS
from twisted_mux.socks.endpoint import parseClient as parseSocks
from twisted_mux.socks.targets import AllowList, toAddress
from twisted_mux.tunnel_strings import (
    carrierComplaint,
    carriersKey,
    sourceEndpoint,
    takeApart,
    targetEndpoint,
    withInterface,
)
from twisted_mux.wire import codecNamed, wireNames
from twisted_mux.wire.base import Role

SERVERS = ("mux", "mux-dial", "mtls")
CLIENTS = ("mux", "mux-listen", "mtls", "socks5")

#: Keywords that mean something to one kind or another, or to Python.
KEYS = (
    *("wire", "endpoint", "muxOpen", "muxKeepAlive", "muxKeepAliveTimeout"),
    *("muxWindow", "muxMaxWindow", "muxMaxFrame", "muxMaxStreams", "muxRole"),
    *("muxName", "muxIdle", "muxCarriers", "muxWait", "muxProtocol", "muxNegotiate"),
    *("muxAnything", "interface", "backlog", "timeout", "port", "host", "peer"),
    *("certificate", "privateKey", "trustRoots", "fingerprint", "allow", "user"),
    *("password", "reactor", "self", "args", "kwargs", "options", ""),
)
#: What may stand there.
WORDS = (
    *("tcp", "tcp6", "ssl", "tls", "unix", "stdio", "haproxy", "systemd", "fd", "mux"),
    *("mux-dial", "mux-listen", "mtls", "socks5", "nothing", "localhost", "::1"),
    *("127.0.0.1", "0", "1", "80", "7000", "65536", "99999999999999", "-1", "1.5"),
    *("1e5", "inf", "nan", "٣", "client", "server", "now", "ack", "simple"),
    *("multistream", "auto", "a,b", ",", "na", "*", "*:443", "10.0.0.0/8", "[::1]:80"),
    *("[::1]/64:443", "tcp:7000", "mux:tcp:7000", "/", "/nonexistent", "/dev/null"),
    *("x" * 300, "é.example", "\0", "\n", "a\nb", " ", "", *wireNames()),
)

anyText = st.text(max_size=20)
words = st.sampled_from(WORDS)
values = words | anyText
keys = st.sampled_from(KEYS) | st.text(max_size=5)
positional = st.one_of(values.map(quote), values.map(quote), anyText)
keyword = st.builds(lambda key, value: f"{quote(key)}={quote(value)}", keys, values)
strings = st.lists(st.one_of(positional, keyword, keyword), max_size=6).map(":".join)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def complaint(parse: Callable[[], object]) -> str:
    """
    What is said of a string by what parses it; empty if it is valid.
    """
    try:
        parse()
    except ConfigError as error:
        return str(error) or "nothing"
    except UnicodeEncodeError:
        # Twisted's own, before it comes to us: keywords are to be ASCII.
        return "not ASCII"
    return ""


def check(parse: Any, text: str) -> None:
    """
    A string is taken, or refused in the right way: in one line, if it is one.
    """
    if (len(text) - len(text.rstrip("\\"))) % 2:
        # Twisted's own, before it comes to us: nothing follows the last backslash.
        with pytest.raises(RuntimeError, match="StopIteration"):
            parse(MemoryReactorClock(), text)
        return
    said = complaint(lambda: parse(MemoryReactorClock(), text))
    assert said != "nothing"
    # A line that ends where the text ends is a second one for us, too.
    assert len(said.splitlines()) <= 1 or len(f"{text}.".splitlines()) > 1, said


@pytest.mark.parametrize("prefix", SERVERS)
@given(strings)
@example("tcp:7000:reactor=x")
@example("tcp:7000:self=x")
@example("\\")
@example("tcp\\:7000\\\\")
def test_servers(prefix: str, rest: str) -> None:
    check(serverFromString, f"{prefix}:{rest}")


@pytest.mark.parametrize("prefix", CLIENTS)
@given(strings)
@example("tcp:localhost:7000:reactor=x")
@example("allow=*:self=x")
def test_clients(prefix: str, rest: str) -> None:
    check(clientFromString, f"{prefix}:{rest}")


@given(
    st.sampled_from(["mux:", "mux-dial:", "mux-listen:", "haproxy:", "mux:mux:", ""]),
    strings,
    st.booleans(),
)
def test_tunnels(prefix: str, rest: str, insecure: bool) -> None:
    """
    A tunnel's strings are refused with C{ConfigError} alone, whatever parser it was
    that did not like them.
    """
    text = prefix + rest
    reactor = MemoryReactorClock()
    for said in (
        complaint(lambda: sourceEndpoint(reactor, text, insecure)),
        complaint(lambda: targetEndpoint(reactor, text, insecure)),
    ):
        assert len(said.splitlines()) <= 1, said
    assert len(carrierComplaint(withInterface(text)).splitlines()) <= 1
    assert complaint(lambda: carriersKey(text)) != "nothing"


@given(strings)
def test_withInterface(text: str) -> None:
    """
    To say the interface once is enough, and nothing else of a string changes.
    """
    once = withInterface(text)
    assert withInterface(once) == once
    args, options = takeApart(text)
    if "endpoint" not in options:
        moreArgs, moreOptions = takeApart(once)
        moreOptions.pop("interface", None)
        options.pop("interface", None)
        assert (moreArgs, moreOptions) == (args, options)


@given(strings)
def test_takeApart(text: str) -> None:
    """
    As Twisted does it, where that takes it apart at all.
    """
    try:
        expected = _parse(text)
    except UnicodeEncodeError:
        return
    assert takeApart(text) == tuple(expected)


# What mtls: reads is files.


@pytest.mark.parametrize("server", [True, False])
@given(
    certificate=st.sampled_from(["serverCertificate", "clientKey", "authority"]),
    key=st.sampled_from(["serverKey", "clientKey", "authority", None]),
    roots=st.sampled_from(["folder", "authority", "serverKey"]) | values,
    args=st.lists(positional, max_size=3),
    options=st.dictionaries(
        st.sampled_from(["peer", "fingerprint", "interface", "backlog", "timeout"])
        | keys,
        values | st.sampled_from(["ab" * 32, "AB:" * 31 + "AB", "a,,b", "*.example"]),
        max_size=3,
    ),
)
@example("serverCertificate", "serverKey", "x" * 300, ["h", "1"], {})
@example("serverCertificate", "serverKey", "\0", ["1"], {})
@example("serverCertificate", "serverKey", "", ["1"], {})
@example("serverCertificate", "serverKey", "\x1c", ["1"], {})
@example("serverCertificate", "serverKey", "folder", ["h", "1"], {"peer": "\0"})
def test_mtlsFiles(
    certificates: Certificates,
    server: bool,
    certificate: str,
    key: str | None,
    roots: str,
    args: list[str],
    options: dict[str, str],
) -> None:
    """
    Whatever the files are.
    """
    if roots in ("folder", "authority", "serverKey"):
        roots = str(getattr(certificates, roots))
    options = {
        "certificate": str(getattr(certificates, certificate)),
        "trustRoots": roots,
        **({"privateKey": str(getattr(certificates, key))} if key else {}),
        **options,
    }
    text = ":".join(["mtls", *args, unparse([], options)])
    check(serverFromString if server else clientFromString, text)


# What is valid means what it says.


def oneOf(kind: Kind) -> st.SearchStrategy[tuple[dict[str, str], MuxString]]:
    """
    Valid options for a kind, and what they say.
    """
    wires = [*wireNames(), *([AUTO] if kind is Kind.SERVER else [])]
    seconds = st.decimals(0, 10**6, places=2, allow_nan=False).map(abs)
    return st.fixed_dictionaries(
        {},
        optional={
            "wire": st.sampled_from(wires),
            "muxOpen": st.sampled_from(OPENINGS),
            "muxKeepAlive": seconds.map(str),
            "muxKeepAliveTimeout": seconds.map(str),
            "muxWindow": st.integers(1, 2**30).map(str),
            "muxMaxWindow": st.integers(1, 2**30).map(str),
            "muxMaxFrame": st.integers(1, 10**6).map(str),
            "muxMaxStreams": st.integers(1, 10**6).map(str),
            "muxRole": st.sampled_from([role.value for role in Role]),
            "muxProtocol": st.lists(
                st.text(
                    st.characters(codec="utf-8", exclude_characters=",\n"), min_size=1
                ).filter(
                    lambda name: (
                        len(name.encode()) < LONGEST_NAME
                        and name.encode() not in (NA, LS)
                        and not name.startswith("/multistream/")
                    )
                ),
                min_size=1,
                max_size=5,
                unique=True,
            ).map(",".join),
            **(
                {
                    "muxIdle": seconds.map(str),
                    "muxCarriers": st.integers(1, 99).map(str),
                }
                if kind.dials
                else {}
            ),
            **({"muxWait": seconds.map(str)} if kind is Kind.LISTEN else {}),
        },
    ).map(lambda options: (options, _meaning(kind, options)))


def _meaning(kind: Kind, options: dict[str, str]) -> MuxString:
    fields = {
        "muxOpen": ("opening", str),
        "muxKeepAlive": ("keepAlive", float),
        "muxKeepAliveTimeout": ("keepAliveTimeout", float),
        "muxWindow": ("window", int),
        "muxMaxWindow": ("maxWindow", int),
        "muxMaxFrame": ("maxFrame", int),
        "muxMaxStreams": ("maxStreams", int),
    }
    config: dict[str, Any] = {
        field: convert(options[key])
        for key, (field, convert) in fields.items()
        if key in options
    }
    meaning = MuxString(
        carrier="",
        wire=options.get("wire", "yamux"),
        role=Role.CLIENT if kind.dials else Role.SERVER,
        config=replace(MuxConfig(), **config),
    )
    rest: dict[str, Any] = {
        "muxRole": ("role", Role),
        "muxIdle": ("idle", float),
        "muxCarriers": ("carriers", int),
        "muxWait": ("wait", float),
        "muxProtocol": (
            "protocol",
            lambda text: tuple(name.encode() for name in text.split(",")),
        ),
    }
    for key, (field, convert) in rest.items():
        if key in options:
            meaning = replace(meaning, **{field: convert(options[key])})
    return meaning


#: Carriers: their own parts, and keywords that the mux has no use for.
carriers = st.tuples(
    st.lists(st.text(st.characters(codec="utf-8")), min_size=1).filter(any),
    st.dictionaries(
        st.text(st.characters(max_codepoint=127), min_size=1).filter(
            lambda key: not key.startswith("mux") and key not in ("wire", "endpoint")
        ),
        st.text(st.characters(codec="utf-8")),
        max_size=3,
    ),
)


@pytest.mark.parametrize("kind", Kind)
@given(data=st.data(), carrier=carriers, quoted=st.booleans())
def test_whatItSays(
    kind: Kind,
    data: st.DataObject,
    carrier: tuple[list[str], dict[str, str]],
    quoted: bool,
) -> None:
    """
    Options arrive where they belong, the carrier's string is the carrier's, and it
    makes no difference whether that is quoted.
    """
    options, meaning = data.draw(oneOf(kind))
    args, own = carrier
    meaning = replace(meaning, carrier=unparse(args, own))
    if quoted:
        text = unparse([], {"endpoint": meaning.carrier, **options})
    else:
        text = unparse(args, {**own, **options})
    assert _parse(meaning.carrier) == (args, own)
    # As Twisted splits it off from the prefix.
    first, *rest = _parse(f"mux:{text}")[0]
    assert first == "mux"
    said = parseString(kind, rest, _parse(f"mux:{text}")[1])
    assert said == meaning
    if options.get("muxProtocol"):
        negotiate = data.draw(st.sampled_from(NEGOTIATIONS))
        more = {**options, "muxNegotiate": negotiate, "endpoint": meaning.carrier}
        again = parseString(kind, [], more)
        assert again == replace(meaning, negotiate=negotiate)


@given(st.sampled_from(wireNames()), st.text(st.characters(codec="utf-8")))
def test_names(wire: str, name: str) -> None:
    """
    A name is what it was, on a wire that has names; elsewhere it is refused.
    """
    options = {"wire": wire, "muxName": name}
    capabilities = codecNamed(wire).capabilities
    try:
        said = parseString(Kind.CLIENT, ["tcp", "h", "1"], options)
    except ConfigError:
        assert capabilities.addressed or (name and not capabilities.names)
    else:
        assert said.name == (b"" if capabilities.addressed else name.encode())


@given(st.ip_addresses(), st.integers(0, 65535))
def test_addresses(address: Any, port: int) -> None:
    """
    Addresses come back, with brackets around those of version 6.
    """
    text = f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
    assert parseAddress(text) == (str(address), port)


# socks5:.


@given(
    st.lists(
        st.tuples(
            st.ip_addresses().map(
                lambda each: f"[{each}]" if each.version == 6 else str(each)
            )
            | st.from_regex(r"(\*\.)?[a-z]{1,9}\.example", fullmatch=True)
            | st.just("*"),
            st.none() | st.integers(1, 65535),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_allowLists(entries: list[tuple[str, int | None]]) -> None:
    """
    What is in a list is allowed, at its port, whatever else is in it.
    """
    texts = [host + (f":{port}" if port else "") for host, port in entries]
    allow = AllowList(" , ".join(texts))
    for host, port in entries:
        name = host.strip("[]").replace("*", "below")
        assert allow.mayResolve(name, port or 443)
        address = toAddress(name)
        if address is not None:
            assert allow.allows(str(address), address, port or 443) or (
                # An IPv4 address within an IPv6 one is itself.
                str(address) != name
            )


@given(strings)
def test_socks(text: str) -> None:
    """
    The parser itself, with whatever Twisted makes of a string.
    """
    args, options = takeApart(text)
    assert (
        complaint(lambda: parseSocks(MemoryReactorClock(), args, options)) != "nothing"
    )
