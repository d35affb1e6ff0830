"""
The C{simple} handshake: a name, and the same name back.
"""

from __future__ import annotations

from collections.abc import Container

from twisted_mux.errors import HandshakeError
from twisted_mux.negotiation.handshakes import (
    LONGEST_NAME,
    Handshake,
    Messages,
    message,
    show,
)

__all__ = ["SimpleAcceptor", "SimpleOpener"]


class SimpleOpener(Handshake):
    """
    The side that sends a name.  If it is refused the peer ends the stream, which
    is not for a handshake to see.

    @ivar proposed: the name.
    """

    def __init__(self, name: bytes, framed: bool) -> None:
        """
        @param framed: are messages frames?
        """
        super().__init__()
        self.proposed = name
        self._expected = name if framed else message(name)
        self._received = b""

    def greet(self) -> bytes:
        """
        See L{Handshake}.
        """
        return self._expected

    def receive(self, data: bytes, whole: bool) -> bytes:
        """
        See L{Handshake}.
        """
        expected = self._expected
        received = self._received = self._received + data
        if received.startswith(expected):
            self.selected = self.proposed
            self.unread = received[len(expected) :]
        elif not expected.startswith(received):
            raise HandshakeError(
                f"the answer to {show(self.proposed)} is {show(received)}"
            )
        return b""


class SimpleAcceptor(Handshake):
    """
    The side that gets a name.
    """

    def __init__(self, offered: Container[bytes], framed: bool) -> None:
        """
        @param offered: the names that there are.
        @param framed: are messages frames?
        """
        super().__init__()
        self._offered = offered
        self._framed = framed
        self._messages = Messages()

    def receive(self, data: bytes, whole: bool) -> bytes:
        """
        See L{Handshake}.
        """
        messages = self._messages
        messages.rest += data
        if not self._framed:
            name = messages.take()
        elif len(messages.rest) > LONGEST_NAME:
            raise HandshakeError(
                f"a message of {len(messages.rest)} bytes or more, with {LONGEST_NAME} "
                "allowed"
            )
        elif whole:
            name = messages.rest
            messages.rest = b""
        else:
            name = None
        if name is None:
            return b""
        if name not in self._offered:
            self.refused.append(name)
            self.over = True
            return b""
        self.selected = name
        self.unread = messages.rest
        return name if self._framed else message(name)
