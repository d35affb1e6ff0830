"""
The processes of bare Twisted and of twisted_mux: the same protocols, written as a
user would, on connections or on streams.

Run by the harness: C{ROLE WIRE JOB [PORT]}; without a wire (C{"tcp"}) on TCP.
"""

from __future__ import annotations

import sys
from time import perf_counter
from typing import Any, cast

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.interfaces import (
    IConsumer,
    IListeningPort,
    IPullProducer,
    IPushProducer,
    IStreamClientEndpoint,
    ITCPTransport,
    ITransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import ILogObserver, LogEvent, globalLogBeginner
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.benchmarks.job import BLOCK_SIZE, ECHO, TCP, Job, message
from tests.benchmarks.workers.reporting import (
    Meter,
    fatal,
    limited,
    raiseLimits,
    residentBytes,
    say,
)
from twisted_mux import MuxConfig, MuxFactory, MuxProtocol

reactor: Any = _reactor
LOOPBACK = "127.0.0.1"
# Room for all connections that are made at once.
BACKLOG = 16384
# How many are opened at a time before there is any measuring.
AT_ONCE = 100
BLOCK = b"b" * BLOCK_SIZE


class Server(Factory):
    """
    Builds the server's protocols.
    """

    noisy = False

    def __init__(self, job: Job) -> None:
        self.job = job
        self.meter = Meter(job, reactor.callLater)
        self.messages = 0
        self._before = residentBytes() if job.kind == "memory" else 0

    def buildProtocol(self, addr: object) -> Protocol:
        """
        What the job's streams talk to.
        """
        if self.job.kind == "bulk":
            return Sink(self)
        if self.job.bulk:
            return Either(self)
        return Counted(self) if self.job.kind == "memory" else Echo(self)

    def counted(self) -> None:
        """
        Another of the streams that stay has had its message.
        """
        self.messages += 1
        if self.messages == self.job.streams:
            reactor.callLater(self.job.warm, self._weigh)

    def _weigh(self) -> None:
        grown = residentBytes() - self._before
        say(result={"bytes": grown / self.job.streams})


class Served(Protocol):
    """
    One of the server's protocols.
    """

    def __init__(self, server: Server) -> None:
        self.server = server

    def connectionMade(self) -> None:
        """
        Small messages don't wait for acknowledgements.
        """
        noDelay(self.transport)


class Sink(Served):
    """
    Counts bytes.
    """

    def connectionMade(self) -> None:
        """
        The measurement begins with the first.
        """
        super().connectionMade()
        self.server.meter.begin()

    def dataReceived(self, data: bytes) -> None:
        """
        Some more.
        """
        self.server.meter.count += len(data)


class Echo(Served):
    """
    Sends back what it gets.
    """

    def dataReceived(self, data: bytes) -> None:
        """
        A message, or a part.
        """
        self.transport.write(data)  # type: ignore[union-attr]


class Counted(Served):
    """
    The same, for the one message that a stream has.
    """

    def dataReceived(self, data: bytes) -> None:
        """
        That message.
        """
        cast(ITransport, self.transport).write(data)
        self.server.counted()


class Either(Served):
    """
    Sends messages back and drops bulk: its first byte tells which.
    """

    def dataReceived(self, data: bytes) -> None:
        """
        The first of it.
        """
        kind = Echo if data.startswith(ECHO) else Sink
        other: Protocol = kind(self.server)
        other.transport = self.transport
        self.dataReceived = other.dataReceived  # type: ignore[method-assign]
        other.dataReceived(data)


class Client:
    """
    What the client does, on an endpoint that opens streams or connections.
    """

    def __init__(self, job: Job, endpoint: IStreamClientEndpoint) -> None:
        self.job = job
        self.endpoint = endpoint
        self.meter = Meter(job, reactor.callLater)
        # Of those that stay: still to be opened, and without their echo.
        stay = job.streams if job.kind == "memory" else job.idle
        self._unopened = self._waiting = stay
        self._numbers = 0

    def start(self) -> None:
        """
        Open what is needed before the active streams, then those.
        """
        for _ in range(min(self._unopened, AT_ONCE)):
            self._openIdle()
        if not self._waiting:
            self._startActive()

    def _openIdle(self) -> None:
        self._unopened -= 1
        self.open(Idle)

    def _startActive(self) -> None:
        job = self.job
        if job.kind == "memory":
            return
        for _ in range(job.bulk):
            self.open(Bulk)
        kinds = {"bulk": Bulk, "echo": Messages, "churn": Churn}
        kind = Timed if job.latency else kinds[job.kind]
        for _ in range(job.streams):
            self.open(kind)

    def settled(self) -> None:
        """
        An idle stream has had its message.
        """
        self._waiting -= 1
        if self._unopened:
            self._openIdle()
        if not self._waiting:
            self._startActive()

    def open(self, kind: type[Opened]) -> None:
        """
        Open one stream, or connection.
        """
        number = self._numbers
        self._numbers += 1
        opener = Opener(kind(self, number))
        self.endpoint.connect(opener).addErrback(failed)


class Opener(Factory):
    """
    Has one protocol to give.
    """

    noisy = False

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: object) -> Protocol:
        """
        That one.
        """
        return self._protocol


class Opened(Protocol):
    """
    One of the client's protocols.
    """

    def __init__(self, client: Client, number: int) -> None:
        self.client = client
        self.number = number

    def connectionMade(self) -> None:
        """
        It is open.
        """
        noDelay(self.transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Nothing closes streams while they are measured.
        """
        failed(reason)


class Bulk(Opened):
    """
    Writes blocks for as long as it lasts.
    """

    def connectionMade(self) -> None:
        """
        Register a producer.
        """
        super().connectionMade()
        transport = cast(IConsumer, self.transport)
        if self.client.job.pull:
            transport.registerProducer(Pulled(transport), False)
        else:
            pushing = Pushing(transport)
            transport.registerProducer(pushing, True)
            pushing.resumeProducing()


@implementer(IPushProducer)
class Pushing:
    """
    Writes blocks until it is told to pause.
    """

    def __init__(self, consumer: IConsumer) -> None:
        self._consumer = consumer
        self._paused = True

    def resumeProducing(self) -> None:
        """
        Go on.
        """
        self._paused = False
        write = self._consumer.write
        while not self._paused:
            write(BLOCK)

    def pauseProducing(self) -> None:
        """
        Wait.
        """
        self._paused = True

    stopProducing = pauseProducing


@implementer(IPullProducer)
class Pulled:
    """
    Writes a block when it is asked to.
    """

    def __init__(self, consumer: IConsumer) -> None:
        self._consumer = consumer

    def resumeProducing(self) -> None:
        """
        One more.
        """
        self._consumer.write(BLOCK)

    def stopProducing(self) -> None:
        """
        No more.
        """


class Messages(Opened):
    """
    Sends a message, and when it has come back sends it again.
    """

    def connectionMade(self) -> None:
        """
        Send the first.
        """
        super().connectionMade()
        self.message = message(self.number)
        self._part = b""
        self.client.meter.begin()
        cast(ITransport, self.transport).write(self.message)

    def dataReceived(self, data: bytes) -> None:
        """
        What came back, and it has to be just that.
        """
        if data != self.message and not self.completed(data):
            return
        self.client.meter.count += 1
        self.transport.write(self.message)  # type: ignore[union-attr]

    def completed(self, data: bytes) -> bool:
        """
        Is it whole with this part?
        """
        self._part += data
        if self._part == self.message:
            self._part = b""
            return True
        if not self.message.startswith(self._part):
            fatal(f"{self._part!r} came back for {self.message!r}")
        return False


class Timed(Messages):
    """
    Notes how long each takes, too.
    """

    def connectionMade(self) -> None:
        """
        Send the first.
        """
        self._sentAt = perf_counter()
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        """
        What came back, and it has to be just that.
        """
        if data != self.message and not self.completed(data):
            return
        meter = self.client.meter
        meter.times.append(perf_counter() - self._sentAt)
        meter.count += 1
        self._sentAt = perf_counter()
        self.transport.write(self.message)  # type: ignore[union-attr]


class Idle(Messages):
    """
    Has one message echoed, and stays.
    """

    def connectionMade(self) -> None:
        """
        Send it.
        """
        noDelay(self.transport)
        self.message = message(self.number)
        self._part = b""
        cast(ITransport, self.transport).write(self.message)

    def dataReceived(self, data: bytes) -> None:
        """
        What came back.
        """
        if data == self.message or self.completed(data):
            self.client.settled()


class Churn(Messages):
    """
    Has one message echoed, closes, and opens another stream in its stead.
    """

    def dataReceived(self, data: bytes) -> None:
        """
        What came back, and it has to be just that.
        """
        if data == self.message or self.completed(data):
            self.client.meter.count += 1
            cast(ITransport, self.transport).loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Closed.
        """
        self.client.open(Churn)


def noDelay(transport: object) -> None:
    """
    Small writes are sent at once, where that is not so anyway.
    """
    cast(ITCPTransport, transport).setTcpNoDelay(True)


def failed(failure: Failure) -> None:
    """
    Something went wrong.
    """
    fatal(failure.getTraceback())


@implementer(ILogObserver)
class Observer:
    """
    Nothing may go wrong unnoticed.
    """

    def __call__(self, event: LogEvent) -> None:
        if "log_failure" in event:
            failed(event["log_failure"])


def serve(job: Job, wire: str) -> None:
    """
    Be the server.
    """

    def listening(port: IListeningPort) -> None:
        say(port=cast(Any, port.getHost()).port)

    factory: Any = Server(job)
    if wire != TCP:
        config = MuxConfig(**_config(job))
        factory = MuxFactory(factory, role="server", wire=wire, config=config)
    endpoint = TCP4ServerEndpoint(reactor, 0, BACKLOG, LOOPBACK)
    endpoint.listen(factory).addCallback(listening).addErrback(failed)


def dial(job: Job, wire: str, port: int) -> None:
    """
    Be the client.
    """
    endpoint = TCP4ClientEndpoint(reactor, LOOPBACK, port)
    if wire == TCP:
        Client(job, endpoint).start()
        return

    def connected(session: MuxProtocol) -> None:
        Client(job, session.clientEndpoint()).start()

    factory = MuxFactory(role="client", wire=wire, config=MuxConfig(**_config(job)))
    dialled = cast("Deferred[MuxProtocol]", endpoint.connect(factory))
    dialled.addCallback(connected).addErrback(failed)


def _config(job: Job) -> dict[str, Any]:
    config = dict(job.config)
    # What the default has to be raised for.
    wanted = job.streams + job.bulk + job.idle
    if wanted > MuxConfig.maxStreams:
        config["maxStreams"] = wanted
    return config


def main(role: str, wire: str, text: str, port: str = "") -> None:
    """
    Do it.
    """
    job = Job.decode(text)
    limited(job)
    raiseLimits()
    globalLogBeginner.beginLoggingTo([Observer()], redirectStandardIO=False)
    if role == "server":
        reactor.callWhenRunning(serve, job, wire)
    else:
        reactor.callWhenRunning(dial, job, wire, int(port))
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
