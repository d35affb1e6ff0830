"""
What a session may be told: every limit, with its unit and its reason.

One frozen object, checked when it is made, so that nothing below has to check
again.  A field that is C{None} means "what the wire protocol's peers are used
to"; L{MuxConfig.forWire} fills those in.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from twisted_mux.errors import ConfigError

if TYPE_CHECKING:
    from twisted_mux.wire.base import Capabilities

KIB = 1024
MIB = 1024 * KIB

#: L{MuxConfig.opening}: a new stream can be used at once, or only when the
#: peer has acknowledged it.
OPENINGS = ("now", "ack")
#: L{MuxConfig.slowReader}: what happens where a wire has no credit and a
#: reader does not read.
SLOW_READERS = ("pause", "reset")
#: L{MuxConfig.goAway}: when a draining session tells the peer.
GO_AWAYS = ("first", "last")

# The smallest value that makes sense, for fields where that is not 0.
_LEAST = {
    "window": 1,
    "maxWindow": 1,
    "maxFrame": 1,
    "receiveBudget": 1,
    "maxStreams": 1,
    "sendBuffer": 1,
    "turnBytes": 1,
    "readSize": 1,
    "resetBurst": 1,
    "idleBurst": 1,
    "controlBacklog": KIB,
}
_MOST_WINDOW = 2**30


@dataclass(frozen=True)
class MuxConfig:
    """
    The configuration of one session.

    Bytes, seconds and counts.  0 switches a time or a bound off, where the
    text says so.

    @ivar keepAlive: seconds between keep-alive frames; a peer that times an
        idle session out must hear from us, and a dead carrier must be found.
        0 is off; C{None} is what the wire's peers use.
    @ivar keepAliveTimeout: seconds to wait for the answer to a keep-alive
        ping, or, on wires without one, for anything from the peer at all,
        before the session is given up.  0 is for ever.
    @ivar window: bytes that a peer may send on a new stream before its
        reader has taken any: what a stream's reader that pauses holds at most.
        Peers' customary minimum (262,144 on smux, yamux) can't be undercut for
        the first bytes of a stream.
    @ivar maxWindow: bytes up to which a stream's window grows when the round
        trip time asks for it.
    @ivar receiveBudget: bytes held for readers that do not read, all of a
        session's streams together; when they are reached, with what one read
        brought beyond them (C{readSize}), the carrier is not read any further
        until some are taken.  Windows grow within the same figure.  C{None}:
        64 MiB on wires with credit, else the wire's custom (4 MiB).
    @ivar slowReader: on a wire without credit, a stream whose reader does not
        read either makes the carrier wait when the budget is spent
        (C{"pause"}: no data is lost, all streams wait) or is reset
        (C{"reset"}: when it holds more than C{window}).
    @ivar slowReaderGrace: seconds for which a stream may hold more than
        C{window} before it is reset.
    @ivar maxFrame: bytes of payload that are put in one frame, and a stream's
        turn when several want to send.  C{None}: 32 KiB, or what the wire's
        peers take with their defaults, if that is less.
    @ivar maxStreams: streams opened by the peer that may be open at once; more
        are refused.
    @ivar maxPending: of these, streams whose protocol is not ready for them at
        once: the name of a protocol is being agreed upon, or a bridge connects
        to its target (C{IStreamTransport.deferAccepting}); more are refused,
        since each costs a timer or a connection, and the peer nothing.  0 is no
        bound.
    @ivar maxOutboundStreams: streams opened by us that may be open at once; 0
        is no bound.
    @ivar maxUnacknowledged: streams opened by us that wait for the peer's
        acknowledgement at once, on wires whose peers refuse more; further ones
        wait their turn.  0 is no bound; C{None} is the wire's custom.
    @ivar opening: C{"now"}: a stream opened by us can be used at once;
        C{"ack"}: when the peer has acknowledged it, where the wire can.
    @ivar openTimeout: seconds to wait for that acknowledgement.
    @ivar maxSessions: sessions that whoever listens may have at once: one
        endpoint, or one L{MuxFactory<twisted_mux.factory.MuxFactory>}; further
        carriers are closed as they arrive.  0 is no bound.
    @ivar maxSessionsPerPeer: the same, of those from one address (of IPv6, from
        one network of 64 bits, since that is what one host has to itself).  0
        is no bound.
    @ivar resetBurst: resets, in either direction, that may come at once,
    @ivar resetRate: and per second thereafter: opening and resetting is cheap
        for a peer (CVE-2023-44487), as is making us reset (CVE-2025-8671).
    @ivar idleBurst: frames without effect that may come at once,
    @ivar idleRate: and per second thereafter (CVE-2019-9518).
    @ivar controlBacklog: bytes of answers and other control frames that may
        wait for a peer that does not read them; then we stop reading from it
        (CVE-2019-9512, CVE-2024-32984).
    @ivar strayBytes: bytes that may come for streams that never existed, at
        once and then per minute; what is still under way to a stream that is
        gone is not counted.
    @ivar rememberedStreams: how many streams that are gone are remembered, to
        tell late data from garbage.
    @ivar sendBuffer: bytes that a stream holds for writing before its
        producer is paused (the transport's C{bufferSize}).
    @ivar turnBytes: bytes delivered or sent in one reactor turn before others
        get theirs.
    @ivar readSize: bytes that are read from the carrier at once, at most, while
        data comes in bulk, where the carrier is a socket; otherwise it is what
        Twisted reads.
    @ivar detectTimeout: seconds in which a listener that accepts several wires
        must have got the bytes that tell which.
    @ivar frameTimeout: seconds in which a header that has begun must be whole.
    @ivar writeTimeout: seconds for which the carrier may take nothing more
        because its buffer has not got empty; with some 64 KiB in that, a link
        of less than about 2 KiB per second is taken for one that stands still.
        0 is for ever.
    @ivar negotiationTimeout: seconds in which both sides must have agreed on
        a stream's protocol, where protocols have names
        (L{twisted_mux.negotiation}).  0 is for ever.
    @ivar halfClosedTimeout: seconds after which a stream that is closed in one
        direction, and on which nothing moves in the other, is reset.  0 is
        never, as with TCP.
    @ivar lingerTimeout: seconds for which a stream that our side has done with
        waits for the end of the peer's direction before it is reset.
    @ivar goAway: when a draining session sends its go-away: C{"first"}, so
        that the peer opens no more streams; or C{"last"}, after the live
        streams have ended, for peers that drop those when they get it (net-mux,
        and yamux of libp2p).  C{None}: last, if the wire has such peers.
    @ivar drainTimeout: seconds that live streams have to finish when a session
        is closed.  0 is for ever.
    """

    keepAlive: float | None = None
    keepAliveTimeout: float | None = None
    window: int = 256 * KIB
    maxWindow: int = 16 * MIB
    receiveBudget: int | None = None
    slowReader: str = "pause"
    slowReaderGrace: float = 5
    maxFrame: int | None = None
    maxStreams: int = 1000
    maxPending: int = 256
    maxOutboundStreams: int = 0
    maxUnacknowledged: int | None = None
    opening: str = "now"
    openTimeout: float = 75
    maxSessions: int = 0
    maxSessionsPerPeer: int = 0
    resetBurst: int = 1000
    resetRate: float = 100
    idleBurst: int = 1000
    idleRate: float = 100
    controlBacklog: int = 64 * KIB
    strayBytes: int = 256 * KIB
    rememberedStreams: int = 1024
    sendBuffer: int = 64 * KIB
    turnBytes: int = 256 * KIB
    readSize: int = 256 * KIB
    detectTimeout: float = 10
    frameTimeout: float = 60
    writeTimeout: float = 30
    negotiationTimeout: float = 10
    halfClosedTimeout: float = 0
    lingerTimeout: float = 300
    goAway: str | None = None
    drainTimeout: float = 30

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None and field.default is None:
                continue
            if "str" in field.type:
                continue
            whole = field.type.startswith("int")
            if isinstance(value, bool) or not isinstance(
                value, int if whole else (int, float)
            ):
                raise ConfigError(
                    f"{field.name} must be {'a whole number' if whole else 'a number'}, "
                    f"not {value!r}"
                )
            least = _LEAST.get(field.name, 0)
            if not value >= least or value == float("inf"):
                raise ConfigError(
                    f"{field.name} must be at least {least}, not {value!r}"
                )
        for name, choices in (
            ("opening", OPENINGS),
            ("slowReader", SLOW_READERS),
            ("goAway", (None, *GO_AWAYS)),
        ):
            if getattr(self, name) not in choices:
                raise ConfigError(
                    f"{name} must be one of {', '.join(filter(None, choices))}, not {getattr(self, name)!r}"
                )
        for name in ("window", "maxWindow"):
            if getattr(self, name) > _MOST_WINDOW:
                raise ConfigError(f"{name} must be at most {_MOST_WINDOW}")

    def forWire(self, capabilities: Capabilities) -> MuxConfig:
        """
        This configuration with the wire protocol's own defaults where nothing
        else was said; none of the result's fields is C{None}.
        """
        from twisted_mux.wire.base import Credit

        credit = capabilities.credit is not Credit.NONE
        customs: dict[str, Any] = {
            "keepAlive": capabilities.keepAlive,
            "keepAliveTimeout": capabilities.keepAliveTimeout,
            "receiveBudget": 64 * MIB if credit else capabilities.receiveBudget,
            "maxUnacknowledged": capabilities.openBacklog,
            "maxFrame": capabilities.customFrame,
            "goAway": "last" if capabilities.goAwayEndsStreams else "first",
        }
        return replace(
            self,
            **{
                name: value
                for name, value in customs.items()
                if getattr(self, name) is None
            },
        )
