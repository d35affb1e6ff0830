"""
Connections in memory that behave as TCP connections do: what to put under a
session, or under any other protocol, in a test.

A L{MemoryTransport} is a L{FileDescriptor
<twisted.internet.abstract.FileDescriptor>}, as a TCP transport is, with a pipe
where that has its socket.  So buffers, producers, pauses and closing are not
imitated; they are Twisted's own.  What comes to a transport that is closed is
answered with a reset.
"""

from __future__ import annotations

from typing import Any, ClassVar, cast

from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IProtocol,
    ITCPTransport,
)
from twisted.logger import Logger
from twisted.python import log
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_mux.testing.clock import VirtualClock
from twisted_mux.testing.pipes import END, RESET, Link, Pipe


@implementer(ITCPTransport)
class MemoryTransport(FileDescriptor):
    """
    One end of a connection in memory.

    @ivar protocol: who is told of what arrives.
    @ivar logstr: what messages are logged with.
    """

    protocol: IProtocol
    logstr = "Uninitialized"
    _log = Logger()
    _noDelay = False
    _keepAlive = False
    _aborting = False

    def __init__(
        self,
        clock: VirtualClock,
        incoming: Pipe,
        outgoing: Pipe,
        host: IPv4Address,
        peer: IPv4Address,
        halfClose: bool,
    ) -> None:
        # All that it asks of its reactor is overridden below.
        super().__init__(cast(Any, clock))
        self._clock = clock
        self._incoming = incoming
        self._outgoing = outgoing
        self._host = host
        self._peer = peer
        self._halfClose = halfClose
        self._reading = False
        self._writing = False
        self._waiting = False
        incoming.receiver = self._wake
        outgoing.sender = self._wake

    def attach(self, protocol: IProtocol, who: str) -> None:
        """
        Connect C{protocol}.

        @param who: what follows its name in the log.
        """
        self.protocol = protocol
        self.logstr = f"{self._getLogPrefix(protocol)},{who}"
        self.connected = 1
        self.startReading()
        protocol.makeConnection(self)

    # What happens when.

    def startReading(self) -> None:
        """
        Want what arrives.
        """
        self._reading = True
        self._wake()

    def stopReading(self) -> None:
        """
        Want nothing.
        """
        self._reading = False

    def startWriting(self) -> None:
        """
        Have something to send.
        """
        self._writing = True
        self._wake()

    def stopWriting(self) -> None:
        """
        Have nothing to send.
        """
        self._writing = False

    @property
    def _readable(self) -> bool:
        return self._reading and self._incoming.readable

    @property
    def _writable(self) -> bool:
        return self._writing and (self._outgoing.writable or self._incoming.wasReset)

    def _wake(self) -> None:
        if not self.connected:
            if self.disconnected and self._incoming.clear():
                # As a kernel does when nobody is there any more.
                self._outgoing.put(RESET)
        elif not self._waiting and (self._readable or self._writable):
            self._waiting = True
            self._clock.callAfter(self._turn)

    def _turn(self) -> None:
        self._waiting = False
        log.callWithContext({"system": self.logstr}, self._work)
        self._wake()

    def _work(self) -> None:
        try:
            if self.connected and self._readable:
                self.doRead()
            reason = None
            if self.connected and self._writable:
                reason = self.doWrite()
            if reason is not None:
                self.connectionLost(Failure(reason))
        except BaseException:
            self._log.failure("a protocol on a connection in memory raised")
            self.connectionLost(Failure())

    def doRead(self) -> None:
        """
        Pass on what has arrived.
        """
        data = self._incoming.take()
        if isinstance(data, bytes):
            self.protocol.dataReceived(data)
        elif data is RESET:
            self.connectionLost(Failure(ConnectionLost()))
        else:
            self.stopReading()
            aware: Any = IHalfCloseableProtocol(self.protocol, None)
            if aware is None or not self._halfClose:
                self.connectionLost(Failure(ConnectionDone()))
            else:
                aware.readConnectionLost()

    def writeSomeData(self, data: bytes) -> int | BaseException:
        """
        Send as much as the pipe takes.
        """
        if self._incoming.wasReset:
            return ConnectionLost()
        data = bytes(data[: self._outgoing.room])
        if data:
            self._outgoing.put(data)
        return len(data)

    def _closeWriteConnection(self) -> None:
        self._outgoing.put(END)
        aware = IHalfCloseableProtocol(self.protocol, None)
        if aware is not None:
            aware.writeConnectionLost()

    def loseWriteConnection(self) -> None:
        """
        Close this direction; or both, where there is no half-close.  A second
        time nothing happens (while Twisted's would tell the protocol again).
        """
        if not self.connected or self._writeDisconnecting:
            return
        if self._halfClose:
            super().loseWriteConnection()
        else:
            self.loseConnection()

    def unregisterProducer(self) -> None:
        """
        The producer has gone: what waited for that may happen (and not only,
        as with Twisted's, where both directions are being closed).
        """
        super().unregisterProducer()
        if self.connected and self._writeDisconnecting and not self._writeDisconnected:
            self.startWriting()

    def abortConnection(self) -> None:
        """
        Drop the connection at once, with what was to be sent.
        """
        if self.disconnected or self._aborting:
            return
        self._aborting = True
        self.stopReading()
        self.stopWriting()
        self._clock.callLater(0, self.connectionLost, Failure(ConnectionAborted()))

    def connectionLost(self, reason: Failure) -> None:
        """
        The connection is lost, for whatever reason.
        """
        if self.disconnected:
            return
        super().connectionLost(reason)
        unread = self._incoming.clear()
        if unread or reason.check(ConnectionAborted):
            self._outgoing.put(RESET)
        elif not self._writeDisconnected:
            self._outgoing.put(END)
        protocol = self.protocol
        del self.protocol
        protocol.connectionLost(reason)

    # What else a TCP connection has.

    def getHost(self) -> IPv4Address:
        """
        This end's address.
        """
        return self._host

    def getPeer(self) -> IPv4Address:
        """
        The other end's address.
        """
        return self._peer

    def logPrefix(self) -> str:
        """
        What messages are logged with.
        """
        return self.logstr

    def getTcpNoDelay(self) -> bool:
        """
        What L{setTcpNoDelay} has set.
        """
        return self._noDelay

    def setTcpNoDelay(self, enabled: bool) -> None:
        """
        Changes nothing.
        """
        self._noDelay = bool(enabled)

    def getTcpKeepAlive(self) -> bool:
        """
        What L{setTcpKeepAlive} has set.
        """
        return self._keepAlive

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """
        Changes nothing.
        """
        self._keepAlive = bool(enabled)


class MemoryConnection:
    """
    Two transports that are connected to each other.

    @ivar clock: the time in which everything happens.
    @ivar client: the transport of the side that dialled.
    @ivar server: that of the side that accepted.
    """

    CLIENT: ClassVar[IPv4Address] = IPv4Address("TCP", "192.0.2.1", 49152)
    SERVER: ClassVar[IPv4Address] = IPv4Address("TCP", "192.0.2.2", 4242)

    def __init__(
        self,
        clock: VirtualClock | None = None,
        link: Link | None = None,
        back: Link | None = None,
        *,
        halfClose: bool = True,
    ) -> None:
        """
        @param link: what lies between client and server; by default no time
            passes there.
        @param back: the same for the other direction, if that is different.
        @param halfClose: can one direction be closed alone, as with TCP, or
            does it close both, as with TLS?
        """
        self.clock = VirtualClock() if clock is None else clock
        link = Link() if link is None else link
        there = Pipe(self.clock, link)
        andBack = Pipe(self.clock, link if back is None else back)
        self._pipes = (there, andBack)
        self.client = MemoryTransport(
            self.clock, andBack, there, self.CLIENT, self.SERVER, halfClose
        )
        self.server = MemoryTransport(
            self.clock, there, andBack, self.SERVER, self.CLIENT, halfClose
        )

    def connect(self, client: IProtocol, server: IProtocol) -> None:
        """
        Connect two protocols; the server's is told first.
        """
        self.server.attach(server, "0,192.0.2.1")
        self.client.attach(client, "client")

    def cut(self) -> None:
        """
        Lose the connection, at both ends at once, with all that is under way.
        """
        for pipe in self._pipes:
            pipe.clear()
        for transport in (self.client, self.server):
            self.clock.callLater(0, transport.connectionLost, Failure(ConnectionLost()))

    def stall(self, stalled: bool = True) -> None:
        """
        Let nothing through in either direction, as if a cable were out; or
        again what was sent meanwhile.
        """
        for pipe in self._pipes:
            pipe.stall(stalled)
