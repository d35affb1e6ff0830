"""
The wire of the guide to adding one: it passes what every wire has to pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import twisted_mux.wire
from tests.unit.wire.sinks import RecordingSink, merged
from twisted_mux.config import MuxConfig
from twisted_mux.errors import ProtocolError
from twisted_mux.testing import SessionPair
from twisted_mux.testing.conformance import StreamConnections, casesFor
from twisted_mux.wire import codecNamed, detect, wireNames, wires
from twisted_mux.wire.base import Role

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "toy_wire"


@pytest.fixture(scope="module", autouse=True)
def installed() -> Iterator[None]:
    """
    Have the module found as if it lay in C{twisted_mux/wire}.
    """
    path = twisted_mux.wire.__path__
    path.append(str(EXAMPLE))
    wires.cache_clear()
    try:
        yield
    finally:
        path.remove(str(EXAMPLE))
        wires.cache_clear()


# Where there is no credit, a reader that does not read holds less than the tests
# write.
CONFIG = MuxConfig(receiveBudget=1024 * 1024)


def streams() -> StreamConnections:
    """
    Streams of the wire.
    """
    return StreamConnections(SessionPair("toy", clientConfig=CONFIG))


globals().update(casesFor("Toy", streams))


def test_found() -> None:
    assert "toy" in wireNames()


def frames() -> bytes:
    """
    A short session of a client's.
    """
    codec = codecNamed("toy")(Role.CLIENT, RecordingSink(), 100)
    return b"".join(
        [
            codec.encodeOpen(1, 0, b""),
            codec.payloadHeader(1, 5) + b"hello",
            codec.encodeOpen(3, 0, b""),
            codec.encodeEnd(1),
            codec.payloadHeader(3, 2) + b"hi",
            codec.encodeReset(3),
        ]
    )


@given(st.lists(st.integers(0, 60)))
def test_cutAnywhere(cuts: list[int]) -> None:
    """
    However its bytes are cut, they say the same.
    """
    data = frames()
    sink = RecordingSink()
    codec = codecNamed("toy")(Role.SERVER, sink, 100)
    bounds = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for begin, end in pairwise(bounds):
        assert codec.receive(data[begin:end]) == b""
    assert codec.midFrame == 0
    assert merged(sink.calls) == [
        ("openReceived", 1, 0, b""),
        ("payloadReceived", 1, b"hello"),
        ("openReceived", 3, 0, b""),
        ("endReceived", 1),
        ("payloadReceived", 3, b"hi"),
        ("resetReceived", 3, 0),
    ]


def test_detected() -> None:
    """
    The first bytes of a client tell it from all other wires.
    """
    assert detect(b"") is None
    assert detect(frames()[:5]) is None
    assert detect(frames()[:6]) is codecNamed("toy")


@pytest.mark.parametrize(
    "data",
    [
        b"X\0\0\1\0\0",
        b"T\x09\0\1\0\0",
        b"T\0\0\1\0\1",
        b"T\0\0\2\0\0",
        b"T\0\0\0\0\0",
    ],
)
def test_refused(data: bytes) -> None:
    codec = codecNamed("toy")(Role.SERVER, RecordingSink(), 100)
    with pytest.raises(ProtocolError):
        codec.receive(data)


@pytest.mark.parametrize(("role", "first"), [(Role.CLIENT, 1), (Role.SERVER, 2)])
def test_keys(role: Role, first: int) -> None:
    """
    They are those that the peer takes, all that fit into two bytes, and come to an end.
    """
    keys = list(codecNamed("toy")(role, RecordingSink(), 100).keys())
    assert keys == list(range(first, 2**16, 2))
