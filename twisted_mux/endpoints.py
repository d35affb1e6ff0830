"""
Endpoints whose connections are streams, and the parsers of their strings.

  - L{MuxServerEndpoint}, C{mux:} as a server: listens for carriers; streams that
    peers open are connections.
  - L{MuxClientEndpoint}, C{mux:} as a client: dials carriers; C{connect} opens a
    stream.
  - L{MuxDialEndpoint}, C{mux-dial:}: dials carriers and keeps them up; streams
    that the peer opens are connections.
  - L{MuxListenEndpoint}, C{mux-listen:}: listens for carriers; C{connect} opens a
    stream towards a peer that has dialled in.

The carriers are not theirs: they are L{Carriers
<twisted_mux.carriers.Carriers>}, which endpoints share
(L{twisted_mux.sharing}); in the same way one carrier takes streams in both
directions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from zope.interface import implementer

from twisted_mux.accepting import AcceptedCarriers
from twisted_mux.carriers import CarrierSession
from twisted_mux.config import MuxConfig
from twisted_mux.dialling import DialledCarriers
from twisted_mux.endpoint_strings import (
    AUTO,
    IDLE,
    Kind,
    MuxString,
    checkLabel,
    parseString,
)
from twisted_mux.errors import ConfigError
from twisted_mux.sharing import Source, sharedSource
from twisted_mux.wire import codecNamed
from twisted_mux.wire.base import Role

__all__ = [
    "MuxClientEndpoint",
    "MuxPort",
    "MuxServerEndpoint",
    "parseClient",
    "parseServer",
]

E = TypeVar("E")


@implementer(IListeningPort)
class MuxPort:
    """
    A factory that listens for the streams that peers open.
    """

    def __init__(self, carriers: AcceptedCarriers, factory: IProtocolFactory) -> None:
        self._carriers = carriers
        self._factory = factory
        self._host: IAddress | None = None

    @property
    def sessions(self) -> tuple[CarrierSession, ...]:
        """
        The live sessions, the oldest first.
        """
        return self._carriers.sessions

    @property
    def carriersAccepted(self) -> int:
        """
        How many carriers have come so far.
        """
        return self._carriers.carriersUp

    def getHost(self) -> Any:
        """
        The address of the carriers' port.
        """
        port = self._carriers.port
        if port is not None:
            self._host = port.getHost()
        return self._host

    def startListening(self) -> None:
        """
        Nothing more: an endpoint's port listens already.

        @raise CannotListenError: it has been stopped; the endpoint's C{listen}
            makes another.
        """
        if self._carriers.streamFactory is not self._factory:
            raise CannotListenError(
                None, None, OSError("this port has been stopped: listen again")
            )

    def started(self) -> None:
        """
        The carriers' port is open.
        """
        self.getHost()
        self._factory.doStart()
        self._carriers.streamFactory = self._factory

    def stopListening(self) -> Deferred[None]:
        """
        Accept no more carriers and no more streams.  Live streams are left
        alone, as TCP does; each carrier is closed when its last one is over.

        @return: fires when the carriers' port is closed.
        """
        if self._carriers.streamFactory is not self._factory:
            return succeed(None)
        self._factory.doStop()
        return self._carriers.stopAccepting()


def _source(
    make: Any, reactor: Any, kind: Kind, parsed: MuxString | None
) -> Source[Any]:
    if parsed is None:
        return Source(make)
    return sharedSource(reactor, (kind.dials, *parsed.sharedBy), make)


@implementer(IStreamServerEndpoint)
class MuxServerEndpoint:
    """
    Streams that peers open are connections; the peers dial.
    """

    def __init__(
        self,
        reactor: Any,
        carrierEndpoint: IStreamServerEndpoint,
        *,
        wire: str = "yamux",
        config: MuxConfig | None = None,
        role: str | Role = Role.SERVER,
        _parsed: MuxString | None = None,
    ) -> None:
        """
        @param carrierEndpoint: where carriers arrive.
        @param wire: the wire's name, or C{"auto"}: whichever each client
            speaks.
        @param role: our role on the carriers; the peers need the other one.
        @raise UnknownWire: there is no such wire.
        """
        if wire != AUTO:
            codecNamed(wire)
        configured = config or MuxConfig()
        ours = Role(role)
        self._source: Source[AcceptedCarriers] = _source(
            lambda: AcceptedCarriers(reactor, carrierEndpoint, wire, ours, configured),
            reactor,
            Kind.SERVER,
            _parsed,
        )

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        Listen for carriers; C{protocolFactory} gets the streams.

        @return: fires with a L{MuxPort}.  Fails as the carriers' endpoint does.
        """
        carriers = self._source.current()
        if carriers.streamFactory is not None:
            # Two factories can't have the same streams.  Whether there can be
            # another port is for the carriers' endpoint to say.
            carriers = self._source.fresh()
        port = MuxPort(carriers, protocolFactory)

        def listens(_: object) -> MuxPort:
            port.started()
            return port

        deferred: Deferred[Any] = carriers.startListening().addCallback(listens)
        return deferred


@implementer(IStreamClientEndpoint)
class MuxClientEndpoint:
    """
    C{connect} opens a stream on a carrier that is dialled for it, or for
    another stream before.
    """

    def __init__(
        self,
        reactor: Any,
        carrierEndpoint: IStreamClientEndpoint,
        *,
        wire: str = "yamux",
        config: MuxConfig | None = None,
        role: str | Role = Role.CLIENT,
        idle: float = IDLE,
        carriers: int = 1,
        name: bytes = b"",
        address: tuple[str, int] | None = None,
        _parsed: MuxString | None = None,
    ) -> None:
        """
        @param carrierEndpoint: makes the carriers.
        @param wire: the wire's name.
        @param role: our role on the carriers; the peer needs the other one.
        @param idle: seconds that a carrier without streams is kept; with 0 it is
            closed as soon as its last stream is over.
        @param carriers: over how many carriers streams are spread.
        @param name: what streams are opened with, on wires that have names.
        @param address: the same on wires that have addresses.  A stream has it
            to itself, so only one can be open at a time.
        @raise ConfigError: the wire is unknown, or knows no such thing.
        """
        checkLabel("name" if name else "address", wire, name, address)
        if not 0 <= idle < float("inf"):
            raise ConfigError(f"idle must be at least 0, not {idle!r}")
        if carriers < 1:
            raise ConfigError(f"carriers must be at least 1, not {carriers!r}")
        configured = config or MuxConfig()
        ours = Role(role)
        self._name = name
        self._address = address
        self._source: Source[DialledCarriers] = _source(
            lambda: DialledCarriers(
                reactor, carrierEndpoint, wire, ours, configured, idle, carriers
            ),
            reactor,
            Kind.CLIENT,
            _parsed,
        )

    @property
    def sessions(self) -> tuple[CarrierSession, ...]:
        """
        The live sessions, the oldest first.
        """
        return self._source.current().sessions

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Open a stream for a protocol.

        @return: fires with the protocol.  Fails as the carrier's endpoint does,
            if there is no carrier, and as L{IMuxSession.openStream
            <twisted_mux.interfaces.IMuxSession>}.
        """
        return self._source.current().connect(
            protocolFactory, self._name, self._address
        )

    def closeCarriers(self) -> Deferred[None]:
        """
        Close each carrier as soon as its streams are over.

        @return: fires when the last one is closed.
        """
        return self._source.current().close()


def parseServer(
    reactor: Any, args: Sequence[str], options: Mapping[str, str]
) -> MuxServerEndpoint:
    """
    The endpoint for C{mux:} as a server.

    @raise ConfigError: there is something wrong with the string.
    """
    parsed = parseString(Kind.SERVER, args, options)
    return MuxServerEndpoint(
        reactor,
        _carrierEndpoint(serverFromString, reactor, parsed.carrier),
        wire=parsed.wire,
        config=parsed.config,
        role=parsed.role,
        _parsed=parsed,
    )


def parseClient(
    reactor: Any, args: Sequence[str], options: Mapping[str, str]
) -> MuxClientEndpoint:
    """
    The endpoint for C{mux:} as a client.

    @raise ConfigError: there is something wrong with the string.
    """
    parsed = parseString(Kind.CLIENT, args, options)
    return MuxClientEndpoint(
        reactor,
        _carrierEndpoint(clientFromString, reactor, parsed.carrier),
        wire=parsed.wire,
        config=parsed.config,
        role=parsed.role,
        idle=parsed.idle,
        carriers=parsed.carriers,
        name=parsed.name,
        address=parsed.address,
        _parsed=parsed,
    )


def _carrierEndpoint(parse: Any, reactor: Any, carrier: str) -> Any:
    try:
        return parse(reactor, carrier)
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise ConfigError(f"carrier {carrier!r}: {error}") from error
