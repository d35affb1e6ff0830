"""
The public objects, as interfaces.
"""

from __future__ import annotations

from twisted.internet.interfaces import IStreamClientEndpoint
from zope.interface import Attribute, Interface

__all__ = ["IMuxSession", "IServiceEndpoint", "IStreamTransport"]

# zope.interface's declarations have no bodies and no self.
# mypy: disable-error-code="empty-body"


class IStreamTransport(Interface):
    """
    What a stream's transport tells beside what every TCP connection does.
    """

    session = Attribute("The L{IMuxSession} that the stream belongs to.")
    wire = Attribute("The name of the wire protocol: L{str}.")
    streamId = Attribute("What the wire protocol calls the stream, readable: L{str}.")
    name = Attribute('The name that the stream was opened with, or C{b""}: L{bytes}.')
    address = Attribute(
        "The (host, port) that the stream was opened with, on wires that have such, else C{None}."
    )
    protocolName = Attribute(
        'The name of the protocol that was agreed upon, or C{b""}: L{bytes}.'
    )
    opener = Attribute("Did this side open the stream? L{bool}.")
    bytesReceived = Attribute("Bytes of payload that have arrived: L{int}.")
    bytesSent = Attribute("Bytes of payload that the carrier has taken: L{int}.")

    def deferAccepting():  # type: ignore[no-untyped-def]
        """
        The protocol is not ready for the stream yet, and has something to do
        first, as a bridge that connects to somewhere else.  Until C{accept} is
        called or the stream is over, it counts against
        C{MuxConfig.maxPending}.  To be called in C{connectionMade}, before it
        returns; does nothing on a stream that this side has opened.
        """

    def accept():  # type: ignore[no-untyped-def]
        """
        The protocol is ready for the stream, after all.
        """


class IMuxSession(Interface):
    """
    One carrier being multiplexed.
    """

    wire = Attribute("The name of the wire protocol: L{str}.")
    over = Attribute("Has it ended? L{bool}.")
    takesStreams = Attribute("Would C{openStream} be tried now? L{bool}.")

    def openStream(factory, name=b"", address=None):  # type: ignore[no-untyped-def]
        """
        Open a stream and connect a protocol to it.

        @param factory: builds the protocol.  Only C{doStart},
            C{buildProtocol} and C{doStop} are called.
        @param name: what the peer is told of the stream, on wires that can.
        @param address: the (host, port) that labels it, on wires that need
            one; without, one that is free is made up.

        @return: a L{Deferred<twisted.internet.defer.Deferred>} of the
            protocol, after its C{connectionMade}, never before this call
            returns.  Cancelling it resets the stream.  It fails with
            L{ConnectingCancelledError
            <twisted.internet.error.ConnectingCancelledError>}, L{StreamRefused
            <twisted_mux.reasons.StreamRefused>}, L{SessionLost
            <twisted_mux.reasons.SessionLost>}, a L{UsageError
            <twisted_mux.errors.UsageError>} that says why none can be opened,
            L{NoProtocol<twisted.internet.error.NoProtocol>}, or with what the
            factory or C{connectionMade} raised.
        """

    def clientEndpoint(  # type: ignore[no-untyped-def]
        name=b"", address=None, protocol=None, negotiate="simple"
    ):
        """
        An L{IStreamClientEndpoint
        <twisted.internet.interfaces.IStreamClientEndpoint>} whose C{connect}
        opens a stream, with C{name} and C{address} as for L{openStream}.

        @param protocol: the name of the protocol to agree upon with the peer, or
            several, the best one first; its own factory is found by that name
            (L{NamedProtocols<twisted_mux.negotiation.NamedProtocols>}).
        @param negotiate: the handshake by which that is done: C{"simple"} or
            C{"multistream"}.

        @raise ConfigError: a name can't be one (see L{twisted_mux.negotiation}).
        """

    def serverEndpoint():  # type: ignore[no-untyped-def]
        """
        An L{IStreamServerEndpoint
        <twisted.internet.interfaces.IStreamServerEndpoint>}: streams that the
        peer opens are connections.  Only one factory can listen at a time.
        """

    def ping():  # type: ignore[no-untyped-def]
        """
        Ask the peer for a sign of life.

        @return: a Deferred of the round trip in seconds.  It fails with
            L{NotSupported<twisted_mux.errors.NotSupported>} on wires without a
            ping, and when the session ends before the answer comes.
        """

    def close(seconds=None):  # type: ignore[no-untyped-def]
        """
        Open and accept no more streams, tell the peer where the wire can, let
        the live streams finish, then close the carrier.

        @param seconds: how long they have; C{None} is C{drainTimeout} of the
            configuration, 0 for ever.

        @return: a Deferred, as that of L{whenClosed}.
        """

    def abort():  # type: ignore[no-untyped-def]
        """
        Drop the carrier, and with it everything.  Every stream's
        C{connectionLost} is called in a later turn.
        """

    def whenClosed():  # type: ignore[no-untyped-def]
        """
        @return: a new Deferred that fires with C{None} when the carrier is
            closed after an orderly end of either side's, and fails with the
            reason otherwise.
        """

    def statistics():  # type: ignore[no-untyped-def]
        """
        @return: a L{SessionStatistics
            <twisted_mux.statistics.SessionStatistics>}: what the session has
            seen so far and how it stands.
        """


class IServiceEndpoint(IStreamClientEndpoint, Interface):
    """
    An endpoint that is no place but a service, which may have something to say about
    who uses it.
    """

    def connectService(protocolFactory, complain, ready):  # type: ignore[no-untyped-def]
        """
        As C{connect} does it.

        @param complain: called with a line of text, once at most and perhaps long
            after, if whoever is behind the protocol does not get what they want.
        @param ready: called without arguments, once at most and perhaps long
            after, when they do get it.
        """
