"""
Endpoints on one live session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from zope.interface import implementer

from twisted_mux.address import MuxAddress

if TYPE_CHECKING:
    from twisted_mux.protocol import MuxProtocol

__all__ = ["SessionClientEndpoint", "SessionPort", "SessionServerEndpoint"]


@implementer(IStreamClientEndpoint)
class SessionClientEndpoint:
    """
    C{connect} opens a stream.
    """

    def __init__(
        self, session: MuxProtocol, name: bytes, address: tuple[str, int] | None
    ) -> None:
        self._session = session
        self._name = name
        self._address = address

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        See L{IMuxSession.openStream<twisted_mux.interfaces.IMuxSession>}.
        """
        return self._session.openStream(protocolFactory, self._name, self._address)


@implementer(IStreamServerEndpoint)
class SessionServerEndpoint:
    """
    Streams that the peer opens are connections.
    """

    def __init__(self, session: MuxProtocol) -> None:
        self._session = session

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        From now on streams go to C{protocolFactory}, until the port stops
        listening or the session ends.

        @return: fires with a L{SessionPort}.  Fails with L{CannotListenError} if
            there is a factory already, and with what C{doStart} raises.
        """
        port = SessionPort(self._session, protocolFactory)
        return maybeDeferred(port.startListening).addCallback(lambda _: port)


@implementer(IListeningPort)
class SessionPort:
    """
    A factory listening on a session.
    """

    def __init__(self, session: MuxProtocol, factory: IProtocolFactory) -> None:
        self._session = session
        self._factory = factory
        self._listens = False

    def startListening(self) -> None:
        """
        See L{IListeningPort}.

        @raise CannotListenError: a factory listens already.
        """
        if self._session.streamFactory is not None:
            raise CannotListenError(
                None,
                None,
                OSError(f"a factory listens on {self._session.describe()} already"),
            )
        self._factory.doStart()
        self._listens = True
        self._session.streamFactory = self._factory

    def stopListening(self) -> Deferred[None]:
        """
        Refuse streams from now on; those that are open stay.

        @return: fails with what the factory raises in C{doStop}.
        """
        if not self._listens:
            return succeed(None)
        self._listens = False
        # Unless the application has put another one in its place.
        if self._session.streamFactory is self._factory:
            self._session.streamFactory = None
        return maybeDeferred(self._factory.doStop)

    def getHost(self) -> MuxAddress:
        """
        The session, as an address.
        """
        return MuxAddress(self._session.wire, self._session.hostAddress)
