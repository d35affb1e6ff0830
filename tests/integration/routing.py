"""
Streams in the place of TCP connections: C{listenTCP} and C{connectTCP} of a
reactor, routed through streams, so that tests which know nothing of streams run
on them.

Each port is that of a carrier, listened on with the real C{listenTCP}; each
connection is a stream on a carrier that was dialled with the real C{connectTCP}
and is shared by all connections to the same port.
"""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Connector
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_mux import MuxClientEndpoint, MuxServerEndpoint


class Direct:
    """
    A reactor with the C{listenTCP} and C{connectTCP} that it had before.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.listenTCP = reactor.listenTCP
        self.connectTCP = reactor.connectTCP

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)


class Routes:
    """
    The routes of one reactor.

    @ivar ports: the ports that were opened.
    """

    def __init__(self, reactor: Any, wire: str) -> None:
        self.reactor = reactor
        self.direct = Direct(reactor)
        self._wire = wire
        self._clients: dict[tuple[Any, ...], MuxClientEndpoint] = {}
        self.ports: list[RoutedPort] = []

    def install(self) -> None:
        """
        Have the reactor's own methods take the routes.
        """
        self.reactor.listenTCP = self.listenTCP
        self.reactor.connectTCP = self.connectTCP

    def remove(self) -> None:
        """
        Give the reactor its own methods back.
        """
        del self.reactor.listenTCP
        del self.reactor.connectTCP

    def listenTCP(
        self, port: int, factory: Any, backlog: int = 50, interface: str = ""
    ) -> RoutedPort:
        """
        See L{twisted.internet.interfaces.IReactorTCP}.
        """
        routed = RoutedPort(
            MuxServerEndpoint(
                self.direct,
                TCP4ServerEndpoint(
                    self.direct, port, backlog, interface or "127.0.0.1"
                ),
                wire=self._wire,
            ),
            factory,
        )
        routed.startListening()
        self.ports.append(routed)
        return routed

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: Any,
        timeout: float = 30,
        bindAddress: Any = None,
    ) -> RoutedConnector:
        """
        See L{twisted.internet.interfaces.IReactorTCP}.
        """
        connector = RoutedConnector(
            host, port, factory, timeout, bindAddress, self.reactor
        )
        connector.routes = self
        connector.connect()
        return connector

    def endpoint(self, host: str, port: int, bindAddress: Any) -> MuxClientEndpoint:
        """
        The endpoint for all connections to an address.
        """
        key = (host, port, bindAddress)
        if key not in self._clients:
            self._clients[key] = MuxClientEndpoint(
                self.direct,
                TCP4ClientEndpoint(self.direct, host, port, 30, bindAddress),
                wire=self._wire,
                idle=0,
            )
        return self._clients[key]

    def close(self) -> Deferred[Any]:
        """
        Close all ports and all carriers.
        """
        closing: list[Deferred[Any]] = [port.stopListening() for port in self.ports]
        for sessions in (
            *(endpoint.sessions for endpoint in self._clients.values()),
            *(port.sessions for port in self.ports),
        ):
            for session in sessions:
                closing.append(session.whenClosed())
                session.abort()
        return DeferredList(closing, consumeErrors=True)


@implementer(IListeningPort)
class RoutedPort:
    """
    A port whose connections are streams.

    @ivar connected: is it listening?
    """

    def __init__(self, endpoint: MuxServerEndpoint, factory: Any) -> None:
        self._endpoint = endpoint
        self.factory = factory
        self.connected = False
        self.disconnected = False
        self._port: Any = None

    @property
    def sessions(self) -> tuple[Any, ...]:
        """
        The live sessions.
        """
        return cast("tuple[Any, ...]", self._port.sessions)

    def startListening(self) -> None:
        """
        See L{IListeningPort}.
        """
        results: list[Any] = []
        self._endpoint.listen(self.factory).addBoth(results.append)
        [result] = results
        if isinstance(result, Failure):
            result.raiseException()
        self._port = result
        self.connected = True
        self.disconnected = False

    def stopListening(self) -> Deferred[None]:
        """
        See L{IListeningPort}.
        """
        self.connected = False
        self.disconnected = True
        return cast("Deferred[None]", self._port.stopListening())

    loseConnection = stopListening

    def getHost(self) -> IAddress:
        """
        See L{IListeningPort}.
        """
        return cast(IAddress, self._port.getHost())


class RoutedConnector(Connector):
    """
    A connector whose connection is a stream.
    """

    routes: Routes

    def _makeTransport(self) -> Any:
        return _Attempt(self)

    def getAddress(self) -> tuple[str, int, Any]:
        """
        Where to, and where from.
        """
        return (self.host, self.port, self.bindAddress)


class _Attempt:
    """
    A connector's transport until there is one, and the factory for it.
    """

    def __init__(self, connector: RoutedConnector) -> None:
        self._connector = connector
        self._over = False
        self._protocol: Any = None
        self._transport: Any = None
        self._deferred = connector.routes.endpoint(*connector.getAddress()).connect(
            cast(Any, self)
        )
        self._deferred.addCallbacks(self._connected, self._failed)

    def _connected(self, protocol: IProtocol) -> None:
        if self._connector.state == "connected":
            self._connector.transport = self._transport

    def _failed(self, reason: Failure) -> None:
        if not self._over:
            self._over = True
            self._connector.connectionFailed(reason)

    # What a connector wants of a transport.

    def failIfNotConnected(self, error: Exception) -> None:
        """
        Give up, if it is not too late.
        """
        if not self._over and self._protocol is None:
            self._over = True
            self._deferred.cancel()
            self._connector.connectionFailed(Failure(error))

    def loseConnection(self) -> None:
        """
        Close the connection that is just being made.
        """
        self._transport.loseConnection()

    # What an endpoint wants of a factory.

    def doStart(self) -> None:
        """
        The connector has done that.
        """

    def doStop(self) -> None:
        """
        The connector does that.
        """

    def buildProtocol(self, address: IAddress) -> Any:
        """
        Have the connector's factory build a protocol, and see to it that the
        connector hears of its end, after the protocol.
        """
        protocol: Any = self._connector.buildProtocol(address)
        if protocol is None:
            # As a TCP connection does.
            protocol = Protocol()
            protocol.connectionMade = lambda: protocol.transport.loseConnection()
        self._protocol = protocol
        self._over = True
        made = protocol.makeConnection
        lost = protocol.connectionLost

        def makeConnection(transport: Any) -> None:
            # Not every protocol remembers it.
            self._transport = transport
            made(transport)

        def connectionLost(reason: Failure) -> None:
            try:
                lost(reason)
            finally:
                self._connector.connectionLost(reason)

        protocol.makeConnection = makeConnection
        protocol.connectionLost = connectionLost
        return protocol
