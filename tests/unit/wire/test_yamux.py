"""
yamux and net-mux, which share a header.
"""

from __future__ import annotations

import platform
from itertools import islice
from struct import pack

import pytest

from tests.unit.wire.sinks import Call, assertDecodes, decode, feed, makeCodec, merged
from twisted_mux.errors import ProtocolError, VersionError
from twisted_mux.wire.base import FRAMES_PER_TURN, Codec, Credit, Role
from twisted_mux.wire.netmux import NetmuxCodec
from twisted_mux.wire.yamux import HeaderCodec, YamuxCodec

DATA, WINDOW_UPDATE, PING, GO_AWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8

BOTH: list[type[HeaderCodec]] = [YamuxCodec, NetmuxCodec]
ROLES = list(Role)


def frame(
    codec: type[HeaderCodec], kind: int, flags: int, stream: int, length: int
) -> bytes:
    return pack(">BBHII", codec.version, kind, flags, stream, length)


def peerKey(role: Role) -> int:
    """
    An id that the peer of this role opens.
    """
    return 2 if role is Role.CLIENT else 1


def yamux(kind: int, flags: int, stream: int, length: int) -> bytes:
    return frame(YamuxCodec, kind, flags, stream, length)


def netmux(kind: int, flags: int, stream: int, length: int) -> bytes:
    return frame(NetmuxCodec, kind, flags, stream, length)


# What both have in common.


@pytest.mark.parametrize("codec", BOTH)
@pytest.mark.parametrize("role", ROLES)
def test_data(codec: type[HeaderCodec], role: Role) -> None:
    data = codec(role, makeCodec(codec, role)[1], 100).payloadHeader(7, 5) + b"hello"
    assert data == frame(codec, DATA, 0, 7, 5) + b"hello"
    assertDecodes(codec, role, data, [("payloadReceived", 7, b"hello")])
    assertDecodes(
        codec,
        role,
        data + frame(codec, DATA, 0, 7, 0) + data,
        [
            ("payloadReceived", 7, b"hello"),
            ("idleReceived",),
            ("payloadReceived", 7, b"hello"),
        ],
    )


@pytest.mark.parametrize("codec", BOTH)
@pytest.mark.parametrize("length", [0, 1, 3])
@pytest.mark.parametrize(
    ("flags", "before", "after"),
    [
        (SYN, ["openReceived"], []),
        (ACK, ["acceptReceived"], []),
        (FIN, [], ["endReceived"]),
        (RST, ["resetReceived"], []),
        (SYN | ACK, ["openReceived", "acceptReceived"], []),
        (SYN | FIN, ["openReceived"], ["endReceived"]),
        (ACK | FIN, ["acceptReceived"], ["endReceived"]),
        (SYN | RST, ["openReceived", "resetReceived"], []),
        (FIN | RST, ["resetReceived"], []),
        (
            SYN | ACK | FIN | RST,
            ["openReceived", "acceptReceived", "resetReceived"],
            [],
        ),
    ],
)
def test_dataWithFlags(
    codec: type[HeaderCodec],
    flags: int,
    before: list[str],
    after: list[str],
    length: int,
) -> None:
    """
    What a flag says about the stream's beginning comes before the payload, what
    it says about its end comes after it; and payload with a reset is skipped.
    """
    arguments: dict[str, Call] = {
        "openReceived": (0, b""),
        "acceptReceived": (0,),
        "endReceived": (),
        "resetReceived": (0,),
    }
    payload = b"abc"[:length]
    calls: list[Call] = [(name, 1, *arguments[name]) for name in before]
    if payload and not flags & RST:
        calls.append(("payloadReceived", 1, payload))
    calls += [(name, 1, *arguments[name]) for name in after]
    following = frame(codec, DATA, 0, 9, 1) + b"x"
    assertDecodes(
        codec,
        Role.SERVER,
        frame(codec, DATA, flags, 1, length) + payload + following,
        [*calls, ("payloadReceived", 9, b"x")],
    )


@pytest.mark.parametrize("codec", BOTH)
def test_endWaitsForThePayload(codec: type[HeaderCodec]) -> None:
    reader, sink = makeCodec(codec, Role.SERVER)
    feed(reader, frame(codec, DATA, SYN | FIN, 1, 3))
    feed(reader, b"ab")
    assert sink.calls == [("openReceived", 1, 0, b""), ("payloadReceived", 1, b"ab")]
    feed(reader, b"c")
    assert sink.calls[2:] == [("payloadReceived", 1, b"c"), ("endReceived", 1)]


@pytest.mark.parametrize("codec", BOTH)
def test_resetDoesNotWaitForThePayload(codec: type[HeaderCodec]) -> None:
    reader, sink = makeCodec(codec, Role.SERVER)
    feed(reader, frame(codec, DATA, RST, 1, 60000) + bytes(100))
    assert sink.calls == [("resetReceived", 1, 0)]
    feed(reader, bytes(59900))
    assert sink.calls == [("resetReceived", 1, 0)]
    feed(reader, frame(codec, DATA, 0, 3, 1) + b"x")
    assert sink.calls[1:] == [("payloadReceived", 3, b"x")]


@pytest.mark.parametrize("codec", BOTH)
@pytest.mark.parametrize("role", ROLES)
def test_credit(codec: type[HeaderCodec], role: Role) -> None:
    writer, _ = makeCodec(codec, role)
    data = writer.encodeCredit(5, 1000, 123456, 654321)
    assert data == frame(codec, WINDOW_UPDATE, 0, 5, 1000)
    assertDecodes(codec, role, data, [("creditReceived", 5, 1000)])
    largest = frame(codec, WINDOW_UPDATE, 0, 5, 0xFFFFFFFF)
    assertDecodes(codec, role, largest, [("creditReceived", 5, 0xFFFFFFFF)])
    assertDecodes(
        codec, role, frame(codec, WINDOW_UPDATE, 0, 5, 0), [("idleReceived",)]
    )


@pytest.mark.parametrize("codec", BOTH)
@pytest.mark.parametrize("role", ROLES)
def test_goAway(codec: type[HeaderCodec], role: Role) -> None:
    writer, _ = makeCodec(codec, role)
    assert writer.encodeGoAway(2) == frame(codec, GO_AWAY, 0, 0, 2)
    for code in (0, 1, 2, 3, 77, 0xFFFFFFFF):
        data = frame(codec, GO_AWAY, 0, 0, code)
        assertDecodes(codec, role, data, [("goAwayReceived", code)])
        assert writer.describeCode(code)


@pytest.mark.parametrize("codec", BOTH)
def test_keys(codec: type[HeaderCodec]) -> None:
    client, _ = makeCodec(codec, Role.CLIENT)
    server, _ = makeCodec(codec, Role.SERVER)
    assert list(islice(client.keys(), 3)) == [1, 3, 5]
    assert list(islice(server.keys(), 3)) == [2, 4, 6]
    everyKey = client.keys()
    assert everyKey.__length_hint__() == 2**31  # type: ignore[attr-defined]


@pytest.mark.skipif(
    platform.python_implementation() == "PyPy",
    reason="whether the slice that is the whole is a copy is up to PyPy's compiler",
)
@pytest.mark.parametrize("codec", BOTH)
def test_aChunkWithinAFrameIsNotCopied(codec: type[HeaderCodec]) -> None:
    reader, sink = makeCodec(codec, Role.SERVER)
    feed(reader, frame(codec, DATA, 0, 1, 20000))
    assert not reader.midFrame
    chunks = [bytes(10000), bytes(10000)]
    for chunk in chunks:
        feed(reader, chunk)
    assert [id(call[2]) for call in sink.calls] == [id(chunk) for chunk in chunks]


@pytest.mark.parametrize("codec", BOTH)
def test_emptyChunk(codec: type[HeaderCodec]) -> None:
    reader, sink = makeCodec(codec, Role.SERVER)
    assert reader.receive(b"") == b""
    feed(reader, frame(codec, DATA, 0, 1, 5) + b"ab")
    assert reader.receive(b"") == b""
    assert sink.calls == [("payloadReceived", 1, b"ab")]


@pytest.mark.parametrize("codec", BOTH)
def test_midFrame(codec: type[HeaderCodec]) -> None:
    reader, _ = makeCodec(codec, Role.SERVER)
    data = frame(codec, DATA, 0, 1, 2)
    assert not reader.midFrame
    for index in range(11):
        feed(reader, data[index : index + 1])
        assert reader.midFrame
    feed(reader, data[11:])
    assert not reader.midFrame
    feed(reader, b"ab")
    assert not reader.midFrame


@pytest.mark.parametrize("codec", BOTH)
@pytest.mark.parametrize(
    "tiny", [(DATA, 0, 1, 0), (PING, ACK, 0, 7), (DATA, FIN, 1, 0)]
)
def test_framesPerTurn(
    codec: type[HeaderCodec], tiny: tuple[int, int, int, int]
) -> None:
    reader, sink = makeCodec(codec, Role.SERVER)
    one = frame(codec, *tiny)
    rest = reader.receive(one * (2 * FRAMES_PER_TURN + 1) + one[:5])
    assert len(sink.calls) == FRAMES_PER_TURN
    assert rest == one * (FRAMES_PER_TURN + 1) + one[:5]
    rest = reader.receive(rest)
    assert rest == one + one[:5]
    assert reader.receive(rest) == b""
    assert reader.midFrame
    assert reader.receive(one[5:]) == b""
    assert len(sink.calls) == 2 * FRAMES_PER_TURN + 2


@pytest.mark.parametrize("codec", BOTH)
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    ("kind", "flags", "stream", "length"),
    [
        (4, 0, 1, 0),
        (0xFF, 0, 0, 0),
        (DATA, 0x10, 1, 0),
        (DATA, 0x8000, 1, 3),
        (WINDOW_UPDATE, 0x100, 1, 3),
        (PING, 0x11, 0, 3),
        (GO_AWAY, 0x10, 0, 0),
        (GO_AWAY, SYN, 0, 0),
        (GO_AWAY, ACK, 0, 0),
        (DATA, 0, 0, 0),
        (DATA, 0, 0, 5),
        (DATA, SYN, 0, 0),
        (DATA, FIN, 0, 0),
        (WINDOW_UPDATE, 0, 0, 5),
        (WINDOW_UPDATE, SYN, 0, 0),
        (PING, SYN, 1, 5),
        (PING, ACK, 1, 5),
        (PING, 0, 1, 5),
        (GO_AWAY, 0, 1, 0),
        (PING, SYN | ACK, 0, 5),
        (PING, FIN, 0, 5),
        (PING, RST, 0, 5),
    ],
)
def test_refused(
    codec: type[HeaderCodec],
    role: Role,
    kind: int,
    flags: int,
    stream: int,
    length: int,
) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode(codec, role, [frame(codec, kind, flags, stream, length)])
    assert caught.value.kind == "protocol"
    assert codec.name in str(caught.value)


@pytest.mark.parametrize("codec", BOTH)
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("flags", [SYN, SYN | FIN, SYN | ACK, SYN | RST])
def test_synOfOurParity(codec: type[HeaderCodec], role: Role, flags: int) -> None:
    ours = peerKey(role.other)
    with pytest.raises(ProtocolError, match="no id of the peer's"):
        decode(codec, role, [frame(codec, DATA, flags, ours, 0)])
    assert decode(codec, role, [frame(codec, DATA, SYN, peerKey(role), 0)]) == [
        ("openReceived", peerKey(role), 0, b"")
    ]


@pytest.mark.parametrize("codec", BOTH)
@pytest.mark.parametrize("version", [0, 1, 2, 0x16, 0xFF])
@pytest.mark.parametrize("kind", [DATA, WINDOW_UPDATE, PING, GO_AWAY, 99])
def test_version(codec: type[HeaderCodec], version: int, kind: int) -> None:
    if version == codec.version:
        return
    good = frame(codec, DATA, 0, 1, 1) + b"x"
    with pytest.raises(VersionError) as caught:
        decode(codec, Role.SERVER, [good + pack(">BBHII", version, kind, 0, 1, 1)])
    assert caught.value.kind == "version"


@pytest.mark.parametrize("codec", BOTH)
def test_errorsOfTheSinkPass(codec: type[HeaderCodec]) -> None:
    """
    The sink ends the session by raising, too.
    """
    reader, sink = makeCodec(codec, Role.SERVER)

    def refuse(key: object, data: bytes) -> None:
        raise ProtocolError("no")

    sink.payloadReceived = refuse  # type: ignore[method-assign]
    with pytest.raises(ProtocolError, match="no"):
        reader.receive(frame(codec, DATA, 0, 1, 1) + b"x")


# yamux alone.


def test_yamuxCapabilities() -> None:
    capabilities = YamuxCodec.capabilities
    assert capabilities.credit is Credit.DELTA
    assert capabilities.initialWindow == 262144
    assert capabilities.windowAnnounced
    assert capabilities.openBacklog == 256
    assert (capabilities.reset, capabilities.ack, capabilities.ping) == (True,) * 3
    assert (capabilities.keepAlive, capabilities.keepAliveTimeout) == (30, 10)


@pytest.mark.parametrize(
    ("window", "delta"), [(0, 0), (262144, 0), (262145, 1), (16777216, 16515072)]
)
def test_yamuxOpenAndAccept(window: int, delta: int) -> None:
    """
    A window beyond the initial one is announced as the rest; a smaller one
    can't be.
    """
    client, _ = makeCodec(YamuxCodec, Role.CLIENT)
    server, _ = makeCodec(YamuxCodec, Role.SERVER)
    opened = client.encodeOpen(1, window, b"")
    assert opened == yamux(WINDOW_UPDATE, SYN, 1, delta)
    assertDecodes(YamuxCodec, Role.SERVER, opened, [("openReceived", 1, delta, b"")])
    accepted = server.encodeAccept(1, window)
    assert accepted == yamux(WINDOW_UPDATE, ACK, 1, delta)
    assertDecodes(YamuxCodec, Role.CLIENT, accepted, [("acceptReceived", 1, delta)])


def test_yamuxEncoders() -> None:
    writer, _ = makeCodec(YamuxCodec, Role.CLIENT)
    assert writer.encodeEnd(3) == yamux(WINDOW_UPDATE, FIN, 3, 0)
    assert writer.encodeReset(3) == yamux(WINDOW_UPDATE, RST, 3, 0)
    assert writer.encodePing(0xFFFFFFFF) == yamux(PING, SYN, 0, 0xFFFFFFFF)
    assert writer.encodePong(9) == yamux(PING, ACK, 0, 9)


@pytest.mark.parametrize("role", ROLES)
def test_yamuxPing(role: Role) -> None:
    assertDecodes(YamuxCodec, role, yamux(PING, SYN, 0, 7), [("pingReceived", 7)])
    assertDecodes(YamuxCodec, role, yamux(PING, ACK, 0, 7), [("pongReceived", 7)])


def test_yamuxPingWithoutFlags() -> None:
    with pytest.raises(ProtocolError, match="ping"):
        decode(YamuxCodec, Role.CLIENT, [yamux(PING, 0, 0, 7)])


@pytest.mark.parametrize(
    ("flags", "delta", "calls"),
    [
        (SYN, 5, [("openReceived", 1, 5, b"")]),
        (ACK, 5, [("acceptReceived", 1, 5)]),
        (FIN, 0, [("endReceived", 1)]),
        (FIN, 5, [("creditReceived", 1, 5), ("endReceived", 1)]),
        (RST, 0, [("resetReceived", 1, 0)]),
        (RST, 5, [("resetReceived", 1, 5)]),
        (FIN | RST, 5, [("resetReceived", 1, 5)]),
        (SYN | RST, 5, [("openReceived", 1, 0, b""), ("resetReceived", 1, 5)]),
        (ACK | RST, 5, [("acceptReceived", 1, 0), ("resetReceived", 1, 5)]),
        (SYN | FIN, 5, [("openReceived", 1, 5, b""), ("endReceived", 1)]),
        (ACK | FIN, 5, [("acceptReceived", 1, 5), ("endReceived", 1)]),
        (SYN | ACK, 5, [("openReceived", 1, 5, b""), ("acceptReceived", 1, 0)]),
    ],
)
def test_yamuxWindowUpdateWithFlags(flags: int, delta: int, calls: list[Call]) -> None:
    """
    A delta is told once, and is an error's code, not credit, beside RST.
    """
    data = yamux(WINDOW_UPDATE, flags, 1, delta)
    assertDecodes(YamuxCodec, Role.SERVER, data, calls)


def test_yamuxLongestFrame() -> None:
    """
    The longest frame that the header can tell of needs no memory.
    """
    reader, sink = makeCodec(YamuxCodec, Role.SERVER)
    feed(reader, yamux(DATA, SYN, 1, 0xFFFFFFFF) + b"abc")
    feed(reader, b"def")
    assert merged(sink.calls) == [
        ("openReceived", 1, 0, b""),
        ("payloadReceived", 1, b"abcdef"),
    ]


def test_yamuxMaxFrame() -> None:
    """
    Whatever we are asked for, we send no frame that rust peers refuse.
    """
    assert makeCodec(YamuxCodec, Role.CLIENT, 2**31)[0].maxFrame == 1024 * 1024
    assert makeCodec(YamuxCodec, Role.CLIENT, 1000)[0].maxFrame == 1000


def test_yamuxCodes() -> None:
    writer, _ = makeCodec(YamuxCodec, Role.CLIENT)
    assert writer.describeCode(0) == "normal"
    assert writer.describeCode(1) == "protocol error"
    assert writer.describeCode(2) == "internal error"
    assert writer.describeCode(9) == "code 9"
    assert set(YamuxCodec.goAwayCodes.values()) == {0, 1, 2}


# net-mux alone.


def test_netmuxCapabilities() -> None:
    capabilities = NetmuxCodec.capabilities
    assert capabilities.credit is Credit.DELTA
    assert capabilities.initialWindow == 262144
    assert not capabilities.windowAnnounced
    assert (capabilities.reset, capabilities.ack, capabilities.ping) == (True,) * 3
    assert (capabilities.keepAlive, capabilities.keepAliveTimeout) == (30, 30)


def test_netmuxEncoders() -> None:
    writer, _ = makeCodec(NetmuxCodec, Role.CLIENT)
    assert writer.encodeOpen(1, 1 << 24, b"") == netmux(DATA, SYN, 1, 0)
    assert writer.encodeAccept(2, 1 << 24) == netmux(DATA, ACK, 2, 0)
    assert writer.encodeEnd(1) == netmux(DATA, FIN, 1, 0)
    assert writer.encodeReset(1) == netmux(DATA, RST, 1, 0)
    assert writer.encodePing(5) == netmux(PING, 0, 0, 5)
    assert writer.encodePong(5) == netmux(PING, ACK, 0, 5)


@pytest.mark.parametrize("role", ROLES)
def test_netmuxPing(role: Role) -> None:
    assertDecodes(NetmuxCodec, role, netmux(PING, 0, 0, 7), [("pingReceived", 7)])
    assertDecodes(NetmuxCodec, role, netmux(PING, ACK, 0, 7), [("pongReceived", 7)])


def test_netmuxPingWithSyn() -> None:
    with pytest.raises(ProtocolError, match="ping"):
        decode(NetmuxCodec, Role.CLIENT, [netmux(PING, SYN, 0, 7)])


@pytest.mark.parametrize("flags", [SYN, ACK, FIN, RST, FIN | RST])
def test_netmuxWindowUpdateWithFlags(flags: int) -> None:
    with pytest.raises(ProtocolError, match="flags"):
        decode(NetmuxCodec, Role.SERVER, [netmux(WINDOW_UPDATE, flags, 1, 5)])


@pytest.mark.parametrize(
    ("maxFrame", "accepted"), [(1000, 65536), (65536, 65536), (100000, 100000)]
)
@pytest.mark.parametrize("flags", [0, SYN])
def test_netmuxLongestFrame(maxFrame: int, accepted: int, flags: int) -> None:
    """
    A payload may have the length of the peer's default, and of our
    configuration if that is more.
    """
    reader, sink = makeCodec(NetmuxCodec, Role.SERVER, maxFrame)
    assert reader.maxFrame == maxFrame
    feed(reader, netmux(DATA, flags, 1, accepted) + bytes(accepted))
    assert merged(sink.calls)[-1] == ("payloadReceived", 1, bytes(accepted))
    with pytest.raises(ProtocolError, match=str(accepted)):
        feed(reader, netmux(DATA, flags, 1, accepted + 1))


def test_netmuxHugeFrame() -> None:
    with pytest.raises(ProtocolError, match="payload"):
        decode(NetmuxCodec, Role.SERVER, [netmux(DATA, 0, 1, 0xFFFFFFFF)])


def test_netmuxCodes() -> None:
    writer, _ = makeCodec(NetmuxCodec, Role.CLIENT)
    assert [NetmuxCodec.goAwayCodes[kind] for kind in ("flow", "streams")] == [3, 4]
    assert writer.describeCode(3) == "flow-control error"
    assert writer.describeCode(6) == "timeout"
    assert writer.describeCode(7) == "code 7"
    for kind, number in NetmuxCodec.goAwayCodes.items():
        assert writer.describeCode(number), kind


@pytest.mark.parametrize("codec", BOTH)
def test_everyKindOfErrorHasACode(codec: type[Codec]) -> None:
    kinds = {"normal", "protocol", "flow", "version", "internal", "timeout"}
    assert kinds <= set(codec.goAwayCodes)
