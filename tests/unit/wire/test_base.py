"""
The seam itself: what a codec that says nothing else does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.wire.sinks import RecordingSink, makeCodec
from twisted_mux.errors import NotSupported
from twisted_mux.wire.base import Capabilities, Codec, Credit, FrameSink, Role
from twisted_mux.wire.yamux import HeaderCodec


class Bare(Codec):
    name = "bare"
    capabilities = Capabilities(Credit.NONE)


class BareHeader(HeaderCodec):
    name = "bare header"
    version = 9
    capabilities = Capabilities(Credit.NONE)


def test_roles() -> None:
    assert Role.CLIENT.other is Role.SERVER
    assert Role.SERVER.other is Role.CLIENT


def test_aSinkForTests() -> None:
    """
    The tests' sink is one, as far as mypy can tell.
    """
    sink: FrameSink = RecordingSink()
    assert isinstance(sink, RecordingSink)


@pytest.mark.parametrize(
    "call",
    [
        lambda codec: codec.match(b""),
        lambda codec: codec.keys(),
        lambda codec: codec.receive(b""),
        lambda codec: codec.midFrame,
        lambda codec: codec.payloadHeader(1, 1),
        lambda codec: codec.encodeOpen(1, 1, b""),
        lambda codec: codec.encodeEnd(1),
    ],
)
def test_whatEveryCodecNeeds(call: Callable[[Codec], Any]) -> None:
    with pytest.raises(NotImplementedError, match="Bare"):
        call(makeCodec(Bare, Role.CLIENT)[0])


@pytest.mark.parametrize("kind", [1, 2])
def test_whatEveryHeaderCodecNeeds(kind: int) -> None:
    reader, _ = makeCodec(BareHeader, Role.CLIENT)
    stream = 1 if kind == 1 else 0
    with pytest.raises(NotImplementedError, match="BareHeader"):
        reader.receive(bytes([9, kind, 0, 0, 0, 0, 0, stream, 0, 0, 0, 0]))


@pytest.mark.parametrize(
    "call",
    [
        lambda codec: codec.keyOfAddress(("::1", 1)),
        lambda codec: codec.addressOfKey(1),
        lambda codec: codec.encodeReset(1),
        lambda codec: codec.encodePing(1),
        lambda codec: codec.encodePong(1),
        lambda codec: codec.encodeProbe(),
        lambda codec: codec.encodeGoAway(1),
    ],
)
def test_whatACodecMayLack(call: Callable[[Codec], Any]) -> None:
    with pytest.raises(NotSupported, match="bare"):
        call(makeCodec(Bare, Role.CLIENT)[0])


def test_whatIsOptional() -> None:
    codec, _ = makeCodec(Bare, Role.CLIENT)
    assert codec.encodeAccept(1, 1) == b""
    assert codec.encodeCredit(1, 1, 1, 1) == b""


def test_maxFrame() -> None:
    """
    It is what was asked for, within what fits.
    """
    assert makeCodec(Bare, Role.CLIENT, 100)[0].maxFrame == 100
    assert makeCodec(Bare, Role.CLIENT, 100000)[0].maxFrame == 65535


def test_describeCode() -> None:
    class Coded(Bare):
        goAwayCodes = {"normal": 0, "protocol": 7}

    codec, _ = makeCodec(Coded, Role.CLIENT)
    assert codec.describeCode(7) == "protocol"
    assert codec.describeCode(8) == "code 8"
