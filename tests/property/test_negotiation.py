"""
Handshakes cut anywhere, with anything: they end the same way, and no byte that is
the protocol's is lost.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from twisted_mux.errors import HandshakeError
from twisted_mux.negotiation.handshakes import (
    HEADER,
    LONGEST_NAME,
    LS,
    NA,
    Handshake,
    message,
)
from twisted_mux.negotiation.multistream import (
    MultistreamAcceptor,
    MultistreamOpener,
    line,
)
from twisted_mux.negotiation.simple import SimpleAcceptor, SimpleOpener

OFFERED = (b"/a", b"/b/1.0", b"n" * 1000)

names = st.sampled_from((*OFFERED, b"/c", b"/" + b"x" * 200)) | st.binary(
    min_size=1, max_size=40
).filter(lambda name: b"\n" not in name and name not in (NA, LS, HEADER))
someNames = st.lists(names, min_size=1, max_size=16)
cuts = st.lists(st.integers(1, 50), max_size=30)


def pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    """
    C{data} cut into pieces of these sizes, and the rest.
    """
    result = []
    for size in sizes:
        result.append(data[:size])
        data = data[size:]
    return [piece for piece in (*result, data) if piece]


def play(one: Handshake, other: Handshake, sizes: list[int], rest: bytes) -> bytes:
    """
    Let two sides talk to each other until there is nothing more to say; once the
    first has agreed it has C{rest} to send.

    @return: what the second has left unread, and what came after.
    """
    sides = [one, other]
    mail = [other.greet(), one.greet()]
    sent = False
    after = b""
    while any(mail):
        for reader, side in enumerate(sides):
            data, mail[reader] = mail[reader], b""
            for piece in pieces(data, sizes):
                if side.selected is not None:
                    after += piece
                elif not side.over:
                    mail[1 - reader] += side.receive(piece, True)
        if one.selected is not None and not sent:
            sent = True
            mail[1] += rest
    return other.unread + after if other.selected is not None else b""


@given(someNames, cuts, st.binary(max_size=100))
def test_multistream(proposals: list[bytes], sizes: list[int], rest: bytes) -> None:
    """
    Both sides agree on the first name that is offered, or on none.
    """
    opener = MultistreamOpener(proposals)
    acceptor = MultistreamAcceptor(OFFERED)
    got = play(opener, acceptor, sizes, rest)
    agreed = next((name for name in proposals if name in OFFERED), None)
    assert opener.selected == acceptor.selected == agreed
    assert opener.over is (agreed is None)
    if agreed is None:
        assert opener.refused == acceptor.refused == proposals
    else:
        assert got == rest


@given(names, cuts, st.binary(max_size=100))
def test_simple(name: bytes, sizes: list[int], rest: bytes) -> None:
    """
    Both sides agree, or the acceptor says no.
    """
    opener = SimpleOpener(name, False)
    acceptor = SimpleAcceptor(OFFERED, False)
    got = play(opener, acceptor, sizes, rest)
    assert acceptor.over is (name not in OFFERED)
    if name in OFFERED:
        assert opener.selected == acceptor.selected == name
        assert got == rest


def settled(side: Handshake) -> bool:
    """
    Is a handshake at its end?
    """
    return side.selected is not None or side.over


def outcome(make: Callable[[], Handshake], parts: list[bytes]) -> object:
    """
    How a handshake ends that gets this: its answers, its name, what it leaves; or
    that it does not like it.
    """
    side = make()
    answers = b""
    rest = b""
    for part in parts:
        if side.selected is not None:
            rest += part
        elif not side.over:
            try:
                answers += side.receive(part, True)
            except HandshakeError:
                return "broken"
            # What is kept is less than a message, once that was looked at.
            messages = getattr(side, "_messages", None)
            kept = messages.rest if messages else b""
            assert settled(side) or len(kept) <= LONGEST_NAME + 1
    if side.selected is None:
        return answers, side.over
    return answers, side.selected, side.unread + rest


fragments = st.sampled_from(
    [line(HEADER), line(NA), line(LS), line(b"/a"), message(b"/a"), line(b"/c")]
)
garbage = st.lists(fragments | st.binary(max_size=30), max_size=25).map(b"".join)


@given(
    st.sampled_from(
        [
            lambda: SimpleOpener(b"/a", False),
            lambda: SimpleAcceptor(OFFERED, False),
            lambda: MultistreamOpener([b"/c", b"/a"]),
            lambda: MultistreamAcceptor(OFFERED),
        ]
    ),
    garbage,
    cuts,
)
def test_cutAnywhere(
    make: Callable[[], Handshake], data: bytes, sizes: list[int]
) -> None:
    """
    Whatever a peer sends, however it is cut: the same end, nothing raised but
    C{HandshakeError}, and a bounded buffer.
    """
    whole = outcome(make, [data] if data else [])
    assert outcome(make, pieces(data, sizes)) == whole
    assert outcome(make, pieces(data, [1] * len(data))) == whole
