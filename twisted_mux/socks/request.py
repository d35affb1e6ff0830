"""
What a client of SOCKS wants: bytes in, bytes out, and in the end a target.

SOCKS 5 (RFC 1928), with user and password (RFC 1929) where those are wanted, and SOCKS 4
with 4a.  There is no I/O here and no clock.

B{Why not siosocks}, which is there for this: it answers every failure with the same
code, has no way to say which, lets C{UnicodeDecodeError} out, and has no bound on what a
client may send before it is known what it wants.  All four matter here; without them
what is left is this module.

B{Bounds.}  All that belongs to the request, from the first byte on, fits in L{LIMIT}
bytes, or is refused.  What follows it, as a client may send before it has an answer, is
not looked at.

B{Replies.}  The cause of a failure is one of L{Cause}, of which either version makes what
it can.  Addresses in replies are all zero: where we connect from is nobody's business.
"""

from __future__ import annotations

import enum
import hmac
import re
from collections.abc import Generator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from twisted_mux.errors import PeerError

__all__ = ["LIMIT", "Cause", "Credentials", "Negotiation", "Refused"]

#: Bytes that a request may have, with all that goes before it.
LIMIT = 512

# RFC 1928, 3: methods of authentication.
_NO_AUTHENTICATION = 0
_PASSWORD = 2
_NO_METHOD = 0xFF

_CONNECT = 1
_ADDRESS_IPV4 = 1
_ADDRESS_NAME = 3
_ADDRESS_IPV6 = 4

# What names, and addresses that are given as names, consist of.
_HOST = re.compile(rb"[0-9A-Za-z._:-]{1,255}")


class Cause(enum.Enum):
    """
    Why there is no connection; the value is the reply of SOCKS 5 (RFC 1928, 6).
    """

    FAILURE = 1
    NOT_ALLOWED = 2
    NETWORK_UNREACHABLE = 3
    HOST_UNREACHABLE = 4
    CONNECTION_REFUSED = 5
    TIMEOUT = 6
    COMMAND = 7
    ADDRESS_TYPE = 8


class Refused(PeerError):
    """
    The client does not get what it wants.

    @ivar reply: what to send it before the end.
    """

    def __init__(self, why: str, reply: bytes = b"") -> None:
        super().__init__(why)
        self.reply = reply


@dataclass(frozen=True)
class Credentials:
    """
    Who may use it.
    """

    user: bytes
    password: bytes

    def match(self, user: bytes, password: bytes) -> bool:
        """
        Is it them?  How long that takes does not tell what was wrong.
        """
        sameUser = hmac.compare_digest(self.user, user)
        return hmac.compare_digest(self.password, password) and sameUser


class Negotiation:
    """
    One client, up to its request.

    @ivar target: the host and the port that it wants, once that is known.
    """

    def __init__(self, credentials: Credentials | None) -> None:
        """
        @param credentials: what it has to know.
        """
        self._credentials = credentials
        self._buffer = bytearray()
        self._used = 0
        self._replies = bytearray()
        self._version = 0
        self._reading = self._read()
        self.target: tuple[str, int] | None = None

    def receive(self, data: bytes) -> bytes:
        """
        Something has come from the client; not to be called any more once there is a
        L{target}.

        @return: what to send it.
        @raise Refused: that is the end.
        """
        self._buffer += data
        self._replies.clear()
        try:
            next(self._reading, None)
        except Refused as refused:
            # Behind what it was told in the same turn.
            refused.reply = bytes(self._replies) + refused.reply
            raise
        return bytes(self._replies)

    @property
    def rest(self) -> bytes:
        """
        What came behind the request.
        """
        return bytes(self._buffer[self._used :])

    def reply(self, cause: Cause | None) -> bytes:
        """
        The answer to the request.

        @param cause: why not; C{None} if it was done.
        """
        if self._version == 4:
            return bytes([0, 90 if cause is None else 91]) + bytes(6)
        return bytes([5, 0 if cause is None else cause.value, 0, 1]) + bytes(6)

    # The reading; it yields whenever there is not enough.

    def _reach(self, end: int) -> None:
        # Before anything behind it is looked at, so that what is wrong with a
        # request does not depend on how much of it has arrived.
        if end > LIMIT:
            raise Refused(f"its request has more than {LIMIT} bytes")

    def _take(self, count: int) -> Generator[None, None, bytes]:
        start = self._used
        end = start + count
        self._reach(end)
        while len(self._buffer) < end:
            yield
        self._used = end
        return bytes(self._buffer[start:end])

    def _takeByte(self) -> Generator[None, None, int]:
        return (yield from self._take(1))[0]

    def _takeString(self) -> Generator[None, None, bytes]:
        return (yield from self._take((yield from self._takeByte())))

    def _takeUntilZero(self) -> Generator[None, None, bytes]:
        while (end := self._buffer.find(0, self._used)) < 0:
            self._reach(len(self._buffer))
            yield
        content = yield from self._take(end - self._used)
        yield from self._takeByte()
        return content

    def _read(self) -> Generator[None, None, None]:
        self._version = yield from self._takeByte()
        if self._version == 5:
            yield from self._read5()
        elif self._version == 4:
            yield from self._read4()
        else:
            raise Refused(f"it does not speak SOCKS (first byte {self._version})")

    def _refuse(self, why: str, cause: Cause = Cause.FAILURE) -> Refused:
        return Refused(why, self.reply(cause))

    def _aim(self, host: bytes, port: int) -> None:
        if not _HOST.fullmatch(host):
            raise self._refuse("what it wants to connect to is no name")
        if not port:
            raise self._refuse("it wants to connect to port 0")
        self.target = host.decode("ascii").lower().rstrip("."), port
        if not self.target[0]:
            raise self._refuse("what it wants to connect to is no name")

    def _read5(self) -> Generator[None, None, None]:
        methods = yield from self._takeString()
        wanted = _NO_AUTHENTICATION if self._credentials is None else _PASSWORD
        if wanted not in methods:
            asked = "no password" if self._credentials is None else "a password"
            raise Refused(
                f"it does not offer to go on with {asked}", bytes([5, _NO_METHOD])
            )
        self._replies += bytes([5, wanted])
        if self._credentials is not None:
            yield from self._readPassword(self._credentials)
        version, command, _, kind = yield from self._take(4)
        if version != 5:
            raise self._refuse(f"its request is of version {version}")
        if kind == _ADDRESS_IPV4:
            host = str(IPv4Address((yield from self._take(4)))).encode()
        elif kind == _ADDRESS_IPV6:
            host = str(IPv6Address((yield from self._take(16)))).encode()
        elif kind == _ADDRESS_NAME:
            host = yield from self._takeString()
        else:
            raise self._refuse(f"addresses of type {kind} are none", Cause.ADDRESS_TYPE)
        port = int.from_bytes((yield from self._take(2)), "big")
        if command != _CONNECT:
            raise self._refuse(
                f"command {command} is not supported, CONNECT is", Cause.COMMAND
            )
        self._aim(host, port)

    def _readPassword(self, credentials: Credentials) -> Generator[None, None, None]:
        version = yield from self._takeByte()
        if version != 1:
            raise Refused(f"its password is of version {version}")
        user = yield from self._takeString()
        password = yield from self._takeString()
        if not credentials.match(user, password):
            raise Refused("wrong user or password", b"\1\1")
        self._replies += b"\1\0"

    def _read4(self) -> Generator[None, None, None]:
        command, *port = yield from self._take(3)
        address = yield from self._take(4)
        yield from self._takeUntilZero()
        host = str(IPv4Address(address)).encode()
        if address[:3] == bytes(3) and address[3]:
            host = yield from self._takeUntilZero()
        if self._credentials is not None:
            raise self._refuse("SOCKS 4 has no password, and one is needed")
        if command != _CONNECT:
            raise self._refuse(f"command {command} is not supported, CONNECT is")
        self._aim(host, int.from_bytes(bytes(port), "big"))
