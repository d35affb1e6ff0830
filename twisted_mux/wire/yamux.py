"""
yamux: the format of U{hashicorp/yamux
<https://github.com/hashicorp/yamux/blob/master/spec.md>} (Go) and of libp2p's
yamux (Go, Rust, JavaScript).

A frame is twelve bytes of header, big-endian, and, in DATA frames, a
payload::

    version u8 | type u8 | flags u16 | stream id u32 | length u32

What the last field means depends on the type: bytes of payload for DATA, bytes
of credit for WINDOW_UPDATE, an opaque value for PING, a code for GO_AWAY.

The flags are what opens, acknowledges, ends and resets a stream, and they ride
on DATA or WINDOW_UPDATE, alone or several together.  Peers use nearly all of
that: hashicorp's puts FIN together with a pending SYN or ACK (C{stream.go},
C{sendClose}), rust's acknowledges with its first DATA.  So one frame may cause
several calls, always in this order: open, acknowledgement, reset, payload or
credit, end.  A payload that comes with a reset is skipped, and credit that
comes with one is none: go-yamux 5 puts an error code there (C{stream.go},
C{sendReset}).

What peers never send is refused, even where some of them are tolerant: unknown
flags, flags on GO_AWAY, stream frames for id 0 and session frames for another,
a SYN of our own parity (go-yamux: C{incomingStream}, rust:
C{is_valid_remote_id}).

net-mux has the same header, so its codec shares the loop: L{HeaderCodec}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import repeat
from struct import Struct
from typing import Any, ClassVar

from twisted_mux.compiling import mypyc_attr
from twisted_mux.errors import ProtocolError, VersionError
from twisted_mux.wire.base import (
    FRAMES_PER_TURN,
    Capabilities,
    Codec,
    Credit,
    FrameSink,
    Key,
    Match,
    Role,
)

DATA, WINDOW_UPDATE, PING, GO_AWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8

#: The bytes that each side may send on a stream before it got any credit.
INITIAL_WINDOW = 262144

# Longer payloads are looked at more closely, if only since CPython 3.11 compares small
# integers in a fraction of the time.
_ORDINARY = 0x3FFFFFFF

# Version, type and flags are read as one number: so the most frequent frame,
# DATA without flags, is recognized by a single comparison.
_HEADER = Struct(">III")
_HEADER_SIZE = _HEADER.size


@mypyc_attr(allow_interpreted_subclasses=True)
class HeaderCodec(Codec):
    """
    What the protocols with yamux's header share: finding the frames, checking
    the header, passing payload on.

    @cvar version: the version byte.
    @cvar openings: version, type and flags that a client may start with.
    @ivar _longest: the longest payload that the peer may put into a frame,
    @ivar _ordinary: and that up to which nothing more is asked.
    @ivar _frequent: what to call for frames of streams that come often and have no
        payload, by the first word of their headers.  It gets the stream id and the
        header's last field.
    """

    version: ClassVar[int]
    openings: ClassVar[tuple[bytes, ...]]

    def __init__(self, role: Role, sink: FrameSink, maxFrame: int) -> None:
        super().__init__(role, sink, maxFrame)
        self._plain = self.version << 24
        self._accept(0xFFFFFFFF)
        self._frequent: dict[int, Callable[[Key, int], None]] = {}
        self._peerParity = 1 if role is Role.SERVER else 0
        self._buffer = b""
        # The payload being received: whose it is, what is missing of it, and
        # what came with it: FIN to be told after it, or RST to skip it.
        self._key = 0
        self._missing = 0
        self._flags = 0

    def _accept(self, longest: int) -> None:
        self._longest = longest
        self._ordinary = min(longest, _ORDINARY)

    @classmethod
    def match(cls, prefix: bytes) -> Match:
        """
        A client starts with one of L{openings}: a SYN for an id of its own,
        maybe one that carries FIN as well, or a ping, or a go-away if it has
        nothing to say.
        """
        begin = prefix[:4]
        if not any(opening.startswith(begin) for opening in cls.openings):
            return Match.NO
        if len(prefix) < 8:
            return Match.MAYBE
        stream = int.from_bytes(prefix[4:8], "big")
        fits = stream == 0 if prefix[1] >= PING else stream & 1
        return Match.YES if fits else Match.NO

    def keys(self) -> Iterator[Key]:
        return iter(range(1 if self._role is Role.CLIENT else 2, 0x100000000, 2))

    @property
    def midFrame(self) -> int:
        return len(self._buffer)

    def receive(self, data: bytes) -> bytes:
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        end = len(data)
        offset = self._resume(data) if self._missing else 0
        payloadReceived = self._sink.payloadReceived
        unpack = _HEADER.unpack_from
        plain = self._plain
        ordinary = self._ordinary
        frequent = self._frequent.get
        # Not a range, which would make an integer for each frame.
        for _ in repeat(None, FRAMES_PER_TURN):
            start = offset + _HEADER_SIZE
            if start > end:
                if offset < end:
                    self._buffer = data[offset:]
                return b""
            word, key, length = unpack(data, offset)
            if word == plain and key and length and length <= ordinary:
                offset = start + length
                if offset <= end:
                    payloadReceived(key, data[start:offset])
                    continue
                self._key = key
                self._missing = offset - end
                if start < end:
                    payloadReceived(key, data[start:])
                return b""
            offset = start
            received = frequent(word)
            if received is not None and key:
                received(key, length)
                continue
            kind = self._header(word, key, length)
            if kind == DATA:
                self._dataFlags(key, word & 0xFFFF, length)
                self._missing = length
                offset += self._resume(data[start : start + length])
        return data[offset:]

    def _header(self, word: int, key: int, length: int) -> int:
        """
        Check a header, and act upon it if it is not that of DATA.

        @param word: version, type and flags.
        @return: the type.
        """
        version, kind, flags = word >> 24, word >> 16 & 0xFF, word & 0xFFFF
        if version != self.version:
            raise VersionError(
                f"{self.name} version {version} instead of {self.version}"
            )
        if kind > GO_AWAY:
            raise ProtocolError(f"{self.name} type {kind} is unknown")
        if flags > SYN | ACK | FIN | RST:
            raise ProtocolError(
                f"stream {key}: {self.name} flags {flags:#06x} are unknown"
            )
        if (kind <= WINDOW_UPDATE) != (key != 0):
            raise ProtocolError(f"{self.name} type {kind} with stream id {key}")
        if flags & SYN and key and key & 1 != self._peerParity:
            raise self._foreign(key)
        if kind == DATA:
            if length > self._longest:
                raise ProtocolError(
                    f"stream {key}: {self.name} payload of {length} bytes, more than "
                    f"{self._longest}"
                )
        elif kind == WINDOW_UPDATE:
            self._windowUpdate(key, flags, length)
        elif kind == PING:
            self._ping(flags, length)
        elif flags:
            raise ProtocolError(f"{self.name} go-away with flags {flags:#06x}")
        else:
            self._sink.goAwayReceived(length)
        return kind

    def _foreign(self, key: int) -> ProtocolError:
        return ProtocolError(f"{self.name} SYN for {key}, which is no id of the peer's")

    def _dataFlags(self, key: int, flags: int, length: int) -> None:
        """
        Tell what a DATA frame's flags say before its payload, and keep what
        they say about the payload and what comes after it.
        """
        if not flags and not length:
            self._sink.idleReceived()
        if flags & SYN:
            self._sink.openReceived(key, 0, b"")
        if flags & ACK:
            self._sink.acceptReceived(key, 0)
        self._key = key
        if flags & RST:
            # At once, not after the payload: that is of no use to anybody, and
            # may be four gigabytes.
            self._flags = RST
            self._sink.resetReceived(key, 0)
        else:
            self._flags = flags & FIN

    def _resume(self, data: bytes) -> int:
        """
        Go on with a payload of which a part is missing, and tell what came
        with it when it is whole.

        @return: how much of C{data} belongs to it.
        """
        key, flags = self._key, self._flags
        taken = min(self._missing, len(data))
        self._missing -= taken
        if not self._missing:
            self._flags = 0
        if taken and flags != RST:
            # Where this is compiled, a slice that is all of it is a copy, too.
            self._sink.payloadReceived(key, data[:taken] if taken < len(data) else data)
        if flags == FIN and not self._missing:
            self._sink.endReceived(key)
        return taken

    def _windowUpdate(self, key: int, flags: int, delta: int) -> None:
        """
        A WINDOW_UPDATE arrived.
        """
        raise NotImplementedError(f"{type(self).__name__}._windowUpdate")

    def _ping(self, flags: int, value: int) -> None:
        """
        A PING arrived.
        """
        raise NotImplementedError(f"{type(self).__name__}._ping")

    def _frame(self, kind: int, flags: int, key: Key, length: int) -> bytes:
        """
        The header of a frame.
        """
        return _HEADER.pack(self._word(kind, flags), key, length)

    def _word(self, kind: int, flags: int) -> int:
        """
        The first word of a header.
        """
        return self._plain | kind << 16 | flags

    def payloadHeader(self, key: Key, length: int) -> bytes:
        return _HEADER.pack(self._plain, key, length)

    def headerMaker(self) -> Callable[[Key, int], bytes]:
        # Without a call of Python's own.
        return partial(_HEADER.pack, self._plain)

    def encodeCredit(self, key: Key, delta: int, consumed: int, window: int) -> bytes:
        return self._frame(WINDOW_UPDATE, 0, key, delta)

    def encodePong(self, value: int) -> bytes:
        return self._frame(PING, ACK, 0, value)

    def encodeGoAway(self, code: int) -> bytes:
        return self._frame(GO_AWAY, 0, 0, code)


@mypyc_attr(allow_interpreted_subclasses=True)
class YamuxCodec(HeaderCodec):
    """
    yamux itself.
    """

    name = "yamux"
    version = 0
    openings = (
        b"\0\0\0\1",
        b"\0\0\0\5",
        b"\0\1\0\1",
        b"\0\1\0\5",
        b"\0\2\0\1",
        b"\0\3\0\0",
    )
    capabilities = Capabilities(
        credit=Credit.DELTA,
        initialWindow=INITIAL_WINDOW,
        reset=True,
        ack=True,
        openBacklog=256,
        ping=True,
        goAway=True,
        goAwayEndsStreams=True,
        keepAlive=30,
        keepAliveTimeout=10,
        # The header has room for 4 GiB, but rust peers end the session at more
        # than this (frame/io.rs, MAX_FRAME_BODY_LEN).
        maxPayload=1024 * 1024,
    )
    # The specification has three codes, and go-yamux takes any other for an
    # error of the peer's own.
    goAwayCodes: ClassVar = {
        "normal": 0,
        "protocol": 1,
        "flow": 1,
        "version": 1,
        "internal": 2,
        "timeout": 2,
        "streams": 2,
    }

    def __init__(self, role: Role, sink: FrameSink, maxFrame: int) -> None:
        super().__init__(role, sink, maxFrame)
        self._openWord = self._word(WINDOW_UPDATE, SYN)
        self._acceptWord = self._word(WINDOW_UPDATE, ACK)
        self._endWord = self._word(WINDOW_UPDATE, FIN)
        self._frequent = {
            self._openWord: self._openReceived,
            self._acceptWord: sink.acceptReceived,
            self._endWord: self._endReceived,
            self._word(WINDOW_UPDATE, 0): self._creditReceived,
        }

    def _openReceived(self, key: Any, credit: int) -> None:
        if key & 1 != self._peerParity:
            raise self._foreign(key)
        self._sink.openReceived(key, credit, b"")

    def _endReceived(self, key: Key, credit: int) -> None:
        if credit:
            self._sink.creditReceived(key, credit)
        self._sink.endReceived(key)

    def _creditReceived(self, key: Key, credit: int) -> None:
        if credit:
            self._sink.creditReceived(key, credit)
        else:
            self._sink.idleReceived()

    def _windowUpdate(self, key: int, flags: int, delta: int) -> None:
        # With flags other than those of the frequent ones.
        sink = self._sink
        credit = 0 if flags & RST else delta
        if flags & SYN:
            sink.openReceived(key, credit, b"")
            credit = 0
        if flags & ACK:
            sink.acceptReceived(key, credit)
            credit = 0
        if flags & RST:
            sink.resetReceived(key, delta)
        elif flags & FIN:
            sink.endReceived(key)

    def _ping(self, flags: int, value: int) -> None:
        if flags == SYN:
            self._sink.pingReceived(value)
        elif flags == ACK:
            self._sink.pongReceived(value)
        else:
            raise ProtocolError(f"yamux ping with flags {flags:#06x}")

    def encodeOpen(self, key: Key, window: int, name: bytes) -> bytes:
        more = window - INITIAL_WINDOW
        return _HEADER.pack(self._openWord, key, more if more > 0 else 0)

    def encodeAccept(self, key: Key, window: int) -> bytes:
        more = window - INITIAL_WINDOW
        return _HEADER.pack(self._acceptWord, key, more if more > 0 else 0)

    def encodeEnd(self, key: Key) -> bytes:
        return _HEADER.pack(self._endWord, key, 0)

    def encodeReset(self, key: Key) -> bytes:
        return self._frame(WINDOW_UPDATE, RST, key, 0)

    def encodePing(self, value: int) -> bytes:
        return self._frame(PING, SYN, 0, value)

    def describeCode(self, code: int) -> str:
        words = ("normal", "protocol error", "internal error")
        return words[code] if code < len(words) else f"code {code}"


codecs: tuple[type[Codec], ...] = (YamuxCodec,)
