"""
The two handshakes by which a stream's protocol is agreed upon, without a stream.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.protocol import connectionDone

from tests.unit.negotiating import (
    CHAT,
    ECHO,
    HEADER,
)
from twisted_mux.errors import ConfigError, HandshakeError
from twisted_mux.negotiation.handshakes import Handshake, checkNames, message
from twisted_mux.negotiation.multistream import (
    MultistreamAcceptor,
    MultistreamOpener,
)
from twisted_mux.negotiation.negotiator import Negotiator
from twisted_mux.negotiation.simple import SimpleAcceptor, SimpleOpener


def test_simpleOpener() -> None:
    """
    The name is sent, and what comes behind the same name is the protocol's.
    """
    opener = SimpleOpener(b"/a", False)
    assert opener.greet() == b"\x02/a"
    for data in (b"\x02/", b"arest"):
        assert not opener.selected
        assert opener.receive(data, True) == b""
    assert opener.selected == b"/a"
    assert opener.unread == b"rest"


def test_simpleOpenerFramed() -> None:
    """
    Without a length, where messages are frames.
    """
    opener = SimpleOpener(b"/a", True)
    assert opener.greet() == b"/a"
    opener.receive(b"/arest", True)
    assert opener.selected == b"/a"
    assert opener.unread == b"rest"


@pytest.mark.parametrize("answer", [b"\x02/b", b"\x03", b"HTTP/1.1 400", b"\x02/"])
def test_simpleOpenerOtherAnswer(answer: bytes) -> None:
    """
    Nothing but the name is an answer, and nothing else is waited for.
    """
    opener = SimpleOpener(b"/a", False)
    if b"\x02/a".startswith(answer):
        opener.receive(answer, True)
        answer = b"x"
    with pytest.raises(HandshakeError, match="the answer to '/a' is"):
        opener.receive(answer, True)


def test_simpleAcceptor() -> None:
    """
    A name that is there is sent back.
    """
    acceptor = SimpleAcceptor({ECHO}, False)
    assert acceptor.greet() == b""
    whole = message(ECHO)
    assert acceptor.receive(whole[:4], True) == b""
    assert acceptor.receive(whole[4:] + b"rest", True) == whole
    assert (acceptor.selected, acceptor.unread) == (ECHO, b"rest")


def test_simpleAcceptorFramed() -> None:
    """
    A frame is the name; it may come in pieces.
    """
    acceptor = SimpleAcceptor({ECHO}, True)
    assert acceptor.receive(ECHO[:4], False) == b""
    assert acceptor.receive(ECHO[4:], True) == ECHO
    assert (acceptor.selected, acceptor.unread) == (ECHO, b"")


@pytest.mark.parametrize("framed", [False, True])
def test_simpleAcceptorUnknown(framed: bool) -> None:
    """
    A name that is not there is the end.
    """
    acceptor = SimpleAcceptor({ECHO}, framed)
    assert acceptor.receive(CHAT if framed else message(CHAT), True) == b""
    assert acceptor.over
    assert acceptor.refused == [CHAT]


@pytest.mark.parametrize(
    ("framed", "data", "error"),
    [
        (False, b"\x00", "empty"),
        (False, b"\x80\x00", "not minimal"),
        (False, b"\x81\x08", "1025 bytes or more, with 1024 allowed"),
        (False, b"\x80\x80\x40", "16384 bytes or more, with 1024 allowed"),
        (True, bytes(1025), "1025 bytes or more, with 1024 allowed"),
    ],
)
def test_simpleAcceptorBadMessage(framed: bool, data: bytes, error: str) -> None:
    """
    What is no message is refused as soon as that shows.
    """
    with pytest.raises(HandshakeError, match=error):
        SimpleAcceptor({ECHO}, framed).receive(data, False)


@pytest.mark.parametrize("framed", [False, True])
def test_simpleLongestName(framed: bool) -> None:
    """
    1,024 bytes are not too many, and a length of two bytes may be cut.
    """
    name = b"n" * 1024
    data = name if framed else message(name)
    acceptor = SimpleAcceptor({name}, framed)
    assert acceptor.receive(data[:1], False) == b""
    assert acceptor.receive(data[1:], True) == data
    opener = SimpleOpener(name, framed)
    assert opener.greet() == data
    opener.receive(data, True)
    assert acceptor.selected == opener.selected == name


def test_multistreamOpener() -> None:
    """
    The header goes with the first name; after a C{na} the next is proposed.
    """
    opener = MultistreamOpener([b"/a", b"/b"])
    assert opener.greet() == HEADER + b"\x03/a\n"
    assert opener.receive(HEADER, True) == b""
    assert opener.receive(b"\x03na\n", True) == b"\x03/b\n"
    assert opener.proposed == b"/b"
    assert opener.receive(b"\x03/b\nrest", True) == b""
    assert (opener.selected, opener.unread) == (b"/b", b"rest")
    assert opener.refused == [b"/a"]


def test_multistreamOpenerRefused() -> None:
    """
    When there is no name left it is over, and nothing more is read.
    """
    opener = MultistreamOpener([b"/a"])
    assert opener.receive(HEADER + b"\x03na\n\x00", True) == b""
    assert opener.over
    assert opener.refused == [b"/a"]


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"\x03/a\n", "'/a' in the place of '/multistream/1.0.0'"),
        (b"\x13/multistream/2.0.0\n", "'/multistream/2.0.0' in the place of"),
        (HEADER + b"\x03/b\n", "the answer to '/a' is '/b'"),
        (HEADER + HEADER, "the answer to '/a' is '/multistream/1.0.0'"),
        (HEADER + b"\x02/a", "'/a' does not end with a newline"),
        (b"\x00", "empty"),
    ],
)
def test_multistreamOpenerBadAnswer(data: bytes, error: str) -> None:
    """
    Everything else is against the rules.
    """
    with pytest.raises(HandshakeError, match=error):
        MultistreamOpener([b"/a"]).receive(data, True)


def test_multistreamAcceptor() -> None:
    """
    Both sides send the header; a name that is there is sent back, whatever was
    refused before.
    """
    acceptor = MultistreamAcceptor({b"/a": 1, b"/b": 2})
    assert acceptor.greet() == HEADER
    assert acceptor.receive(HEADER, True) == b""
    assert acceptor.receive(b"\x03/c\n\x03/b\nrest", True) == b"\x03na\n\x03/b\n"
    assert (acceptor.selected, acceptor.unread) == (b"/b", b"rest")
    assert acceptor.refused == [b"/c"]


def test_multistreamListing() -> None:
    """
    C{ls} is answered as by rust-libp2p and JavaScript; where that would not fit
    into a line, it is not available.
    """
    acceptor = MultistreamAcceptor([b"/a", b"/bc"])
    acceptor.receive(HEADER, True)
    assert acceptor.receive(b"\x03ls\n", True) == b"\x0a\x03/a\n\x04/bc\n\n"
    assert acceptor.refused == []
    acceptor = MultistreamAcceptor([b"n" * 1023])
    acceptor.receive(HEADER, True)
    assert acceptor.receive(b"\x03ls\n", True) == b"\x03na\n"


def test_multistreamProposals() -> None:
    """
    The sixteenth is answered, the seventeenth is too many.
    """
    acceptor = MultistreamAcceptor([b"/a"])
    acceptor.receive(HEADER, True)
    assert acceptor.receive(b"\x03na\n" * 16, True) == b"\x03na\n" * 16
    with pytest.raises(HandshakeError, match="17 proposals, with 16 allowed"):
        acceptor.receive(b"\x03/b\n", True)


@pytest.mark.parametrize(
    ("protocol", "negotiate", "error"),
    [
        (b"", "simple", "from 1 to 1024 bytes"),
        (bytes(1025), "simple", "from 1 to 1024 bytes"),
        (bytes(1024), "multistream", "from 1 to 1023 bytes"),
        (b"/a\n/b", "multistream", "no protocol can be called"),
        (b"na", "multistream", "no protocol can be called"),
        (b"ls", "multistream", "no protocol can be called"),
        (b"/multistream/1.0.0", "multistream", "no protocol can be called"),
        ("/a", "simple", "is bytes, not '/a'"),
        (["/a"], "simple", "is bytes, not '/a'"),
        ([], "simple", "from 1 to 16 names"),
        ([b"/%d" % number for number in range(17)], "simple", "from 1 to 16 names"),
        ([b"/a", b"/b", b"/a"], "simple", "is there twice"),
        (b"/a", "guess", "no handshake 'guess': it is one of simple, multistream"),
    ],
)
def test_badNames(protocol: Any, negotiate: str, error: str) -> None:
    """
    What can't be agreed upon is not accepted in the first place.
    """
    with pytest.raises(ConfigError, match=error):
        checkNames(protocol, negotiate)


def test_goodNames() -> None:
    """
    One name, or several; any bytes with C{simple}.
    """
    assert checkNames(b"na\n", "simple") == (b"na\n",)
    assert checkNames(iter([b"/a", b"/b"]), "multistream") == (b"/a", b"/b")
    assert checkNames(bytes(1023), "multistream") == (bytes(1023),)


@pytest.mark.parametrize(
    "call",
    [
        lambda: Handshake().receive(b"", True),
        lambda: MultistreamAcceptor.__base__()._answer(b""),  # type: ignore[misc]
        lambda: Negotiator().begin(0),
        lambda: Negotiator().selected(b""),
        lambda: Negotiator().refused([]),
        lambda: Negotiator().broken(HandshakeError("")),
        lambda: Negotiator().lost(connectionDone),
    ],
)
def test_abstract(call: Callable[[], object]) -> None:
    """
    What each side has to say for itself.
    """
    with pytest.raises(NotImplementedError):
        call()
