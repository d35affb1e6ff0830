"""
Telling wire protocols apart by a connection's first bytes, and finding them by
name.
"""

from __future__ import annotations

from contextlib import suppress
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.wire.sinks import makeCodec
from twisted_mux.errors import ProtocolError, UnknownWire
from twisted_mux.wire import (
    DETECT_BYTES,
    UnknownBytes,
    codecNamed,
    detect,
    wireNames,
    wires,
)
from twisted_mux.wire.base import Codec, Match, Role


def yamuxLike(version: int, kind: int, flags: int, stream: int, length: int) -> bytes:
    return pack(">BBHII", version, kind, flags, stream, length)


def mplexOpen(name: bytes) -> bytes:
    length = len(name)
    if length < 128:
        return b"\0" + bytes([length]) + name
    return b"\0" + bytes([length & 127 | 128, length >> 7]) + name


def vtmuxOpen(address: str) -> bytes:
    codec, _ = makeCodec(codecNamed("vtmux"), Role.CLIENT)
    return codec.encodeOpen(codec.keyOfAddress((address, 80)), 0, b"")


#: What clients may start with.
FIRST: dict[str, list[bytes]] = {
    "smux1": [
        bytes.fromhex("01 00 0000 03000000"),
        bytes.fromhex("01 00 0000 01000000"),
        bytes.fromhex("01 00 0000 00010000"),
        bytes.fromhex("01 03 0000 00000000"),
    ],
    "smux2": [
        bytes.fromhex("02 00 0000 03000000"),
        bytes.fromhex("02 00 0000 00000001"),
        bytes.fromhex("02 03 0000 00000000"),
    ],
    "yamux": [
        yamuxLike(0, 0, 1, 1, 0),
        yamuxLike(0, 0, 1, 1, 5) + b"hello",
        yamuxLike(0, 0, 5, 1, 0),
        yamuxLike(0, 1, 1, 1, 0),
        yamuxLike(0, 1, 1, 3, 0xFFFFFFFF),
        yamuxLike(0, 1, 5, 0xFFFFFFFF, 0),
        yamuxLike(0, 2, 1, 0, 0),
        yamuxLike(0, 2, 1, 0, 0xFFFFFFFF),
        yamuxLike(0, 3, 0, 0, 0),
        yamuxLike(0, 3, 0, 0, 2),
    ],
    "netmux": [
        yamuxLike(1, 0, 1, 1, 0),
        yamuxLike(1, 0, 1, 1, 5) + b"hello",
        yamuxLike(1, 0, 5, 3, 0),
        yamuxLike(1, 2, 0, 0, 0),
        yamuxLike(1, 2, 0, 0, 0xFFFFFFFF),
    ],
    "mplex": [
        mplexOpen(b"0"),
        mplexOpen(b"stream 0"),
        mplexOpen("Strom für alle".encode()),
        mplexOpen(b"x" * 31 + "ü".encode()),
        mplexOpen(b"x" * 127),
        mplexOpen(b"x" * 1024),
        mplexOpen(b"/" + b"d/" * 40),
        mplexOpen(b"") + b"\2\1x",
        mplexOpen(b"") + b"\4\0",
        mplexOpen(b"") + b"\6\0",
        mplexOpen(b"") + b"\x08\0",
    ],
    "vtmux": [
        vtmuxOpen("127.0.0.1"),
        vtmuxOpen("0.0.0.0"),
        vtmuxOpen("::"),
        vtmuxOpen("::1"),
        vtmuxOpen("64:ff9b::102:304"),
        vtmuxOpen("64:ff9b:1::1"),
        vtmuxOpen("100::1"),
        vtmuxOpen("2001:db8::1"),
        vtmuxOpen("3fff::1"),
        vtmuxOpen("fd74:776d:7578:1::1"),
        vtmuxOpen("fe80::1"),
        vtmuxOpen("ff02::1"),
    ],
}
EVERY_FIRST = [(name, first) for name, firsts in FIRST.items() for first in firsts]


def test_everyWireIsHere() -> None:
    assert set(FIRST) == set(wireNames())


@pytest.mark.parametrize(("name", "first"), EVERY_FIRST)
@pytest.mark.parametrize("behind", [b"", b"\0" * 64, b"\xff" * 64, b"GET / HTTP" * 7])
def test_firstFrames(name: str, first: bytes, behind: bytes) -> None:
    """
    Cut anywhere, the first frame is either that wire's or not yet clear; whole,
    it is clear, and no other wire's.
    """
    codec = codecNamed(name)
    answers = [detect(first[:cut]) for cut in range(len(first) + 1)]
    clear = answers.index(codec)
    assert answers == [None] * clear + [codec] * (len(first) + 1 - clear)
    assert clear <= DETECT_BYTES
    # From then on, it doesn't matter what follows.
    for cut in range(clear, len(first) + 1):
        assert detect(first[:cut] + behind) is codec
    for other in wires().values():
        expected = Match.YES if other is codec else Match.NO
        assert other.match(first) is expected


@pytest.mark.parametrize("codec", list(wires().values()))
def test_whatOurClientsStartWith(codec: type[Codec]) -> None:
    client, _ = makeCodec(codec, Role.CLIENT)
    key = next(client.keys())
    opened = client.encodeOpen(key, 1 << 20, b"")
    payload = client.payloadHeader(key, 5) + b"hello"
    assert detect(opened + payload) is codec
    if codec.capabilities.names:
        assert detect(client.encodeOpen(key, 1 << 20, b"name")) is codec
    else:
        assert detect(opened) is codec
    if codec.capabilities.ping:
        assert detect(client.encodePing(0)) is codec
    if codec.capabilities.probe:
        assert detect(client.encodeProbe()) is codec


def test_nothingYet() -> None:
    assert detect(b"") is None


def test_unnamedMplexStreamWaits() -> None:
    """
    Two zeros may also be the beginning of yamux or vt-muxer.
    """
    assert detect(b"\0\0") is None


@pytest.mark.parametrize(
    ("begin", "words"),
    [
        (b"\x16\x03\x01\x02\0\1\0", "TLS .wrap the endpoint in tls: or ssl:"),
        (b"GET / HTTP/1.1\r\n", "HTTP"),
        (b"POST /", "HTTP"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP"),
        (b"CONNECT example.com:443 HTTP/1.1", "HTTP"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "SSH"),
        (b"PROXY TCP4 10.0.0.1", "PROXY protocol .*haproxy:"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11", "PROXY protocol .*haproxy:"),
        (b"\x13/multistream/1.0.0\n", "multistream-select"),
        (b"EHLO example.com", "sent 45 48 4c 4f 20"),
        (b"\x80", "sent 80$"),
        (b"\x16", "sent 16$"),
    ],
)
def test_strangers(begin: bytes, words: str) -> None:
    with pytest.raises(UnknownBytes, match=words):
        detect(begin)


@pytest.mark.parametrize(
    "begin",
    [
        # A SYN of the server's, or of id 0; other frames a client can't start with.
        yamuxLike(0, 0, 1, 2, 0),
        yamuxLike(0, 1, 1, 0, 0),
        yamuxLike(0, 1, 0, 1, 0),
        yamuxLike(0, 1, 2, 1, 0),
        yamuxLike(0, 2, 2, 0, 0),
        yamuxLike(0, 2, 1, 1, 0),
        yamuxLike(0, 3, 1, 0, 0),
        yamuxLike(0, 3, 0, 1, 0),
        yamuxLike(0, 4, 0, 0, 0),
        yamuxLike(1, 0, 1, 2, 0),
        yamuxLike(1, 1, 1, 1, 0),
        yamuxLike(1, 2, 1, 0, 0),
        yamuxLike(1, 2, 0, 1, 0),
        yamuxLike(2, 0, 1, 1, 0),
        bytes.fromhex("01 00 0000 00000000 01"),
        bytes.fromhex("01 03 0000 03000000"),
        bytes.fromhex("01 02 0500 03000000"),
        bytes.fromhex("02 04 0800 03000000"),
        bytes.fromhex("03 00 0000 03000000"),
        # Names that are no text, or too long, or in a varint that is none.
        mplexOpen(b"\1\2\3"),
        mplexOpen(b"abc\x7f"),
        mplexOpen(b"\xff\xff\xff"),
        mplexOpen(b"x" * 1025),
        b"\0\x84\0name",
        b"\0" + b"\xff" * 9,
        b"\0\0\3\0",
        # A first frame with payload; a range of addresses not in use.
        vtmuxOpen("127.0.0.1")[:18] + b"\0\5hello",
        vtmuxOpen("127.0.0.1")[:18] + b"\5\0hello",
        vtmuxOpen("4000::1"),
        b"220 mail.example.com ESMTP ready",
    ],
)
def test_unknown(begin: bytes) -> None:
    with pytest.raises(UnknownBytes, match="no wire protocol") as caught:
        detect(begin + b"\xff" * 64)
    assert isinstance(caught.value, ProtocolError)
    assert caught.value.kind == "protocol"


class _Anything(Codec):
    """
    A wire protocol that takes everything for its own, after some bytes.
    """

    needed = 4

    @classmethod
    def match(cls, prefix: bytes) -> Match:
        return Match.YES if len(prefix) >= cls.needed else Match.MAYBE


class Greedy(_Anything):
    name = "greedy"


class Slow(_Anything):
    name = "slow"
    needed = 1000


def test_twoCouldHaveStartedSo(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    There is no guessing, however long it takes.
    """
    codecs: list[type[Codec]] = [Greedy, codecNamed("smux1")]
    monkeypatch.setattr(
        "twisted_mux.wire.wires", lambda: {codec.name: codec for codec in codecs}
    )
    first = FIRST["smux1"][0]
    assert detect(first[:7]) is None
    with pytest.raises(UnknownBytes, match="could be greedy or smux1"):
        detect(first)
    assert detect(b"GET / HTTP") is Greedy
    codecs[1] = Slow
    assert detect(first) is None
    assert detect(bytes(DETECT_BYTES - 1)) is None
    with pytest.raises(UnknownBytes, match="could be greedy or slow"):
        detect(bytes(DETECT_BYTES))


@given(
    st.sampled_from([first for _, first in EVERY_FIRST]).flatmap(
        lambda first: st.integers(0, len(first)).map(lambda cut: first[:cut])
    )
    | st.binary(max_size=70),
    st.binary(max_size=70),
)
def test_answersStay(prefix: bytes, more: bytes) -> None:
    """
    Once a codec said yes or no, more bytes don't change its mind.
    """
    for codec in wires().values():
        before = codec.match(prefix)
        if before is not Match.MAYBE:
            assert codec.match(prefix + more) is before


@given(st.binary(min_size=DETECT_BYTES, max_size=200))
def test_longEnoughIsClear(prefix: bytes) -> None:
    with suppress(UnknownBytes):
        assert detect(prefix) is not None


# By name.


def test_names() -> None:
    assert wireNames() == tuple(sorted(wireNames()))
    for name in wireNames():
        assert codecNamed(name).name == name
    assert {"mplex", "netmux", "smux1", "smux2", "vtmux", "yamux"} <= set(wireNames())


def test_unknownName() -> None:
    with pytest.raises(UnknownWire, match=r"'spdy'.*mplex, .*yamux"):
        codecNamed("spdy")
