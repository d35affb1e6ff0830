"""
vt-muxer: the format of the crate U{vt-muxer <https://docs.rs/vt-muxer>} 0.1
(Rust).

A frame is twenty bytes of header, big-endian, and a payload::

    IPv6 address 16 bytes | port u16 | length u16

The socket address is the stream's key and its only label, and the key here is
just those eighteen bytes.  An IPv4 address is written IPv4-mapped and shown as
IPv4 again (C{thin_addr.rs}).

There is one frame without payload, and what it says depends on whether the
sender has the stream open: if not it opens it, otherwise it ends the sender's
direction.  So nothing that arrives is wrong as such: this codec never raises
L{ProtocolError<twisted_mux.errors.ProtocolError>}.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from struct import Struct
from typing import cast

from twisted_mux.compiling import mypyc_attr
from twisted_mux.errors import ConfigError
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

_HEADER = Struct(">18sH")
_HEADER_SIZE = _HEADER.size

#: Streams opened without an address get one of these: "twmux" in a unique local
#: prefix (RFC 4193), with a subnet for each role, so that the two sides never
#: open the same one.
AUTOMATIC = {
    Role.CLIENT: IPv6Network("fd74:776d:7578:1::/64"),
    Role.SERVER: IPv6Network("fd74:776d:7578:2::/64"),
}
#: The port of all of them.
AUTOMATIC_PORT = 1

#: The addresses that L{VtmuxCodec.match} takes for ones: IPv4-mapped and what
#: else starts with ten zero bytes, and the ranges that are assigned.
_KNOWN = tuple(
    IPv6Network(text)
    for text in (
        "::/80",
        "64:ff9b::/48",
        "64:ff9b:1::/48",
        "100::/64",
        "2000::/3",
        "fc00::/7",
        "fe80::/10",
        "ff00::/8",
    )
)


def _automaticKey(address: IPv6Address) -> bytes:
    """
    The key of a stream that was opened without an address.
    """
    return address.packed + AUTOMATIC_PORT.to_bytes(2, "big")


@mypyc_attr(allow_interpreted_subclasses=True)
class VtmuxCodec(Codec):
    """
    vt-muxer 0.1.
    """

    name = "vtmux"
    capabilities = Capabilities(
        credit=Credit.NONE,
        addressed=True,
        # read.rs skips payload for a key that is not open; and when both sides
        # open one at the same moment, each goes on after what the other took
        # for its end.
        afterEnd=Breach.IGNORE,
        maxPayload=65535,
    )

    def __init__(self, role: Role, sink: FrameSink, maxFrame: int) -> None:
        super().__init__(role, sink, maxFrame)
        self._buffer = b""
        # The payload being received: whose it is, and what is missing of it.
        self._key = b""
        self._missing = 0

    @classmethod
    def match(cls, prefix: bytes) -> Match:
        """
        A client starts with an open.  Its address may be any, and so could
        look like the beginning of nearly all other protocols; that it is one
        from a range in use is what tells it from them.
        """
        begin = prefix[:16]
        missing = 8 * (16 - len(begin))
        first = int.from_bytes(begin, "big") << missing
        last = first | (1 << missing) - 1
        if not any(
            first <= int(known.broadcast_address) and int(known[0]) <= last
            for known in _KNOWN
        ):
            return Match.NO
        if any(prefix[18:_HEADER_SIZE]):
            return Match.NO
        return Match.YES if len(prefix) >= _HEADER_SIZE else Match.MAYBE

    def keys(self) -> Iterator[Key]:
        return map(_automaticKey, AUTOMATIC[self._role].hosts())

    def keyOfAddress(self, address: tuple[str, int]) -> Key:
        host, port = address
        try:
            ip = ip_address(host)
        except ValueError as error:
            raise ConfigError(f"{host!r} is no IPv4 or IPv6 address") from error
        if isinstance(ip, IPv4Address):
            ip = IPv6Address(f"::ffff:{ip}")
        elif ip.scope_id is not None:
            raise ConfigError(f"{host!r} has a zone, for which vtmux has no room")
        if not 0 <= port <= 65535:
            raise ConfigError(f"{port} is no port")
        return ip.packed + port.to_bytes(2, "big")

    def addressOfKey(self, key: Key) -> tuple[str, int]:
        packed = cast(bytes, key)
        ip = IPv6Address(packed[:16])
        return str(ip.ipv4_mapped or ip), int.from_bytes(packed[16:], "big")

    def describeKey(self, key: Key) -> str:
        return "{}:{}".format(*self.addressOfKey(key))

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
        for _ in range(FRAMES_PER_TURN):
            start = offset + _HEADER_SIZE
            if start > end:
                if offset < end:
                    self._buffer = data[offset:]
                return b""
            key, length = unpack(data, offset)
            offset = start + length
            if not length:
                sink.openOrEndReceived(key)
            elif offset <= end:
                payloadReceived(key, data[start:offset])
            else:
                self._key = key
                self._missing = offset - end
                if start < end:
                    payloadReceived(key, data[start:])
                return b""
        return data[offset:]

    def payloadHeader(self, key: Key, length: int) -> bytes:
        return _HEADER.pack(key, length)

    def _empty(self, key: Key) -> bytes:
        return _HEADER.pack(key, 0)

    def encodeOpen(self, key: Key, window: int, name: bytes) -> bytes:
        return self._empty(key)

    def encodeEnd(self, key: Key) -> bytes:
        return self._empty(key)


codecs: tuple[type[Codec], ...] = (VtmuxCodec,)
