"""
The side that opens streams: an endpoint around another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectingCancelledError, ConnectionDone, NoProtocol
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_mux.errors import ConfigError, HandshakeError
from twisted_mux.negotiation.handshakes import Handshake, checkNames, show
from twisted_mux.negotiation.multistream import MultistreamOpener
from twisted_mux.negotiation.negotiator import Negotiator
from twisted_mux.negotiation.simple import SimpleOpener
from twisted_mux.reasons import (
    NegotiationFailed,
    NegotiationTimeout,
    ProtocolRefused,
    StreamReset,
)

__all__ = ["NamedClientEndpoint", "connectNamed"]

_Connect = Callable[[IProtocolFactory], Deferred[IProtocol]]


@implementer(IStreamClientEndpoint)
class NamedClientEndpoint:
    """
    C{connect} opens a stream for a protocol that the peer knows by name.

    Which of several names it was is found in C{transport.protocolName}, from
    C{connectionMade} on.
    """

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        protocol: bytes | Iterable[bytes],
        negotiate: str = "simple",
    ) -> None:
        """
        @param endpoint: opens the streams: an endpoint of this package.
        @param protocol: the name, or several, of which the peer gets the first
            that it knows.  With C{"simple"} each takes a stream of its own, one
            after the other.
        @param negotiate: the handshake: C{"simple"} or C{"multistream"}.
        @raise ConfigError: a name can't be one, there are none or more than 16,
            or there is no such handshake.
        """
        self._endpoint = endpoint
        self._names = checkNames(protocol, negotiate)
        self._negotiate = negotiate

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Open a stream.

        @return: fires with the protocol, after its C{connectionMade}, when the
            peer has confirmed a name.  Fails with L{ProtocolRefused
            <twisted_mux.reasons.ProtocolRefused>} if it knows none of them, with
            L{NegotiationTimeout<twisted_mux.reasons.NegotiationTimeout>}, with
            L{NegotiationFailed<twisted_mux.reasons.NegotiationFailed>} if it does
            not keep to the handshake, with L{ConfigError
            <twisted_mux.errors.ConfigError>} if the name does not fit into a
            frame where it has to, and as the endpoint that opens the streams
            does.
        """
        return connectNamed(
            self._endpoint.connect, protocolFactory, self._names, self._negotiate
        )


def connectNamed(
    connect: _Connect,
    protocolFactory: IProtocolFactory,
    names: Iterable[bytes],
    negotiate: str,
) -> Deferred[IProtocol]:
    """
    See L{NamedClientEndpoint.connect}.

    @param connect: opens a stream, as an endpoint's C{connect} does.
    @param names: what L{checkNames
        <twisted_mux.negotiation.handshakes.checkNames>} has returned.
    """
    deferred: Deferred[IProtocol] = Deferred(lambda _: proposing.cancel())
    proposing = _Proposing(deferred, connect, protocolFactory, names, negotiate)
    proposing.open()
    return deferred


class _Proposing:
    """
    One C{connect}, from the call until its stream is over.
    """

    def __init__(
        self,
        deferred: Deferred[IProtocol],
        connect: _Connect,
        factory: IProtocolFactory,
        names: Iterable[bytes],
        negotiate: str,
    ) -> None:
        # None once it has fired.
        self._deferred: Deferred[IProtocol] | None = deferred
        self._connect = connect
        self._factory = factory
        self._left = list(names)
        self._negotiate = negotiate
        self._refused: list[bytes] = []
        # The stream being opened, and the one that is open.
        self._opening: Deferred[IProtocol] | None = None
        self._proposal: _Proposal | None = None
        self._calls: list[IDelayedCall] = []
        self._peer: Any = None
        self._session = ""
        self._stopped = False
        factory.doStart()

    def open(self) -> None:
        """
        Open a stream for the names that are left, or for the first of them.
        """
        opening = maybeDeferred(self._connect, _Proposal(self))
        self._opening = opening
        opening.addCallbacks(self._opened, self._notOpened)

    def _opened(self, protocol: IProtocol) -> None:
        self._opening = None

    def _notOpened(self, reason: Failure) -> None:
        self._opening = None
        self._fail(reason)

    def cancel(self) -> None:
        """
        The application does not want it any more.
        """
        if self._opening is not None:
            # It knows better where to.
            self._opening.cancel()
        self._fail(Failure(ConnectingCancelledError(self._peer)))

    # What the streams tell.

    def begun(self, proposal: _Proposal) -> None:
        """
        A stream is there.
        """
        self._proposal = proposal
        stream = proposal.stream
        begun = bool(self._session)
        self._peer = stream.getPeer()
        self._session = stream.session.describe()
        seconds = stream.session.config.negotiationTimeout
        if seconds and not begun:
            self._calls.append(
                stream.reactor.callLater(seconds, self._timedOut, seconds)
            )

    def makeHandshake(self, longestMessage: int) -> SimpleOpener | MultistreamOpener:
        """
        The handshake for a stream.

        @raise ConfigError: a name can't be sent on this wire.
        """
        if self._negotiate == "multistream":
            return MultistreamOpener(self._left)
        longest = max(self._left, key=len)
        if longestMessage and len(longest) > longestMessage:
            raise ConfigError(
                f"the name {show(longest)} has to fit into a frame, which has "
                f"{longestMessage} bytes"
            )
        return SimpleOpener(self._left.pop(0), bool(longestMessage))

    def selected(self, proposal: _Proposal) -> None:
        """
        A name was agreed upon.
        """
        proposal.taken = True
        self._cancelCalls()
        stream = proposal.stream
        try:
            protocol = self._factory.buildProtocol(stream.getPeer())
            if protocol is None:
                raise NoProtocol()
            stream.connectionOpened(protocol)
        except BaseException:
            self._fail(Failure())
            return
        deferred = self._deferred
        if deferred is not None:
            self._deferred = None
            deferred.callback(protocol)

    def refused(self, names: list[bytes]) -> None:
        """
        The peer has none of the names.
        """
        assert self._proposal is not None
        stream = self._proposal.stream
        self._proposal = None
        stream.loseConnection()
        self._refused += names
        self._failRefused("the peer refused")

    def broken(self, error: HandshakeError) -> None:
        """
        The peer broke a rule.
        """
        assert self._proposal is not None
        stream = self._proposal.stream
        self._proposal = None
        text = f"stream {stream.streamId}: {error}"
        self._fail(self._failure(NegotiationFailed, text))
        stream.refuse(
            HandshakeError(f"stream {stream.streamId}: {self._negotiate}: {error}")
        )

    def lost(self, proposal: _Proposal, reason: Failure) -> None:
        """
        A stream was lost before anything was agreed upon.
        """
        if proposal is not self._proposal:
            return
        self._proposal = None
        if not reason.check(ConnectionDone, StreamReset):
            self._fail(reason)
            return
        handshake = proposal.handshake
        self._refused += [*handshake.refused, handshake.proposed]
        if self._negotiate == "multistream":
            self._failRefused("the peer dropped the stream when asked for")
        elif self._left:
            self._calls.append(proposal.stream.reactor.callLater(0, self.open))
        else:
            self._failRefused("the peer refused")

    def over(self, proposal: _Proposal) -> None:
        """
        A stream is over, or there was none.
        """
        if proposal.taken:
            self._stop()

    # Failures.

    def _failRefused(self, how: str) -> None:
        names = ", ".join(map(show, self._refused))
        self._fail(self._failure(ProtocolRefused, f"{how} {names}"))

    def _timedOut(self, seconds: float) -> None:
        text = f"no protocol was agreed upon within {seconds:g} seconds"
        if self._refused:
            text += f", but {', '.join(map(show, self._refused))} refused"
        text += f" (limit negotiationTimeout: {seconds:g})"
        self._fail(self._failure(NegotiationTimeout, text))

    def _failure(self, kind: type[NegotiationFailed], text: str) -> Failure:
        text = f"{self._session}: {self._negotiate}: {text}"
        return Failure(kind(text, tuple(self._refused)))

    def _fail(self, reason: Failure) -> None:
        deferred = self._deferred
        if deferred is None:
            return
        self._deferred = None
        self._cancelCalls()
        opening = self._opening
        proposal = self._proposal
        self._opening = self._proposal = None
        if opening is not None:
            opening.cancel()
        if proposal is not None:
            proposal.stream.drop(reason)
        self._stop()
        deferred.errback(reason)

    def _cancelCalls(self) -> None:
        for call in self._calls:
            if call.active():
                call.cancel()

    def _stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            self._factory.doStop()


@implementer(IProtocolFactory)
class _Proposal(Negotiator):
    """
    One stream that was opened to propose names on it: what is given to the
    endpoint that opens streams for a factory, and what that factory builds.

    @ivar taken: has the application got it?
    """

    handshake: SimpleOpener | MultistreamOpener

    def __init__(self, proposing: _Proposing) -> None:
        self._proposing = proposing
        self.taken = False

    def doStart(self) -> None:
        """
        Nothing: the application's factory has been started.
        """

    def doStop(self) -> None:
        """
        The stream is over, or there was none.
        """
        self._proposing.over(self)

    def buildProtocol(self, addr: IAddress | None) -> IProtocol:
        """
        Ourselves.
        """
        return self

    def begin(self, longestMessage: int) -> Handshake:
        self._proposing.begun(self)
        return self._proposing.makeHandshake(longestMessage)

    def selected(self, name: bytes) -> None:
        self._proposing.selected(self)

    def refused(self, names: list[bytes]) -> None:
        self._proposing.refused(names)

    def broken(self, error: HandshakeError) -> None:
        self._proposing.broken(error)

    def lost(self, reason: Failure) -> None:
        self._proposing.lost(self, reason)
