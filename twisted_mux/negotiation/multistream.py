"""
multistream-select 1.0.

Go's C{multistream.go} and Rust's C{protocol.rs} are the reference: the document is
older than both.
"""

from __future__ import annotations

from collections.abc import Collection

from twisted_mux.errors import HandshakeError
from twisted_mux.negotiation.handshakes import (
    HEADER,
    LONGEST_NAME,
    LS,
    MOST_PROPOSALS,
    NA,
    Handshake,
    Messages,
    message,
    show,
)

__all__ = ["MultistreamAcceptor", "MultistreamOpener"]


def line(text: bytes) -> bytes:
    """
    C{text} as a message.
    """
    return message(text + b"\n")


class _Multistream(Handshake):
    """
    What both sides have in common: the lines, and that the first one is the
    header.
    """

    def __init__(self) -> None:
        super().__init__()
        self._messages = Messages()
        self._greeted = False

    def greet(self) -> bytes:
        """
        See L{Handshake}.
        """
        return line(HEADER)

    def receive(self, data: bytes, whole: bool) -> bytes:
        """
        See L{Handshake}.
        """
        messages = self._messages
        messages.rest += data
        answers = []
        while self.selected is None and not self.over:
            received = messages.take()
            if received is None:
                break
            if received[-1:] != b"\n":
                raise HandshakeError(f"{show(received)} does not end with a newline")
            text = received[:-1]
            if self._greeted:
                answers.append(self._answer(text))
            elif text == HEADER:
                self._greeted = True
            else:
                raise HandshakeError(f"{show(text)} in the place of {show(HEADER)}")
        self.unread = messages.rest
        return b"".join(answers)

    def _answer(self, text: bytes) -> bytes:
        """
        What to send in answer to a line behind the header.
        """
        raise NotImplementedError(f"{type(self).__name__}._answer")


class MultistreamOpener(_Multistream):
    """
    The side that proposes names, one after the other.
    """

    def __init__(self, names: Collection[bytes]) -> None:
        super().__init__()
        self._names = list(names)

    @property
    def proposed(self) -> bytes:
        """
        The name that was proposed last.
        """
        return self._names[0]

    def greet(self) -> bytes:
        """
        See L{Handshake}.  The first name goes with the header, as Go and Rust
        do it.
        """
        return super().greet() + line(self._names[0])

    def _answer(self, text: bytes) -> bytes:
        names = self._names
        if text == names[0]:
            self.selected = text
            return b""
        if text != NA:
            raise HandshakeError(f"the answer to {show(names[0])} is {show(text)}")
        self.refused.append(names[0])
        if len(names) == 1:
            self.over = True
            return b""
        del names[0]
        return line(names[0])


class MultistreamAcceptor(_Multistream):
    """
    The side that takes a name, or says that it is not available.
    """

    def __init__(self, offered: Collection[bytes]) -> None:
        """
        @param offered: the names that there are.
        """
        super().__init__()
        self._offered = offered
        self._asked = 0

    def _answer(self, text: bytes) -> bytes:
        self._asked += 1
        if self._asked > MOST_PROPOSALS:
            raise HandshakeError(
                f"{self._asked} proposals, with {MOST_PROPOSALS} allowed"
            )
        if text in self._offered:
            self.selected = text
            return line(text)
        if text == LS:
            listing = b"".join(map(line, self._offered)) + b"\n"
            # A longer message nobody would read.
            if len(listing) <= LONGEST_NAME:
                return message(listing)
        else:
            self.refused.append(text)
        return line(NA)
