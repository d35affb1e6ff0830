"""
What a hostile or broken peer may send, on every wire: a table of inputs and of what comes
of them.

C{test_hostile} tries them; C{python -m tests.conformance.bad_inputs} writes
C{docs/reference/bad-inputs.md}.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from struct import pack
from typing import Any

from tests.unit.wire.sinks import RecordingSink
from twisted_mux.errors import (
    FlowControlError,
    MuxError,
    PeerComplaint,
    ProtocolError,
    VersionError,
)
from twisted_mux.wire import codecNamed
from twisted_mux.wire.base import Codec, Role

KIB = 1024
WINDOW = 256 * KIB

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
    @ivar effect: what comes of it, in words, where the rest does not tell.
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
    effect: str = ""


NO_MORE = "this side opens no more streams"
LESS = "the stream may send less"


def strangers(code: type[ProtocolError] | None = VersionError) -> list[Case]:
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
        Case(
            "delta up to the most",
            header(UPDATE, 0, 1, 0xFFFFFFFF - WINDOW),
            effect="the stream may send more",
        ),
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
        Case("go-away", header(AWAY, 0, 0, 0), effect=NO_MORE),
        Case("go-away twice", header(AWAY, 0, 0, 0) * 2, effect=NO_MORE),
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
        for code in (*range(1, 8), 255, 0xFFFFFFFF)
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
        Case("SYN for id 0 on an update", yamux(UPDATE, SYN, 0, 0), ProtocolError),
        Case(
            "wrong parity on an update",
            yamux(UPDATE, SYN, 4, 0),
            ProtocolError,
            "no id of the peer",
        ),
        Case(
            "SYN for a live id on an update",
            yamux(UPDATE, SYN, 1, 0),
            ProtocolError,
            "while it is open",
        ),
        Case(
            "FIN and RST on an update",
            yamux(UPDATE, FIN | RST, 1, 0),
            live=["reset"],
            streams=1,
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
    def data(size: int, key: int = 3) -> bytes:
        return b"".join(
            smux(2, PSH, key, bytes(min(32768, size - start)))
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
        Case("consumed 2^32 - 1", upd(3, 0xFFFFFFFF, WINDOW), effect=LESS),
        Case("consumed 2^31", upd(3, 0x80000000, WINDOW), FlowControlError),
        Case("window 0", upd(3, 0, 0), effect="the stream may send nothing"),
        Case(
            "window 2^32 - 1",
            upd(3, 0, 0xFFFFFFFF),
            effect="the stream may send more",
        ),
        Case(
            "shrinking",
            upd(3, 0, 1000) + upd(3, 0, 10) + upd(3, 0, 0),
            effect=LESS,
        ),
        Case("the same again", upd(3, 0, WINDOW) * 3),
        Case("window", data(WINDOW), paused=True),
        Case("window + 1", data(WINDOW + 1), FlowControlError, paused=True),
        Case(
            "window + 1 with the open",
            smux(2, SMUX_SYN, 5) + data(WINDOW + 1, 5),
            FlowControlError,
            "were allowed",
            opened=2,
            paused=True,
        ),
    ]


def mplexCases() -> list[Case]:
    # Keys: the client's streams are odd here, the server's even.
    longest = uvarint((1 << 60) - 1 << 3 | NEW)[:9]
    mebibyte = 1024 * KIB
    *others, ones = strangers(None)
    return [
        # To some wires nothing is garbage; but see "Elsewhere".
        *others,
        replace(ones, ended=ProtocolError, says="more than 9"),
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
    tls, *others = strangers(None)
    return [
        replace(tls, opened=3, streams=4),
        *others,
        Case("zeros", zero, effect="nothing yet: a part of a header"),
        Case("the address of zeros", vtmux(zero), opened=2, streams=3),
        Case("ones, with data", b"\xff" * 20 + bytes(1000)),
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


# The page in the documentation.

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "bad-inputs.md"

_INTRODUCTION = """\
# Bad inputs

What a peer may send that it should not, or that is unusual, and what comes of it. This page is written by
`python -m tests.conformance.bad_inputs` from the table that `tests/conformance/test_hostile.py` tries, each input whole,
byte by byte, and cut at every byte; not by hand.

The input comes to a server on whose session there are two streams, one that the peer has opened, and one that the server
has. So TLS, HTTP and SSH are in the middle of a session here; for a carrier that begins with them see
[elsewhere](#elsewhere).

- **ignored**: nothing comes of it, but that some such frames count as idle (`idleBurst`), or as stray data (`strayBytes`);
  see [limits](limits.md).
- **the session ends**: every stream's `connectionLost` gets `SessionLost`, `whenClosed` fails with the error that is named,
  and the peer is sent a go-away with the code, on wires that have one; see [errors](errors.md).
"""

_ELSEWHERE = """
## Elsewhere

| input | what comes of it | tried in |
| --- | --- | --- |
| TLS, HTTP, SSH, the PROXY protocol from byte 0 | the session ends; the log says what the peer seems to speak, on every wire, on either side | `tests/conformance/test_errors.py` |
| the same where the first bytes tell the wire (`wire=auto`), or nothing, or what no wire begins with | the carrier is refused, with a line in the log | `tests/unit/test_detection.py` |
| an open that is not valid | no stream is made | `tests/conformance/test_hostile.py` |
| a pong with another value, or twice | ignored | `tests/conformance/test_hostile.py` |
| an id whose stream both sides have ended | a new stream | `tests/conformance/test_hostile.py` |
| counters that wrap at 2^32 (smux 2) | as if they did not | `tests/unit/engine/test_credit.py` |
| multistream: a line without newline, of length 0, of 1 MiB, endless `na` | the stream is reset, the session goes on | `tests/unit/test_negotiation_accepting.py`, `tests/unit/test_negotiation_proposing.py` |
| simple names: empty, too long | the stream is reset, the session goes on | `tests/unit/test_negotiation_accepting.py` |
| floods of pings, opens, resets, one-byte frames, frames without effect | see [limits](limits.md) | `tests/conformance/test_floods.py`, `tests/attacks` |
| a peer that never reads; that opens and never sends; that sends and never closes | see [limits](limits.md) | `tests/conformance/test_floods.py`, `tests/attacks` |
| garbage, of any kind | one of the above | `tests/conformance/test_hostile.py`, `tests/fuzz` |
"""

_EVENTS = {
    "data": "data is delivered",
    "ended": "the peer's direction has ended",
    "reset": "the stream is lost: reset by the peer",
    "accepted": "our stream is acknowledged",
}


def _outcome(wire: str, case: Case) -> str:
    codec = codecNamed(wire)
    if case.ended is not None:
        text = f"the session ends: `{case.ended.__name__}`"
        if codec.capabilities.goAway and issubclass(case.ended, ProtocolError):
            code = codec.goAwayCodes[case.ended.kind]
            text += f", go-away {code} ({_codeName(codec, code)})"
        return text
    if case.effect:
        return case.effect
    parts = [_EVENTS[event] for event in case.live]
    parts += [
        text if text.startswith("our") else f"{text}, on our stream"
        for text in (_EVENTS[event] for event in case.ours)
    ]
    if case.opened > 1:
        opened = case.opened - 1
        gone = case.opened + 1 - case.streams - case.live.count("reset")
        parts.append("a stream is opened" if opened == 1 else "streams are opened")
        if gone > 0:
            parts[-1] += ", and is lost at once"
    if any(call[0] == "pongReceived" for call in case.heard or ()):
        parts.append("it is answered")
    if case.paused and not parts:
        parts.append("held for the reader")
    return "; ".join(parts) or "ignored"


def _codeName(codec: type[Codec], code: int) -> str:
    made = codec(Role.SERVER, RecordingSink(), 1 << 15)
    return made.describeCode(code)


def page() -> str:
    """
    The page.
    """
    parts = [_INTRODUCTION]
    for wire, cases in sorted(TABLE.items()):
        parts.append(f"\n## {wire}\n\n| input | what comes of it |\n| --- | --- |\n")
        parts += [f"| {case.text} | {_outcome(wire, case)} |\n" for case in cases]
    return "".join(parts) + _ELSEWHERE


if __name__ == "__main__":
    PAGE.write_text(page())
