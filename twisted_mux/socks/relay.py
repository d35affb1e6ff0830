"""
The connection to the target of a client of SOCKS, and why there is none.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionRefusedError as TwistedRefused
from twisted.internet.error import NoRouteError, TCPTimedOutError
from twisted.internet.error import TimeoutError as TwistedTimeout
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_mux.socks.request import Cause

if TYPE_CHECKING:
    from twisted_mux.socks.service import Service

__all__ = ["Relay", "causeOf"]


@implementer(IHalfCloseableProtocol)
class Relay(Protocol):
    """
    The protocol of the real connection: hands on everything.
    """

    transport: Any

    def __init__(self, service: Service) -> None:
        self._service = service
        self._protocol = service.protocol
        self._halfCloses = IHalfCloseableProtocol.providedBy(service.protocol)
        self._isOurs = True

    def connectionMade(self) -> None:
        """
        It is there.
        """
        self._isOurs = self._service.joined(self.transport)

    def dataReceived(self, data: bytes) -> None:
        """
        The target has said something.
        """
        self._protocol.dataReceived(data)

    def readConnectionLost(self) -> None:
        """
        The target's direction is at its end.
        """
        if self._halfCloses:
            self._protocol.readConnectionLost()
        else:
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """
        The client's direction is at its end.
        """
        if self._halfCloses:
            self._protocol.writeConnectionLost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is gone.
        """
        if self._isOurs:
            self._protocol.connectionLost(reason)


def causeOf(reason: Failure) -> Cause:
    """
    Why there is no connection.
    """
    if reason.check(TwistedRefused):
        return Cause.CONNECTION_REFUSED
    if reason.check(NoRouteError):
        return Cause.NETWORK_UNREACHABLE
    if reason.check(TwistedTimeout, TCPTimedOutError):
        return Cause.TIMEOUT
    if getattr(reason.value, "osError", None) == errno.EHOSTUNREACH:
        return Cause.HOST_UNREACHABLE
    return Cause.FAILURE
