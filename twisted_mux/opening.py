"""
Opening one stream for a factory, as C{connect} does for TCP.

An L{Opening} lives from C{openStream} until its stream is over.  It has three
stages, and may be cancelled in the first two:

  1. it waits for a place, if the peer has too many opens to acknowledge;
  2. the open was sent; what is left is the session's next turn, or, if so
     configured, the peer's acknowledgement;
  3. the protocol is connected, and nothing remains but the factory's
     C{doStop}.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectingCancelledError, NoProtocol
from twisted.internet.interfaces import IProtocol, IProtocolFactory
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_mux.errors import UsageError
from twisted_mux.reasons import StreamRefused, StreamReset
from twisted_mux.transport import StreamTransport, StreamWatcher

if TYPE_CHECKING:
    from twisted_mux.protocol import MuxProtocol
    from twisted_mux.wire.base import Key


class Opening(StreamWatcher):
    """
    One stream being opened.

    @ivar deferred: fires with the protocol, or why there is none; C{None}
        once it has.
    """

    __slots__ = (
        "_factory",
        "_key",
        "_mux",
        "_name",
        "_over",
        "_transport",
        "deferred",
    )

    _log = Logger()

    def __init__(
        self, mux: MuxProtocol, factory: IProtocolFactory, name: bytes, key: Key | None
    ) -> None:
        self._mux = mux
        self._factory = factory
        self._name = name
        self._key = key
        self._transport: StreamTransport | None = None
        self.deferred: Deferred[IProtocol] | None = Deferred(self._cancel)
        self._over = False
        factory.doStart()

    def send(self, waitForAck: bool) -> None:
        """
        There is a place: open the stream.
        """
        mux = self._mux
        transport = StreamTransport(mux, mux.config.sendBuffer, self)
        try:
            stream = mux.engine.openStream(transport, self._name, self._key)
        except UsageError as error:
            failure = Failure(mux.located(error))
            mux.later(lambda: self.fail(failure))
            return
        transport.attach(stream)
        self._transport = transport
        if not waitForAck:
            mux.later(self.connect)

    def connect(self) -> None:
        """
        Connect a protocol, unless it is too late.
        """
        mux = self._mux
        transport = self._transport
        if self.deferred is None or transport is None or transport.disconnected:
            return
        try:
            protocol = self._factory.buildProtocol(mux.peerAddress)
            if self._over:
                return
            if protocol is None:
                raise NoProtocol()
            transport.connectionOpened(protocol)
        except BaseException:
            if self._over:
                self._log.failure(
                    "a factory on {session} raised when its opening had been cancelled",
                    session=self._mux.describe(),
                )
            else:
                self._drop(Failure())
            return
        transport.begin()
        deferred = self.deferred
        if deferred is not None:
            self.deferred = None
            deferred.callback(protocol)

    def _drop(self, failure: Failure) -> None:
        transport = self._transport
        if transport is None or transport.disconnected:
            self.fail(failure)
        else:
            transport.drop(failure)

    def _cancel(self, deferred: Deferred[IProtocol]) -> None:
        self._mux.openingCancelled(self)
        self._drop(Failure(ConnectingCancelledError(self._mux.peerAddress)))

    def accepted(self) -> None:
        """
        The peer acknowledged the stream.
        """
        self.connect()

    def lost(self, reason: Failure) -> None:
        """
        The stream is over.
        """
        if self.deferred is not None and reason.check(StreamReset):
            refused = StreamRefused(string=str(reason.value))  # type: ignore[no-untyped-call]
            reason = Failure(refused)
        self.fail(reason)

    def fail(self, reason: Failure) -> None:
        """
        There is no stream (any more).  A second call does nothing.
        """
        if self._over:
            return
        self._over = True
        deferred = self.deferred
        self.deferred = None
        try:
            self._factory.doStop()
        except BaseException:
            # Whoever calls has others to tell.
            self._log.failure(
                "a factory on {session} raised when it was stopped",
                session=self._mux.describe(),
            )
        if deferred is not None:
            deferred.errback(reason)
