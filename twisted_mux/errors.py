"""
The exceptions of this package that know nothing of Twisted.

Two branches, because they mean different things to whoever reads them:

  - L{PeerError} and below: the B{peer} broke a rule, or says that we did.
    Raised inside L{twisted_mux.wire} and L{twisted_mux.engine}, never towards
    the application: the session ends with it, C{whenClosed} fails with it, and
    it becomes the text, and the C{__cause__}, of the reason that every
    stream's C{connectionLost} gets.
  - L{UsageError} and below: B{our side} asked for something impossible.
    Raised, or delivered by a L{twisted.internet.defer.Deferred}, to whoever
    asked.

The reasons that C{connectionLost} is called with also have to be the errors of
L{twisted.internet.error} that existing protocols check for; those are in
L{twisted_mux.reasons}, so that this module and the two layers below it can be
imported without Twisted.
"""

from __future__ import annotations


class MuxError(Exception):
    """
    The root of every exception of this package.

    @ivar session: on which session it happened, in words (wire and peer), if
        it was one and the exception has left it; a part of the text then.
    """

    session: str = ""

    def __str__(self) -> str:
        return f"{self.session}: {self.cause}" if self.session else self.cause

    @property
    def cause(self) -> str:
        """
        The text without the session.
        """
        return super().__str__()


class PeerError(MuxError):
    """
    The peer did what it must not, or says that we did.
    """


class ProtocolError(PeerError):
    """
    The peer broke the wire protocol.

    @cvar kind: the row of a wire's table of go-away codes that says this to
        the peer (L{twisted_mux.wire.base.Codec.goAwayCodes}).
    """

    kind: str = "protocol"


def _withLimit(text: str, limit: str, figure: float) -> str:
    return f"{text} (limit {limit}: {figure:.10g})"


class FlowControlError(ProtocolError):
    """
    The peer sent past the credit it had, or granted more than the wire can
    count.
    """

    kind = "flow"


class VersionError(ProtocolError):
    """
    A frame's version byte is not that of this wire protocol.
    """

    kind = "version"


class LimitExceeded(ProtocolError):
    """
    The peer stayed within the wire protocol but went past a limit of
    L{twisted_mux.config.MuxConfig}.

    @ivar limit: the name of the field of C{MuxConfig}.
    @ivar figure: the figure that was reached.
    """

    kind = "internal"

    def __init__(self, limit: str, figure: float, text: str) -> None:
        super().__init__(_withLimit(text, limit, figure))
        self.limit = limit
        self.figure = figure


class PeerTimeout(ProtocolError):
    """
    The peer did not do in time what it had to: answer a ping, send anything
    at all, finish a frame, or read what was sent to it.

    @ivar limit: the name of the field of C{MuxConfig}, or C{""}.
    @ivar figure: that many seconds.
    """

    kind = "timeout"

    def __init__(self, text: str, limit: str = "", figure: float = 0) -> None:
        super().__init__(_withLimit(text, limit, figure) if limit else text)
        self.limit = limit
        self.figure = figure


class HandshakeError(ProtocolError):
    """
    The peer broke the rules by which a stream's protocol is agreed upon.  This
    costs it the stream only.
    """


class PeerComplaint(PeerError):
    """
    The peer ended the session because of something that it takes for our
    fault.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(f"the peer ended the session: {cause}")


class UsageError(MuxError):
    """
    This side asked for what can't be done.
    """


class ConfigError(UsageError, ValueError):
    """
    A field of L{twisted_mux.config.MuxConfig}, an option of an endpoint
    string or an argument has a value that means nothing.
    """


class UnknownWire(ConfigError):
    """
    No wire protocol goes by that name.
    """


class SessionClosed(UsageError):
    """
    The session is closed, or closing, and takes no more requests.
    """


class KeysExhausted(UsageError):
    """
    The session has used up the ids that its wire protocol has for streams
    opened by this side; a new carrier is needed.
    """


class KeyInUse(UsageError):
    """
    A stream with this key is open already.
    """


class TooManyStreams(UsageError):
    """
    The session has as many streams opened by this side as
    L{twisted_mux.config.MuxConfig.maxOutboundStreams} allows.
    """


class NotSupported(UsageError):
    """
    The session's wire protocol has no means for what was asked.
    """
