"""
smux, versions 1 and 2: the format of U{xtaci/smux
<https://github.com/xtaci/smux>} (Go), of the crate C{smux}, and of what is
built on them, such as kcptun.

A frame is eight bytes of header, little-endian, and a payload::

    version u8 | command u8 | length u16 | stream id u32

Streams of smux can't be reset or refused: there is one FIN for each direction,
and a side that wants no more of a stream ends its own direction and drops what
still arrives.  There is no go-away and no answered ping either; NOP keeps an
idle session alive, since the Go peer closes one from which it heard nothing in
30 s (C{session.go}, C{keepalive}).

Version 2 adds UPD, with which a receiver says what it has consumed in total
and how wide its window is.  Before the first UPD a sender takes the window to
be 262,144 bytes (C{stream.go}, C{initialPeerWindow}).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import repeat
from struct import Struct
from typing import ClassVar, cast

from twisted_mux.compiling import mypyc_attr
from twisted_mux.errors import ProtocolError, VersionError
from twisted_mux.wire.base import (
    FRAMES_PER_TURN,
    Breach,
    Capabilities,
    Codec,
    Credit,
    FrameSink,
    Key,
    Match,
    Role,
)

SYN, FIN, PSH, NOP, UPD = range(5)

_HEADER = Struct("<BBHI")
_UPDATE = Struct("<II")
_UPDATE_FRAME = Struct("<BBHIII")
_HEADER_SIZE = _HEADER.size
_UPDATE_SIZE = _UPDATE.size

#: What a version 2 sender takes the window to be until it is told.
INITIAL_WINDOW = 262144


@mypyc_attr(allow_interpreted_subclasses=True)
class _SmuxCodec(Codec):
    """
    What both versions share; L{version} is all that tells them apart.
    """

    version: ClassVar[int]

    def __init__(self, role: Role, sink: FrameSink, maxFrame: int) -> None:
        super().__init__(role, sink, maxFrame)
        self._buffer = b""
        # The payload being received: whose it is, and what is missing of it.
        self._key = 0
        self._missing = 0

    @classmethod
    def match(cls, prefix: bytes) -> Match:
        if not prefix:
            return Match.MAYBE
        if prefix[0] != cls.version:
            return Match.NO
        if len(prefix) > 1 and prefix[1] not in (SYN, NOP):
            return Match.NO
        if any(prefix[2:4]):
            return Match.NO
        if len(prefix) < 8:
            return Match.MAYBE
        # Of stream ids, only NOP's is fixed (to 0), and only SYN's is not 0.
        stream = int.from_bytes(prefix[4:8], "little")
        return Match.YES if (stream == 0) == (prefix[1] == NOP) else Match.NO

    def keys(self) -> Iterator[Key]:
        # session.go, OpenStream: the counter starts at 1 or 0 and is raised
        # by 2 before use.
        return iter(range(3 if self._role is Role.CLIENT else 2, 0x100000000, 2))

    @property
    def midFrame(self) -> int:
        return len(self._buffer)

    def receive(self, data: bytes) -> bytes:
        sink = self._sink
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        end = len(data)
        offset = self._missing
        if offset:
            if offset > end:
                self._missing = offset - end
                if end:
                    sink.payloadReceived(self._key, data)
                return b""
            self._missing = 0
            sink.payloadReceived(self._key, data[:offset] if offset < end else data)
        payloadReceived = sink.payloadReceived
        unpack = _HEADER.unpack_from
        mine = self.version
        # Not a range, which would make an integer for each frame.
        for _ in repeat(None, FRAMES_PER_TURN):
            start = offset + _HEADER_SIZE
            if start > end:
                if offset < end:
                    self._buffer = data[offset:]
                return b""
            version, command, length, key = unpack(data, offset)
            if command == PSH and version == mine:
                offset = start + length
                if offset > end:
                    self._key = key
                    self._missing = offset - end
                    if start < end:
                        payloadReceived(key, data[start:])
                    return b""
                if length:
                    payloadReceived(key, data[start:offset])
                else:
                    sink.idleReceived()
                continue
            if version != mine:
                raise VersionError(
                    f"smux version {version} in a version {mine} session"
                )
            if command == UPD and mine == 2:
                if length != _UPDATE_SIZE:
                    raise ProtocolError(
                        f"stream {key}: smux UPD with {length} bytes instead of 8"
                    )
                if start + _UPDATE_SIZE > end:
                    self._buffer = data[offset:]
                    return b""
                consumed, window = _UPDATE.unpack_from(data, start)
                offset = start + _UPDATE_SIZE
                sink.windowReceived(key, consumed, window)
                continue
            if command > NOP:
                raise ProtocolError(
                    f"stream {key}: smux command {command} is unknown in version {mine}"
                )
            if length:
                raise ProtocolError(
                    f"stream {key}: smux command {command} with {length} bytes of "
                    "payload"
                )
            offset = start
            if command == SYN:
                sink.openReceived(key, 0, b"")
            elif command == FIN:
                sink.endReceived(key)
            else:
                sink.idleReceived()
        return data[offset:]

    def payloadHeader(self, key: Key, length: int) -> bytes:
        return _HEADER.pack(self.version, PSH, length, key)

    def headerMaker(self) -> Callable[[Key, int], bytes]:
        pack = _HEADER.pack
        version = self.version
        return lambda key, length: pack(version, PSH, length, key)

    def _control(self, command: int, key: Key) -> bytes:
        return _HEADER.pack(self.version, command, 0, key)

    def encodeOpen(self, key: Key, window: int, name: bytes) -> bytes:
        return self._control(SYN, key)

    def encodeEnd(self, key: Key) -> bytes:
        return self._control(FIN, key)

    def encodeProbe(self) -> bytes:
        return self._control(NOP, 0)


@mypyc_attr(allow_interpreted_subclasses=True)
class Smux1Codec(_SmuxCodec):
    """
    smux version 1: no credit.
    """

    name = "smux1"
    version = 1
    capabilities = Capabilities(
        credit=Credit.NONE,
        probe=True,
        keepAlive=10,
        keepAliveTimeout=30,
        # session.go, recvLoop: a SYN for a live id changes nothing, nor does
        # what comes after a FIN.
        duplicateOpen=Breach.IGNORE,
        afterEnd=Breach.IGNORE,
        maxPayload=65535,
        # The crate's limit of 32,768 is on the whole frame.
        customFrame=32 * 1024 - _HEADER_SIZE,
    )


@mypyc_attr(allow_interpreted_subclasses=True)
class Smux2Codec(_SmuxCodec):
    """
    smux version 2: cumulative credit.
    """

    name = "smux2"
    version = 2
    capabilities = replace(
        Smux1Codec.capabilities,
        credit=Credit.CUMULATIVE,
        initialWindow=INITIAL_WINDOW,
        # stream.go takes the difference of counters as int32.
        maxCredit=0x7FFFFFFF,
    )

    def encodeOpen(self, key: Key, window: int, name: bytes) -> bytes:
        return self._control(SYN, key) + self.encodeAccept(key, window)

    def encodeAccept(self, key: Key, window: int) -> bytes:
        # There is no acknowledgement, but a wider window is worth telling at
        # once.  (A narrower one could come too late for what is under way.)
        return self.encodeCredit(key, 0, 0, window) if window > INITIAL_WINDOW else b""

    def encodeCredit(self, key: Key, delta: int, consumed: int, window: int) -> bytes:
        return _UPDATE_FRAME.pack(
            2, UPD, _UPDATE_SIZE, cast(int, key), consumed & 0xFFFFFFFF, window
        )


codecs: tuple[type[Codec], ...] = (Smux1Codec, Smux2Codec)
