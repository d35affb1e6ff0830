"""
What is read at a beginning: which wire a client speaks, which protocol it wants on
a stream, and which target of a SOCKS proxy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.fuzz.inputs import CutInput, cutUp
from tests.fuzz.target import Target, bounded
from tests.fuzz.vectors import messages
from tests.property.test_negotiation import OFFERED, outcome
from twisted_mux.negotiation.handshakes import HEADER, LS, NA, Handshake, message
from twisted_mux.negotiation.multistream import (
    MultistreamAcceptor,
    MultistreamOpener,
    line,
)
from twisted_mux.negotiation.simple import SimpleAcceptor, SimpleOpener
from twisted_mux.socks.request import LIMIT, Cause, Credentials, Negotiation, Refused
from twisted_mux.wire import DETECT_BYTES, UnknownBytes, codecNamed, detect, wireNames
from twisted_mux.wire.base import Match, Role

# Detection.


def detected(prefix: bytes) -> str:
    """
    What L{detect} says of a beginning.
    """
    try:
        codec = detect(prefix)
    except UnknownBytes:
        return "unknown"
    return "" if codec is None else codec.name


def fuzzDetect(data: bytes) -> None:
    """
    Nothing but C{UnknownBytes} comes out; what was said once holds however much
    follows; and after L{DETECT_BYTES} there is an answer.
    """
    with bounded(len(data) + DETECT_BYTES * DETECT_BYTES):
        decided = ""
        said = dict.fromkeys(wireNames(), Match.MAYBE)
        for length in range(min(len(data), DETECT_BYTES + 2) + 1):
            prefix = data[:length]
            answer = detected(prefix)
            assert not decided or answer == decided, (prefix, decided, answer)
            decided = answer
            for name, before in said.items():
                match = codecNamed(name).match(prefix[:DETECT_BYTES])
                assert before is Match.MAYBE or match is before, (name, prefix)
                said[name] = match
        assert decided or len(data) < DETECT_BYTES, data[:DETECT_BYTES]
        assert detected(data) == decided


def detectSeeds() -> Iterator[bytes]:
    """
    Beginnings of real clients, and of others that call by mistake.
    """
    for wire in wireNames():
        for role, content in messages(wire):
            if role is Role.CLIENT:
                yield content[: DETECT_BYTES + 1]
    yield b"GET / HTTP/1.1\r\n"
    yield b"\x16\x03\x01\0\xa5\1\0\0\xa1\3\3"
    yield b"SSH-2.0-OpenSSH_9.2\r\n"
    yield b"\r\n\r\n\0\r\nQUIT\n\x21\x11"


# Handshakes.

_HANDSHAKES: dict[str, Callable[[], Handshake]] = {
    "simple-opener": lambda: SimpleOpener(b"/a", False),
    "simple-opener-messages": lambda: SimpleOpener(b"/a", True),
    "simple-acceptor": lambda: SimpleAcceptor(OFFERED, False),
    "multistream-opener": lambda: MultistreamOpener([b"/c", b"/a"]),
    "multistream-acceptor": lambda: MultistreamAcceptor(OFFERED),
}


def fuzzHandshake(data: bytes) -> None:
    """
    A stream's protocol is agreed upon, or not, or C{HandshakeError} comes out: the
    same however it is cut, with a bounded buffer (see C{outcome}).
    """
    given = CutInput.parse(data)
    make = list(_HANDSHAKES.values())[given.flags % len(_HANDSHAKES)]
    whole = [given.wire] if given.wire else []
    with bounded(len(given.wire)):
        expected = outcome(make, whole)
    with bounded(len(given.wire)):
        assert outcome(make, cutUp(given.wire, given.cuts)) == expected


def handshakeSeeds() -> Iterator[bytes]:
    """
    What a peer might well say to each of them.
    """
    for flags in range(len(_HANDSHAKES)):
        for content in (
            line(HEADER) + line(b"/a") + b"rest",
            line(HEADER) + line(NA) + line(b"/a"),
            line(HEADER) + line(b"/c") + line(LS) + line(b"/b/1.0"),
            message(b"/a") + b"rest",
            message(b"n" * 1000),
            line(b"/multistream/2.0.0"),
            b"\x80\0",
            b"\0",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\1",
        ):
            yield CutInput(flags, len(content), content).pack()


# SOCKS.

_CREDENTIALS = Credentials(b"us", b"secret")


def asked(credentials: Credentials | None, chunks: list[bytes]) -> object:
    """
    What a client of SOCKS gets that sends this: the target, what is left, and
    the replies; or why not.
    """
    negotiation = Negotiation(credentials)
    replies = b""
    size = 0
    for index, chunk in enumerate(chunks):
        size += len(chunk)
        try:
            replies += negotiation.receive(chunk)
        except Refused as refused:
            return replies + refused.reply, str(refused)
        if negotiation.target is not None:
            host, port = negotiation.target
            assert host.isascii()
            assert 0 < len(host) <= 255
            assert 0 < port < 65536
            for cause in (None, *Cause):
                assert len(negotiation.reply(cause)) in (8, 10)
            rest = negotiation.rest + b"".join(chunks[index + 1 :])
            return replies, negotiation.target, rest
        assert size <= LIMIT, "it waits for more than a request may have"
    return replies


def fuzzSocks(data: bytes) -> None:
    """
    A target comes out, or C{Refused}: the same however it is cut.
    """
    given = CutInput.parse(data)
    credentials = _CREDENTIALS if given.flags & 1 else None
    with bounded(len(given.wire)):
        expected = asked(credentials, [given.wire] if given.wire else [])
    with bounded(len(given.wire)):
        assert asked(credentials, cutUp(given.wire, given.cuts)) == expected


def socksSeeds() -> Iterator[bytes]:
    """
    Requests of both versions.
    """
    for flags, content in (
        (0, b"\5\1\0\5\1\0\3\x0bexample.org\1\xbbGET /"),
        (0, b"\5\1\0\5\1\0\1\x7f\0\0\1\0\x50"),
        (0, b"\5\2\0\2\5\1\0\4" + bytes(15) + b"\1\0\x50"),
        (1, b"\5\1\2\1\2us\6secret\5\1\0\1\x7f\0\0\1\0\x50"),
        (1, b"\5\1\2\1\2us\5wrong"),
        (0, b"\4\1\0\x50\x7f\0\0\1user\0"),
        (0, b"\4\1\1\xbb\0\0\0\7me\0example.org\0GET /"),
        (0, b"\5\1\0\5\2\0\1\x7f\0\0\1\0\x50"),
        (0, b"GET / HTTP/1.0\r\n\r\n"),
        (0, b"\4\1\0\x50\x7f\0\0\1" + b"u" * 600),
    ):
        yield CutInput(flags, len(content), content).pack()


def targets() -> Iterator[Target]:
    """
    One for each.
    """
    yield Target("detect", fuzzDetect, detectSeeds)
    yield Target("multistream", fuzzHandshake, handshakeSeeds)
    yield Target("socks", fuzzSocks, socksSeeds)
