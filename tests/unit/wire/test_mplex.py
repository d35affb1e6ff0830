"""
mplex.
"""

from __future__ import annotations

import platform
from itertools import islice

import pytest

from tests.unit.wire.sinks import (
    MOST_KEPT,
    Call,
    assertDecodes,
    decode,
    eachByte,
    feed,
    makeCodec,
    merged,
)
from twisted_mux.errors import ConfigError, NotSupported, ProtocolError
from twisted_mux.wire.base import FRAMES_PER_TURN, Credit, Role
from twisted_mux.wire.mplex import LONGEST_NAME, MAX_MESSAGE, MplexCodec

(
    NEW_STREAM,
    MESSAGE_RECEIVER,
    MESSAGE_INITIATOR,
    CLOSE_RECEIVER,
    CLOSE_INITIATOR,
    RESET_RECEIVER,
    RESET_INITIATOR,
    UNKNOWN,
) = range(8)

IDS = [0, 1, 15, 16, 17, 2047, 2048, 300000, 2**60 - 1]
ROLES = list(Role)


def uvarint(number: int) -> bytes:
    groups = [number & 0x7F]
    while number := number >> 7:
        groups.append(number & 0x7F)
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])


def frame(tag: int, stream: int, payload: bytes = b"") -> bytes:
    return uvarint(stream << 3 | tag) + uvarint(len(payload)) + payload


def theirs(stream: int) -> int:
    """
    The key of a stream that the peer opened.
    """
    return stream << 1 | 1


def ours(stream: int) -> int:
    return stream << 1


def test_capabilities() -> None:
    capabilities = MplexCodec.capabilities
    assert capabilities.credit is Credit.NONE
    assert (capabilities.reset, capabilities.names) == (True, True)
    assert not capabilities.ack
    assert not capabilities.ping
    assert not capabilities.goAway
    assert capabilities.maxPayload == 1024 * 1024


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("stream", IDS)
def test_encoders(role: Role, stream: int) -> None:
    writer, _ = makeCodec(MplexCodec, role)
    key = ours(stream)
    assert writer.encodeOpen(key, 0, b"name") == frame(NEW_STREAM, stream, b"name")
    assert writer.encodeOpen(key, 99, b"") == frame(NEW_STREAM, stream)
    for length in (1, 127, 128, 16383, 16384, MAX_MESSAGE):
        header = uvarint(stream << 3 | MESSAGE_INITIATOR) + uvarint(length)
        assert writer.payloadHeader(key, length) == header
    assert writer.encodeEnd(key) == frame(CLOSE_INITIATOR, stream)
    assert writer.encodeReset(key) == frame(RESET_INITIATOR, stream)
    key = theirs(stream)
    assert writer.payloadHeader(key, 5) + b"hello" == frame(
        MESSAGE_RECEIVER, stream, b"hello"
    )
    assert writer.encodeEnd(key) == frame(CLOSE_RECEIVER, stream)
    assert writer.encodeReset(key) == frame(RESET_RECEIVER, stream)


def test_nothingToAccept() -> None:
    writer, _ = makeCodec(MplexCodec, Role.SERVER)
    assert writer.encodeAccept(1, 100) == b""
    assert writer.encodeCredit(1, 1, 1, 1) == b""
    for request in (writer.encodePing, writer.encodePong, writer.encodeGoAway):
        with pytest.raises(NotSupported):
            request(1)
    with pytest.raises(NotSupported):
        writer.encodeProbe()


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("stream", IDS)
@pytest.mark.parametrize(
    ("tag", "call", "key"),
    [
        (MESSAGE_RECEIVER, "payloadReceived", ours),
        (MESSAGE_INITIATOR, "payloadReceived", theirs),
        (CLOSE_RECEIVER, "endReceived", ours),
        (CLOSE_INITIATOR, "endReceived", theirs),
        (RESET_RECEIVER, "resetReceived", ours),
        (RESET_INITIATOR, "resetReceived", theirs),
        (UNKNOWN, "resetReceived", ours),
    ],
)
def test_tags(role: Role, stream: int, tag: int, call: str, key: type[int]) -> None:
    """
    The tag's lowest bit tells whose stream it is; close and reset come alone,
    or with a payload that says nothing.
    """
    arguments: Call = {"payloadReceived": (b"hello",), "resetReceived": (0,)}.get(
        call, ()
    )
    calls = [(call, key(stream), *arguments), ("endReceived", 1)]
    following = frame(CLOSE_INITIATOR, 0)
    assertDecodes(MplexCodec, role, frame(tag, stream, b"hello") + following, calls)
    if call == "payloadReceived":
        calls[0] = ("idleReceived",)
    assertDecodes(MplexCodec, role, frame(tag, stream) + following, calls)


def test_aSkippedPayloadIsNotWaitedFor() -> None:
    reader, sink = makeCodec(MplexCodec, Role.SERVER)
    feed(reader, frame(CLOSE_INITIATOR, 0, bytes(MAX_MESSAGE))[:-2])
    assert sink.calls == [("endReceived", 1)]
    assert not reader.midFrame
    feed(reader, b"")
    feed(reader, b"\0\0" + frame(MESSAGE_INITIATOR, 1, b"x"))
    assert sink.calls[1:] == [("payloadReceived", 3, b"x")]


@pytest.mark.parametrize("stream", IDS)
@pytest.mark.parametrize("name", [b"", b"0", b"/echo/1.0", b"\xff\0", bytes(1024)])
def test_newStream(stream: int, name: bytes) -> None:
    data = frame(NEW_STREAM, stream, name)
    calls = [("openReceived", theirs(stream), 0, name)]
    assertDecodes(MplexCodec, Role.CLIENT, data, calls)


def test_aNameIsWaitedFor() -> None:
    reader, sink = makeCodec(MplexCodec, Role.SERVER)
    data = frame(NEW_STREAM, 0, bytes(LONGEST_NAME))
    seen = []
    for chunk in (data[:-1], data[-1:]):
        feed(reader, chunk)
        seen.append((bool(reader.midFrame), list(sink.calls)))
    opened = ("openReceived", 1, 0, bytes(LONGEST_NAME))
    assert seen == [(True, []), (False, [opened])]


@pytest.mark.parametrize("length", [LONGEST_NAME + 1, MAX_MESSAGE])
def test_aNameTooLongToKeep(length: int) -> None:
    """
    It counts as none, and nothing of it is kept.
    """
    reader, sink = makeCodec(MplexCodec, Role.SERVER)
    data = frame(NEW_STREAM, 0, b"x" * length)
    following = frame(MESSAGE_INITIATOR, 0, b"hello")
    calls = [("openReceived", 1, 0, b""), ("payloadReceived", 1, b"hello")]
    feed(reader, data[:10])
    assert sink.calls == calls[:1]
    feed(reader, data[10:] + following)
    assert sink.calls == calls
    assert decode(MplexCodec, Role.SERVER, [data + following]) == calls
    if length < 2000:
        assert decode(MplexCodec, Role.SERVER, eachByte(data + following)) == calls


def test_aNameTooLongToSend() -> None:
    writer, _ = makeCodec(MplexCodec, Role.CLIENT)
    assert writer.encodeOpen(0, 0, b"x" * LONGEST_NAME)
    with pytest.raises(ConfigError, match="1025 bytes"):
        writer.encodeOpen(0, 0, b"x" * (LONGEST_NAME + 1))


def test_bothSidesUseAnId() -> None:
    """
    One id names two streams, one opened by each side.
    """
    client, clientSink = makeCodec(MplexCodec, Role.CLIENT)
    server, serverSink = makeCodec(MplexCodec, Role.SERVER)
    for writer, reader in ((client, server), (server, client)):
        key = next(writer.keys())
        assert key == ours(0)
        feed(reader, writer.encodeOpen(key, 0, b"n") + writer.encodeEnd(key))
        feed(reader, writer.encodeReset(theirs(0)))
    assert clientSink.calls == serverSink.calls
    assert clientSink.calls == [
        ("openReceived", theirs(0), 0, b"n"),
        ("endReceived", theirs(0)),
        ("resetReceived", ours(0), 0),
    ]


@pytest.mark.parametrize("role", ROLES)
def test_keys(role: Role) -> None:
    writer, _ = makeCodec(MplexCodec, role)
    assert list(islice(writer.keys(), 3)) == [0, 2, 4]
    assert writer.encodeEnd((2**60 - 1) << 1) == frame(CLOSE_INITIATOR, 2**60 - 1)


def test_longestMessage() -> None:
    payload = bytes(range(256)) * 4096
    assert len(payload) == MAX_MESSAGE
    data = frame(MESSAGE_INITIATOR, 5, payload)
    calls = [("payloadReceived", theirs(5), payload)]
    chunks = [data[at : at + 65536] for at in range(0, len(data), 65536)]
    assert decode(MplexCodec, Role.SERVER, [data]) == calls
    assert decode(MplexCodec, Role.SERVER, chunks) == calls


@pytest.mark.parametrize("tag", range(8))
@pytest.mark.parametrize("length", [MAX_MESSAGE + 1, 2**32 - 1, 2**63 - 1])
def test_messageTooLong(tag: int, length: int) -> None:
    data = uvarint(tag) + uvarint(length)
    for chunks in ([data], eachByte(data)):
        with pytest.raises(ProtocolError, match="message of"):
            decode(MplexCodec, Role.SERVER, chunks)


@pytest.mark.parametrize(
    "varint",
    [
        b"\x80\0",
        b"\x82\0",
        b"\x82\x80\0",
        b"\xff\xff\xff\0",
        b"\x80" * 8 + b"\0",
        b"\x82" + b"\x80" * 8,
        b"\xff" * 9,
        b"\xff" * 9 + b"\1",
        b"\x80" * 9,
        b"\x82" + b"\x80" * 200,
        b"\xff" * 10000,
    ],
)
@pytest.mark.parametrize("before", [b"", b"\2", b"\x82\1"])
def test_badVarints(varint: bytes, before: bytes) -> None:
    """
    Longer than need be, longer than nine bytes, endless; as id 2^60 is, too.
    """
    data = before + varint
    for chunks in ([data], eachByte(data)):
        with pytest.raises(ProtocolError, match="varint"):
            decode(MplexCodec, Role.SERVER, chunks)


@pytest.mark.parametrize("tag", range(8))
def test_idTooLarge(tag: int) -> None:
    with pytest.raises(ProtocolError, match="varint"):
        decode(MplexCodec, Role.SERVER, [frame(tag, 2**60)])


def test_midFrame() -> None:
    reader, _ = makeCodec(MplexCodec, Role.SERVER)
    data = frame(MESSAGE_INITIATOR, 3000, bytes(200))
    assert not reader.midFrame
    for index in range(4):
        feed(reader, data[index : index + 1])
        assert reader.midFrame
    feed(reader, data[4:5])
    assert not reader.midFrame
    feed(reader, data[5:])
    assert not reader.midFrame


@pytest.mark.skipif(
    platform.python_implementation() == "PyPy",
    reason="whether the slice that is the whole is a copy is up to PyPy's compiler",
)
def test_aChunkWithinAMessageIsNotCopied() -> None:
    reader, sink = makeCodec(MplexCodec, Role.SERVER)
    data = frame(MESSAGE_INITIATOR, 0, bytes(20000))
    header, chunks = data[:-20000], [bytes(10000), bytes(10000)]
    feed(reader, header)
    for chunk in chunks:
        feed(reader, chunk)
    assert [id(call[2]) for call in sink.calls] == [id(chunk) for chunk in chunks]


@pytest.mark.parametrize("one", [frame(MESSAGE_INITIATOR, 0), frame(RESET_RECEIVER, 9)])
def test_framesPerTurn(one: bytes) -> None:
    reader, sink = makeCodec(MplexCodec, Role.SERVER)
    rest = reader.receive(one * (FRAMES_PER_TURN + 1) + one[:1])
    assert len(sink.calls) == FRAMES_PER_TURN
    assert rest == one + one[:1]
    assert reader.receive(rest) == b""
    assert reader.receive(one[1:]) == b""
    assert len(merged(sink.calls)) == FRAMES_PER_TURN + 2


def test_errorsOfTheSinkPass() -> None:
    """
    The end of a chunk is noticed by an IndexError; one of the sink's isn't
    taken for it.
    """
    reader, sink = makeCodec(MplexCodec, Role.SERVER)

    def broken(key: object, data: bytes) -> None:
        raise IndexError("broken")

    sink.payloadReceived = broken  # type: ignore[method-assign]
    with pytest.raises(IndexError, match="broken"):
        reader.receive(frame(MESSAGE_INITIATOR, 0, b"x"))


def test_whatIsKept() -> None:
    """
    The bound that is used in all tests is that of the longest open.
    """
    assert MOST_KEPT == LONGEST_NAME + 9 + 9
