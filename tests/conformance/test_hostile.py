"""
What a hostile or broken peer may send, on every wire: a table of inputs and of
what comes of them, floods, and garbage.

An input is ignored, or costs the stream, or ends the session: with which error
on our side, and with which code of a go-away on the peer's.  How it is cut into
chunks makes no difference.  Nothing that is received may raise anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from struct import pack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.property.pipe import Driver, Remote, User
from twisted_mux.config import MuxConfig
from twisted_mux.engine.stream import CHUNK_CHARGE, Stream
from twisted_mux.errors import (
    FlowControlError,
    LimitExceeded,
    MuxError,
    PeerComplaint,
    PeerTimeout,
    ProtocolError,
    VersionError,
)
from twisted_mux.wire import wireNames, wires
from twisted_mux.wire.base import FRAMES_PER_TURN, Credit, Role

KIB = 1024
WINDOW = 256 * KIB
CODES = {name: codec.goAwayCodes for name, codec in wires().items()}

capabilities = {name: codec.capabilities for name, codec in wires().items()}
everyWire = pytest.mark.parametrize("wire", wireNames())


def wiresThat(test: Callable[[Any], object]) -> Any:
    """
    The wires whose capabilities pass a test.
    """
    return pytest.mark.parametrize(
        "wire", [name for name in wireNames() if test(capabilities[name])]
    )


# Frames, by hand.

DATA, UPDATE, PING, AWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8


def yamux(
    kind: int,
    flags: int,
    key: int,
    length: int,
    payload: bytes = b"",
    *,
    version: int = 0,
) -> bytes:
    return pack(">BBHII", version, kind, flags, key, length) + payload


def netmux(kind: int, flags: int, key: int, length: int, payload: bytes = b"") -> bytes:
    return yamux(kind, flags, key, length, payload, version=1)


Header = Callable[..., bytes]

SMUX_SYN, SMUX_FIN, PSH, NOP, UPD = range(5)


def smux(
    version: int, command: int, key: int, payload: bytes = b"", length: int = -1
) -> bytes:
    size = len(payload) if length < 0 else length
    return pack("<BBHI", version, command, size, key) + payload


def upd(key: int, consumed: int, window: int) -> bytes:
    return smux(2, UPD, key, pack("<II", consumed, window))


NEW, MESSAGE_R, MESSAGE_I, CLOSE_R, CLOSE_I, RESET_R, RESET_I, TAG7 = range(8)


def uvarint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def mplex(key: int, tag: int, payload: bytes = b"", length: int = -1) -> bytes:
    size = len(payload) if length < 0 else length
    return uvarint(key << 3 | tag) + uvarint(size) + payload


def vtmux(address: bytes, payload: bytes = b"") -> bytes:
    return address + pack(">H", len(payload)) + payload


# The table.


@dataclass
class Case:
    """
    An input, and what comes of it.

    It comes to a server, with a stream that the peer has opened (C{LIVE}) and
    one that the server has (C{OURS}).

    @ivar text: what it is.
    @ivar data: the input.
    @ivar ended: the error that the session ends with, if it does.
    @ivar says: what that error says, or part of it.
    @ivar heard: what the peer is sent, but for the go-away at an end.
    @ivar live: what the owner of C{LIVE} is told, unless the session ends.
    @ivar ours: what the owner of C{OURS} is told, likewise.
    @ivar opened: how many streams there were, in the end, that the peer has
        opened.
    @ivar streams: how many streams there are in the end.
    @ivar paused: do readers pause?
    """

    text: str
    data: bytes
    ended: type[MuxError] | None = None
    says: str = ""
    heard: list[Any] | None = None
    live: list[str] = field(default_factory=list)
    ours: list[str] = field(default_factory=list)
    opened: int = 1
    streams: int = 2
    paused: bool = False


def strangers(code: type[ProtocolError] = VersionError) -> list[Case]:
    """
    Clients of something else.
    """
    hello = bytes.fromhex("16030100c8010000c40303")
    return [
        Case("TLS", hello + bytes(60), code),
        Case("HTTP", b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n", code),
        Case("SSH", b"SSH-2.0-OpenSSH_9.6\r\n", code),
        Case("ones", b"\xff" * 40, code),
    ]


def headerCases(header: Header, name: str) -> list[Case]:
    """
    What yamux and net-mux have in common.
    """
    version = 0 if header is yamux else 1
    big = WINDOW // 4

    def data(key: int, size: int, flags: int = 0) -> bytes:
        """
        Payload in frames that both wires take.
        """
        frames = b""
        while size:
            part = min(size, big)
            frames += header(DATA, flags, key, part, bytes(part))
            flags, size = 0, size - part
        return frames

    cases = [
        *strangers(),
        Case("version", yamux(DATA, 0, 1, 0, version=version ^ 1), VersionError),
        Case("version 2", yamux(DATA, 0, 1, 0, version=2), VersionError),
        Case("type 4", header(4, 0, 1, 0), ProtocolError, "type 4"),
        Case("type 255", header(255, 0, 1, 0), ProtocolError, "type 255"),
        Case("reserved flag", header(DATA, 0x10, 1, 0), ProtocolError, "0x0010"),
        Case("highest flag", header(DATA, 0x8000, 1, 0), ProtocolError, "0x8000"),
        Case("data for id 0", header(DATA, 0, 0, 0), ProtocolError, "id 0"),
        Case("update for id 0", header(UPDATE, 0, 0, 1), ProtocolError, "id 0"),
        Case("empty data", header(DATA, 0, 1, 0)),
        # Credit.
        Case("window", data(1, WINDOW), paused=True),
        Case("window + 1", data(1, WINDOW + 1), FlowControlError, paused=True),
        Case(
            "window + 1 with the open",
            data(3, WINDOW + 1, SYN),
            FlowControlError,
            "were allowed",
            opened=2,
            paused=True,
        ),
        Case(
            "delta 2^32 - 1",
            header(UPDATE, 0, 1, 0xFFFFFFFF),
            FlowControlError,
            "past the wire's",
        ),
        Case("delta up to the most", header(UPDATE, 0, 1, 0xFFFFFFFF - WINDOW)),
        Case(
            "deltas that add up past it",
            header(UPDATE, 0, 1, 0x7FFFFFFF) * 3,
            FlowControlError,
        ),
        Case("delta 0", header(UPDATE, 0, 1, 0)),
        Case("delta for nobody", header(UPDATE, 0, 99, 5)),
        Case(
            "delta after the end",
            header(DATA, FIN, 1, 0) + header(UPDATE, 0, 1, 9),
            live=["ended"],
        ),
        # Opening.
        Case("SYN for id 0", header(DATA, SYN, 0, 0), ProtocolError, "id 0"),
        Case(
            "wrong parity", header(DATA, SYN, 4, 0), ProtocolError, "no id of the peer"
        ),
        Case(
            "SYN for ours", header(DATA, SYN, 2, 0), ProtocolError, "no id of the peer"
        ),
        Case(
            "SYN for a live id",
            header(DATA, SYN, 1, 0),
            ProtocolError,
            "while it is open",
        ),
        Case(
            "a used id",
            header(DATA, RST, 1, 0) + header(DATA, SYN, 1, 0),
            live=["reset"],
            opened=2,
            heard=[("acceptReceived", 1, 0)],
        ),
        Case(
            "a decreasing id",
            header(DATA, SYN, 7, 0) + header(DATA, SYN, 5, 0),
            opened=3,
            streams=4,
            heard=[("acceptReceived", 7, 0), ("acceptReceived", 5, 0)],
        ),
        Case(
            "the highest id",
            header(DATA, SYN, 0xFFFFFFFF, 0),
            opened=2,
            streams=3,
            heard=[("acceptReceived", 0xFFFFFFFF, 0)],
        ),
        Case(
            "SYN with FIN",
            header(DATA, SYN | FIN, 3, 1, b"x"),
            opened=2,
            streams=3,
            heard=[("acceptReceived", 3, 0)],
        ),
        Case(
            "SYN with RST",
            header(DATA, SYN | RST, 3, 1, b"x"),
            opened=2,
            heard=[("acceptReceived", 3, 0)],
        ),
        Case(
            "SYN with ACK",
            header(DATA, SYN | ACK, 3, 0),
            opened=2,
            streams=3,
            heard=[("acceptReceived", 3, 0)],
        ),
        Case(
            "SYN with all",
            header(DATA, SYN | ACK | FIN | RST, 3, 2, b"xy"),
            opened=2,
            heard=[("acceptReceived", 3, 0)],
        ),
        Case("ACK unasked", header(DATA, ACK, 1, 0)),
        Case("ACK", header(DATA, ACK, 2, 0), ours=["accepted"]),
        Case("ACK twice", header(DATA, ACK, 2, 0) * 2, ours=["accepted"]),
        Case("ACK for nobody", header(DATA, ACK, 99, 0)),
        # Ending.
        Case("FIN", header(DATA, FIN, 1, 1, b"x"), live=["data", "ended"]),
        Case("FIN twice", header(DATA, FIN, 1, 0) * 2, ProtocolError, "ended twice"),
        Case(
            "data after FIN",
            header(DATA, FIN, 1, 0) + header(DATA, 0, 1, 1, b"x"),
            ProtocolError,
            "after the end",
        ),
        Case("FIN for nobody", header(DATA, FIN, 99, 0)),
        Case("RST", header(DATA, RST, 1, 0), live=["reset"], streams=1),
        Case(
            "RST with payload",
            header(DATA, RST, 1, 3, b"abc"),
            live=["reset"],
            streams=1,
        ),
        Case("RST refuses", header(DATA, RST, 2, 0), ours=["reset"], streams=1),
        Case(
            "RST after FIN",
            header(DATA, FIN, 1, 0) + header(DATA, RST, 1, 0),
            live=["ended", "reset"],
            streams=1,
        ),
        Case("RST for nobody", header(DATA, RST, 99, 0)),
        Case(
            "anything after RST",
            header(DATA, RST, 1, 0)
            + header(DATA, 0, 1, 3, b"abc")
            + header(DATA, ACK, 1, 0)
            + header(DATA, FIN, 1, 0)
            + header(DATA, RST, 1, 0)
            + header(UPDATE, 0, 1, 0xFFFFFFFF),
            live=["reset"],
            streams=1,
        ),
        Case("data for nobody", header(DATA, 0, 99, 5, b"hello")),
        # Session frames.
        Case("pong unasked", header(PING, ACK, 0, 7)),
        Case("pong twice", header(PING, ACK, 0, 7) * 2),
        Case("ping for a stream", header(PING, ACK, 1, 7), ProtocolError, "id 1"),
        Case(
            "ping with both flags",
            header(PING, SYN | ACK, 0, 7),
            ProtocolError,
            "0x0003",
        ),
        Case("ping with FIN", header(PING, FIN, 0, 7), ProtocolError, "0x0004"),
        Case("go-away for a stream", header(AWAY, 0, 1, 0), ProtocolError, "id 1"),
        Case(
            "go-away with a flag",
            header(AWAY, SYN, 0, 0),
            ProtocolError,
            "go-away with flags",
        ),
        Case("go-away", header(AWAY, 0, 0, 0)),
        Case("go-away twice", header(AWAY, 0, 0, 0) * 2),
        Case(
            "opens after it",
            header(AWAY, 0, 0, 0) + header(DATA, SYN, 3, 0),
            opened=2,
            streams=3,
            heard=[("acceptReceived", 3, 0)],
        ),
    ]
    cases += [
        Case(f"go-away {code}", header(AWAY, 0, 0, code), PeerComplaint)
        for code in (1, 2, 3, 6, 7, 255, 0xFFFFFFFF)
    ]
    return cases


def yamuxCases() -> list[Case]:
    return [
        *headerCases(yamux, "yamux"),
        # More than a frame of any peer.
        Case(
            "data of 2^32 - 1",
            yamux(DATA, 0, 1, 0xFFFFFFFF, bytes(WINDOW)),
            paused=True,
        ),
        Case(
            "data of 2^32 - 1, more of it",
            yamux(DATA, 0, 1, 0xFFFFFFFF, bytes(WINDOW + 1)),
            FlowControlError,
            paused=True,
        ),
        Case(
            "data of 2^32 - 1 for nobody", yamux(DATA, 0, 99, 0xFFFFFFFF, bytes(1000))
        ),
        Case(
            "window in one frame", yamux(DATA, 0, 1, WINDOW, bytes(WINDOW)), paused=True
        ),
        Case(
            "RST with 2^32 - 1 of payload",
            yamux(DATA, RST, 1, 0xFFFFFFFF, bytes(1000)),
            live=["reset"],
            streams=1,
        ),
        Case(
            "an open with too much credit",
            yamux(UPDATE, SYN, 3, 0xFFFFFFFF),
            FlowControlError,
        ),
        Case(
            "an open with credit",
            yamux(UPDATE, SYN, 3, 1000),
            opened=2,
            streams=3,
            heard=[("acceptReceived", 3, 0)],
        ),
        Case(
            "an acceptance with too much credit",
            yamux(UPDATE, ACK, 2, 0xFFFFFFFF),
            FlowControlError,
        ),
        Case(
            "SYN with FIN on an update",
            yamux(UPDATE, SYN | FIN, 3, 0),
            opened=2,
            streams=3,
            heard=[("acceptReceived", 3, 0)],
        ),
        Case(
            "SYN with RST on an update",
            yamux(UPDATE, SYN | RST, 3, 7),
            opened=2,
            heard=[("acceptReceived", 3, 0)],
        ),
        Case("FIN on an update", yamux(UPDATE, FIN, 1, 10), live=["ended"]),
        Case(
            "FIN twice on updates",
            yamux(UPDATE, FIN, 1, 10) * 2,
            ProtocolError,
            "ended twice",
        ),
        Case("RST on an update", yamux(UPDATE, RST, 1, 0), live=["reset"], streams=1),
        Case(
            "RST with a code",
            yamux(UPDATE, RST, 1, 0xFFFFFFFF),
            live=["reset"],
            streams=1,
        ),
        Case("ping", yamux(PING, SYN, 0, 7), heard=[("pongReceived", 7)]),
        Case("ping without flags", yamux(PING, 0, 0, 7), ProtocolError, "0x0000"),
        Case(
            "ping with SYN for a stream", yamux(PING, SYN, 1, 7), ProtocolError, "id 1"
        ),
    ]


def netmuxCases() -> list[Case]:
    return [
        *headerCases(netmux, "netmux"),
        Case("frame of 64 KiB", netmux(DATA, 0, 1, 65536, bytes(65536)), paused=True),
        Case(
            "frame of 64 KiB + 1",
            netmux(DATA, 0, 1, 65537),
            ProtocolError,
            "65537 bytes",
        ),
        Case("frame of 2^32 - 1", netmux(DATA, 0, 1, 0xFFFFFFFF), ProtocolError),
        Case(
            "frame of 2^32 - 1 for nobody",
            netmux(DATA, RST, 99, 0xFFFFFFFF),
            ProtocolError,
        ),
        Case(
            "SYN on an update", netmux(UPDATE, SYN, 3, 0), ProtocolError, "flags 0x0001"
        ),
        Case(
            "ACK on an update", netmux(UPDATE, ACK, 2, 0), ProtocolError, "flags 0x0002"
        ),
        Case(
            "FIN on an update", netmux(UPDATE, FIN, 1, 0), ProtocolError, "flags 0x0004"
        ),
        Case(
            "RST on an update", netmux(UPDATE, RST, 1, 0), ProtocolError, "flags 0x0008"
        ),
        Case("ping", netmux(PING, 0, 0, 7), heard=[("pongReceived", 7)]),
        Case("ping with SYN", netmux(PING, SYN, 0, 7), ProtocolError, "0x0001"),
    ]


def smuxCases(version: int) -> list[Case]:
    other = 3 - version

    def frame(command: int, key: int, payload: bytes = b"", length: int = -1) -> bytes:
        return smux(version, command, key, payload, length)

    return [
        *strangers(),
        Case(
            "version mixed",
            smux(other, PSH, 3, b"x"),
            VersionError,
            f"smux version {other}",
        ),
        Case("version 0", smux(0, NOP, 0), VersionError),
        Case("version 255", smux(255, NOP, 0), VersionError),
        Case("command 5", frame(5, 3), ProtocolError, "command 5"),
        Case("command 255", frame(255, 3), ProtocolError, "command 255"),
        Case("payload on SYN", frame(SMUX_SYN, 5, b"x"), ProtocolError, "1 bytes"),
        Case("payload on FIN", frame(SMUX_FIN, 3, b"x"), ProtocolError, "1 bytes"),
        Case("payload on NOP", frame(NOP, 0, b"x"), ProtocolError, "1 bytes"),
        Case("length on SYN alone", frame(SMUX_SYN, 5, length=65535), ProtocolError),
        Case("NOP", frame(NOP, 0)),
        Case("NOP for a stream", frame(NOP, 3)),
        # Parity isn't checked by the Go peer, nor is the order.
        Case("SYN for id 0", frame(SMUX_SYN, 0), opened=2, streams=3),
        Case("wrong parity", frame(SMUX_SYN, 8), opened=2, streams=3),
        Case("SYN for ours", frame(SMUX_SYN, 2)),
        Case("SYN for a live id", frame(SMUX_SYN, 3)),
        Case(
            "a decreasing id",
            frame(SMUX_SYN, 9) + frame(SMUX_SYN, 5),
            opened=3,
            streams=4,
        ),
        Case("the highest id", frame(SMUX_SYN, 0xFFFFFFFF), opened=2, streams=3),
        Case("empty data", frame(PSH, 3)),
        Case("data for nobody", frame(PSH, 99, b"hello")),
        Case("data of 65,535 for nobody", frame(PSH, 99, bytes(65535))),
        Case("FIN", frame(PSH, 3, b"x") + frame(SMUX_FIN, 3), live=["data", "ended"]),
        Case("FIN twice", frame(SMUX_FIN, 3) * 2, live=["ended"]),
        Case(
            "data after FIN", frame(SMUX_FIN, 3) + frame(PSH, 3, b"x"), live=["ended"]
        ),
        Case("SYN after FIN", frame(SMUX_FIN, 3) + frame(SMUX_SYN, 3), live=["ended"]),
        Case("FIN for nobody", frame(SMUX_FIN, 99)),
        Case("FIN for ours", frame(SMUX_FIN, 2), ours=["ended"]),
    ]


def smux1Cases() -> list[Case]:
    return [
        *smuxCases(1),
        Case("UPD", smux(1, UPD, 3, bytes(8)), ProtocolError, "command 4"),
        Case(
            "more than a window",
            b"".join(smux(1, PSH, 3, bytes(65535)) for _ in range(5)),
            paused=True,
        ),
    ]


def smux2Cases() -> list[Case]:
    def data(size: int) -> bytes:
        return b"".join(
            smux(2, PSH, 3, bytes(min(32768, size - start)))
            for start in range(0, size, 32768)
        )

    return [
        *smuxCases(2),
        *(
            Case(
                f"UPD of {size} bytes",
                smux(2, UPD, 3, bytes(size)),
                ProtocolError,
                f"{size} bytes instead of 8",
            )
            for size in (0, 1, 7, 9, 65535)
        ),
        Case("UPD for nobody", upd(99, 1, 1)),
        Case("UPD after FIN", smux(2, SMUX_FIN, 3) + upd(3, 0, 5), live=["ended"]),
        Case(
            "consumed more than sent",
            upd(3, 1, WINDOW),
            FlowControlError,
            "consumed 1 bytes",
        ),
        Case("consumed 2^32 - 1", upd(3, 0xFFFFFFFF, WINDOW)),
        Case("consumed 2^31", upd(3, 0x80000000, WINDOW), FlowControlError),
        Case("window 0", upd(3, 0, 0)),
        Case("window 2^32 - 1", upd(3, 0, 0xFFFFFFFF)),
        Case("shrinking", upd(3, 0, 1000) + upd(3, 0, 10) + upd(3, 0, 0)),
        Case("the same again", upd(3, 0, WINDOW) * 3),
        Case("window", data(WINDOW), paused=True),
        Case("window + 1", data(WINDOW + 1), FlowControlError, paused=True),
    ]


def mplexCases() -> list[Case]:
    # Keys: the client's streams are odd here, the server's even.
    longest = uvarint((1 << 60) - 1 << 3 | NEW)[:9]
    mebibyte = 1024 * KIB
    return [
        Case("endless varint", b"\x80" * 20, ProtocolError, "more than 9"),
        Case("endless length", b"\x02" + b"\xff" * 12, ProtocolError, "more than 9"),
        Case("non-minimal header", b"\x82\0\0", ProtocolError, "not minimal"),
        Case("non-minimal length", b"\x02\x81\0x", ProtocolError, "not minimal"),
        Case("non-minimal, longer", b"\x80\x80\x80\0", ProtocolError, "not minimal"),
        Case("id 2^60", mplex(1 << 60, NEW), ProtocolError, "more than 9"),
        Case("the highest id", longest + b"\0", opened=2, streams=3),
        # Odd tags are for streams that the other side has opened.
        Case("tag 7", mplex(0, TAG7), ours=["reset"], streams=1),
        Case("tag 7 with payload", mplex(0, TAG7, b"hello"), ours=["reset"], streams=1),
        Case("tag 7 for nobody", mplex(99, TAG7, b"hello")),
        Case("NewStream twice", mplex(0, NEW), ProtocolError, "while it is open"),
        Case("a used id", mplex(0, RESET_I) + mplex(0, NEW), live=["reset"], opened=2),
        Case("a decreasing id", mplex(9, NEW) + mplex(5, NEW), opened=3, streams=4),
        Case("1 MiB", mplex(0, MESSAGE_I, bytes(mebibyte)), paused=True),
        Case(
            "1 MiB + 1",
            mplex(0, MESSAGE_I, length=mebibyte + 1),
            ProtocolError,
            "1048577 bytes",
        ),
        Case("2^62 bytes", mplex(0, MESSAGE_I, length=1 << 62), ProtocolError),
        Case(
            "1 MiB + 1 for nobody",
            mplex(99, MESSAGE_I, length=mebibyte + 1),
            ProtocolError,
        ),
        Case("a name of 1 MiB", mplex(5, NEW, bytes(mebibyte)), opened=2, streams=3),
        Case("a name of 1 MiB + 1", mplex(5, NEW, length=mebibyte + 1), ProtocolError),
        Case("a name that is no text", mplex(5, NEW, b"\xff\0"), opened=2, streams=3),
        Case("a close of 1 MiB", mplex(0, CLOSE_I, bytes(mebibyte)), live=["ended"]),
        Case("empty message", mplex(0, MESSAGE_I)),
        Case("message for nobody", mplex(99, MESSAGE_I, b"x")),
        # As if the server had opened it.
        Case("message for the other's", mplex(1, MESSAGE_R, b"x")),
        Case("for ours", mplex(0, MESSAGE_R, b"x"), ours=["data"]),
        Case("close for nobody", mplex(99, CLOSE_I)),
        Case("reset for nobody", mplex(99, RESET_I)),
        Case("close", mplex(0, CLOSE_I), live=["ended"]),
        Case("close twice", mplex(0, CLOSE_I) * 2, live=["ended"]),
        Case(
            "message after close",
            mplex(0, CLOSE_I) + mplex(0, MESSAGE_I, b"x"),
            live=["ended"],
        ),
        Case(
            "NewStream after close",
            mplex(0, CLOSE_I) + mplex(0, NEW),
            ProtocolError,
            "while it is open",
        ),
        Case("reset", mplex(0, RESET_I), live=["reset"], streams=1),
        Case(
            "reset after close",
            mplex(0, CLOSE_I) + mplex(0, RESET_I),
            live=["ended", "reset"],
            streams=1,
        ),
        Case(
            "anything after a reset",
            mplex(0, RESET_I)
            + mplex(0, MESSAGE_I, b"x")
            + mplex(0, CLOSE_I)
            + mplex(0, RESET_I),
            live=["reset"],
            streams=1,
        ),
        Case("reset for ours", mplex(0, RESET_R), ours=["reset"], streams=1),
    ]


def vtmuxCases() -> list[Case]:
    live = bytes.fromhex("fd74776d757800010000000000000001 0001")
    ours = bytes.fromhex("fd74776d757800020000000000000001 0001")
    zero = bytes(18)
    return [
        Case("zeros", zero, opened=1),
        Case("the address of zeros", vtmux(zero), opened=2, streams=3),
        Case("ones", b"\xff" * 20 + bytes(1000)),
        Case("data for nobody", vtmux(zero, b"hello")),
        Case("data of 65,535 for nobody", vtmux(zero, bytes(65535))),
        Case("an end", vtmux(live), live=["ended"]),
        Case("an end twice", vtmux(live) * 2, live=["ended"]),
        Case("data after the end", vtmux(live) + vtmux(live, b"x"), live=["ended"]),
        # The peer meant to open it, and it is taken for an end.
        Case("simultaneous open", vtmux(ours), ours=["ended"]),
        Case("data after that", vtmux(ours) + vtmux(ours, b"x"), ours=["ended"]),
        Case("open and end", vtmux(zero) * 2, opened=2, streams=3),
        Case("more than a window", vtmux(live, bytes(65535)) * 5, paused=True),
    ]


TABLE: dict[str, list[Case]] = {
    "yamux": yamuxCases(),
    "netmux": netmuxCases(),
    "smux1": smux1Cases(),
    "smux2": smux2Cases(),
    "mplex": mplexCases(),
    "vtmux": vtmuxCases(),
}


def test_everyWireHasATable() -> None:
    assert set(TABLE) == set(wireNames())


class Scene:
    """
    A server with a stream of the peer's and one of its own.
    """

    def __init__(self, wire: str, *, paused: bool = False, **options: Any) -> None:
        config = MuxConfig(keepAlive=0, keepAliveTimeout=0, **options)
        self.driver = Driver(wire, Role.SERVER, config)
        self.session = self.driver.session
        if paused:
            self.driver.accept = self.acceptPaused
        self.remote = Remote(self.driver)
        self.live = self.remote.open()
        self.ours = self.driver.open()
        self.remote.heard()

    def acceptPaused(self, stream: Stream) -> None:
        self.driver.takeStream(stream)
        stream.pauseReading()


def cutUp(data: bytes) -> Iterator[list[bytes]]:
    """
    Ways to cut an input: not at all, byte by byte, and at every place; if it is a
    long one, in a few ways.
    """
    yield [data]
    if len(data) > 500:
        yield [data[:7], data[7:13], data[13:1000], data[1000:]]
        yield [data[start : start + 4099] for start in range(0, len(data), 4099)]
        return
    yield [data[index : index + 1] for index in range(len(data))]
    for cut in range(1, len(data)):
        yield [data[:cut], data[cut:]]


@pytest.mark.parametrize(
    ("wire", "case"),
    [
        pytest.param(wire, case, id=f"{wire}: {case.text}")
        for wire, cases in TABLE.items()
        for case in cases
    ],
)
def test_table(wire: str, case: Case) -> None:
    """
    Each input of the table, however it is cut.
    """
    for chunks in cutUp(case.data):
        scene = Scene(wire, paused=case.paused)
        driver = scene.driver
        driver.feed(*chunks)
        heard = scene.remote.heard()
        if case.ended is None:
            assert driver.error is None
            assert scene.live.names() == case.live
            assert scene.ours.names() == case.ours
            assert len(scene.session.streams) == case.streams
            expected = case.heard or []
        else:
            error = driver.endedWith(case.ended)
            assert case.says in str(error)
            for user in (scene.live, scene.ours):
                assert user.events[-1] == ("lost", error)
            expected = []
            if capabilities[wire].goAway and isinstance(error, ProtocolError):
                expected = [("goAwayReceived", CODES[wire][error.kind])]
            if case.heard is None:
                heard = heard[-len(expected) :] if expected else []
        assert heard == expected
        assert len(driver.opened) == case.opened or case.ended
        # Whatever it was: what is held is what the streams hold.
        users = [scene.live, scene.ours, *driver.opened[1:]]
        assert scene.session.held == sum(user.stream.backlogSize for user in users)


CODED = [
    ("netmux", yamux(DATA, 0, 1, 0), 5),
    ("netmux", netmux(9, 0, 1, 0), 1),
    ("netmux", netmux(UPDATE, 0, 1, 0xFFFFFFFF), 3),
    ("yamux", netmux(DATA, 0, 1, 0), 1),
    ("yamux", yamux(9, 0, 1, 0), 1),
    ("yamux", yamux(UPDATE, 0, 1, 0xFFFFFFFF), 1),
]


@pytest.mark.parametrize(("wire", "data", "code"), CODED)
def test_codes(wire: str, data: bytes, code: int) -> None:
    """
    The go-away says what was wrong, in the wire's own numbers.
    """
    scene = Scene(wire)
    scene.driver.feed(data)
    assert scene.remote.heard() == [("goAwayReceived", code)]


@everyWire
def test_theFirstFrameIsValidatedFirst(wire: str) -> None:
    """
    An open that is not valid makes no stream.
    """
    driver = Driver(wire, Role.SERVER)
    bad = {
        "yamux": yamux(UPDATE, SYN, 1, 0xFFFFFFFF),
        "netmux": netmux(DATA, SYN, 2, 0),
        "smux1": smux(1, SMUX_SYN, 3, b"x"),
        "smux2": smux(2, SMUX_SYN, 3, b"x"),
        "mplex": mplex(0, NEW, length=1 << 21),
    }.get(wire)
    if bad is None:
        return
    driver.feed(bad)
    assert driver.opened == []
    assert isinstance(driver.error, ProtocolError)
    driver.assertIdle()


# Floods.


def drip(scene: Scene, frame: bytes, times: int) -> int:
    """
    Send a frame again and again, in chunks as a carrier delivers them, as long as
    the session reads.

    @return: how many were sent.
    """
    each = max(1, 65536 // len(frame))
    sent = 0
    while sent < times and scene.session.reading and not scene.session.over:
        scene.driver.feed(frame * each)
        sent += each
    return sent


@wiresThat(lambda each: each.ping)
def test_pingFlood(wire: str) -> None:
    """
    A peer that pings and reads is answered; one that does not read is not read
    either, and in the end given up.
    """
    scene = Scene(wire)
    ping = scene.remote.codec.encodePing(7)
    sent = drip(scene, ping, 20_000)
    assert scene.driver.error is None
    assert len(scene.remote.heard()) == sent

    scene.driver.block()
    sent = drip(scene, ping, 10**6)
    most = scene.session.config.controlBacklog + FRAMES_PER_TURN * len(ping)
    assert sent * len(ping) <= most + 2 * 65536
    assert scene.session._outbox.controlSize <= most
    assert len(scene.session._unread) <= 65536
    scene.driver.advance(scene.session.config.writeTimeout)
    scene.driver.endedWith(PeerTimeout)
    assert len(scene.session._unread) == 0


@everyWire
def test_openFlood(wire: str) -> None:
    """
    No more streams than the limit; those beyond it are refused, and too many of
    those end the session.
    """
    scene = Scene(wire, maxStreams=100)
    remote = scene.remote
    for _ in range(99):
        remote.send(remote.opening(remote.key()))
    assert scene.session.inbound == 100
    refused = 0
    while not scene.session.over:
        remote.send(remote.opening(remote.key()))
        refused += 1
        assert scene.session.inbound <= 100
        assert len(scene.session.table.owed) <= scene.session.config.rememberedStreams
    assert refused == 1001
    assert scene.driver.endedWith(LimitExceeded).limit == "resetBurst"
    assert len(scene.driver.opened) == 100


@wiresThat(lambda each: each.reset)
def test_rapidReset(wire: str) -> None:
    """
    Opening and resetting over and over ends the session (CVE-2023-44487), and
    leaves nothing behind until then.
    """
    scene = Scene(wire)
    remote = scene.remote
    count = 0
    while not scene.session.over:
        key = remote.key()
        remote.send(remote.opening(key) + remote.resetting(key))
        count += 1
        assert len(scene.session.streams) <= 2
    assert count == 1001
    assert scene.driver.endedWith(LimitExceeded).limit == "resetBurst"


@wiresThat(lambda each: each.reset)
def test_madeToReset(wire: str) -> None:
    """
    So does making us reset (CVE-2025-8671).
    """
    scene = Scene(wire)
    remote = scene.remote
    count = 0
    while not scene.session.over:
        user = remote.open()
        user.leave()
        remote.send(remote.data(user.stream.key, b"x"))
        count += 1
    assert count == 1001
    assert scene.driver.endedWith(LimitExceeded).limit == "resetBurst"


@everyWire
def test_openAndEnd(wire: str) -> None:
    """
    Streams that end at once, in order, may come as many as there are keys, and
    leave nothing behind.
    """
    scene = Scene(wire)
    remote = scene.remote

    def accept(stream: Stream) -> None:
        user = User(scene.driver).attach(stream)
        user.hooks["ended"] = user.leave

    scene.driver.accept = accept
    for _ in range(3000):
        key = remote.key()
        remote.send(remote.opening(key) + remote.end(key))
    assert scene.driver.error is None
    assert len(scene.session.streams) == 2
    assert not scene.session.table.owed
    assert not scene.session.table._ended


@everyWire
def test_oneByteFrames(wire: str) -> None:
    """
    One-byte frames to a reader that pauses: what they cost is what is counted.
    """
    scene = Scene(wire, receiveBudget=100_000, window=50_000)
    scene.live.stream.pauseReading()
    frame = scene.remote.data(scene.live.stream.key, b"x")
    drip(scene, frame, 500_000)
    held = scene.live.stream.held
    if wire == "netmux":
        # Others may use the wire's first window before they hear of ours.
        scene.driver.endedWith(FlowControlError)
        return
    assert not scene.session.reading
    assert 90_000 <= held <= 100_000 + FRAMES_PER_TURN
    cost = scene.session.held
    assert cost <= 100_000 + FRAMES_PER_TURN
    backlog = scene.live.stream._backlog
    assert backlog is not None
    assert len(backlog) * CHUNK_CHARGE + held == cost
    assert len(scene.session._unread) <= 65536
    # It all arrives.
    scene.live.stream.resumeReading()
    scene.driver.run()
    assert scene.session.held == 0
    assert scene.session.reading


@everyWire
def test_manyReadersThatPause(wire: str) -> None:
    """
    A peer that fills a thousand streams whose readers pause: no more is held
    than the session's budget, and a turn.
    """
    budget = 2_000_000
    scene = Scene(wire, paused=True, receiveBudget=budget)
    remote = scene.remote
    keys = [remote.key() for _ in range(900)]
    remote.send(*(remote.opening(key) for key in keys))
    remote.heard()
    for key in keys * 100:
        if not scene.session.reading:
            break
        remote.send(remote.data(key, bytes(1000)))
    assert scene.driver.error is None
    assert budget <= scene.session.held <= budget + 1000 + CHUNK_CHARGE
    for user in scene.driver.opened:
        user.stream.resumeReading()
    scene.driver.run()
    assert scene.session.held == 0
    remote.send(remote.data(keys[0], b"on it goes"))
    assert scene.driver.opened[1].received.endswith(b"on it goes")


@everyWire
def test_onePeerThatNeverReads(wire: str) -> None:
    """
    What is written to a peer that does not read waits in the streams, where the
    writers are told of it, and in the end the peer is given up.
    """
    scene = Scene(wire, writeTimeout=30)
    user = scene.live
    scene.driver.block()
    for _ in range(100):
        user.stream.write(bytes(1000))
    scene.driver.run()
    assert user.stream.buffered == 100_000
    scene.driver.advance(29)
    assert user.events == []
    scene.driver.advance(1)
    scene.driver.endedWith(PeerTimeout)
    assert user.stream.buffered == 0


@wiresThat(lambda each: each.credit is not Credit.NONE)
def test_aPeerThatGivesNoCredit(wire: str) -> None:
    """
    A stream whose peer gives no credit waits, holds up nobody else, and is given
    up when its owner has left.
    """
    scene = Scene(wire, lingerTimeout=300)
    scene.live.stream.write(bytes(WINDOW + 1))
    scene.ours.stream.write(b"hello")
    scene.driver.run()
    assert scene.live.stream.buffered == 1
    assert scene.ours.stream.buffered == 0
    scene.driver.advance(10_000)
    assert len(scene.session.streams) == 2
    scene.live.leave()
    scene.driver.run()
    scene.driver.advance(600)
    assert list(scene.session.streams) == [scene.ours.stream.key]


@everyWire
def test_opensAndNeverSends(wire: str) -> None:
    """
    A peer that opens streams and sends nothing has them; they are bounded, and
    nothing runs.
    """
    scene = Scene(wire)
    scene.remote.send(*(scene.remote.opening(scene.remote.key()) for _ in range(999)))
    scene.remote.heard()
    scene.driver.advance(100_000)
    assert scene.driver.error is None
    assert scene.session.inbound == 1000
    assert scene.driver.tickTime is None
    assert not scene.session.hasOutput


@everyWire
def test_sendsAndNeverCloses(wire: str) -> None:
    """
    A peer that goes on sending to one who has left is reset; or, where there is
    no reset, what it sends is dropped.
    """
    scene = Scene(wire)
    user = scene.live
    user.leave()
    for _ in range(100):
        scene.remote.send(scene.remote.data(user.stream.key, bytes(30_000)))
    assert scene.driver.error is None
    assert scene.session.held == 0
    assert user.stream.gone is capabilities[wire].reset


@everyWire
def test_strayFlood(wire: str) -> None:
    """
    Data for streams that never were ends the session when it gets too much.
    """
    scene = Scene(wire, strayBytes=WINDOW)
    key = scene.remote.key()
    sent = 0
    while not scene.session.over:
        scene.remote.send(scene.remote.data(key, bytes(10_000)))
        sent += 10_000
    assert WINDOW < sent <= WINDOW + 10_000
    assert scene.driver.endedWith(LimitExceeded).limit == "strayBytes"


@wiresThat(lambda each: not each.addressed)
def test_idleFlood(wire: str) -> None:
    """
    Frames without effect end the session when there are too many, in one chunk
    or in many (CVE-2019-9518).
    """
    for times in (1, 5000):
        scene = Scene(wire)
        frame = scene.remote.codec.payloadHeader(
            scene.remote.mirror(scene.live.stream.key), 0
        )
        scene.driver.feed(frame * 1000)
        assert not scene.session.over
        scene.driver.feed(frame * times)
        assert scene.driver.endedWith(LimitExceeded).limit == "idleBurst"


@everyWire
def test_framesOfAWholeTurn(wire: str) -> None:
    """
    A chunk full of frames is no more work than a turn's at once.
    """
    scene = Scene(wire)
    frame = scene.remote.data(scene.live.stream.key, b"x")
    scene.session.receive(frame * 4000, 0)
    assert len(scene.live.received) == FRAMES_PER_TURN
    scene.driver.run()
    assert len(scene.live.received) == 4000


# Garbage.

#: Numbers that are likely to be the borders of something.
edges = st.sampled_from(
    [
        *(0, 1, 2, 3, 4, 5, 7, 8, 9, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x10000),
        *(WINDOW - 1, WINDOW, WINDOW + 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF),
    ]
)


def nearlyFrames(wire: str) -> st.SearchStrategy[bytes]:
    """
    What has the shape of a frame of the wire, with anything in it.
    """
    payload = st.binary(max_size=20)
    small = st.integers(0, 9)
    if wire in ("yamux", "netmux"):
        version = 0 if wire == "yamux" else 1
        return st.builds(
            lambda kind, flags, key, length, data: (
                pack(">BBHII", version, kind, flags, key, length) + data
            ),
            st.integers(0, 4),
            st.integers(0, 16),
            small,
            edges,
            payload,
        )
    if wire in ("smux1", "smux2"):
        version = int(wire[-1])
        return st.builds(
            lambda command, key, data: smux(version, command, key, data),
            st.integers(0, 5),
            small,
            st.one_of(
                payload,
                st.just(b""),
                st.builds(lambda a, b: pack("<II", a, b), edges, edges),
            ),
        )
    if wire == "mplex":
        return st.builds(mplex, small, st.integers(0, 7), payload)
    return st.builds(
        lambda last, data: vtmux(bytes(17) + bytes([last]), data), small, payload
    )


@given(st.data())
def test_garbage(data: st.DataObject) -> None:
    """
    Whatever comes, in whatever chunks, ends in nothing but what the
    documentation says; every owner is told once; and what is held is counted.
    """
    wire = data.draw(st.sampled_from(wireNames()))
    scene = Scene(wire, maxStreams=5, idleBurst=20, resetBurst=10, window=1000)
    driver = scene.driver
    frames = data.draw(
        st.lists(
            st.one_of(nearlyFrames(wire), nearlyFrames(wire), st.binary(max_size=30)),
            max_size=25,
        )
    )
    habits = data.draw(
        st.lists(
            st.sampled_from(["", "pause", "leave", "reset", "end"]),
            min_size=1,
            max_size=5,
        )
    )

    def accept(stream: Stream) -> None:
        habit = habits[len(driver.opened) % len(habits)]
        if habit == "leave":
            return
        driver.takeStream(stream)
        user = driver.opened[-1]
        if habit == "pause":
            stream.pauseReading()
        elif habit == "reset":
            user.hooks["data"] = lambda _: user.reset()
        elif habit == "end":
            stream.endWriting()

    driver.accept = accept
    for frame in frames:
        driver.feed(frame)
        driver.now += data.draw(st.sampled_from([0, 0, 0.1, 70]))
        if driver.tickTime is not None and driver.tickTime <= driver.now:
            driver.advance(0)
        streams = scene.session.streams
        assert scene.session.inbound <= 5
        assert len(streams) <= 6
        users = [scene.ours, *driver.opened]
        assert scene.session.held == sum(user.stream.backlogSize for user in users)
    error = driver.error
    assert error is None or isinstance(error, ProtocolError | PeerComplaint)
    driver.lose()
    driver.sent()
    for user in (scene.ours, *driver.opened):
        last = [name for name in user.names() if name in ("lost", "reset")]
        assert len(last) <= 1
        user.stream.resumeReading()
        driver.run()
        if not user.finished and not user.over:
            user.leave()
    driver.assertIdle()
