"""
smux, both versions.
"""

from __future__ import annotations

from itertools import islice
from struct import pack

import pytest

from tests.unit.wire.sinks import Call, assertDecodes, decode, feed, makeCodec
from twisted_mux.errors import NotSupported, ProtocolError, VersionError
from twisted_mux.wire.base import FRAMES_PER_TURN, Codec, Credit, Role
from twisted_mux.wire.smux import Smux1Codec, Smux2Codec

SYN, FIN, PSH, NOP, UPD = range(5)
VERSIONS: list[type[Codec]] = [Smux1Codec, Smux2Codec]
ROLES = list(Role)


def frame(codec: type[Codec], command: int, stream: int, payload: bytes = b"") -> bytes:
    version = int(codec.name[-1])
    return pack("<BBHI", version, command, len(payload), stream) + payload


def update(consumed: int, window: int) -> bytes:
    return frame(Smux2Codec, UPD, 3, pack("<II", consumed, window))


def test_capabilities() -> None:
    assert Smux1Codec.capabilities.credit is Credit.NONE
    assert Smux2Codec.capabilities.credit is Credit.CUMULATIVE
    assert Smux2Codec.capabilities.initialWindow == 262144
    for codec in VERSIONS:
        assert codec.capabilities.probe
        assert not codec.capabilities.reset
        assert not codec.capabilities.ping
        assert makeCodec(codec, Role.CLIENT, 1 << 20)[0].maxFrame == 65535


@pytest.mark.parametrize("codec", VERSIONS)
@pytest.mark.parametrize("role", ROLES)
def test_frames(codec: type[Codec], role: Role) -> None:
    writer, _ = makeCodec(codec, role)
    written: list[tuple[bytes, bytes, Call]] = [
        (
            writer.encodeOpen(3, 77, b""),
            frame(codec, SYN, 3),
            ("openReceived", 3, 0, b""),
        ),
        (
            writer.payloadHeader(3, 5) + b"hello",
            frame(codec, PSH, 3, b"hello"),
            ("payloadReceived", 3, b"hello"),
        ),
        (writer.encodeEnd(3), frame(codec, FIN, 3), ("endReceived", 3)),
        (writer.encodeProbe(), frame(codec, NOP, 0), ("idleReceived",)),
    ]
    for ours, expected, call in written:
        assert ours == expected
        assertDecodes(codec, role, ours, [call])
    assertDecodes(
        codec,
        role,
        b"".join(ours for ours, _, _ in written),
        [call for _, _, call in written],
    )
    assert decode(codec, role, [frame(codec, PSH, 3)]) == [("idleReceived",)]


@pytest.mark.parametrize("codec", VERSIONS)
def test_whatItHasNot(codec: type[Codec]) -> None:
    writer, _ = makeCodec(codec, Role.SERVER)
    assert writer.encodeAccept(3, 100) == b""
    for request in (
        writer.encodeReset,
        writer.encodePing,
        writer.encodePong,
        writer.encodeGoAway,
    ):
        with pytest.raises(NotSupported):
            request(3)
    with pytest.raises(NotSupported):
        writer.keyOfAddress(("::1", 1))
    with pytest.raises(NotSupported):
        writer.addressOfKey(3)
    assert Smux1Codec.goAwayCodes == {}
    assert writer.describeCode(5) == "code 5"


@pytest.mark.parametrize(
    ("consumed", "window", "onWire"),
    [
        (0, 0, (0, 0)),
        (5, 262144, (5, 262144)),
        (2**32 - 1, 1, (2**32 - 1, 1)),
        (2**32, 1, (0, 1)),
        (2**40 + 7, 2**31 - 1, (7, 2**31 - 1)),
    ],
)
def test_update(consumed: int, window: int, onWire: tuple[int, int]) -> None:
    writer, _ = makeCodec(Smux2Codec, Role.CLIENT)
    data = writer.encodeCredit(3, 999, consumed, window)
    assert data == update(*onWire)
    calls = [("windowReceived", 3, *onWire)]
    assertDecodes(Smux2Codec, Role.SERVER, data, calls)


@pytest.mark.parametrize("window", [0, 65536, 262144])
def test_noNeedToAnnounce(window: int) -> None:
    writer, _ = makeCodec(Smux2Codec, Role.CLIENT)
    assert writer.encodeOpen(3, window, b"") == frame(Smux2Codec, SYN, 3)
    assert writer.encodeAccept(2, window) == b""


def test_aWideWindowIsAnnounced() -> None:
    """
    The peer starts from 262,144 bytes, so that more is told at once.
    """
    writer, _ = makeCodec(Smux2Codec, Role.CLIENT)
    announced = update(0, 262145)
    assert writer.encodeOpen(3, 262145, b"") == frame(Smux2Codec, SYN, 3) + announced
    assert writer.encodeAccept(3, 262145) == announced
    narrow, _ = makeCodec(Smux1Codec, Role.CLIENT)
    assert narrow.encodeOpen(3, 262145, b"") == frame(Smux1Codec, SYN, 3)
    assert narrow.encodeAccept(3, 262145) == b""


def test_version1HasNoUpdate() -> None:
    assert makeCodec(Smux1Codec, Role.CLIENT)[0].encodeCredit(3, 1, 1, 1) == b""
    with pytest.raises(ProtocolError, match="command 4"):
        decode(Smux1Codec, Role.SERVER, [frame(Smux1Codec, UPD, 3, bytes(8))])


@pytest.mark.parametrize("length", [0, 7, 9, 65535])
def test_updateOfAnotherLength(length: int) -> None:
    with pytest.raises(ProtocolError, match="instead of 8"):
        decode(Smux2Codec, Role.SERVER, [frame(Smux2Codec, UPD, 3, bytes(length))])


@pytest.mark.parametrize("codec", VERSIONS)
@pytest.mark.parametrize("command", [SYN, FIN, NOP])
@pytest.mark.parametrize("length", [1, 8, 65535])
def test_payloadWhereNoneBelongs(codec: type[Codec], command: int, length: int) -> None:
    with pytest.raises(ProtocolError, match="payload"):
        decode(codec, Role.SERVER, [frame(codec, command, 3, bytes(length))])


@pytest.mark.parametrize("codec", VERSIONS)
@pytest.mark.parametrize("command", [5, 6, 255])
def test_unknownCommand(codec: type[Codec], command: int) -> None:
    with pytest.raises(ProtocolError, match="unknown"):
        decode(codec, Role.SERVER, [frame(codec, command, 3)])


@pytest.mark.parametrize("codec", VERSIONS)
@pytest.mark.parametrize("version", [0, 1, 2, 3, 0x16, 255])
@pytest.mark.parametrize("command", [SYN, FIN, PSH, NOP, UPD, 99])
def test_version(codec: type[Codec], version: int, command: int) -> None:
    """
    Every frame is of the session's version.
    """
    good = frame(codec, PSH, 3, b"x")
    if version == good[0]:
        return
    with pytest.raises(VersionError):
        decode(codec, Role.SERVER, [good + pack("<BBHI", version, command, 0, 3)])


@pytest.mark.parametrize("codec", VERSIONS)
def test_keys(codec: type[Codec]) -> None:
    assert list(islice(makeCodec(codec, Role.CLIENT)[0].keys(), 3)) == [3, 5, 7]
    assert list(islice(makeCodec(codec, Role.SERVER)[0].keys(), 3)) == [2, 4, 6]


def test_midFrame() -> None:
    reader, sink = makeCodec(Smux2Codec, Role.SERVER)
    data = update(1, 2)
    for index in range(15):
        feed(reader, data[index : index + 1])
        assert reader.midFrame
    feed(reader, data[15:])
    assert not reader.midFrame
    feed(reader, frame(Smux2Codec, PSH, 3, b"ab")[:8])
    assert not reader.midFrame
    assert reader.receive(b"") == b""
    assert len(sink.calls) == 1


@pytest.mark.parametrize("codec", VERSIONS)
def test_framesPerTurn(codec: type[Codec]) -> None:
    reader, sink = makeCodec(codec, Role.SERVER)
    one = frame(codec, NOP, 0)
    rest = reader.receive(one * (FRAMES_PER_TURN + 1) + one[:3])
    assert len(sink.calls) == FRAMES_PER_TURN
    assert rest == one + one[:3]
    assert reader.receive(rest) == b""
    assert reader.receive(one[3:]) == b""
    assert len(sink.calls) == FRAMES_PER_TURN + 2
