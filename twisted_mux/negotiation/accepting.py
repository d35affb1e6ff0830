"""
The side that accepts streams: a registry of names.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    ILoggingContext,
    IProtocolFactory,
    IPullProducer,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_mux.errors import ConfigError, HandshakeError
from twisted_mux.negotiation.handshakes import (
    Handshake,
    checkName,
    checkNegotiation,
    show,
)
from twisted_mux.negotiation.multistream import MultistreamAcceptor
from twisted_mux.negotiation.negotiator import Negotiator
from twisted_mux.negotiation.simple import SimpleAcceptor

__all__ = ["NamedProtocols"]


@implementer(IProtocolFactory, ILoggingContext)
class NamedProtocols:
    """
    Factories by the names of their protocols, as one factory: it goes wherever
    a factory for streams does, and each stream gets a protocol of the factory that
    its opener asks for::

        MuxFactory(NamedProtocols({b"/echo/1.0": echoFactory}), role="server")

    A factory's C{doStart}, C{buildProtocol} and C{doStop} are called, as an
    endpoint would, even if it has several names.  If C{buildProtocol} returns C{None} the stream is confirmed,
    then closed; if it, or C{connectionMade}, raises, the stream is reset.
    """

    def __init__(
        self,
        protocols: Mapping[bytes, IProtocolFactory] | None = None,
        negotiate: str = "simple",
    ) -> None:
        """
        @param negotiate: the handshake: C{"simple"} or C{"multistream"}.
        @raise ConfigError: a name can't be one, or there is no such handshake.
        """
        checkNegotiation(negotiate)
        self._negotiate = negotiate
        self._protocols: dict[bytes, IProtocolFactory] = {}
        self._started = 0
        for name, factory in (protocols or {}).items():
            self.add(name, factory)

    @property
    def negotiate(self) -> str:
        """
        The handshake.
        """
        return self._negotiate

    @property
    def names(self) -> Collection[bytes]:
        """
        The names that there are, in the order in which they were added.
        """
        return self._protocols.keys()

    def add(self, name: bytes, factory: IProtocolFactory) -> None:
        """
        Offer one more protocol, from now on.

        @raise ConfigError: it can't be called that, or another one is.
        """
        checkName(name, self._negotiate)
        if name in self._protocols:
            raise ConfigError(f"there is a protocol {show(name)} already")
        known = self._has(factory)
        self._protocols[name] = factory
        for _ in range(0 if known else self._started):
            factory.doStart()

    def remove(self, name: bytes) -> None:
        """
        Offer a protocol no more; streams that have it keep it.

        @raise KeyError: there is none of that name.
        """
        factory = self._protocols.pop(name)
        for _ in range(0 if self._has(factory) else self._started):
            factory.doStop()

    def _has(self, factory: IProtocolFactory) -> bool:
        return any(factory is other for other in self._protocols.values())

    @property
    def _factories(self) -> Collection[IProtocolFactory]:
        """
        The factories, each of them once.
        """
        return {id(factory): factory for factory in self._protocols.values()}.values()

    def logPrefix(self) -> str:
        """
        How we are called in messages.
        """
        return f"{type(self).__name__} ({self._negotiate})"

    def doStart(self) -> None:
        """
        See L{IProtocolFactory}.
        """
        self._started += 1
        for factory in self._factories:
            factory.doStart()

    def doStop(self) -> None:
        """
        See L{IProtocolFactory}.
        """
        self._started -= 1
        for factory in self._factories:
            factory.doStop()

    def buildProtocol(self, addr: IAddress | None) -> _Accepting:
        """
        What shakes hands on a new stream.
        """
        return _Accepting(self._protocols, self._negotiate)


@implementer(IPullProducer)
class _Accepting(Negotiator):
    """
    A stream that was accepted, until its protocol is known and connected.
    """

    _log = Logger()
    _timeout: IDelayedCall | None = None
    _factory: IProtocolFactory
    # Whether the confirmation waits for being taken: it is asked for at once when
    # a producer registers, and again when all was taken.
    _pulled = False
    _longest = 0

    def __init__(
        self, protocols: Mapping[bytes, IProtocolFactory], negotiate: str
    ) -> None:
        self._protocols = protocols
        self._negotiate = negotiate

    def begin(self, longestMessage: int) -> Handshake:
        self.stream.deferAccepting()
        seconds = self.stream.session.config.negotiationTimeout
        if seconds:
            self._timeout = self.stream.reactor.callLater(
                seconds, self._timedOut, seconds
            )
        if self._negotiate == "multistream":
            return MultistreamAcceptor(self._protocols.keys())
        self._longest = longestMessage
        return SimpleAcceptor(self._protocols, bool(longestMessage))

    def selected(self, name: bytes) -> None:
        self._factory = self._protocols[name]
        if not self._longest:
            self._connect()
        elif len(name) > self._longest:
            self._drop(f"{show(name)} does not fit into {self._longest} bytes")
        else:
            self.stream.pauseProducing()
            self.stream.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """
        The confirmation has been taken, but for the first time.
        """
        if self._pulled:
            self.stream.unregisterProducer()
            self.stream.resumeProducing()
            self._connect()
        self._pulled = True

    def stopProducing(self) -> None:
        """
        Nothing: C{connectionLost} follows.
        """

    def _connect(self) -> None:
        self._stopTimeout()
        stream = self.stream
        stream.accept()
        protocol = self._factory.buildProtocol(stream.getPeer())
        if protocol is None:
            stream.loseConnection()
        else:
            stream.connectionOpened(protocol)

    def refused(self, names: list[bytes]) -> None:
        self._stopTimeout()
        self._log.info(
            "{session}: stream {stream}: there is no protocol {name}",
            session=self.stream.session.describe(),
            stream=self.stream.streamId,
            name=show(names[-1]),
        )
        self.stream.loseConnection()

    def broken(self, error: HandshakeError) -> None:
        self._drop(str(error))

    def _timedOut(self, seconds: float) -> None:
        self._timeout = None
        self._drop(
            f"no protocol was agreed upon within {seconds:g} seconds "
            f"(limit negotiationTimeout: {seconds:g})"
        )

    def _drop(self, why: str) -> None:
        self._log.warn(
            "{session}: stream {stream} is reset: {handshake}: {why}",
            session=self.stream.session.describe(),
            stream=self.stream.streamId,
            handshake=self._negotiate,
            why=why,
        )
        self.stream.refuse(
            HandshakeError(f"stream {self.stream.streamId}: {self._negotiate}: {why}")
        )

    def lost(self, reason: Failure) -> None:
        self._stopTimeout()

    def _stopTimeout(self) -> None:
        timeout = self._timeout
        self._timeout = None
        if timeout is not None:
            timeout.cancel()
