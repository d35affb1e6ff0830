"""
vt-muxer.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from itertools import islice
from struct import pack

import pytest

from tests.unit.wire.sinks import assertDecodes, decode, feed, makeCodec
from twisted_mux.errors import ConfigError, NotSupported
from twisted_mux.wire.base import FRAMES_PER_TURN, Credit, Role
from twisted_mux.wire.vtmux import AUTOMATIC, AUTOMATIC_PORT, VtmuxCodec

ROLES = list(Role)
ADDRESSES = [
    ("127.0.0.1", 80),
    ("0.0.0.0", 0),
    ("255.255.255.255", 65535),
    ("::", 0),
    ("::1", 22),
    ("2001:db8::1", 443),
    ("fd74:776d:7578:1::1", 1),
    ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535),
]


def packed(host: str, port: int) -> bytes:
    ip = ip_address(host)
    if ip.version == 4:
        ip = IPv6Address(b"\0" * 10 + b"\xff\xff" + ip.packed)
    return ip.packed + pack(">H", port)


def frame(key: bytes, payload: bytes = b"") -> bytes:
    return key + pack(">H", len(payload)) + payload


KEYS = [packed(*address) for address in ADDRESSES]


def test_capabilities() -> None:
    capabilities = VtmuxCodec.capabilities
    assert capabilities.credit is Credit.NONE
    assert capabilities.addressed
    assert not capabilities.reset
    assert not capabilities.ack
    assert not capabilities.names
    assert capabilities.maxPayload == 65535
    assert makeCodec(VtmuxCodec, Role.CLIENT, 1 << 20)[0].maxFrame == 65535


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("key", KEYS)
def test_frames(role: Role, key: bytes) -> None:
    writer, _ = makeCodec(VtmuxCodec, role)
    opened = writer.encodeOpen(key, 5, b"")
    assert opened == frame(key)
    assert writer.encodeEnd(key) == opened
    payload = writer.payloadHeader(key, 5) + b"hello"
    assert payload == frame(key, b"hello")
    assertDecodes(
        VtmuxCodec,
        role,
        opened + payload + payload + opened,
        [
            ("openOrEndReceived", key),
            ("payloadReceived", key, b"hellohello"),
            ("openOrEndReceived", key),
        ],
    )


def test_longestFrame() -> None:
    data = frame(KEYS[0], bytes(65535)) + frame(KEYS[1], b"x")
    assert decode(VtmuxCodec, Role.SERVER, [data[:100], data[100:]]) == [
        ("payloadReceived", KEYS[0], bytes(65535)),
        ("payloadReceived", KEYS[1], b"x"),
    ]


def test_whatItHasNot() -> None:
    writer, _ = makeCodec(VtmuxCodec, Role.SERVER)
    assert writer.encodeAccept(KEYS[0], 100) == b""
    assert writer.encodeCredit(KEYS[0], 1, 1, 1) == b""
    with pytest.raises(NotSupported):
        writer.encodeReset(KEYS[0])
    for request in (writer.encodePing, writer.encodePong, writer.encodeGoAway):
        with pytest.raises(NotSupported):
            request(1)
    with pytest.raises(NotSupported):
        writer.encodeProbe()


@pytest.mark.parametrize(("address", "key"), list(zip(ADDRESSES, KEYS, strict=True)))
def test_addresses(address: tuple[str, int], key: bytes) -> None:
    codec, _ = makeCodec(VtmuxCodec, Role.CLIENT)
    assert codec.keyOfAddress(address) == key
    assert codec.addressOfKey(key) == address


def test_mappedAddressesAreIPv4() -> None:
    codec, _ = makeCodec(VtmuxCodec, Role.CLIENT)
    key = codec.keyOfAddress(("::ffff:10.1.2.3", 7))
    assert key == codec.keyOfAddress(("10.1.2.3", 7))
    assert codec.addressOfKey(key) == ("10.1.2.3", 7)


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("", 1),
        ("localhost", 1),
        ("1.2.3", 1),
        ("1.2.3.4.5", 1),
        ("1::2::3", 1),
        ("[::1]", 1),
        ("fe80::1%eth0", 1),
        ("::1", -1),
        ("::1", 65536),
    ],
)
def test_badAddresses(host: str, port: int) -> None:
    codec, _ = makeCodec(VtmuxCodec, Role.CLIENT)
    with pytest.raises(ConfigError):
        codec.keyOfAddress((host, port))


def test_keys() -> None:
    """
    Streams opened without an address get one that nobody else has, and the two
    sides never the same.
    """
    for role, start in ((Role.CLIENT, "1"), (Role.SERVER, "2")):
        codec, _ = makeCodec(VtmuxCodec, role)
        keys = list(islice(codec.keys(), 3))
        assert [codec.addressOfKey(key) for key in keys] == [
            (f"fd74:776d:7578:{start}::{number}", AUTOMATIC_PORT)
            for number in (1, 2, 3)
        ]
    client, server = AUTOMATIC[Role.CLIENT], AUTOMATIC[Role.SERVER]
    assert not client.overlaps(server)
    assert client.is_private
    assert server.is_private


def test_midFrame() -> None:
    reader, sink = makeCodec(VtmuxCodec, Role.SERVER)
    data = frame(KEYS[0], b"ab")
    assert not reader.midFrame
    for index in range(19):
        feed(reader, data[index : index + 1])
        assert reader.midFrame
    feed(reader, data[19:20])
    assert not reader.midFrame
    assert reader.receive(b"") == b""
    feed(reader, b"a")
    feed(reader, b"b")
    assert not reader.midFrame
    assert len(sink.calls) == 2


def test_aChunkWithinAFrameIsNotCopied() -> None:
    reader, sink = makeCodec(VtmuxCodec, Role.SERVER)
    feed(reader, frame(KEYS[0], bytes(20000))[:20])
    chunks = [bytes(10000), bytes(10000)]
    for chunk in chunks:
        feed(reader, chunk)
    assert [id(call[2]) for call in sink.calls] == [id(chunk) for chunk in chunks]


def test_framesPerTurn() -> None:
    reader, sink = makeCodec(VtmuxCodec, Role.SERVER)
    one = frame(KEYS[3])
    rest = reader.receive(one * (FRAMES_PER_TURN + 1) + one[:7])
    assert len(sink.calls) == FRAMES_PER_TURN
    assert rest == one + one[:7]
    assert reader.receive(rest) == b""
    assert reader.receive(one[7:]) == b""
    assert len(sink.calls) == FRAMES_PER_TURN + 2
