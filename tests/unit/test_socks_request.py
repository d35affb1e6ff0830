"""
What clients of SOCKS want, byte by byte; and which targets they may have.
"""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mux.errors import ConfigError
from twisted_mux.socks.request import LIMIT, Cause, Credentials, Negotiation, Refused
from twisted_mux.socks.targets import AllowList, isPublic, toAddress

US = Credentials(b"us", b"secret")
NAME = b"\5\1\0\3\x0bexample.org\1\xbb"
NAME4 = b"\4\1\1\xbb\0\0\0\7me\0example.org\0"
GREETING = b"\5\1\0"
PASSWORD = b"\5\1\2\1\2us\6secret"
BEHIND = b"GET /"


@pytest.mark.parametrize(
    ("request_", "credentials", "replies", "target"),
    [
        (GREETING + NAME, None, b"\5\0", ("example.org", 443)),
        (b"\5\2\2\0" + NAME, None, b"\5\0", ("example.org", 443)),
        (PASSWORD + NAME, US, b"\5\2\1\0", ("example.org", 443)),
        (GREETING + b"\5\1\0\1\xc0\0\2\7\0\x50", None, b"\5\0", ("192.0.2.7", 80)),
        (
            GREETING + b"\5\1\0\4\x20\1\x0d\xb8" + bytes(11) + b"\1\0\x50",
            None,
            b"\5\0",
            ("2001:db8::1", 80),
        ),
        (GREETING + b"\5\1\0\3\4AbC.\0\1", None, b"\5\0", ("abc", 1)),
        (b"\4\1\0\x50\xc0\0\2\7me\0", None, b"", ("192.0.2.7", 80)),
        (b"\4\1\0\x50\0\0\0\0\0", None, b"", ("0.0.0.0", 80)),
        (NAME4, None, b"", ("example.org", 443)),
    ],
)
def test_requests(
    request_: bytes,
    credentials: Credentials | None,
    replies: bytes,
    target: tuple[str, int],
) -> None:
    """
    Requests of all kinds are understood, as a whole, byte by byte, and with something
    behind them.
    """
    whole = Negotiation(credentials)
    assert whole.receive(request_ + BEHIND) == replies
    assert (whole.target, whole.rest) == (target, BEHIND)
    bytewise = Negotiation(credentials)
    answers = b""
    for byte in request_:
        assert bytewise.target is None
        answers += bytewise.receive(bytes([byte]))
    assert (answers, bytewise.target, bytewise.rest) == (replies, target, b"")


FAILED = b"\5\1\0\1" + bytes(6)
FAILED4 = b"\0\x5b" + bytes(6)


@pytest.mark.parametrize(
    ("request_", "credentials", "replies", "why"),
    [
        (b"GET / HTTP/1.1", None, b"", "does not speak SOCKS .first byte 71"),
        (b"\5\1\2", None, b"\5\xff", "go on with no password"),
        (b"\5\0", None, b"\5\xff", "go on with no password"),
        (GREETING, US, b"\5\xff", "go on with a password"),
        (b"\5\1\2\1\2us\5wrong", US, b"\5\2\1\1", "wrong user or password"),
        (b"\5\1\2\1\2me\6secret", US, b"\5\2\1\1", "wrong user or password"),
        (b"\5\1\2\2", US, b"\5\2", "password is of version 2"),
        (NAME4, US, FAILED4, "SOCKS 4 has no password"),
        (GREETING + b"\4\1\0\1", None, b"\5\0" + FAILED, "is of version 4"),
        (
            GREETING + b"\5\1\0\2",
            None,
            b"\5\0\5\x08\0\1" + bytes(6),
            "addresses of type 2",
        ),
        (
            GREETING + b"\5\2\0\1\1\2\3\4\0\1",
            None,
            b"\5\0\5\7\0\1" + bytes(6),
            "command 2 is not",
        ),
        (
            GREETING + b"\5\3\0\1\1\2\3\4\0\1",
            None,
            b"\5\0\5\7\0\1" + bytes(6),
            "command 3 is not",
        ),
        (b"\4\2\0\1\1\2\3\4\0", None, FAILED4, "command 2 is not"),
        (GREETING + b"\5\1\0\3\0\0\1", None, b"\5\0" + FAILED, "is no name"),
        (GREETING + b"\5\1\0\3\1.\0\1", None, b"\5\0" + FAILED, "is no name"),
        (GREETING + b"\5\1\0\3\2\xc3\xa4\0\1", None, b"\5\0" + FAILED, "is no name"),
        (GREETING + b"\5\1\0\3\3a\0b\0\1", None, b"\5\0" + FAILED, "is no name"),
        (GREETING + b"\5\1\0\3\1a\0\0", None, b"\5\0" + FAILED, "port 0"),
        (b"\4\1\0\1\1\2\3\4" + bytes([7]) * LIMIT, None, b"", "more than 512 bytes"),
        (
            b"\5\xff" + bytes(255) + b"\5\1\0\3\xfe" + b"a" * 254 + b"\0\1",
            None,
            b"\5\0",
            "more than 512",
        ),
        # What is wrong behind the limit is not looked at.
        (
            b"\5\xff" + bytes(255) + b"\5\2\0\3\xfe" + b" " * 254 + b"\0\0",
            None,
            b"\5\0",
            "more than 512",
        ),
        (
            b"\4\2\0\1\0\0\0\1" + b"u" * 400 + b"\0" + b"h" * 200 + b"\0",
            None,
            b"",
            "more than 512",
        ),
    ],
)
def test_refused(
    request_: bytes, credentials: Credentials | None, replies: bytes, why: str
) -> None:
    """
    What makes no sense, or is not for them, is refused with the right reply, be it
    as a whole or byte by byte.
    """
    with pytest.raises(Refused, match=why) as caught:
        Negotiation(credentials).receive(request_)
    assert caught.value.reply == replies
    bytewise = Negotiation(credentials)
    answers = b""
    with pytest.raises(Refused, match=why) as caught:
        for byte in request_:
            answers += bytewise.receive(bytes([byte]))
    assert answers + caught.value.reply == replies


def test_limitByteByByte() -> None:
    """
    It does not take a whole message for the limit to be noticed.
    """
    negotiation = Negotiation(None)
    negotiation.receive(b"\4\1\0\1\1\2\3\4")
    with pytest.raises(Refused, match="more than 512"):
        for _ in range(LIMIT):
            negotiation.receive(b"u")


@given(st.binary(max_size=600), st.booleans())
def test_nothingElseIsRaised(data: bytes, secret: bool) -> None:
    """
    Whatever comes is a request, not yet one, or refused.
    """
    for start in (b"", b"\4\1\0\x50\0\0\0\1", GREETING, PASSWORD):
        negotiation = Negotiation(US if secret else None)
        try:
            negotiation.receive(start + data)
        except Refused:
            assert negotiation.target is None or len(data) > 200


@pytest.mark.parametrize("cause", [None, *Cause])
def test_replies(cause: Cause | None) -> None:
    """
    Each cause has its reply.
    """
    five, four = Negotiation(None), Negotiation(None)
    five.receive(GREETING)
    four.receive(b"\4")
    assert five.reply(cause) == bytes([5, cause.value if cause else 0, 0, 1, *bytes(6)])
    assert four.reply(cause) == bytes([0, 91 if cause else 90, *bytes(6)])


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "169.254.169.254",
        "192.168.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "fec0::1",
        "ff02::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::1",
        "2002:a00:1::1",
    ],
)
def test_notPublic(address: str) -> None:
    """
    Addresses that mean something else from here are not public, however they are
    written.
    """
    found = toAddress(address)
    assert found is not None
    assert not isPublic(found)
    assert not AllowList("*,*.example.org").allows("a.example.org", found, 80)
    assert not AllowList("*").allows(address, found, 80)
    network = f"[{found}]" if ":" in str(found) else str(found)
    assert AllowList(network).allows(address, found, 80)
    assert AllowList(f"{network}:80").allows("any.name", found, 80)
    assert not AllowList(f"{network}:81").allows("any.name", found, 80)


@pytest.mark.parametrize(
    ("allow", "host", "address", "allowed"),
    [
        ("*", "example.org", "93.184.216.34", True),
        ("*", "93.184.216.34", "93.184.216.34", True),
        ("*", "2606:2800::1", "2606:2800::1", True),
        ("*:80", "example.org", "93.184.216.34", True),
        ("*:443", "example.org", "93.184.216.34", False),
        ("example.org", "example.org", "93.184.216.34", True),
        ("Example.ORG", "example.org", "93.184.216.34", True),
        ("example.org", "www.example.org", "93.184.216.34", False),
        ("*.example.org", "www.example.org", "93.184.216.34", True),
        ("*.example.org", "example.org", "93.184.216.34", False),
        ("*.example.org", "badexample.org", "93.184.216.34", False),
        ("*.example.org", "93.184.216.34", "93.184.216.34", False),
        ("192.0.2.7, 93.184.0.0/16", "93.184.216.34", "93.184.216.34", True),
        ("93.184.0.0/16", "example.org", "93.184.216.34", True),
        ("93.185.0.0/16", "example.org", "93.184.216.34", False),
        ("10.0.0.0/8", "2606:2800::1", "2606:2800::1", False),
        ("[2606:2800::]/32:80", "2606:2800::1", "2606:2800::1", True),
        ("10.0.0.0/8", "inside.example", "10.1.2.3", True),
        ("inside.example", "inside.example", "10.1.2.3", False),
        ("localhost", "localhost", "127.0.0.1", False),
    ],
)
def test_allows(allow: str, host: str, address: str, allowed: bool) -> None:
    """
    What is in the list is allowed, and nothing else is.
    """
    assert AllowList(allow).allows(host, ip_address(address), 80) is allowed


def test_mayResolve() -> None:
    """
    Names that can't be allowed need not be looked up.
    """
    assert AllowList("*").mayResolve("example.org", 80)
    assert AllowList("10.0.0.0/8").mayResolve("example.org", 80)
    assert not AllowList("10.0.0.0/8:443").mayResolve("example.org", 80)
    assert not AllowList("*.example.org").mayResolve("example.com", 80)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*,",
        "10.0.0.1/8",
        "10.0.0.0/33",
        "10.0.0",
        "::1",
        "[::1",
        "[10.0.0.0.0]",
        "a..b",
        "a b",
        "*example.org",
        "a.*.b",
        "a:0",
        "a:65536",
        "a:http",
        "bücher.example",
    ],
)
def test_badEntries(text: str) -> None:
    """
    An entry that makes no sense is a clear error.
    """
    with pytest.raises(ConfigError, match=r"^allow= has an entry"):
        AllowList(text)
