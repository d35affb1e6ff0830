"""
What real peers do where their behaviour matters to us and no document says it::

    python tests/interop/quirks.py [part of a name ...]

Each case talks to a peer in raw bytes, in the role of the other side, and
prints what came back.  C{NOTES.md} has the conclusions.
"""

from __future__ import annotations

import json
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.interop.peers import IMPLEMENTATIONS, arguments

Message = dict[str, Any]


class Case:
    """
    A peer that listens, with a raw connection to it.
    """

    def __init__(self, name: str, **options: int) -> None:
        implementation = IMPLEMENTATIONS[name]
        command = arguments(implementation, "listen", "127.0.0.1:0", **options)
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.messages: queue.Queue[Message] = queue.Queue()
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()
        port = self.wait("event", "listening")["port"]
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.wait("event", "ready")

    def listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.messages.put(json.loads(line))

    def wait(self, key: str, value: object, seconds: float = 5) -> Message:
        end = time.monotonic() + seconds
        while True:
            message = self.messages.get(timeout=max(0.01, end - time.monotonic()))
            if message.get(key) == value:
                return message

    def command(self, cmd: str, **fields: object) -> None:
        assert self.process.stdin is not None
        line = json.dumps({"id": 1, "cmd": cmd, "timeout": 3, **fields})
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def send(self, *parts: bytes, pause: float = 0) -> None:
        for part in parts:
            self.socket.sendall(part)
            time.sleep(pause)

    def hear(self, seconds: float = 0.4) -> str:
        """
        All that comes within a time, and whether the connection then ended.
        """
        data, end = b"", time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                got = self.socket.recv(65536)
            except TimeoutError:
                break
            except ConnectionError:
                return f"{short(data)} then reset"
            if not got:
                return f"{short(data)} then closed"
            data += got
        return f"{short(data)} and open"

    def told(self) -> str:
        """
        What the peer reported meanwhile.
        """
        texts = []
        while not self.messages.empty():
            message = self.messages.get()
            kept = {
                key: value
                for key, value in message.items()
                if key not in ("id", "results") and "Sha256" not in key
            }
            texts.append(json.dumps(kept))
        return " ".join(texts) or "nothing"

    def close(self) -> None:
        self.socket.close()
        self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.thread.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


def short(data: bytes) -> str:
    text = data.hex(" ")
    if len(data) > 64:
        return f"{len(data)} bytes starting {text[:96]}"
    return text or "nothing"


def y(kind: int, flags: int, stream: int, length: int, body: bytes = b"") -> bytes:
    """
    A frame of yamux.
    """
    head = bytes((0, kind)) + flags.to_bytes(2, "big")
    return head + stream.to_bytes(4, "big") + length.to_bytes(4, "big") + body


def n(kind: int, flags: int, stream: int, length: int, body: bytes = b"") -> bytes:
    """
    A frame of net-mux.
    """
    return b"\x01" + y(kind, flags, stream, length, body)[1:]


def s(command: int, stream: int, body: bytes = b"", version: int = 1) -> bytes:
    """
    A frame of smux.
    """
    head = bytes((version, command)) + len(body).to_bytes(2, "little")
    return head + stream.to_bytes(4, "little") + body


def v(port: int, body: bytes = b"") -> bytes:
    """
    A frame of vt-muxer.
    """
    address = bytes(10) + b"\xff\xff" + bytes((192, 0, 2, 1))
    return address + port.to_bytes(2, "big") + len(body).to_bytes(2, "big") + body


SYN, ACK, FIN, RST = 1, 2, 4, 8
YAMUX = {
    "hashicorp-yamux": {"keepalive": 0},
    "go-yamux": {"keepalive": 0},
    "rust-yamux": {},
}


def each(title: str, *parts: bytes, seconds: float = 0.4) -> None:
    """
    The same bytes to every implementation of yamux.
    """
    for name, options in YAMUX.items():
        case = Case(name, **options)
        case.send(*parts)
        print(f"{title} | {name} | {case.hear(seconds)} | {case.told()}")
        case.close()


def yamuxWrongParity() -> None:
    each("SYN of the wrong parity", y(1, SYN, 2, 0))


def yamuxDuplicateSyn() -> None:
    each("SYN for a live id", y(1, SYN, 1, 0), y(1, SYN, 1, 0))


def yamuxUnknown() -> None:
    each("DATA for an unknown id", y(0, 0, 5, 3, b"abc"), y(1, 0, 5, 9))


def yamuxFinTwice() -> None:
    each("FIN twice", y(1, SYN, 1, 0), y(1, FIN, 1, 0), y(1, FIN, 1, 0))


def yamuxAfterFin() -> None:
    each(
        "DATA after FIN",
        y(0, SYN, 1, 5, b"echo\n"),
        y(1, FIN, 1, 0),
        y(0, 0, 1, 1, b"x"),
    )


def yamuxGoAway() -> None:
    line = b"hold 200\n"
    each("go-away 0 with a live stream", y(0, SYN, 1, len(line), line), y(3, 0, 0, 0))


def yamuxUnknownPong() -> None:
    each("a pong that nobody asked for", y(2, ACK, 0, 77), y(2, SYN, 0, 78))


def yamuxTooMuch() -> None:
    line = b"hold -1\n"
    data = y(0, SYN, 1, len(line), line) + y(0, 0, 1, 300_000, bytes(300_000))
    each("DATA past the window", data)


def yamuxResetWithCode() -> None:
    line = b"hold 200\n"
    each(
        "WINDOW_UPDATE|RST with 7",
        y(0, SYN, 1, len(line), line),
        y(1, RST, 1, 7),
        seconds=0.6,
    )


def yamuxOpenWithAll() -> None:
    each("DATA|SYN|FIN with payload", y(0, SYN | FIN, 1, 5, b"sink\n"))


def yamuxLongFrame() -> None:
    line = b"sink\n"
    data = y(0, SYN, 1, 200_005, line + bytes(200_000)) + y(1, FIN, 1, 0)
    each("one DATA of 200,005 bytes with SYN", data, seconds=0.8)


def yamuxFlagsOnPing() -> None:
    each("PING on a stream's id", y(1, SYN, 1, 0), y(2, SYN, 1, 5))


def yamuxLateAck() -> None:
    for name, options in YAMUX.items():
        case = Case(name, **options)
        case.command("open", service="echo", size=3, seed=1)
        print(f"opens and gets no ACK | {name} | {case.hear(1)} | {case.told()}")
        case.close()


def yamuxOpenNothing() -> None:
    for name, options in YAMUX.items():
        case = Case(name, **options)
        case.command("open", service="none", name="a")
        first = case.hear(0.3)
        case.command("end", name="a")
        print(
            f"opens, writes nothing, ends | {name} | {first} / {case.hear(0.3)} | {case.told()}"
        )
        case.close()


def yamuxRustManyStreams() -> None:
    for kind, title in ((0, "DATA|SYN"), (1, "WINDOW_UPDATE|SYN")):
        case = Case("rust-yamux", max_streams=1)
        case.send(y(kind, SYN, 1, 0), y(kind, SYN, 3, 0))
        first = case.hear()
        case.send(y(2, SYN, 0, 5))
        print(
            f"{title} over max_streams | rust-yamux | {first} / then a ping: {case.hear()} | {case.told()}"
        )
        case.close()


def yamuxHashicorpWaits() -> None:
    """
    What counts as an answer to its open: the time-out is shortened from 75 s.
    """
    for title, answer in {
        "nothing": b"",
        "ACK": y(1, ACK, 2, 0),
        "DATA": y(0, 0, 2, 1, b"x"),
        "FIN": y(1, FIN, 2, 0),
        "ACK twice": y(1, ACK, 2, 0) * 2,
    }.items():
        case = Case("hashicorp-yamux", keepalive=0, open_timeout=300)
        case.command("open", service="none", name="a")
        case.hear(0.1)
        case.send(answer)
        print(
            f"its open is answered with {title} | hashicorp-yamux | {case.hear(0.6)} | {case.told()}"
        )
        case.close()


def smuxEarlyData() -> None:
    """
    We send as soon as its SYN is there: it knows the stream only a bit later.
    """
    lost = 0
    for _ in range(10):
        case = Case("go-smux", keepalive=0)
        for index in range(10):
            case.command("open", service="none", name=f"s{index}")
            header = case.socket.recv(8)
            case.send(s(2, int.from_bytes(header[4:], "little"), b"abc"))
            case.wait("id", 1)
            case.command("read", name=f"s{index}", size=3, timeout=0.2)
            lost += not case.wait("id", 1)["ok"]
        case.close()
    print(f"data right after its SYN is lost | go-smux | {lost} times of 100")


def lastIds() -> None:
    """
    A stream with the last id that there is, which says something and ends.
    """
    last = 0xFFFFFFFF
    each("the last id", y(0, SYN, last, 5, b"echo\n"), y(0, FIN, last, 2, b"hi"))
    for name, parts in {
        "go-smux": (s(0, last), s(2, last, b"echo\nhi"), s(1, last)),
        "rust-smux": (s(0, last), s(2, last, b"echo\nhi"), s(1, last)),
        "net-mux": (n(0, SYN, last, 5, b"echo\n"), n(0, FIN, last, 2, b"hi")),
    }.items():
        case = Case(name, keepalive=0)
        case.send(*parts)
        print(f"the last id | {name} | {case.hear(0.5)} | {case.told()}")
        case.close()
    # The last one of ours: 60 bits, and the tag behind them.
    case = Case("go-mplex")
    for tag, body in ((0, b"x"), (2, b"echo\nhi"), (4, b"")):
        head = bytes((0xF8 | tag, *[0xFF] * 7, 0x7F))
        case.send(head + bytes((len(body),)) + body)
    print(f"the last id | go-mplex | {case.hear(0.5)} | {case.told()}")
    case.close()


def smuxEarlyEnd() -> None:
    """
    We refuse a stream as soon as its SYN is there, and once more when it sends data.
    """
    missed = again = 0
    for _ in range(10):
        case = Case("go-smux", keepalive=0)
        for index in range(10):
            name = f"s{index}"
            case.command("open", service="none", name=name)
            key = int.from_bytes(case.socket.recv(8)[4:], "little")
            case.send(s(1, key))
            case.wait("id", 1)
            case.command("read-all", name=name, timeout=0.2)
            if not case.wait("id", 1)["ok"]:
                missed += 1
                case.command("write", name=name, hex="00")
                case.socket.recv(9)
                case.send(s(1, key))
                case.wait("id", 1)
                case.command("read-all", name=name, timeout=0.2)
                again += not case.wait("id", 1)["ok"]
        case.close()
    print(
        f"FIN right after its SYN is lost | go-smux | {missed} times of 100, "
        f"{again} of those also the FIN after its data"
    )


def netmuxCases() -> None:
    line = b"hold 200\n"
    opened = n(0, SYN, 1, len(line), line)
    cases: dict[str, list[bytes]] = {
        "SYN of the wrong parity": [n(0, SYN, 2, 0)],
        "SYN for a live id": [n(0, SYN, 1, 0), n(0, SYN, 1, 0)],
        "SYN on WINDOW_UPDATE": [n(1, SYN, 1, 0), n(0, 0, 1, 1, b"x")],
        "FIN on WINDOW_UPDATE": [opened, n(1, FIN, 1, 0)],
        "FIN for an unknown id": [n(0, FIN, 9, 0)],
        "FIN|ACK for an unknown id": [n(0, FIN | ACK, 9, 0)],
        "WINDOW_UPDATE for an unknown id": [n(1, 0, 9, 5)],
        "unknown flag": [n(0, 16, 1, 0)],
        "DATA after FIN": [opened, n(0, FIN, 1, 0), n(0, 0, 1, 1, b"x")],
        "FIN twice": [opened, n(0, FIN, 1, 0), n(0, FIN, 1, 0)],
        "RST with the SYN": [n(0, SYN | RST, 1, 0)],
        "go-away 0 with a live stream": [opened, n(3, 0, 0, 0)],
        "PING|SYN": [n(2, SYN, 0, 5)],
        "a pong that nobody asked for": [n(2, ACK, 0, 5), n(2, 0, 0, 6)],
        "300,000 bytes past the window": [
            opened,
            *[n(0, 0, 1, 60000, bytes(60000))] * 5,
        ],
        "a frame of 65,537": [opened, n(0, 0, 1, 65537, bytes(65537))],
    }
    for title, parts in cases.items():
        case = Case("net-mux", keepalive=0)
        case.send(*parts)
        print(f"{title} | net-mux | {case.hear(0.5)} | {case.told()}")
        case.close()


def netmuxOpenWithoutAck() -> None:
    for title, answer in (
        ("ACK", n(0, ACK, 2, 0)),
        ("DATA without ACK", n(0, 0, 2, 3, b"abc")),
        ("DATA|ACK with payload", n(0, ACK, 2, 3, b"abc")),
        ("ACK on WINDOW_UPDATE", n(1, ACK, 2, 0)),
        ("RST", n(0, RST, 2, 0)),
        ("nothing", b""),
    ):
        case = Case("net-mux", keepalive=0, open_timeout=500)
        case.command("open", service="none", name="a")
        case.hear(0.1)
        case.send(answer)
        print(
            f"its open is answered with {title} | net-mux | {case.hear(0.8)} | {case.told()}"
        )
        case.close()


def netmuxResetAfterEnd() -> None:
    case = Case("net-mux", keepalive=0)
    line = b"manual a\n"
    case.send(n(0, SYN, 1, len(line), line))
    case.hear(0.2)
    case.command("end", name="a")
    case.hear(0.2)
    case.command("reset", name="a")
    print(f"reset after its own FIN | net-mux | {case.hear()} | {case.told()}")
    case.close()


def smuxCases() -> None:
    for name in ("go-smux", "rust-smux"):
        cases: dict[str, list[bytes]] = {
            "SYN of the wrong parity": [s(0, 2), s(2, 2, b"echo\nx")],
            "client id 1": [s(0, 1), s(2, 1, b"echo\nx")],
            "client id 3": [s(0, 3), s(2, 3, b"echo\nx")],
            "SYN for a live id": [s(0, 3), s(0, 3), s(2, 3, b"echo\nx")],
            "SYN with length 1": [s(0, 3, b"x"), s(2, 3, b"echo\nx")],
            "PSH and FIN for an unknown id": [s(2, 9, b"x"), s(1, 9), s(3, 0)],
            "NOP with an id": [s(3, 9), s(0, 3), s(2, 3, b"echo\nx")],
            "UPD in version 1": [s(4, 3, bytes(8)), s(0, 3), s(2, 3, b"echo\nx")],
            "another version": [s(0, 3, version=2), s(2, 3, b"echo\nx", version=2)],
            "unknown command 5": [s(5, 3), s(0, 3), s(2, 3, b"echo\nx")],
            "PSH of 32,760": [s(0, 3), s(2, 3, b"echo\n"), s(2, 3, bytes(32760))],
            "PSH of 32,768": [s(0, 3), s(2, 3, b"echo\n"), s(2, 3, bytes(32768))],
            "PSH of 65,535": [s(0, 3), s(2, 3, b"echo\n"), s(2, 3, bytes(65535))],
        }
        for title, parts in cases.items():
            case = Case(name, keepalive=0)
            case.send(*parts)
            print(f"{title} | {name} | {case.hear()} | {case.told()}")
            case.close()


def smuxVersion2() -> None:
    for name in ("go-smux", "rust-smux"):
        for title, parts in {
            "echo": [s(0, 3, version=2), s(2, 3, b"echo\nxyz", version=2)],
            "UPD that consumed more than was sent": [
                s(0, 3, version=2),
                s(
                    4,
                    3,
                    (99).to_bytes(4, "little") + (9).to_bytes(4, "little"),
                    version=2,
                ),
                s(2, 3, b"echo\nxyz", version=2),
            ],
            "UPD with window 0": [
                s(0, 3, version=2),
                s(4, 3, bytes(8), version=2),
                s(2, 3, b"echo\nxyz", version=2),
            ],
        }.items():
            case = Case(name, version=2, keepalive=0)
            case.send(*parts)
            print(f"version 2, {title} | {name} | {case.hear()} | {case.told()}")
            case.close()


def smuxBudget() -> None:
    """
    A reader that stops: what the peer still takes of the connection.
    """
    for name, version in (("go-smux", 1), ("go-smux", 2), ("rust-smux", 1)):
        case = Case(
            name, version=version, keepalive=0, receive_buffer=65536, window=65536
        )
        case.send(s(0, 3, version=version), s(2, 3, b"hold -1\n", version=version))
        for _ in range(16):
            case.send(s(2, 3, bytes(32000), version=version))
        case.send(s(0, 5, version=version), s(2, 5, b"echo\nx", version=version))
        print(
            f"512,000 unread, budget 65,536, then another stream | {name} {version} | {case.hear(0.5)} | {case.told()}"
        )
        case.close()


def smuxHalfCloseLoses() -> None:
    """
    The peer ends its direction, then gets data and our FIN in one segment.
    """
    lost = 0
    for _ in range(20):
        case = Case("go-smux", keepalive=0)
        case.send(s(0, 3), s(2, 3, b"manual a\n"))
        case.wait("event", "accepted")
        case.command("end", name="a")
        case.wait("id", 1)
        case.send(s(2, 3, bytes(1000)) * 3 + s(1, 3))
        time.sleep(0.05)
        case.command("read-all", name="a")
        lost += case.wait("id", 1)["bytes"] != 3000
        case.close()
    print(
        f"data before our FIN, after its own FIN, is lost | go-smux | {lost} times of 20"
    )


def vtSplit() -> None:
    whole = v(1) + v(1, b"echo\nx") + v(1)
    for nudge in (0, 2):
        for title, parts in {
            "whole": [whole],
            "a header in two reads": [whole[:7], whole[7:]],
            "header and payload in two reads": [whole[:40], whole[40:]],
        }.items():
            case = Case("vt-muxer", nudge=nudge)
            case.send(*parts, pause=0.1)
            print(f"{title}, nudge={nudge} | vt-muxer | {case.hear()} | {case.told()}")
            case.close()


def vtBufferBoundary() -> None:
    """
    Small frames in one write: the peer's reader buffers 8 KiB, and where a
    header lies across its end it is two reads for the peer, however written.
    """
    frames = (
        v(1) + v(1, b"echo\n") + b"".join(v(1, b"x" * 100) for _ in range(200)) + v(1)
    )
    for nudge in (0, 2):
        case = Case("vt-muxer", nudge=nudge)
        case.send(frames)
        print(
            f"20,000 bytes in frames of 100, one write, nudge={nudge} | vt-muxer | {case.hear(1)} | {case.told()}"
        )
        case.close()


def vtCases() -> None:
    for title, parts in {
        "payload for an unknown key": [v(9, b"x") + v(1) + v(1, b"echo\nx") + v(1)],
        "open, end, open again": [
            v(1) + v(1, b"echo\nx") + v(1),
            v(1) + v(1, b"echo\ny") + v(1),
        ],
        "carrier ends": [v(1) + v(1, b"echo\n")],
    }.items():
        case = Case("vt-muxer")
        case.send(*parts, pause=0.2)
        if title == "carrier ends":
            case.socket.shutdown(socket.SHUT_WR)
        print(f"{title} | vt-muxer | {case.hear()} | {case.told()}")
        case.close()


def mplexCases() -> None:
    name = b"1"
    opened = bytes((0, len(name))) + name
    for title, parts in {
        "open, echo, close": [opened, b"\x02\x06echo\nx", b"\x04\x00"],
        "NewStream for a live key": [opened, opened],
        "message for an unknown key": [b"\x22\x01x", opened, b"\x02\x06echo\nx"],
        "tag 7 on a live stream": [opened, b"\x02\x08hold 99\n", b"\x07\x00"],
        "tag 7 on id 1 that the peer did not open": [
            b"\x0f\x01x",
            opened,
            b"\x02\x06echo\nx",
        ],
        "message over 1 MiB": [opened, b"\x02\x81\x80\x40"],
        "a varint that is not minimal": [b"\x80\x00\x01\x31"],
        "close with payload": [opened, b"\x02\x05echo\n", b"\x04\x02ab"],
        "reset then message": [opened, b"\x06\x00", b"\x02\x06echo\nx"],
    }.items():
        case = Case("go-mplex")
        case.send(*parts)
        print(f"{title} | go-mplex | {case.hear(0.5)} | {case.told()}")
        case.close()


CASES: list[Callable[[], None]] = [
    yamuxWrongParity,
    yamuxDuplicateSyn,
    yamuxUnknown,
    yamuxFinTwice,
    yamuxAfterFin,
    yamuxGoAway,
    yamuxUnknownPong,
    yamuxTooMuch,
    yamuxResetWithCode,
    yamuxOpenWithAll,
    yamuxLongFrame,
    yamuxFlagsOnPing,
    yamuxLateAck,
    yamuxOpenNothing,
    yamuxRustManyStreams,
    yamuxHashicorpWaits,
    netmuxCases,
    netmuxOpenWithoutAck,
    netmuxResetAfterEnd,
    smuxCases,
    smuxVersion2,
    smuxBudget,
    smuxHalfCloseLoses,
    smuxEarlyData,
    smuxEarlyEnd,
    lastIds,
    vtSplit,
    vtBufferBoundary,
    vtCases,
    mplexCases,
]

if __name__ == "__main__":
    for case in CASES:
        parts = sys.argv[1:]
        if not parts or any(part.lower() in case.__name__.lower() for part in parts):
            case()
