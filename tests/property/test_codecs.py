"""
What holds for every codec, whatever the bytes and wherever they are cut.

The wire protocols are found by their registry, and what is asked of one by its
capabilities: a new one is tested as soon as it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.wire.sinks import Call, eachByte, feed, makeCodec, merged
from twisted_mux.errors import ProtocolError
from twisted_mux.wire import codecNamed, wireNames
from twisted_mux.wire.base import FRAMES_PER_TURN, Codec, Credit, Key, Role

everyWire = pytest.mark.parametrize("wire", wireNames())
roles = st.sampled_from(Role)
words = st.integers(0, 0xFFFFFFFF)
payloads = st.binary(min_size=1, max_size=300)


#: Makes the bytes of a frame, given the codec and a key to use.
Write = Callable[[Codec, Key], bytes]


def writes(wire: str) -> st.SearchStrategy[Write]:
    """
    Requests of all kinds that the wire protocol has.
    """
    capabilities = codecNamed(wire).capabilities
    names = st.binary(max_size=40) if capabilities.names else st.just(b"")
    windows = st.integers(0, 1 << 24)
    kinds: list[st.SearchStrategy[Write]] = [
        st.builds(
            lambda window, name: lambda codec, key: codec.encodeOpen(key, window, name),
            windows,
            names,
        ),
        st.builds(
            lambda data: lambda codec, key: codec.payloadHeader(key, len(data)) + data,
            payloads,
        ),
        st.just(lambda codec, key: codec.encodeEnd(key)),
        st.builds(
            lambda window: lambda codec, key: codec.encodeAccept(key, window), windows
        ),
    ]
    if capabilities.credit is not Credit.NONE:
        kinds.append(
            st.builds(
                lambda delta, consumed, window: (
                    lambda codec, key: codec.encodeCredit(key, delta, consumed, window)
                ),
                st.integers(1, 1 << 31),
                words,
                st.integers(0, 0x7FFFFFFF),
            )
        )
    if capabilities.reset:
        kinds.append(st.just(lambda codec, key: codec.encodeReset(key)))
    if capabilities.ping:
        kinds.append(
            st.builds(lambda value: lambda codec, key: codec.encodePing(value), words)
        )
        kinds.append(
            st.builds(lambda value: lambda codec, key: codec.encodePong(value), words)
        )
    if capabilities.probe:
        kinds.append(st.just(lambda codec, key: codec.encodeProbe()))
    if capabilities.goAway:
        kinds.append(
            st.builds(lambda code: lambda codec, key: codec.encodeGoAway(code), words)
        )
    return st.one_of(kinds)


def frames(data: st.DataObject, wire: str, role: Role) -> list[bytes]:
    """
    What a side of this role sends, frame by frame.
    """
    writer, _ = makeCodec(codecNamed(wire), role)
    keys = list(islice(writer.keys(), 40))
    chosen = data.draw(
        st.lists(st.tuples(writes(wire), st.sampled_from(keys)), max_size=20)
    )
    return [write(writer, key) for write, key in chosen]


def cutUp(data: st.DataObject, whole: bytes) -> list[bytes]:
    """
    C{whole} in chunks of any lengths, 0 among them.
    """
    places = data.draw(st.lists(st.integers(0, len(whole)), max_size=12).map(sorted))
    edges = [0, *places, len(whole)]
    return [whole[start:end] for start, end in pairwise(edges)]


def outcome(wire: str, role: Role, chunks: list[bytes]) -> tuple[list[Call], str]:
    """
    What a codec makes of these chunks: the calls, and the error it ended with,
    or C{""}.  L{feed} checks at every chunk how much the codec keeps of it.
    """
    reader, sink = makeCodec(codecNamed(wire), role)
    try:
        for chunk in chunks:
            feed(reader, chunk)
    except ProtocolError as error:
        return merged(sink.calls), str(error)
    return merged(sink.calls), ""


def sameHoweverCut(
    data: st.DataObject, wire: str, role: Role, whole: bytes
) -> tuple[list[Call], str]:
    """
    Check that it makes no difference where the chunks are cut.
    """
    expected = outcome(wire, role, [whole])
    assert outcome(wire, role, cutUp(data, whole)) == expected
    assert outcome(wire, role, eachByte(whole)) == expected
    return expected


@everyWire
@given(st.data(), roles)
def test_whatOneSideWritesTheOtherReads(
    wire: str, data: st.DataObject, role: Role
) -> None:
    """
    Every frame causes calls, in order, wherever the bytes are cut.
    """
    written = frames(data, wire, role)
    calls, error = sameHoweverCut(data, wire, role.other, b"".join(written))
    assert not error
    each = [outcome(wire, role.other, [frame])[0] for frame in written]
    assert all(
        bool(frame) == bool(said) for frame, said in zip(written, each, strict=True)
    )
    assert calls == merged(call for said in each for call in said)


@everyWire
@given(st.data(), roles, payloads)
def test_payloadArrives(
    wire: str, data: st.DataObject, role: Role, payload: bytes
) -> None:
    """
    A payload arrives as it was sent, as one stream's.
    """
    writer, _ = makeCodec(codecNamed(wire), role)
    key = data.draw(st.sampled_from(list(islice(writer.keys(), 40))))
    whole = writer.payloadHeader(key, len(payload)) + payload
    [call] = sameHoweverCut(data, wire, role.other, whole)[0]
    assert call[0] == "payloadReceived"
    assert call[2] == payload


@everyWire
@given(st.data(), roles, st.binary(max_size=400))
def test_garbage(wire: str, data: st.DataObject, role: Role, whole: bytes) -> None:
    """
    Whatever arrives raises only protocol errors, and always the same ones.
    """
    sameHoweverCut(data, wire, role, whole)


def mutate(data: st.DataObject, whole: bytes) -> bytes:
    """
    Valid bytes with some overwritten, dropped, doubled, or put in.
    """
    result = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(result)))
        end = place + data.draw(st.integers(0, 4))
        replacement: Any = data.draw(
            st.binary(max_size=4)
            | st.just(bytes(result[place:end]) * 2)
            | st.sampled_from([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x80\0", b"\1"])
        )
        result[place:end] = replacement
    return bytes(result)


@everyWire
@given(st.data(), roles)
def test_mutatedFrames(wire: str, data: st.DataObject, role: Role) -> None:
    """
    So does what is nearly right.
    """
    whole = b"".join(frames(data, wire, role))
    sameHoweverCut(data, wire, role.other, mutate(data, whole))


@everyWire
@given(st.data(), roles)
def test_midFrame(wire: str, data: st.DataObject, role: Role) -> None:
    """
    Between whole frames, and within a payload, a codec waits for nothing.
    """
    writer, _ = makeCodec(codecNamed(wire), role)
    reader, _ = makeCodec(codecNamed(wire), role.other)
    assert not reader.midFrame
    for frame in frames(data, wire, role):
        feed(reader, frame)
        assert not reader.midFrame
    header = writer.payloadHeader(next(writer.keys()), 5)
    for byte in eachByte(header[:-1]):
        feed(reader, byte)
        assert reader.midFrame
    for byte in eachByte(header[-1:] + b"hello"):
        feed(reader, byte)
        assert not reader.midFrame


def restsOf(reader: Codec, chunk: bytes) -> Iterator[bytes]:
    while chunk:
        chunk = reader.receive(chunk)
        yield chunk


@everyWire
@given(roles, st.integers(1, 3), st.data())
def test_turns(wire: str, role: Role, turns: int, data: st.DataObject) -> None:
    """
    A call reads no more than a turn's frames, and hands back all of the rest.
    """
    writer, _ = makeCodec(codecNamed(wire), role)
    reader, sink = makeCodec(codecNamed(wire), role.other)
    frame = writer.payloadHeader(next(writer.keys()), 1) + b"x"
    extra = data.draw(st.integers(0, 50))
    cut = data.draw(st.integers(0, len(frame) - 1))
    whole = frame * (FRAMES_PER_TURN * turns + extra) + frame[:cut]
    seen = 0
    for turn, rest in enumerate(restsOf(reader, whole)):
        assert len(sink.calls) - seen <= FRAMES_PER_TURN + 1
        seen = len(sink.calls)
        if turn < turns - 1:
            assert rest == whole[(turn + 1) * FRAMES_PER_TURN * len(frame) :]
    assert b"".join(call[2] for call in sink.calls).count(b"x") == len(sink.calls)
    feed(reader, frame[cut:] if cut else b"")
    assert len(sink.calls) == FRAMES_PER_TURN * turns + extra + bool(cut)


@everyWire
@pytest.mark.parametrize("role", list(Role))
def test_keys(wire: str, role: Role) -> None:
    """
    The keys of a side are all different, and so are, to either side, those of
    the two sides.
    """
    codec = codecNamed(wire)
    seen: dict[Role, list[Key]] = {}
    for side in Role:
        writer, _ = makeCodec(codec, side)
        keys = list(islice(writer.keys(), 2000))
        assert len(set(keys)) == 2000
        if side is not role:
            said = [outcome(wire, role, [writer.encodeEnd(key)])[0] for key in keys]
            keys = [call[1] for [call] in said]
        seen[side] = keys
    assert set(seen[Role.CLIENT]).isdisjoint(seen[Role.SERVER])
