"""
What the two handshakes have in common: names, messages, and what one side of a
handshake is.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted_mux.errors import ConfigError, HandshakeError

#: The handshakes, by name.
NEGOTIATIONS = ("simple", "multistream")
#: The longest name of a protocol, in bytes; the longest message of
#: C{multistream}, with its newline, as well.
LONGEST_NAME = 1024
#: How many names may be proposed for a stream.
MOST_PROPOSALS = 16

#: The first message of both sides of C{multistream}.
HEADER = b"/multistream/1.0.0"
#: "Not available".
NA = b"na"
#: "Which are there?"
LS = b"ls"


class Handshake:
    """
    One side of a handshake on one stream.

    @ivar selected: the name that was agreed upon, once it was.
    @ivar refused: the names that are known not to be available.
    @ivar over: is there nothing more to say, with no name agreed upon?
    @ivar unread: when a name is C{selected}: what came behind the handshake.
    """

    def __init__(self) -> None:
        self.selected: bytes | None = None
        self.refused: list[bytes] = []
        self.over = False
        self.unread = b""

    def greet(self) -> bytes:
        """
        What to send when the stream is there.
        """
        return b""

    def receive(self, data: bytes, whole: bool) -> bytes:
        """
        Read what came.  Not to be called when a name was C{selected}, or when it
        is C{over}.

        @param whole: is the message at its end, on a wire whose frames are
            messages?

        @return: what to send now.
        @raise HandshakeError: the peer broke a rule.
        """
        raise NotImplementedError(f"{type(self).__name__}.receive")


class Messages:
    """
    Takes apart what is C{uvarint length | bytes}.

    @ivar rest: what was received and not taken.
    """

    def __init__(self) -> None:
        self.rest = b""

    def take(self) -> bytes | None:
        """
        Take the next message, if all of it is there.

        @raise HandshakeError: it is empty or too long, or its length is not
            written as it has to be.
        """
        rest = self.rest
        if not rest:
            return None
        length = rest[0]
        start = 1
        if length & 0x80:
            if len(rest) == 1:
                return None
            if rest[1] == 0:
                raise HandshakeError("the length of a message is not minimal")
            # If the second byte is not the last one, that is too long anyway.
            length += (rest[1] << 7) - 0x80
            start = 2
        if length > LONGEST_NAME:
            raise HandshakeError(
                f"a message of {length} bytes or more, with {LONGEST_NAME} allowed"
            )
        if not length:
            raise HandshakeError("an empty message")
        end = start + length
        if len(rest) < end:
            return None
        self.rest = rest[end:]
        return rest[start:end]


def message(content: bytes) -> bytes:
    """
    C{content}, of at most 16,383 bytes, with its length in front.
    """
    length = len(content)
    if length < 0x80:
        return bytes((length,)) + content
    return bytes((length & 0x7F | 0x80, length >> 7)) + content


def show(content: bytes) -> str:
    """
    What a peer sent, for a message: printable, and not too long.
    """
    cut = content[:64]
    return repr(cut)[1:] + ("…" if len(content) > len(cut) else "")


def checkNegotiation(negotiate: str) -> None:
    """
    Is there such a handshake?

    @raise ConfigError: there is not.
    """
    if negotiate not in NEGOTIATIONS:
        raise ConfigError(
            f"there is no handshake {negotiate!r}: it is one of "
            f"{', '.join(NEGOTIATIONS)}"
        )


def checkName(name: bytes, negotiate: str) -> None:
    """
    Can a protocol have that name?

    @raise ConfigError: it can't.
    """
    if not isinstance(name, bytes):
        raise ConfigError(f"the name of a protocol is bytes, not {name!r}")
    longest = LONGEST_NAME
    if negotiate == "multistream":
        longest -= len(b"\n")
        if b"\n" in name or name in (HEADER, NA, LS):
            raise ConfigError(f"no protocol can be called {name!r} with {negotiate}")
    if not 0 < len(name) <= longest:
        raise ConfigError(
            f"the name of a protocol has from 1 to {longest} bytes with {negotiate}, "
            f"not {len(name)}"
        )


def checkNames(protocol: bytes | Iterable[bytes], negotiate: str) -> tuple[bytes, ...]:
    """
    One name, or several, as a tuple.

    @raise ConfigError: something is wrong with them, or with C{negotiate}.
    """
    checkNegotiation(negotiate)
    names = (protocol,) if isinstance(protocol, bytes | str) else tuple(protocol)
    for name in names:
        checkName(name, negotiate)
    if len(set(names)) < len(names):
        raise ConfigError("a name of a protocol is there twice")
    if not 0 < len(names) <= MOST_PROPOSALS:
        raise ConfigError(
            f"from 1 to {MOST_PROPOSALS} names can be proposed, not {len(names)}"
        )
    return names
