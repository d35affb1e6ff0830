"""
Listening for the streams that ask for a protocol by its name.

Several factories can listen on the same carriers, if each has names of its own and
they use the same handshake: behind them is one L{MuxPort
<twisted_mux.listening.MuxPort>}, with one registry for all of them.  It is opened
for the first one, and closed after the last.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_mux.carrier_session import CarrierSession
from twisted_mux.carriers import Carriers
from twisted_mux.listening import C, Listening, MuxPort
from twisted_mux.negotiation import NamedProtocols

__all__ = ["NamedListening", "NamedPort"]


class _SharedPort(MuxPort):
    """
    The port of all that listen for names on the same carriers.
    """

    def __init__(self, carriers: Carriers, negotiate: str) -> None:
        self._protocols = NamedProtocols(negotiate=negotiate)
        super().__init__(carriers, self._protocols)
        self._isUp = False
        self._starting: Deferred[Any] | None = None
        self._waiting: dict[Deferred[IListeningPort], NamedPort] = {}

    def takes(self, names: tuple[bytes, ...], negotiate: str) -> bool:
        """
        Can somebody else listen for these?
        """
        return negotiate == self._protocols.negotiate and not any(
            name in self._protocols.names for name in names
        )

    def add(self, port: NamedPort) -> Deferred[IListeningPort]:
        """
        Somebody else listens.

        @return: fires with C{port}, or fails with why it can't be.
        """
        for name in port.names:
            self._protocols.add(name, port.factory)
        if self._isUp:
            return succeed(port)
        deferred: Deferred[IListeningPort] = Deferred(self._notWanted)
        self._waiting[deferred] = port
        if self._starting is None:
            self._starting = self.start()
            self._starting.addCallbacks(self._nowUp, self._failed)
        return deferred

    def remove(self, port: NamedPort) -> Deferred[None]:
        """
        Somebody who listens does so no more.

        @return: fires when no more carriers can come on behalf of that one.
        """
        for name in port.names:
            self._protocols.remove(name)
        if self._protocols.names:
            return succeed(None)
        self._isUp = False
        return self.stopListening()

    def _nowUp(self, _: object) -> None:
        self._isUp = True
        waiting = self._waiting
        self._waiting = {}
        for deferred, port in waiting.items():
            deferred.callback(port)

    def _failed(self, reason: Failure) -> None:
        waiting = self._waiting
        self._waiting = {}
        for deferred, port in waiting.items():
            self.remove(port)
            deferred.errback(reason)

    def _notWanted(self, deferred: Deferred[IListeningPort]) -> None:
        self.remove(self._waiting.pop(deferred))
        if not self._waiting and self._starting is not None:
            self._starting.cancel()


@implementer(IListeningPort)
class NamedPort:
    """
    A factory that listens for the streams that ask for its names.

    @ivar names: the names.
    @ivar factory: the factory.
    """

    def __init__(
        self, shared: _SharedPort, names: tuple[bytes, ...], factory: IProtocolFactory
    ) -> None:
        self._shared = shared
        self.names = names
        self.factory = factory
        self._stopped = False

    @property
    def sessions(self) -> tuple[CarrierSession, ...]:
        """
        See L{MuxPort}.
        """
        return self._shared.sessions

    @property
    def carriersAccepted(self) -> int:
        """
        See L{MuxPort}.
        """
        return self._shared.carriersAccepted

    def getHost(self) -> Any:
        """
        See L{MuxPort}.
        """
        return self._shared.getHost()

    def startListening(self) -> None:
        """
        See L{MuxPort}.

        @raise CannotListenError: it has been stopped.
        """
        if self._stopped:
            raise CannotListenError(
                None, None, OSError("this port has been stopped: listen again")
            )

    def stopListening(self) -> Deferred[None]:
        """
        Take no more streams for these names and, if there are no others on the
        same carriers, no more carriers.  Live streams are left alone.

        @return: fires when no more carriers can come on our behalf.
        """
        if self._stopped:
            return succeed(None)
        self._stopped = True
        return self._shared.remove(self)


class NamedListening(Listening[C]):
    """
    An endpoint on whose carriers a factory may listen, for certain names if it
    wants.
    """

    _protocol: tuple[bytes, ...] = ()
    _negotiate: str = "simple"

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        See L{Listening}.  With names, only streams that ask for one of them go to
        C{protocolFactory}, and others can listen for other names on the same
        carriers.
        """
        names = self._protocol
        if not names:
            return super().listen(protocolFactory)
        carriers = self._source.current()
        shared = carriers.listener
        if not (
            isinstance(shared, _SharedPort) and shared.takes(names, self._negotiate)
        ):
            if shared is not None:
                carriers = self._source.fresh()
            shared = _SharedPort(carriers, self._negotiate)
        return shared.add(NamedPort(shared, names, protocolFactory))
