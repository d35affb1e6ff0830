"""
The processes of conch, Twisted's own SSH: one channel for each stream, in the same
process as whoever uses it.

The protocols are those of C{twisted_worker}, on a small transport that a user of
conch would have to write: a channel tells when its window is used up, so a push
producer is all it takes.  Whoever dials is not authenticated, since that is no part of
what is measured; it is encrypted as by default.

Run by the harness: C{ROLE ssh JOB [PORT]}.
"""

from __future__ import annotations

import sys
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.conch.ssh.channel import SSHChannel
from twisted.conch.ssh.connection import SSHConnection
from twisted.conch.ssh.factory import SSHFactory
from twisted.conch.ssh.keys import Key
from twisted.conch.ssh.transport import SSHClientTransport
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IListeningPort,
    IPushProducer,
    IStreamClientEndpoint,
    ITCPTransport,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import globalLogBeginner
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.benchmarks.job import Job
from tests.benchmarks.workers.reporting import limited, raiseLimits, say
from tests.benchmarks.workers.twisted_worker import (
    BACKLOG,
    LOOPBACK,
    Client,
    Observer,
    Server,
    failed,
    reactor,
)

NAME = b"stream@benchmark"


class Channel(SSHChannel):
    """
    A channel that is a transport of a protocol.
    """

    name = NAME

    def __init__(self, protocol: Protocol, **how: Any) -> None:
        super().__init__(**how)
        self.protocol = protocol
        self._producer: IPushProducer | None = None

    def channelOpen(self, specificData: bytes) -> None:
        """
        See L{SSHChannel}.
        """
        self.protocol.makeConnection(cast(Any, self))

    def openFailed(self, reason: Any) -> None:
        """
        See L{SSHChannel}.
        """
        failed(Failure(reason))

    def dataReceived(self, data: bytes) -> None:
        """
        See L{SSHChannel}.
        """
        self.protocol.dataReceived(data)

    def closed(self) -> None:
        """
        See L{SSHChannel}.
        """
        self.protocol.connectionLost(Failure(ConnectionDone()))

    def setTcpNoDelay(self, enabled: bool) -> None:
        """
        That is the carrier's.
        """

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        """
        Push producers only.
        """
        assert streaming
        self._producer = producer

    def stopWriting(self) -> None:
        """
        See L{SSHChannel}.
        """
        if self._producer is not None:
            self._producer.pauseProducing()

    def addWindowBytes(self, data: int) -> None:
        """
        See L{SSHChannel}.  It calls C{startWriting} before it sends what waits, so
        whoever writes in that would never be stopped.
        """
        waited = not self.areWriting
        super().addWindowBytes(data)
        if waited and self.areWriting and self._producer is not None:
            self._producer.resumeProducing()


class Accepting(SSHConnection):
    """
    The server's side: each channel is a connection.
    """

    def getChannel(
        self, channelType: bytes, windowSize: int, maxPacket: int, data: bytes
    ) -> Channel:
        """
        See L{SSHConnection}.
        """
        listening = cast(Any, self.transport).factory
        protocol = listening.server.buildProtocol(None)
        return Channel(
            protocol, conn=self, remoteWindow=windowSize, remoteMaxPacket=maxPacket
        )


class Listening(SSHFactory):
    """
    Takes carriers.
    """

    noisy = False

    def __init__(self, server: Server) -> None:
        self.server = server
        self._key = Key(Ed25519PrivateKey.generate())

    def getPublicKeys(self) -> dict[bytes, Key]:
        """
        See L{SSHFactory}.
        """
        return {b"ssh-ed25519": self._key.public()}

    def getPrivateKeys(self) -> dict[bytes, Key]:
        """
        See L{SSHFactory}.
        """
        return {b"ssh-ed25519": self._key}

    def getService(self, transport: object, service: bytes) -> type[SSHConnection]:
        """
        Whoever asks for it.
        """
        return Accepting


@implementer(IStreamClientEndpoint)
class Opening(SSHConnection):
    """
    The client's side: an endpoint that opens channels.
    """

    def __init__(self, job: Job) -> None:
        super().__init__()
        self._job = job

    def serviceStarted(self) -> None:
        """
        See L{SSHConnection}.
        """
        super().serviceStarted()
        Client(self._job, self).start()

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """
        Open a channel.
        """
        protocol = protocolFactory.buildProtocol(None)
        self.openChannel(Channel(protocol))
        return succeed(protocol)


class Dialling(SSHClientTransport):
    """
    The client's carrier.
    """

    def __init__(self, job: Job) -> None:
        self._job = job

    def connectionMade(self) -> None:
        """
        See L{SSHClientTransport}.
        """
        cast(ITCPTransport, self.transport).setTcpNoDelay(True)
        super().connectionMade()

    def verifyHostKey(self, hostKey: bytes, fingerprint: bytes) -> Deferred[bool]:
        """
        Whoever it is.
        """
        return succeed(True)

    def connectionSecure(self) -> None:
        """
        See L{SSHClientTransport}.
        """
        self.requestService(Opening(self._job))


class Dialler(Factory):
    """
    Has the client's carrier.
    """

    noisy = False

    def __init__(self, job: Job) -> None:
        self._job = job

    def buildProtocol(self, addr: object) -> Dialling:
        """
        That.
        """
        return Dialling(self._job)


def serve(job: Job) -> None:
    """
    Be the server.
    """

    def listening(port: IListeningPort) -> None:
        say(port=cast(Any, port.getHost()).port)

    endpoint = TCP4ServerEndpoint(reactor, 0, BACKLOG, LOOPBACK)
    listener = Listening(Server(job))
    endpoint.listen(listener).addCallback(listening).addErrback(failed)


def dial(job: Job, port: int) -> None:
    """
    Be the client.
    """
    endpoint = TCP4ClientEndpoint(reactor, LOOPBACK, port)
    endpoint.connect(Dialler(job)).addErrback(failed)


def main(role: str, wire: str, text: str, port: str = "") -> None:
    """
    Do it.
    """
    job = Job.decode(text)
    limited(job)
    raiseLimits()
    globalLogBeginner.beginLoggingTo([Observer()], redirectStandardIO=False)
    if role == "server":
        reactor.callWhenRunning(serve, job)
    else:
        reactor.callWhenRunning(dial, job, int(port))
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
