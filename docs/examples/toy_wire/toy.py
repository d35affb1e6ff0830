"""
toy: a wire protocol that nobody speaks, as an example.

A frame is six bytes of header, big-endian, and a payload::

    "T" u8 | kind u8 | stream id u16 | length u16

The side that dialled opens odd ids, the other even ones; an id is used once.  There is
no credit, no acknowledgement, no ping and no go-away.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import cast

from twisted_mux.errors import ProtocolError
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

OPEN, DATA, END, RESET = range(4)
MAGIC = ord("T")

_HEADER = Struct(">BBHH")
_HEADER_SIZE = _HEADER.size


class ToyCodec(Codec):
    """
    The toy wire.
    """

    name = "toy"
    capabilities = Capabilities(
        credit=Credit.NONE,
        reset=True,
        duplicateOpen=Breach.SESSION,
        afterEnd=Breach.IGNORE,
        maxPayload=65535,
        customFrame=16 * 1024,
    )

    def __init__(self, role: Role, sink: FrameSink, maxFrame: int) -> None:
        super().__init__(role, sink, maxFrame)
        # The header of which a part has arrived.
        self._buffer = b""
        # The payload being received: whose it is, and what is missing of it.
        self._key = 0
        self._missing = 0

    @classmethod
    def match(cls, prefix: bytes) -> Match:
        # A client starts by opening stream 1.
        first = _HEADER.pack(MAGIC, OPEN, 1, 0)
        if prefix[:_HEADER_SIZE] == first:
            return Match.YES
        return Match.MAYBE if first.startswith(prefix) else Match.NO

    def keys(self) -> Iterator[Key]:
        return iter(range(1 if self._role is Role.CLIENT else 2, 0x10000, 2))

    @property
    def midFrame(self) -> int:
        return len(self._buffer)

    # Reading.

    def receive(self, data: bytes) -> bytes:
        data = self._buffer + data
        self._buffer = b""
        offset = min(self._missing, len(data))
        if offset:
            self._missing -= offset
            self._sink.payloadReceived(self._key, data[:offset])
        for _ in range(FRAMES_PER_TURN):
            start = offset + _HEADER_SIZE
            if start > len(data):
                self._buffer = data[offset:]
                return b""
            magic, kind, key, length = _HEADER.unpack_from(data, offset)
            if magic != MAGIC:
                raise ProtocolError(f"toy frame that begins with {magic:#04x}")
            if kind == DATA:
                offset = self._payload(key, data, start, length)
            elif length:
                raise ProtocolError(f"toy frame of kind {kind} with a payload")
            else:
                offset = start
                self._control(kind, key)
        return data[offset:]

    def _payload(self, key: int, data: bytes, start: int, length: int) -> int:
        """
        Pass on what has arrived of a payload.

        @return: where the next frame begins, or C{data} ends.
        """
        end = min(start + length, len(data))
        self._key = key
        self._missing = start + length - end
        if start < end:
            self._sink.payloadReceived(key, data[start:end])
        elif not length:
            self._sink.idleReceived()
        return end

    def _control(self, kind: int, key: int) -> None:
        if kind == OPEN:
            if key & 1 == (self._role is Role.CLIENT) or not key:
                raise ProtocolError(f"toy open of {key}, which is no id of the peer's")
            self._sink.openReceived(key, 0, b"")
        elif kind == END:
            self._sink.endReceived(key)
        elif kind == RESET:
            self._sink.resetReceived(key, 0)
        else:
            raise ProtocolError(f"toy kind {kind} is unknown")

    # Writing.

    def _frame(self, kind: int, key: Key, length: int = 0) -> bytes:
        return _HEADER.pack(MAGIC, kind, cast(int, key), length)

    def payloadHeader(self, key: Key, length: int) -> bytes:
        return self._frame(DATA, key, length)

    def encodeOpen(self, key: Key, window: int, name: bytes) -> bytes:
        return self._frame(OPEN, key)

    def encodeEnd(self, key: Key) -> bytes:
        return self._frame(END, key)

    def encodeReset(self, key: Key) -> bytes:
        return self._frame(RESET, key)


codecs: tuple[type[Codec], ...] = (ToyCodec,)
