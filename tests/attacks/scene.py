"""
Where attacks take place: a server, an attacker who has one session on it, and
somebody honest who has another.

The attacker is a peer without rules (frames by hand, on a carrier in memory).  Whoever
is honest echoes something over his own session before, during and after the attack, and
where the attacked session goes on, over a stream of that as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from twisted.internet.interfaces import IAddress, IProtocolFactory
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from tests.property.pipe import mirrored
from tests.unit.carrying import Peer, resultOf
from tests.unit.wire.sinks import Call, RecordingSink
from twisted_mux.address import describeAddress
from twisted_mux.config import MuxConfig
from twisted_mux.factory import MuxFactory
from twisted_mux.protocol import MuxProtocol
from twisted_mux.testing import MemoryConnection, VirtualClock
from twisted_mux.wire import codecNamed
from twisted_mux.wire.base import Key, Role


def servedOn(client: MuxProtocol, clock: VirtualClock) -> Callable[[], None]:
    """
    Have somebody honest open a stream to a server that echoes.

    @return: checks that he is served on it.
    """
    opening = client.openStream(Factory.forProtocol(Peer))
    clock.settle()
    peer = resultOf(opening)

    def check() -> None:
        before = len(peer.data)
        peer.stream.write(b"honest")
        clock.settle()
        assert peer.data[before:] == b"honest"
        assert peer.reason is None

    return check


class Victim(Protocol):
    """
    The application's protocol on a stream: echoes, unless told otherwise.

    @ivar received: how many bytes have come,
    @ivar chunks: and in how many calls.
    @ivar reason: why the stream was lost.
    """

    stream: Any

    def __init__(self, victims: Victims) -> None:
        self.echoes = victims.echoes
        self.received = 0
        self.chunks = 0
        self.reason: Failure | None = None
        self._whenMade = victims.whenMade

    def connectionMade(self) -> None:
        self.stream = self.transport
        if self._whenMade is not None:
            self._whenMade(self)

    def dataReceived(self, data: bytes) -> None:
        self.received += len(data)
        self.chunks += 1
        if self.echoes:
            self.stream.write(data)

    def readConnectionLost(self) -> None:
        """
        For those that are made half-closeable: goes on.
        """

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.reason = reason


class Victims(Factory):
    """
    Builds them.

    @ivar built: those that were built.
    @ivar echoes: do they echo?
    @ivar whenMade: what else is to be done with each.
    """

    noisy = False

    def __init__(self) -> None:
        self.built: list[Victim] = []
        self.echoes = True
        self.whenMade: Callable[[Victim], object] | None = None

    def buildProtocol(self, addr: IAddress | None) -> Victim:
        victim = Victim(self)
        self.built.append(victim)
        return victim


class Raw(Protocol):
    """
    The attacker's end of the carrier.

    @ivar received: all that came.
    @ivar lost: is the carrier gone?
    """

    carrier: Any

    def __init__(self) -> None:
        self.received = bytearray()
        self.lost = False

    def connectionMade(self) -> None:
        self.carrier = self.transport

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True


class Scene:
    """
    A server under attack.

    @ivar clock: the time.
    @ivar victims: what builds protocols for the attacker's streams.
    @ivar session: the attacked session.
    @ivar raw: the attacker.
    @ivar codec: writes his frames; keys are as he calls them.
    """

    def __init__(
        self,
        wire: str,
        streams: IProtocolFactory | None = None,
        clock: VirtualClock | None = None,
        **config: Any,
    ) -> None:
        self.wire = wire
        self.clock = VirtualClock() if clock is None else clock
        self.config = MuxConfig(**{"keepAlive": 0, "keepAliveTimeout": 0, **config})
        self.victims = Victims()
        self.factory = MuxFactory(
            streams or self.victims,
            role="server",
            wire=wire,
            config=self.config,
            reactor=self.clock,
        )
        self.honest = self._honest()
        self.raw = Raw()
        self.session: MuxProtocol = self.factory.buildProtocol(MemoryConnection.CLIENT)
        self.carrier = MemoryConnection(self.clock)
        self.carrier.connect(self.raw, self.session)
        self._sink = RecordingSink()
        self.codec = codecNamed(wire)(Role.CLIENT, self._sink, 1 << 24)
        self._keys = self.codec.keys()
        self._read = 0

    @property
    def capabilities(self) -> Any:
        """
        What the wire can do.
        """
        return self.codec.capabilities

    @property
    def engine(self) -> Any:
        """
        The attacked session's engine.
        """
        return self.session.engine

    @property
    def name(self) -> str:
        """
        How messages call the attacked session.
        """
        return f"{self.wire} session with {describeAddress(MemoryConnection.CLIENT)}"

    # Whoever is honest.

    def _honest(self) -> Callable[[], None]:
        """
        Somebody with a session of his own.

        @return: checks that his stream works.
        """
        server = MuxFactory(
            Victims(),
            role="server",
            wire=self.wire,
            config=self.config,
            reactor=self.clock,
        ).buildProtocol(None)
        client = MuxFactory(
            role="client", wire=self.wire, config=self.config, reactor=self.clock
        ).buildProtocol(None)
        MemoryConnection(self.clock).connect(client, server)
        return servedOn(client, self.clock)

    def neighbour(self) -> Callable[[], None]:
        """
        An honest stream of the attacked session itself.

        @return: checks that it works.
        """
        before = self.victims.echoes, self.victims.whenMade
        self.victims.echoes, self.victims.whenMade = True, None
        key = self.open()
        victim = self.victims.built[-1]
        self.victims.echoes, self.victims.whenMade = before

        def check() -> None:
            received = victim.received
            self.send(self.data(key, b"honest"))
            assert victim.received == received + 6
            assert victim.reason is None

        return check

    # The attacker.

    def send(self, *frames: bytes) -> None:
        """
        Send frames, and let happen what then happens without time going by.
        """
        if not self.raw.lost:
            self.raw.carrier.write(b"".join(frames))
        self.clock.settle()

    def flood(self, frames: Iterable[bytes], chunk: int = 500) -> int:
        """
        Send frames, so many in a chunk, for as long as they are read.

        @return: how many went out.
        """
        sent = 0
        frames = iter(frames)
        while self.engine.reading:
            some = list(islice(frames, chunk))
            if not some:
                break
            self.send(*some)
            sent += len(some)
        return sent

    def stopReading(self) -> None:
        """
        Read nothing more.
        """
        self.raw.carrier.stopReading()

    def key(self) -> Any:
        """
        The key of the attacker's next stream.
        """
        return next(self._keys)

    def open(self, key: Key = None) -> Any:
        """
        Open a stream.

        @return: its key.
        """
        if key is None:
            key = self.key()
        self.send(self.opening(key))
        return key

    def opening(self, key: Key) -> bytes:
        """
        The frame that opens a stream.
        """
        return self.codec.encodeOpen(key, 262144, b"")

    def data(self, key: Key, payload: bytes) -> bytes:
        """
        Payload, in as few frames as all wires take.
        """
        frames = []
        for start in range(0, len(payload), 32768):
            part = payload[start : start + 32768]
            frames += [self.codec.payloadHeader(key, len(part)), part]
        return b"".join(frames)

    def heard(self) -> list[Call]:
        """
        What the server has sent since the last call.
        """
        rest = bytes(self.raw.received)
        self.raw.received.clear()
        while rest:
            rest = self.codec.receive(rest)
        calls = list(self._sink.calls)
        self._sink.calls.clear()
        return calls

    def streamOf(self, key: Key) -> Any:
        """
        The engine's stream for one of the attacker's keys.
        """
        return self.engine.streams[mirrored(self.wire, key)]
