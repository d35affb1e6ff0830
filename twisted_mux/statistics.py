"""
What a session has seen, as plain figures.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SessionStatistics"]


@dataclass(frozen=True)
class SessionStatistics:
    """
    A session at one moment; L{dataclasses.asdict} makes a dictionary of it.

    @ivar wire: the name of the wire protocol.
    @ivar role: C{"client"} or C{"server"}.
    @ivar peer: the peer's address, as text.
    @ivar streams: streams that have not ended in both directions.
    @ivar inboundStreams: how many of these the peer opened.
    @ivar streamsOpened: streams opened by this side so far.
    @ivar streamsAccepted: streams of the peer's accepted so far.
    @ivar streamsRefused: streams of the peer's refused so far.
    @ivar resetsReceived: streams reset by the peer so far.
    @ivar resetsSent: streams reset by this side so far.
    @ivar bytesReceived: bytes received on the carrier so far.
    @ivar bytesSent: bytes handed to the carrier so far.
    @ivar bytesHeld: bytes held for readers that do not read.
    @ivar roundTrip: the last round trip measured by ping, in seconds; 0 if
        there was none.
    @ivar idleSeconds: seconds since anything came from the peer.
    @ivar draining: is the session taking no more streams?
    @ivar reading: is the carrier being read?
    @ivar writing: does the carrier take what is to be sent?
    """

    wire: str
    role: str
    peer: str
    streams: int
    inboundStreams: int
    streamsOpened: int
    streamsAccepted: int
    streamsRefused: int
    resetsReceived: int
    resetsSent: int
    bytesReceived: int
    bytesSent: int
    bytesHeld: int
    roundTrip: float
    idleSeconds: float
    draining: bool
    reading: bool
    writing: bool
