"""
One C{connect} on its way to a stream.

B{Trying again.}  A stream may be asked for at the very moment at which its
session comes to an end: the peer's go-away is on its way, the ids are used up, the
connection is dead and nobody has noticed.  Such a connect is tried once more, on
another carrier, as long as nobody could tell the difference: the application's
C{buildProtocol} has not been called, so nothing can have been sent.  Never is
anything tried again after that, and never on a session that would take streams:
there the peer has said no to this stream.  Nor after the application has had the
carriers closed: that is no accident.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_mux.errors import KeysExhausted, SessionClosed
from twisted_mux.reasons import SessionLost, StreamRefused

if TYPE_CHECKING:
    from twisted_mux.carriers import Carrier, Carriers

__all__ = ["Connecting"]

# What a session that is at its end makes openings fail with.
_TOO_LATE = (StreamRefused, SessionLost, SessionClosed, KeysExhausted)


@implementer(IProtocolFactory)
class Connecting:
    """
    From the call until its stream is over: it passes for the
    application's factory, so as to notice what becomes of it.

    @ivar deferred: what C{connect} returned; C{None} once it has fired.
    @ivar wait: for how many seconds it may wait for a peer, where it is for
        peers to dial.
    """

    def __init__(
        self,
        carriers: Carriers,
        factory: IProtocolFactory,
        name: bytes,
        address: tuple[str, int] | None,
        wait: float,
    ) -> None:
        self._carriers = carriers
        self._factory = factory
        self._name = name
        self._address = address
        self.wait = wait
        self._carrier: Carrier | None = None
        self._opening: Deferred[IProtocol] | None = None
        self._built = False
        self._triedAgain = False
        self.deferred: Deferred[IProtocol] | None = Deferred(self._cancel)

    def openOn(self, carrier: Carrier) -> None:
        """
        Open the stream there, unless it was cancelled.
        """
        if self._isOver():
            return
        session = carrier.session
        assert session is not None
        self._carrier = carrier
        opening = maybeDeferred(session.openStream, self, self._name, self._address)
        self._opening = opening
        opening.addCallbacks(self._opened, self._notOpened)
        if self._isOver():
            # The factory's doStart has cancelled it.
            opening.cancel()

    def _isOver(self) -> bool:
        return self.deferred is None

    def fail(self, reason: Failure) -> None:
        """
        There will be no stream.
        """
        deferred = self.deferred
        self.deferred = None
        if deferred is not None:
            deferred.errback(reason)

    def _opened(self, protocol: IProtocol) -> None:
        deferred = self.deferred
        assert deferred is not None
        self.deferred = self._opening = None
        deferred.callback(protocol)

    def _notOpened(self, reason: Failure) -> None:
        self._opening = None
        carrier = self._carrier
        assert carrier is not None
        if (
            self._built
            or self._triedAgain
            or carrier.healthy
            or carrier.dismissed
            or not reason.check(*_TOO_LATE)
        ):
            self.fail(reason)
            return
        self._triedAgain = True
        self._carriers.assign(self)

    def _cancel(self, deferred: Deferred[IProtocol]) -> None:
        if self._opening is not None:
            self._opening.cancel()
            return
        self.fail(Failure(ConnectingCancelledError(self._carriers.address())))
        self._carriers.withdraw(self)

    # What an Opening calls.

    def doStart(self) -> None:
        """
        See L{IProtocolFactory}.
        """
        assert self._carrier is not None
        self._factory.doStart()
        self._carrier.acquire()

    def doStop(self) -> None:
        """
        See L{IProtocolFactory}.
        """
        assert self._carrier is not None
        self._carrier.release()
        self._factory.doStop()

    def buildProtocol(self, addr: IAddress) -> IProtocol | None:
        """
        See L{IProtocolFactory}.
        """
        self._built = True
        return self._factory.buildProtocol(addr)
