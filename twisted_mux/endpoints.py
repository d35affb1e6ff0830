"""
Endpoints whose connections are streams.

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

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from zope.interface import implementer

from twisted_mux.accepting import AcceptedCarriers
from twisted_mux.carrier_session import CarrierSession
from twisted_mux.carriers import Carriers
from twisted_mux.config import MuxConfig
from twisted_mux.dialling import DialledCarriers
from twisted_mux.endpoint_strings import (
    IDLE,
    WAIT,
    Kind,
    checkLabel,
    checkWire,
)
from twisted_mux.errors import ConfigError
from twisted_mux.named_listening import NamedListening
from twisted_mux.negotiation.handshakes import checkNames
from twisted_mux.negotiation.proposing import connectNamed
from twisted_mux.sharing import Source
from twisted_mux.wire.base import Role

__all__ = [
    "MuxClientEndpoint",
    "MuxDialEndpoint",
    "MuxListenEndpoint",
    "MuxServerEndpoint",
]

E = TypeVar("E")

C = TypeVar("C", bound=Carriers)
# Makes what makes carriers a source of them, alone or shared with others.
_Sharing = Callable[[Callable[[], C]], Source[C]]


class _Opening(Generic[C]):
    """
    An endpoint on whose carriers streams are opened.
    """

    _source: Source[C]
    _name: bytes
    _address: tuple[str, int] | None
    _wait: float = 0
    _protocol: tuple[bytes, ...]
    _negotiate: str

    @property
    def sessions(self) -> tuple[CarrierSession, ...]:
        """
        The live sessions, the oldest first.
        """
        return self._source.current().sessions

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Open a stream for a protocol.

        @return: fires with the protocol.  Fails if there is no carrier to open
            it on (as the carriers' endpoint does, or with L{NoPeer
            <twisted_mux.reasons.NoPeer>} if none was dialled in), and as
            L{IMuxSession.openStream<twisted_mux.interfaces.IMuxSession>}; if the
            protocol has a name, also as L{NamedClientEndpoint
            <twisted_mux.negotiation.NamedClientEndpoint>}.
        """
        if not self._protocol:
            return self._open(protocolFactory)
        return connectNamed(
            self._open, protocolFactory, self._protocol, self._negotiate
        )

    def _open(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return self._source.current().connect(
            protocolFactory, self._name, self._address, self._wait
        )


@implementer(IStreamServerEndpoint)
class MuxServerEndpoint(NamedListening[AcceptedCarriers]):
    """
    Carriers are listened for; streams that peers open are connections.
    """

    def __init__(
        self,
        reactor: Any,
        carrierEndpoint: IStreamServerEndpoint,
        *,
        wire: str = "yamux",
        config: MuxConfig | None = None,
        role: str | Role = Role.SERVER,
        protocol: bytes | Iterable[bytes] | None = None,
        negotiate: str = "simple",
        _sharing: _Sharing[AcceptedCarriers] = Source,
        _label: str = "",
    ) -> None:
        """
        @param carrierEndpoint: where carriers arrive.
        @param wire: the wire's name, or C{"auto"}: whichever each client
            speaks.
        @param role: our role on the carriers; the peers need the other one.
        @param protocol: the names of the protocol: only streams that ask for one of
            them are taken, and other endpoints can listen for other names on the
            same carriers.
        @param negotiate: by which handshake (see L{twisted_mux.negotiation}).
        @raise ConfigError: there is no such wire, or no such handshake, or a name
            can't be one.
        """
        checkWire(Kind.SERVER, wire)
        self._protocol, self._negotiate = _names(protocol, negotiate)
        self._reactor = reactor
        self._carrierEndpoint = carrierEndpoint
        self._wire = wire
        self._config = config or MuxConfig()
        self._role = Role(role)
        self._label = _label or type(carrierEndpoint).__name__
        self._source = _sharing(self._makeCarriers)

    def _makeCarriers(self) -> AcceptedCarriers:
        return AcceptedCarriers(
            self._reactor,
            self._carrierEndpoint,
            self._label,
            self._wire,
            self._role,
            self._config,
        )

    def clientEndpoint(
        self,
        name: bytes = b"",
        address: tuple[str, int] | None = None,
        wait: float = WAIT,
        protocol: bytes | Iterable[bytes] | None = None,
        negotiate: str = "simple",
    ) -> MuxListenEndpoint:
        """
        An endpoint that opens streams on the same carriers.  What it may be told is
        what L{MuxListenEndpoint} is; the wire, the role and the configuration are
        those of here.

        @raise ConfigError: the wire has no such thing, or is C{"auto"}.
        """
        return MuxListenEndpoint(
            self._reactor,
            self._carrierEndpoint,
            wire=self._wire,
            wait=wait,
            name=name,
            address=address,
            protocol=protocol,
            negotiate=negotiate,
            _sharing=lambda make: self._source,
        )


@implementer(IStreamClientEndpoint)
class MuxListenEndpoint(_Opening[AcceptedCarriers]):
    """
    Carriers are listened for; C{connect} opens a stream towards the newest
    peer that has dialled in and takes streams.

    The first C{connect} begins to listen; peers can dial in before it after
    L{startListening}.
    """

    def __init__(
        self,
        reactor: Any,
        carrierEndpoint: IStreamServerEndpoint,
        *,
        wire: str = "yamux",
        config: MuxConfig | None = None,
        role: str | Role = Role.SERVER,
        wait: float = WAIT,
        name: bytes = b"",
        address: tuple[str, int] | None = None,
        protocol: bytes | Iterable[bytes] | None = None,
        negotiate: str = "simple",
        _sharing: _Sharing[AcceptedCarriers] = Source,
        _label: str = "",
    ) -> None:
        """
        @param carrierEndpoint: where carriers arrive.
        @param wire: the wire's name.
        @param role: our role on the carriers; the peers need the other one.
        @param wait: seconds for which a connect waits while there is no peer.
        @param name: what streams are opened with, on wires that have names.
        @param address: the same on wires that have addresses.  A stream has it
            to itself, so only one can be open at a time.
        @param protocol: the name of the protocol to agree upon with the peer for
            each stream, or several, the best one first.
        @param negotiate: by which handshake (see L{twisted_mux.negotiation}).
        @raise ConfigError: the wire is unknown, or knows no such thing.
        """
        checkWire(Kind.LISTEN, wire)
        checkLabel("name" if name else "address", wire, name, address)
        self._wait = _seconds("wait", wait)
        self._name = name
        self._address = address
        self._protocol, self._negotiate = _names(protocol, negotiate)
        server = MuxServerEndpoint(
            reactor,
            carrierEndpoint,
            wire=wire,
            config=config,
            role=role,
            _sharing=_sharing,
            _label=_label,
        )
        self._source = server._source

    def startListening(self) -> Deferred[Any]:
        """
        Listen for carriers, so that peers can dial in, until L{closeCarriers}.

        @return: fires with the port that accepts carriers.  Fails as the
            carriers' endpoint does.
        """
        return self._source.current().startOpening()

    def closeCarriers(self) -> Deferred[None]:
        """
        Listen no more, and close each carrier as soon as its streams are over;
        if a factory listens for streams on the same carriers that goes on.

        @return: fires when no more carriers can come.
        """
        return self._source.current().stopOpening()


@implementer(IStreamClientEndpoint)
class MuxClientEndpoint(_Opening[DialledCarriers]):
    """
    C{connect} opens a stream, on a carrier that is dialled for it or is there
    already.
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
        protocol: bytes | Iterable[bytes] | None = None,
        negotiate: str = "simple",
        _sharing: _Sharing[DialledCarriers] = Source,
        _label: str = "",
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
        @param protocol: the name of the protocol to agree upon with the peer for
            each stream, or several, the best one first.
        @param negotiate: by which handshake (see L{twisted_mux.negotiation}).
        @raise ConfigError: the wire is unknown, or knows no such thing.
        """
        checkWire(Kind.CLIENT, wire)
        checkLabel("name" if name else "address", wire, name, address)
        self._name = name
        self._address = address
        self._protocol, self._negotiate = _names(protocol, negotiate)
        dial = MuxDialEndpoint(
            reactor,
            carrierEndpoint,
            wire=wire,
            config=config,
            role=role,
            idle=idle,
            carriers=carriers,
            _sharing=_sharing,
            _label=_label,
        )
        self._source = dial._source
        self._dial = dial

    def serverEndpoint(self) -> MuxDialEndpoint:
        """
        An endpoint for the streams that peers open on the same carriers.
        """
        return self._dial

    def closeCarriers(self) -> Deferred[None]:
        """
        Close each carrier as soon as its streams are over.  If a factory
        listens for streams on the same carriers they are replaced.

        @return: fires when the last one is closed.
        """
        return self._source.current().close()


@implementer(IStreamServerEndpoint)
class MuxDialEndpoint(NamedListening[DialledCarriers]):
    """
    Carriers are dialled, and dialled again when they are lost; streams that the
    peer opens are connections.

    That nobody can be reached is no failure of C{listen}: it goes on trying, and
    logs when the reason changes.
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
        retryPolicy: Callable[[int], float] | None = None,
        protocol: bytes | Iterable[bytes] | None = None,
        negotiate: str = "simple",
        _sharing: _Sharing[DialledCarriers] = Source,
        _label: str = "",
    ) -> None:
        """
        @param carrierEndpoint: makes the carriers.
        @param wire: the wire's name.
        @param role: our role on the carriers; the peer needs the other one.
        @param idle: for streams opened by this side, as of
            L{MuxClientEndpoint}.
        @param carriers: how many carriers to keep up.
        @param retryPolicy: how many seconds to wait before the n-th try in a
            row, as of L{ClientService
            <twisted.application.internet.ClientService>}.
        @param protocol: the names of the protocol: only streams that ask for one of
            them are taken, and other endpoints can listen for other names on the
            same carriers.
        @param negotiate: by which handshake (see L{twisted_mux.negotiation}).
        @raise ConfigError: the wire is unknown, or a figure is impossible.
        """
        checkWire(Kind.DIAL, wire)
        self._protocol, self._negotiate = _names(protocol, negotiate)
        seconds = _seconds("idle", idle)
        if carriers < 1:
            raise ConfigError(f"carriers must be at least 1, not {carriers!r}")
        ours = Role(role)
        self._source = _sharing(
            lambda: DialledCarriers(
                reactor,
                carrierEndpoint,
                _label or type(carrierEndpoint).__name__,
                wire,
                ours,
                config or MuxConfig(),
                seconds,
                carriers,
                retryPolicy,
            )
        )


def _names(
    protocol: bytes | Iterable[bytes] | None, negotiate: str
) -> tuple[tuple[bytes, ...], str]:
    return () if protocol is None else checkNames(protocol, negotiate), negotiate


def _seconds(what: str, value: float) -> float:
    if 0 <= value < float("inf"):
        return value
    raise ConfigError(f"{what} must be at least 0, not {value!r}")
