"""
The seam between wire protocols and the engine.

A wire protocol is a L{Codec}: it turns bytes into calls on a L{FrameSink} and
requests into bytes.  It knows the format of frames, the numbering of streams
and the peer's idea of defaults.  It refuses to know which streams exist, what
state they are in, or what time it is: that is L{twisted_mux.engine.session},
which in turn never looks at a byte.

What differs between wire protocols beyond the format is data, not code:
L{Capabilities}.  So the engine asks C{capabilities.reset}, never "is this
smux".

Two rules make the reading side fast, and every codec keeps them:

  1. There is no object for a frame.  L{Codec.receive} loops over the chunk
     with one precompiled L{struct.Struct} and calls the sink with positional
     arguments.
  2. Nothing waits for the end of a frame.  The part of a payload that has
     arrived is passed on, and only a count of what is missing is kept; what is
     kept between two chunks is shorter than a header (or than the fixed body
     of a control frame).

Keys are opaque to the engine: any hashable, unique among the session's live
streams, and the same for a stream for as long as it lives.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

from twisted_mux.compiling import mypyc_attr
from twisted_mux.errors import NotSupported

Key = Hashable

#: How many frames L{Codec.receive} handles in one call before it hands the
#: rest back, so that a chunk full of tiny frames can't starve the reactor.
FRAMES_PER_TURN = 1000


class Role(enum.Enum):
    """
    Which side of the carrier we are.
    """

    CLIENT = "client"
    SERVER = "server"

    @property
    def other(self) -> Role:
        """
        The peer's role.
        """
        return Role.SERVER if self is Role.CLIENT else Role.CLIENT


class Credit(enum.Enum):
    """
    How a wire protocol lets a receiver bound what a stream's sender sends.
    """

    #: Not at all.
    NONE = "none"
    #: The receiver grants further bytes: C{creditReceived}.
    DELTA = "delta"
    #: The receiver says how much it has consumed and how wide its window is:
    #: C{windowReceived}.
    CUMULATIVE = "cumulative"


class Breach(enum.Enum):
    """
    What becomes of a frame that has no business on its stream.
    """

    #: Nothing: peers of the wire do send it.
    IGNORE = "ignore"
    #: The stream is reset.
    RESET = "reset"
    #: The session ends.
    SESSION = "session"


@mypyc_attr(native_class=False)
@dataclass(frozen=True)
class Capabilities:
    """
    What a wire protocol can do, where wire protocols differ.

    @ivar credit: its kind of flow control per stream.
    @ivar initialWindow: bytes that each side may send on a new stream before
        it has heard of any credit; 0 without credit.
    @ivar windowAnnounced: can a receive window other than the initial one be
        told to the peer?  If not, each side takes the other's to equal its
        own configuration.
    @ivar maxCredit: the most credit, in bytes, that a stream may ever have.
    @ivar reset: is there a frame that drops a stream at once?
    @ivar ack: is there a frame that acknowledges an open?
    @ivar openBacklog: how many streams a side may have open that were not yet
        acknowledged (peers refuse more, or block); 0 is no bound.
    @ivar ping: is there a ping that the peer answers?
    @ivar probe: is there a frame without effect that keeps an idle session
        alive at a peer that times it out?
    @ivar goAway: is there a frame that says "no more streams"?
    @ivar goAwayEndsStreams: do peers drop their live streams when they get it,
        so that it has to be sent last?
    @ivar names: does an open frame carry a name?
    @ivar addressed: is the key of a stream an address that the opener picks?
    @ivar messages: is a frame a message, whose bounds mean something to peers
        (see L{Codec.payloadMissing})?
    @ivar keepAlive: seconds of the wire's customary keep-alive; 0 is none.
    @ivar keepAliveTimeout: seconds after which its peers give a silent session
        up.
    @ivar duplicateOpen: what an open frame for a live key does.
    @ivar afterEnd: what data, or an end, after the end of the peer's
        direction does.
    @ivar maxPayload: the longest payload that fits in a frame, in bytes.
    @ivar customFrame: bytes of payload in a frame that all peers take with
        their defaults.
    @ivar receiveBudget: the customary bound, in bytes, on what a session holds
        for readers that do not read, where there is no credit to do so.
    """

    credit: Credit
    initialWindow: int = 0
    windowAnnounced: bool = True
    maxCredit: int = 0xFFFFFFFF
    reset: bool = False
    ack: bool = False
    openBacklog: int = 0
    ping: bool = False
    probe: bool = False
    goAway: bool = False
    goAwayEndsStreams: bool = False
    names: bool = False
    addressed: bool = False
    messages: bool = False
    keepAlive: float = 0
    keepAliveTimeout: float = 0
    duplicateOpen: Breach = Breach.SESSION
    afterEnd: Breach = Breach.SESSION
    maxPayload: int = 65535
    customFrame: int = 32 * 1024
    receiveBudget: int = 4 * 1024 * 1024


class FrameSink(Protocol):
    """
    What a codec calls for what it has read: the engine's session.

    Every method may be called with a key that the sink does not know; the
    sink decides what that means.  A method that raises
    L{twisted_mux.errors.ProtocolError} ends the session, and so does a codec
    that raises it.
    """

    def openReceived(self, key: Key, credit: int, name: bytes) -> None:
        """
        The peer opens C{key}.

        @param credit: bytes beyond the initial window that we may send.
        @param name: the stream's name, or C{b""}.
        """

    def acceptReceived(self, key: Key, credit: int) -> None:
        """
        The peer acknowledges that we opened C{key}.

        @param credit: bytes beyond the initial window that we may send.
        """

    def payloadReceived(self, key: Key, data: bytes) -> None:
        """
        A part, never empty, of a stream's payload: as much as has arrived.
        """

    def creditReceived(self, key: Key, delta: int) -> None:
        """
        We may send C{delta}, above 0, further bytes (L{Credit.DELTA}).
        """

    def windowReceived(self, key: Key, consumed: int, window: int) -> None:
        """
        The peer has consumed so many bytes modulo 2^32 since the stream was
        opened and holds up to C{window} more (L{Credit.CUMULATIVE}).
        """

    def endReceived(self, key: Key) -> None:
        """
        The peer's direction is at its end.
        """

    def resetReceived(self, key: Key, code: int) -> None:
        """
        The peer dropped the stream, or refused it.

        @param code: what the peer gave as the cause; 0 where it gave none.
        """

    def openOrEndReceived(self, key: Key) -> None:
        """
        The frame that opens a key the peer does not have open, and ends the
        peer's direction of one that it has: only the sink can tell which.
        """

    def pingReceived(self, value: int) -> None:
        """
        The peer wants C{value} back.
        """

    def pongReceived(self, value: int) -> None:
        """
        The peer answers a ping of ours.
        """

    def goAwayReceived(self, code: int) -> None:
        """
        The peer takes no more streams.
        """

    def idleReceived(self) -> None:
        """
        A valid frame that moves nothing: a probe, an empty payload, a grant
        of nothing.  They are free to send and cost us work, so they are
        counted.
        """


class Match(enum.Enum):
    """
    What the first bytes of a connection say about one wire protocol.
    """

    NO = "no"
    #: So far nothing speaks against it: more bytes are needed.
    MAYBE = "maybe"
    YES = "yes"


@mypyc_attr(allow_interpreted_subclasses=True)
class Codec:
    """
    One side of one session's wire protocol: bytes to calls, requests to bytes.

    Each C{encode…} method is pure, and returns the bytes of whole frames
    (of just the header in the case of L{payloadHeader}); C{b""} where the wire
    protocol has no frame for a request that is optional by nature (an
    acknowledgement, credit).  What it has no means for raises L{NotSupported};
    the engine asks L{capabilities} first.

    @cvar name: how users name the wire protocol.
    @cvar capabilities: what it can do.
    @cvar goAwayCodes: L{ProtocolError.kind<twisted_mux.errors.ProtocolError>}
        to the number that goes into a go-away; C{"normal"} is an orderly end.
    """

    name: ClassVar[str]
    capabilities: ClassVar[Capabilities]
    goAwayCodes: ClassVar[Mapping[str, int]] = {}

    def __init__(self, role: Role, sink: FrameSink, maxFrame: int) -> None:
        """
        @param role: our role on the carrier.
        @param sink: what is called for what was read.
        @param maxFrame: the longest payload that we send in a frame, in bytes;
            also the longest that is accepted, on wires whose peers must keep
            to a configured length.
        """
        self._role = role
        self._sink = sink
        self._maxFrame = min(maxFrame, self.capabilities.maxPayload)

    @property
    def maxFrame(self) -> int:
        """
        The longest payload, in bytes, that goes into one frame we send.
        """
        return self._maxFrame

    @classmethod
    def match(cls, prefix: bytes) -> Match:
        """
        Could a client of this wire protocol have started with these bytes?

        The bytes that C{Match.YES} was said for decide it: more can't change
        the answer.  At most 64 bytes are looked at.
        """
        raise NotImplementedError(f"{cls.__name__}.match")

    def keys(self) -> Iterator[Key]:
        """
        The keys for streams that this side opens, in the order of their use.
        At the end of the iterator the session can open no more.
        """
        raise NotImplementedError(f"{type(self).__name__}.keys")

    def keyOfAddress(self, address: tuple[str, int]) -> Key:
        """
        The key for a stream to a socket address, on an addressed wire.

        @raise ConfigError: it is no IPv4 or IPv6 address with a port.
        """
        raise NotSupported(f"streams of {self.name} have no addresses")

    def addressOfKey(self, key: Key) -> tuple[str, int]:
        """
        The reverse of L{keyOfAddress}.
        """
        raise NotSupported(f"streams of {self.name} have no addresses")

    def describeKey(self, key: Key) -> str:
        """
        What messages call the stream with that key: unique among those that
        are open, and the same on both sides.
        """
        return str(key)

    def receive(self, data: bytes) -> bytes:
        """
        Read a chunk of what the carrier delivered, of any length, cut
        anywhere, and call the sink for all that it says.

        The sink may do anything meanwhile except call this method.

        @return: C{b""} when all was read; otherwise, after
            L{FRAMES_PER_TURN} frames, what is still to be read: pass it (with
            more behind it, if you like) to the next call.
        @raise ProtocolError: the peer broke a rule of the format.  The codec
            must not be used any more.
        """
        raise NotImplementedError(f"{type(self).__name__}.receive")

    @property
    def midFrame(self) -> int:
        """
        How many bytes of a header or of a control frame have arrived that is
        not whole yet; 0 between two of them, and within a payload.
        """
        raise NotImplementedError(f"{type(self).__name__}.midFrame")

    def payloadMissing(self, key: Key) -> int:
        """
        How many bytes are still to come of the frame from which the stream's
        payload was passed on last.  With 0 the message is at its end; other
        wires than those whose frames are messages
        (C{capabilities.messages}) don't tell, and say 0.
        """
        return 0

    def payloadHeader(self, key: Key, length: int) -> bytes:
        """
        The header to send right before C{length} bytes (from 1 to
        C{maxFrame}) of the stream's payload.
        """
        raise NotImplementedError(f"{type(self).__name__}.payloadHeader")

    def headerMaker(self) -> Callable[[Key, int], bytes]:
        """
        What gives the same as L{payloadHeader}, for who needs one for every frame.
        """
        return self.payloadHeader

    def encodeOpen(self, key: Key, window: int, name: bytes) -> bytes:
        """
        Open C{key}; C{window} is our receive window for it in bytes.
        """
        raise NotImplementedError(f"{type(self).__name__}.encodeOpen")

    def encodeAccept(self, key: Key, window: int) -> bytes:
        """
        Acknowledge that the peer opened C{key}.
        """
        return b""

    def encodeEnd(self, key: Key) -> bytes:
        """
        End our direction of C{key}.
        """
        raise NotImplementedError(f"{type(self).__name__}.encodeEnd")

    def encodeReset(self, key: Key) -> bytes:
        """
        Drop C{key}, or refuse it.
        """
        raise NotSupported(f"{self.name} has no reset")

    def encodeCredit(self, key: Key, delta: int, consumed: int, window: int) -> bytes:
        """
        Let the peer send more; each wire uses the arguments that it needs.

        @param delta: further bytes that the peer may send.
        @param consumed: bytes consumed since the stream was opened, not
            reduced.
        @param window: the receive window now.
        """
        return b""

    def encodePing(self, value: int) -> bytes:
        """
        Ask for C{value} (32 bits) back.
        """
        raise NotSupported(f"{self.name} has no ping")

    def encodePong(self, value: int) -> bytes:
        """
        Answer a ping.
        """
        raise NotSupported(f"{self.name} has no ping")

    def encodeProbe(self) -> bytes:
        """
        A frame without effect.
        """
        raise NotSupported(f"{self.name} has no probe")

    def encodeGoAway(self, code: int) -> bytes:
        """
        Say that no more streams are taken.
        """
        raise NotSupported(f"{self.name} has no go-away")

    def describeCode(self, code: int) -> str:
        """
        What a go-away or reset code of the peer's means, in words.
        """
        for kind, number in self.goAwayCodes.items():
            if number == code:
                return kind
        return f"code {code}"
