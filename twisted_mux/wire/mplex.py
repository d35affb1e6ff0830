"""
mplex: the format of libp2p's U{/mplex/6.7.0
<https://github.com/libp2p/specs/blob/master/mplex/README.md>}.

A frame is two varints and a payload::

    stream id << 3 | tag | length | payload

Each side numbers its own streams from 0, so an id alone means nothing: the
three lowest bits of the first varint, the tag, say what the frame is and which
of two streams with that id it is for.  "Initiator" tags come from the side that
opened the stream, "receiver" tags from the other.  The key here is C{id << 1},
plus 1 if the peer opened the stream.

Varints are bounded to nine bytes and have to be minimal, as Go and Rust demand
(U{unsigned-varint<https://github.com/multiformats/unsigned-varint>}), which
bounds ids to below 2^60.  A payload is bounded to 1 MiB.

A new stream's payload is its name.  libp2p uses it for debugging only; the
specification asks for UTF-8, but Go doesn't look at it at all, so any bytes are
taken.  It is kept until it is whole.  A name of more than L{LONGEST_NAME} bytes
is legal up to 1 MiB and of no use to anybody: it is skipped, and the stream has
none.

A close or reset has no use for a payload, and the peers skip one (Go:
C{multiplex.go}, C{handleIncoming}); so does this codec, and tells of the close
or reset at once.  The same for tag 7, which is not assigned: Go drops the
stream that it is for, which here is told as a reset.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from twisted_mux.compiling import mypyc_attr
from twisted_mux.errors import ConfigError, ProtocolError
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

(
    NEW_STREAM,
    MESSAGE_RECEIVER,
    MESSAGE_INITIATOR,
    CLOSE_RECEIVER,
    CLOSE_INITIATOR,
    RESET_RECEIVER,
    RESET_INITIATOR,
) = range(7)
_CLOSE = (CLOSE_RECEIVER, CLOSE_INITIATOR)

#: The longest payload of a frame, in bytes.
MAX_MESSAGE = 1024 * 1024
#: The longest name of a stream that is kept, in bytes.
LONGEST_NAME = 1024
_LONGEST_VARINT = 9


def _uvarint(number: int) -> bytes:
    """
    C{number} as a minimal varint.
    """
    if number < 0x80:
        return bytes((number,))
    if number < 0x4000:
        return bytes((number & 0x7F | 0x80, number >> 7))
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _readUvarint(data: bytes, offset: int) -> tuple[int, int]:
    """
    Read a varint.

    @return: the number, and the offset behind it.
    @raise IndexError: C{data} ends within it.
    @raise ProtocolError: it is too long, or longer than it need be.
    """
    number = 0
    for index in range(_LONGEST_VARINT):
        byte = data[offset + index]
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if not byte and index:
                raise ProtocolError("mplex varint that is not minimal")
            return number, offset + index + 1
    raise ProtocolError(f"mplex varint of more than {_LONGEST_VARINT} bytes")


def _isText(data: bytes, cut: bool) -> bool:
    """
    Is it UTF-8 without control characters?

    @param cut: it may end within a character.
    """
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        if not cut or error.reason != "unexpected end of data":
            return False
    return not any(byte < 0x20 or byte == 0x7F for byte in data)


@mypyc_attr(allow_interpreted_subclasses=True)
class MplexCodec(Codec):
    """
    mplex 6.7.0.
    """

    name = "mplex"
    capabilities = Capabilities(
        credit=Credit.NONE,
        reset=True,
        names=True,
        messages=True,
        # multiplex.go, handleIncoming: a stream whose peer closed is unknown
        # from then on, and frames for it are skipped.
        afterEnd=Breach.IGNORE,
        maxPayload=MAX_MESSAGE,
    )

    def __init__(self, role: Role, sink: FrameSink, maxFrame: int) -> None:
        super().__init__(role, sink, maxFrame)
        self._buffer = b""
        # The payload being received: whose it is, what is missing of it, and
        # whether to drop it.
        self._key = 0
        self._missing = 0
        self._skip = False

    @classmethod
    def match(cls, prefix: bytes) -> Match:
        """
        A client starts with stream 0 and its name, that is, all of them do:
        Go, Rust, JavaScript.  The name is taken to be text, since other wires
        start with a zero byte too, and is looked at for 32 bytes.
        """
        if prefix[:1] not in (b"", b"\0"):
            return Match.NO
        try:
            length, start = _readUvarint(prefix, 1)
        except IndexError:
            return Match.MAYBE
        except ProtocolError:
            return Match.NO
        name = prefix[start : start + length][:32]
        if length > LONGEST_NAME or not _isText(name, cut=len(name) < length):
            return Match.NO
        if len(name) < min(length, 32):
            return Match.MAYBE
        if length:
            return Match.YES
        # Two zeros are not much: what follows must be for stream 0, or open 1.
        following = prefix[start : start + 1]
        if not following:
            return Match.MAYBE
        return Match.YES if following in b"\2\4\6\x08" else Match.NO

    def keys(self) -> Iterator[Key]:
        return iter(range(0, 1 << 61, 2))

    def describeKey(self, key: Key) -> str:
        number = cast(int, key)
        opener = self._role.other if number & 1 else self._role
        return f"{opener.value}-{number >> 1}"

    @property
    def midFrame(self) -> int:
        return len(self._buffer)

    def payloadMissing(self, key: Key) -> int:
        return self._missing if key == self._key and not self._skip else 0

    def receive(self, data: bytes) -> bytes:
        sink = self._sink
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        end = len(data)
        offset = self._resume(data) if self._missing else 0
        payloadReceived = sink.payloadReceived
        for _ in range(FRAMES_PER_TURN):
            begin = offset
            if begin == end:
                return b""
            try:
                # Varints of one and two bytes are nearly all there are: ids up
                # to 2,047, lengths up to 16,383.
                header = data[offset]
                if header < 0x80:
                    offset += 1
                elif 0 < data[offset + 1] < 0x80:
                    header += (data[offset + 1] << 7) - 0x80
                    offset += 2
                else:
                    header, offset = _readUvarint(data, offset)
                length = data[offset]
                if length < 0x80:
                    offset += 1
                elif 0 < data[offset + 1] < 0x80:
                    length += (data[offset + 1] << 7) - 0x80
                    offset += 2
                else:
                    length, offset = _readUvarint(data, offset)
                    if length > MAX_MESSAGE:
                        described = self.describeKey(header >> 2 & -2 | ~header & 1)
                        raise ProtocolError(
                            f"stream {described}: mplex message of {length} bytes, more "
                            f"than {MAX_MESSAGE}"
                        )
            except IndexError:
                self._buffer = data[begin:]
                return b""
            tag = header & 7
            key = header >> 2 & -2 | ~header & 1
            start = offset
            offset += length
            if 0 < tag < CLOSE_RECEIVER:  # a message, of either side's
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
            name = b""
            if tag == NEW_STREAM and length <= LONGEST_NAME:
                if offset > end:
                    self._buffer = data[begin:]
                    return b""
                name = data[start:offset]
            self._control(tag, key, name)
            if offset > end:
                self._missing = offset - end
                self._skip = True
                return b""
        return data[offset:]

    def _resume(self, data: bytes) -> int:
        """
        Go on with a payload of which a part is missing.

        @return: how much of C{data} belongs to it.
        """
        taken = min(self._missing, len(data))
        self._missing -= taken
        if taken and not self._skip:
            # Where this is compiled, a slice that is all of it is a copy, too.
            self._sink.payloadReceived(
                self._key, data[:taken] if taken < len(data) else data
            )
        self._skip = self._skip and self._missing > 0
        return taken

    def _control(self, tag: int, key: int, name: bytes) -> None:
        """
        Tell of a frame that is no message.
        """
        if tag == NEW_STREAM:
            self._sink.openReceived(key, 0, name)
        elif tag in _CLOSE:
            self._sink.endReceived(key)
        else:
            self._sink.resetReceived(key, 0)

    def _header(self, tag: int, key: Key) -> bytes:
        """
        The first varint of a frame.

        @param tag: the tag to use if we opened the stream; the one below it
            is for the other side.
        """
        number = cast(int, key)
        return _uvarint((number >> 1) << 3 | tag - (number & 1))

    def payloadHeader(self, key: Key, length: int) -> bytes:
        return self._header(MESSAGE_INITIATOR, key) + _uvarint(length)

    def encodeOpen(self, key: Key, window: int, name: bytes) -> bytes:
        if len(name) > LONGEST_NAME:
            raise ConfigError(
                f"an mplex stream's name of {len(name)} bytes, more than {LONGEST_NAME}"
            )
        return self._header(NEW_STREAM, key) + _uvarint(len(name)) + name

    def encodeEnd(self, key: Key) -> bytes:
        return self._header(CLOSE_INITIATOR, key) + b"\0"

    def encodeReset(self, key: Key) -> bytes:
        return self._header(RESET_INITIATOR, key) + b"\0"


codecs: tuple[type[Codec], ...] = (MplexCodec,)
