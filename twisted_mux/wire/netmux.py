"""
net-mux: the format of the crate U{net-mux <https://docs.rs/net-mux>} 1.0
(Rust).

The header is yamux's with another version byte, and so is the loop that reads
it: L{HeaderCodec<twisted_mux.wire.yamux.HeaderCodec>}.  The differences:

  - SYN, ACK, FIN and RST ride on DATA alone.  The peer ignores them on a
    WINDOW_UPDATE (C{session/reader.rs}, C{dispatch}) and sends none; here they
    are refused, since whoever sends them expects an effect.
  - A ping is a PING without flags.
  - Windows are not announced: each side takes the other's to equal its own
    configuration.
  - Go-away has codes for more causes.
  - The length of a payload is bounded by configuration, 65,536 bytes by
    default (C{config.rs}).
"""

from __future__ import annotations

from typing import ClassVar

from twisted_mux.compiling import mypyc_attr
from twisted_mux.errors import ProtocolError
from twisted_mux.wire.base import Capabilities, Codec, Credit, FrameSink, Key, Role
from twisted_mux.wire.yamux import ACK, DATA, FIN, PING, RST, SYN, HeaderCodec

#: What the peer's configuration starts with.
INITIAL_WINDOW = 262144
DEFAULT_MAX_FRAME = 65536


@mypyc_attr(allow_interpreted_subclasses=True)
class NetmuxCodec(HeaderCodec):
    """
    net-mux 1.0.
    """

    name = "netmux"
    version = 1
    # No go-away: it begins with all that a NOP of smux 1 is, and the client of an
    # idle smux session, unlike one that leaves, is worth waiting for.
    openings = (b"\1\0\0\1", b"\1\0\0\5", b"\1\2\0\0")
    capabilities = Capabilities(
        credit=Credit.DELTA,
        initialWindow=INITIAL_WINDOW,
        windowAnnounced=False,
        reset=True,
        ack=True,
        ping=True,
        goAway=True,
        goAwayEndsStreams=True,
        keepAlive=30,
        keepAliveTimeout=30,
        # protocol/codec.rs, ABSOLUTE_MAX_PAYLOAD: no configuration of the peer
        # goes beyond it.
        maxPayload=16 * 1024 * 1024,
    )
    # error.rs, ErrorCode.
    goAwayCodes: ClassVar = {
        "normal": 0,
        "protocol": 1,
        "internal": 2,
        "flow": 3,
        "streams": 4,
        "version": 5,
        "timeout": 6,
    }

    def __init__(self, role: Role, sink: FrameSink, maxFrame: int) -> None:
        super().__init__(role, sink, maxFrame)
        # A peer with its defaults sends 65,536 bytes in a frame however short
        # ours are.
        self._accept(max(self._maxFrame, DEFAULT_MAX_FRAME))

    def _windowUpdate(self, key: int, flags: int, delta: int) -> None:
        if flags:
            raise ProtocolError(
                f"stream {key}: netmux window update with flags {flags:#06x}"
            )
        if delta:
            self._sink.creditReceived(key, delta)
        else:
            self._sink.idleReceived()

    def _ping(self, flags: int, value: int) -> None:
        if flags == 0:
            self._sink.pingReceived(value)
        elif flags == ACK:
            self._sink.pongReceived(value)
        else:
            raise ProtocolError(f"netmux ping with flags {flags:#06x}")

    def encodeOpen(self, key: Key, window: int, name: bytes) -> bytes:
        return self._frame(DATA, SYN, key, 0)

    def encodeAccept(self, key: Key, window: int) -> bytes:
        return self._frame(DATA, ACK, key, 0)

    def encodeEnd(self, key: Key) -> bytes:
        return self._frame(DATA, FIN, key, 0)

    def encodeReset(self, key: Key) -> bytes:
        return self._frame(DATA, RST, key, 0)

    def encodePing(self, value: int) -> bytes:
        return self._frame(PING, 0, 0, value)

    def describeCode(self, code: int) -> str:
        words = (
            "normal",
            "protocol error",
            "internal error",
            "flow-control error",
            "stream limit",
            "invalid version",
            "timeout",
        )
        return words[code] if code < len(words) else f"code {code}"


codecs: tuple[type[Codec], ...] = (NetmuxCodec,)
