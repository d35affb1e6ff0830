"""
C{socks5:}, a target for bridges that is no place but a service: whoever is bridged to it
finds a SOCKS server at the other end, and through that any target that is allowed.

The bridge knows nothing of this.  It connects, gets a transport at once, and writes to it
what the client says.  That transport is a L{Service}, of which there is one for each
connection.  It goes through three stages:

  1. It B{asks}: what is written goes to a L{Negotiation}, replies are what "the target
     sends".
  2. It B{connects}: whoever writes is paused; what came before that, which is no more
     than one read, is kept.
  3. It is B{joined}: everything is handed on to the transport of the real connection,
     which from then on has the bridge's producer and is its producer.  So back-pressure,
     half-close and resets are those of the real connection, with nothing in between that
     could hold data.

The alternative was a hook in the bridge that changes its target in the middle.  It would
have to do the same, within a class that has enough to think of.

B{Refusals} end in good order, or the reply that says why would be lost with the reset.
So the bridge can't tell them from an ordinary end; it gives us a function to tell it
(L{IServiceEndpoint<twisted_mux.interfaces.IServiceEndpoint>}), which makes the line in
the log with the client's address in it; and another to hear when there is a connection.

Two clocks: L{REQUEST_TIMEOUT} for the request, C{timeout} for name and connection.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.error import (
    ConnectionAborted,
    ConnectionDone,
)
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    IPushProducer,
    ITransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_mux.socks.relay import Relay, causeOf
from twisted_mux.socks.request import Cause, Negotiation, Refused
from twisted_mux.socks.resolving import resolve
from twisted_mux.socks.targets import Address, toAddress

if TYPE_CHECKING:
    from twisted_mux.socks.endpoint import SocksEndpoint

__all__ = ["REQUEST_TIMEOUT", "Service", "ServiceAddress"]

#: Seconds that a client has to say what it wants.
REQUEST_TIMEOUT = 10.0
#: How many addresses of a name are tried; they share the time.
ATTEMPTS = 4


@implementer(IAddress)
@dataclass(frozen=True)
class ServiceAddress:
    """
    Nowhere in a network.
    """

    service: str = "socks5"


class _Stage(enum.Enum):
    """
    See the module.
    """

    ASKING = enum.auto()
    CONNECTING = enum.auto()
    JOINED = enum.auto()
    OVER = enum.auto()


@implementer(ITransport, IConsumer, IPushProducer, IProtocolFactory)
class Service:
    """
    One client: the transport of the bridge's protocol, and the factory for the
    connection to its target.
    """

    def __init__(
        self,
        endpoint: SocksEndpoint,
        protocol: IProtocol,
        complain: Callable[[str], None],
        ready: Callable[[], None],
    ) -> None:
        self._endpoint = endpoint
        self.protocol: Any = protocol
        self._complain = complain
        self._ready = ready
        self._negotiation = Negotiation(endpoint.credentials)
        self._stage = _Stage.ASKING
        self._limit: IDelayedCall | None = None
        self._connecting: Deferred[Any] | None = None
        self._addresses: list[Address] = []
        self._seconds = 0.0
        self._real: Any = None
        # What has to be told to the real connection once it is there.
        self._pending: list[bytes] = []
        self._producer: Any = None
        self._paused = False
        self._ended = False

    def begin(self) -> None:
        """
        There is a client.
        """
        self._setLimit(REQUEST_TIMEOUT, self._askedTooLong)
        self.protocol.makeConnection(self)

    def _setLimit(self, seconds: float, function: Callable[[], None]) -> None:
        self._endLimit()
        self._limit = self._endpoint.reactor.callLater(seconds, function)

    def _endLimit(self) -> None:
        limit = self._limit
        self._limit = None
        if limit is not None and limit.active():
            limit.cancel()

    # 1. What does it want?

    def _negotiate(self, data: bytes) -> None:
        negotiation = self._negotiation
        try:
            reply = negotiation.receive(data)
        except Refused as refused:
            self._refuse(str(refused), refused.reply)
            return
        wanted = negotiation.target
        if wanted is not None:
            self._stage = _Stage.CONNECTING
        self._say(reply)
        if wanted is not None:
            self._connect(*wanted)

    def _say(self, reply: bytes) -> None:
        if reply:
            self.protocol.dataReceived(reply)

    def _askedTooLong(self) -> None:
        self._refuse(f"no request within {REQUEST_TIMEOUT:g} seconds")

    # 2. May it, and can we?

    def _connect(self, host: str, port: int) -> None:
        if self._stage is not _Stage.CONNECTING:
            # Whoever was answered has left.
            return
        self._setLimit(self._endpoint.timeout, self._connectedTooLong)
        if self._producer is not None:
            self._producer.pauseProducing()
        address = toAddress(host)
        if address is not None:
            self._resolved([address])
        elif self._endpoint.allow.mayResolve(host, port):
            resolve(self._endpoint.reactor, host, port, self._resolved)
        else:
            self._fail(Cause.NOT_ALLOWED, "that is not allowed")

    def _resolved(self, addresses: Sequence[Address]) -> None:
        if self._stage is not _Stage.CONNECTING:
            return
        assert self._negotiation.target is not None
        host, port = self._negotiation.target
        allow = self._endpoint.allow
        allowed = [each for each in addresses if allow.allows(host, each, port)]
        if allowed:
            self._addresses = allowed[:ATTEMPTS]
            self._seconds = self._endpoint.timeout / len(self._addresses)
            self._try()
        elif addresses:
            found = ", ".join(str(each) for each in addresses[:ATTEMPTS])
            self._fail(Cause.NOT_ALLOWED, f"address {found} is not allowed")
        else:
            self._fail(Cause.HOST_UNREACHABLE, "there is no such name")

    def _try(self) -> None:
        assert self._negotiation.target is not None
        endpoint = self._endpoint.endpointFor(
            self._endpoint.reactor,
            self._addresses.pop(0),
            self._negotiation.target[1],
            self._seconds,
        )
        self._connecting = endpoint.connect(self)
        self._connecting.addErrback(self._notConnected)

    def _notConnected(self, reason: Failure) -> None:
        if self._stage is not _Stage.CONNECTING:
            return
        if self._addresses:
            self._try()
        else:
            self._fail(causeOf(reason), reason.getErrorMessage())

    def _connectedTooLong(self) -> None:
        seconds = self._endpoint.timeout
        self._fail(Cause.TIMEOUT, f"no connection within {seconds:g} seconds")

    def _fail(self, cause: Cause, why: str) -> None:
        assert self._negotiation.target is not None
        host, port = self._negotiation.target
        self._refuse(f"to {host}:{port}: {why}", self._negotiation.reply(cause))

    # 3. The connection is there.

    def doStart(self) -> None:
        """
        Nothing: see L{IProtocolFactory}.
        """

    def doStop(self) -> None:
        """
        Nothing: see L{IProtocolFactory}.
        """

    def buildProtocol(self, addr: IAddress) -> IProtocol:
        """
        The other end of the connection to the target.
        """
        return Relay(self)

    def joined(self, real: Any) -> bool:
        """
        Everything goes to and comes from there from now on.

        @return: C{False} if it came too late.
        """
        if self._stage is not _Stage.CONNECTING:
            real.abortConnection()
            return False
        self._endLimit()
        self._stage = _Stage.JOINED
        self._real = real
        self._ready()
        if self._paused:
            real.pauseProducing()
        self._say(self._negotiation.reply(None))
        for data in (self._negotiation.rest, *self._pending):
            if data:
                real.write(data)
        self._pending.clear()
        if self._producer is not None:
            # Not before that was written: so it is there, and not paused.
            real.registerProducer(self._producer, True)
            self._producer.resumeProducing()
        if self._ended:
            real.loseWriteConnection()
        return True

    # The end, as long as there is no connection.

    def _refuse(self, why: str, reply: bytes = b"") -> None:
        self._complain(why)
        self._end(ConnectionDone())
        self._say(reply)

    def _end(self, error: Exception) -> None:
        if self._stage is _Stage.OVER:
            return
        self._stage = _Stage.OVER
        self._endLimit()
        self._pending.clear()
        connecting = self._connecting
        if connecting is not None:
            connecting.cancel()
        # Not at once: who is writing to us does not expect that.
        self._endpoint.reactor.callLater(
            0, self.protocol.connectionLost, Failure(error)
        )

    # ITransport, IConsumer and IPushProducer, for the bridge.

    def write(self, data: bytes) -> None:
        """
        What the client sends.
        """
        if self._stage is _Stage.JOINED:
            self._real.write(data)
        elif self._stage is _Stage.CONNECTING:
            self._pending.append(data)
        elif self._stage is _Stage.ASKING:
            self._negotiate(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """
        See L{ITransport}.
        """
        self.write(b"".join(data))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        See L{IConsumer}.
        """
        self._producer = producer
        if self._stage is _Stage.JOINED:
            self._real.registerProducer(producer, streaming)
        elif self._stage is _Stage.CONNECTING:
            producer.pauseProducing()
        elif self._stage is _Stage.OVER:
            producer.stopProducing()

    def unregisterProducer(self) -> None:
        """
        See L{IConsumer}.
        """
        self._producer = None
        if self._real is not None:
            self._real.unregisterProducer()

    def pauseProducing(self) -> None:
        """
        See L{IPushProducer}; replies, which are short, come all the same.
        """
        self._paused = True
        if self._real is not None:
            self._real.pauseProducing()

    def resumeProducing(self) -> None:
        """
        See L{IPushProducer}.
        """
        self._paused = False
        if self._real is not None:
            self._real.resumeProducing()

    def stopProducing(self) -> None:
        """
        See L{IPushProducer}.
        """
        self.loseConnection()

    def loseWriteConnection(self) -> None:
        """
        The client's direction is at its end.
        """
        if self._stage is _Stage.JOINED:
            self._real.loseWriteConnection()
        elif self._stage is _Stage.ASKING:
            self._refuse("it ended before it had said what it wants")
        self._ended = True

    def loseConnection(self) -> None:
        """
        See L{ITransport}.
        """
        if self._real is None:
            self._end(ConnectionDone())
        else:
            self._real.loseConnection()

    def abortConnection(self) -> None:
        """
        See L{twisted.internet.interfaces.ITCPTransport}.
        """
        if self._real is None:
            self._end(ConnectionAborted())
        else:
            self._real.abortConnection()

    def getHost(self) -> Any:
        """
        See L{ITransport}.
        """
        return ServiceAddress() if self._real is None else self._real.getHost()

    def getPeer(self) -> Any:
        """
        See L{ITransport}.
        """
        return ServiceAddress() if self._real is None else self._real.getPeer()
