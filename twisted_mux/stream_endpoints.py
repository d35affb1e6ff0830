"""
Endpoints on one live session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
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

        @return: fails with L{CannotListenError} if there is a factory already.
        """
        port = SessionPort(self._session, protocolFactory)
        try:
            port.startListening()
        except CannotListenError:
            return fail()
        return succeed(port)


@implementer(IListeningPort)
class SessionPort:
    """
    A factory listening on a session.
    """

    def __init__(self, session: MuxProtocol, factory: IProtocolFactory) -> None:
        self._session = session
        self._factory = factory

    def startListening(self) -> None:
        """
        See L{IListeningPort}.

        @raise CannotListenError: another factory listens.
        """
        if self._session.streamFactory is not None:
            raise CannotListenError(
                None,
                None,
                OSError(f"a factory listens on {self._session.describe()} already"),
            )
        self._factory.doStart()
        self._session.streamFactory = self._factory

    def stopListening(self) -> Deferred[None]:
        """
        Refuse streams from now on; those that are open stay.

        @return: fails with what the factory raises in C{doStop}.
        """
        if self._session.streamFactory is not self._factory:
            return succeed(None)
        self._session.streamFactory = None
        return maybeDeferred(self._factory.doStop)

    def getHost(self) -> MuxAddress:
        """
        The session, as an address.
        """
        return MuxAddress(self._session.wire, self._session.hostAddress)
