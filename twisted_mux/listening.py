"""
Listening for the streams that peers open, on carriers of either kind.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_mux.carrier_session import CarrierSession
from twisted_mux.carriers import Carriers
from twisted_mux.sharing import Source

__all__ = ["Listening", "MuxPort"]

C = TypeVar("C", bound=Carriers)


@implementer(IListeningPort)
class MuxPort:
    """
    A factory that listens for the streams that peers open.
    """

    def __init__(self, carriers: Carriers, factory: IProtocolFactory) -> None:
        self._carriers = carriers
        self._factory = factory
        self._listens = False
        self._before = carriers.carriersUp

    def start(self) -> Deferred[Any]:
        """
        Have carriers come up.

        @return: fires with this port, or fails with why there can't be any.
        """
        self._carriers.listener = self
        starting = self._carriers.startAccepting()
        starting.addCallback(self._started)
        return starting.addErrback(self._notStarted)

    def _started(self, _: object) -> MuxPort:
        self._factory.doStart()
        self._listens = True
        self._carriers.acceptStreams(self._factory)
        return self

    def _notStarted(self, reason: Failure) -> Failure:
        self._carriers.listener = None
        self._carriers.stopAccepting()
        return reason

    @property
    def sessions(self) -> tuple[CarrierSession, ...]:
        """
        The live sessions, the oldest first.
        """
        return self._carriers.sessions

    @property
    def carriersAccepted(self) -> int:
        """
        How many carriers have come up since, whoever dialled.
        """
        return self._carriers.carriersUp - self._before

    def getHost(self) -> Any:
        """
        The address of the port that accepts carriers; a L{MuxAddress
        <twisted_mux.address.MuxAddress>} where they are dialled.
        """
        return self._carriers.getHost()

    def startListening(self) -> None:
        """
        Nothing more: it listens already.

        @raise CannotListenError: it has been stopped; the endpoint's C{listen}
            makes another.
        """
        if not self._listens:
            raise CannotListenError(
                None, None, OSError("this port has been stopped: listen again")
            )

    def stopListening(self) -> Deferred[None]:
        """
        Take no more carriers and no more streams.  Live streams are left
        alone, as with TCP; each carrier is closed when its last one is over.

        @return: fires when no more carriers can come; fails then with what the
            factory raised in C{doStop}, if it did.
        """
        if not self._listens:
            return succeed(None)
        self._listens = False
        self._carriers.listener = None
        self._carriers.acceptStreams(None)
        stopped = maybeDeferred(self._factory.doStop)
        stopped.addBoth(
            lambda result: self._carriers.stopAccepting().addCallback(lambda _: result)
        )
        return stopped


class Listening(Generic[C]):
    """
    An endpoint on whose carriers a factory may listen.
    """

    _source: Source[C]

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        Streams that peers open go to C{protocolFactory}.

        @return: fires with a L{MuxPort}.  Fails as the carriers' endpoint does,
            where they are listened for.
        """
        carriers = self._source.current()
        if carriers.listener is not None:
            # Two factories can't have the same streams.  Whether there can be
            # other carriers is for the carriers' endpoint to say.
            carriers = self._source.fresh()
        return MuxPort(carriers, protocolFactory).start()
