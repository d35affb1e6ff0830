"""
One process of the soak over sockets: its ends of the carriers, and who opens streams on
them.

Every process has two carriers' ends for each wire: one that it listens for and one
that it dials; and it opens streams on both, so that each side of each wire is a client
and a server, opens and accepts.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, DeferredList, fail
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    connectProtocol,
)
from twisted.internet.error import ConnectError, ConnectionLost
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogBeginner
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.soak.traffic import Side, Tally
from twisted_mux.config import MuxConfig
from twisted_mux.endpoints import MuxClientEndpoint, MuxServerEndpoint
from twisted_mux.errors import MuxError, PeerComplaint, PeerTimeout

LOOPBACK = "127.0.0.1"
#: How many streams each side has open on each wire, in each role, at most.
STREAMS = 6
# Seconds between two streams of those, on average.
_PAUSE = 0.15
#: Seconds in which every stream must have come to an end.
PATIENCE = 60
# Seconds for which a connect waits for a peer to dial in.
_WAIT = 5
#: Streams are few here, so that time-outs have to be short to matter.
CONFIG = MuxConfig(drainTimeout=20, lingerTimeout=20)


@implementer(ILogObserver)
class Problems:
    """
    What is logged that must not happen: any failure, and that a session has ended
    because of an error, but for the lack of a sign of life, or of an end within the
    time to drain, as a process that is stopped for a while may bring about.
    """

    def __init__(self) -> None:
        self._tally = Tally()
        # Until somebody does, Twisted keeps the last events, and what is in them.
        globalLogBeginner.beginLoggingTo(
            [self], discardBuffer=True, redirectStandardIO=False
        )

    def __call__(self, event: LogEvent) -> None:
        failure = event.get("log_failure")
        error = event.get("error")
        if failure is not None:
            text = f"{formatEvent(event)}\n{failure.getTraceback()}"
            self._tally.violations.append(text)
        elif isinstance(error, (PeerTimeout, PeerComplaint)):
            self._tally.counts[f"ended: {error}"] += 1
        elif isinstance(error, MuxError):
            self._tally.violations.append(formatEvent(event))

    def take(self) -> Tally:
        """
        What there was since the last time.
        """
        taken = self._tally
        self._tally = Tally()
        return taken


@implementer(IStreamClientEndpoint)
class Movable:
    """
    A port of the other process, which has another number after that was started
    anew.

    @ivar port: the number; 0 while there is none, since somebody else, even another
        wire of that process, may get the old one.
    """

    def __init__(self, reactor: Any, port: int = 0) -> None:
        self._reactor = reactor
        self.port = port

    def connect(self, protocolFactory: Any) -> Any:
        """
        Dial it.
        """
        if not self.port:
            return fail(Refused())
        endpoint = TCP4ClientEndpoint(self._reactor, LOOPBACK, self.port)
        return endpoint.connect(protocolFactory)


class Tunnels:
    """
    The ends of all carriers of one process.

    @ivar ports: where the other process can dial, by wire.
    @ivar peers: where it listens itself, by wire.
    """

    def __init__(self, reactor: Any, side: Side, wires: list[str]) -> None:
        self._reactor = reactor
        self._side = side
        self.peers = {wire: Movable(reactor) for wire in wires}
        self._servers = {
            wire: MuxServerEndpoint(
                reactor,
                TCP4ServerEndpoint(reactor, 0, interface=LOOPBACK),
                wire=wire,
                config=CONFIG,
            )
            for wire in wires
        }
        self._clients = {
            wire: MuxClientEndpoint(
                reactor,
                self.peers[wire],
                wire=wire,
                config=CONFIG,
                carriers=2,
            )
            for wire in wires
        }
        self._openers = {
            wire: (server.clientEndpoint(wait=_WAIT), self._clients[wire])
            for wire, server in self._servers.items()
        }
        self._listening: list[Any] = []
        self._workers: list[Deferred[None]] = []
        self.ports: dict[str, int] = {}

    async def listen(self) -> None:
        """
        Take carriers, and streams on them.
        """
        for wire, server in self._servers.items():
            port: Any = await server.listen(self._side.accepter(wire))
            self.ports[wire] = port.getHost().port
            self._listening.append(port)

    async def dial(self, ports: dict[str, int]) -> None:
        """
        The other process listens at those ports: dial it, take streams on those
        carriers too, and begin to open some.
        """
        for wire, client in self._clients.items():
            self.peers[wire].port = ports[wire]
            port = await client.serverEndpoint().listen(self._side.accepter(wire))
            self._listening.append(port)
        for wire, openers in self._openers.items():
            for opener in openers:
                self._workers += [
                    Deferred.fromCoroutine(self._work(wire, opener))
                    for _ in range(STREAMS)
                ]

    async def _work(self, wire: str, endpoint: Any) -> None:
        side = self._side
        while not side.stopping:
            seconds = side.random.expovariate(1 / _PAUSE)
            await deferLater(self._reactor, seconds, lambda: None)
            try:
                opener = await connectProtocol(endpoint, side.opener(wire))
            except (ConnectError, ConnectionLost, MuxError) as error:
                side.tally(wire).counts[f"not opened: {type(error).__name__}"] += 1
            else:
                await opener.done

    @property
    def sessions(self) -> list[Any]:
        """
        All that are live.
        """
        return [
            session
            for wire in self._servers
            for endpoint in self._openers[wire]
            for session in endpoint.sessions
        ]

    async def close(self) -> None:
        """
        Open no more streams, let those that there are end, then close everything.
        """
        self._side.stopping = True
        ended = DeferredList(self._workers)
        for result in await ended:
            self._noteFailure(*result)
        for port in self._listening:
            await port.stopListening()
        for openers in self._openers.values():
            for opener in openers:
                await opener.closeCarriers()
        while sessions := self.sessions:
            # Whichever way: what went wrong with one is logged.
            closed = [session.whenClosed() for session in sessions]
            await DeferredList(closed, consumeErrors=True)
        # Not from within the last one's connectionLost.
        await deferLater(self._reactor, 0, lambda: None)

    def _noteFailure(self, success: bool, result: object) -> None:
        if isinstance(result, Failure):
            result.raiseException()
