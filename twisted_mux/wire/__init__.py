"""
Wire protocols: bytes to calls and back, without Twisted and without any state
of streams.

Each module of this package whose name has no underscore in front, L{base
<twisted_mux.wire.base>} apart, is one family of wire protocols, and has a tuple
C{codecs} of its L{Codec<twisted_mux.wire.base.Codec>} classes; that is all the
registration there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType

from twisted_mux.errors import ProtocolError, UnknownWire
from twisted_mux.wire.base import Codec, Match

__all__ = ["UnknownBytes", "codecNamed", "detect", "stranger", "wireNames", "wires"]

#: How many of a connection's first bytes L{detect} looks at.
DETECT_BYTES = 64

#: What else may talk to us by mistake: what it is, how it starts, on either side,
#: and what to do about it.  None of it can be taken for a wire protocol.
_STRANGERS = (
    ("TLS", (b"\x16\x03", b"\x15\x03"), "wrap the endpoint in tls: or ssl:"),
    ("SSH", (b"SSH-",), ""),
    (
        "the PROXY protocol",
        (b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n"),
        "wrap the endpoint in haproxy:",
    ),
    (
        "HTTP",
        (
            b"HTTP/1.",
            *(
                method + b" "
                for method in b"CONNECT DELETE GET HEAD OPTIONS PATCH POST PRI PUT".split()
            ),
        ),
        "",
    ),
    # Peers of libp2p agree on an encryption first.
    ("multistream-select", (b"\x13/multistream/",), ""),
)


@cache
def wires() -> Mapping[str, type[Codec]]:
    """
    Every wire protocol there is, by its name, in the order of the names.
    """
    found: dict[str, type[Codec]] = {}
    for module in iter_modules(__path__):
        if module.name == "base" or module.name.startswith("_"):
            continue
        for codec in import_module(f"{__name__}.{module.name}").codecs:
            found[codec.name] = codec
    return MappingProxyType(dict(sorted(found.items())))


def wireNames() -> tuple[str, ...]:
    """
    The names of the wire protocols, sorted.
    """
    return tuple(wires())


def codecNamed(name: str) -> type[Codec]:
    """
    The codec of the wire protocol that users call C{name}.

    @raise UnknownWire: there is none.
    """
    try:
        return wires()[name]
    except KeyError:
        raise UnknownWire(
            f"unknown wire {name!r}: it is one of {', '.join(wireNames())}"
        ) from None


class UnknownBytes(ProtocolError):
    """
    A connection's first bytes are those of no wire protocol, or of more than
    one.
    """


def detect(prefix: bytes) -> type[Codec] | None:
    """
    Which wire protocol does the client of a connection speak?

    It never guesses: as long as two wire protocols could have started with
    C{prefix}, it wants more.

    @param prefix: all that the connection delivered so far; L{DETECT_BYTES}
        of it are looked at.
    @return: the codec, or L{None} when it takes more bytes to tell.
    @raise UnknownBytes: no more bytes could tell.
    """
    begin = prefix[:DETECT_BYTES]
    found: dict[Match, list[type[Codec]]] = {match: [] for match in Match}
    for codec in wires().values():
        found[codec.match(begin)].append(codec)
    possible = found[Match.YES] + found[Match.MAYBE]
    if found[Match.MAYBE]:
        if len(begin) < DETECT_BYTES:
            return None
    elif len(possible) == 1:
        return possible[0]
    if not possible:
        raise UnknownBytes(f"no wire protocol: the peer {_describe(begin)}")
    names = " or ".join(codec.name for codec in possible)
    raise UnknownBytes(f"could be {names}: the peer {_describe(begin)}")


def stranger(begin: bytes) -> str | None:
    """
    Are a connection's first bytes those of something well known that is no wire
    protocol?

    @return: in words what the peer does, or C{None}.
    """
    for what, starts, remedy in _STRANGERS:
        if begin.startswith(starts):
            return f"seems to speak {what}" + (f" ({remedy})" if remedy else "")
    return None


def _describe(begin: bytes) -> str:
    """
    What a peer sent, in words where it is something well known.
    """
    return stranger(begin) or f"sent {begin[:16].hex(' ')}"
