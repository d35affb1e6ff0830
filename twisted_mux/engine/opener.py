"""
Which streams this side may open, and as what.

Besides the keys, which some day run out, there is a bound on streams that the
peer has not acknowledged yet: hashicorp's yamux refuses what comes beyond the
256 that it has queued, and rust-yamux does not open more itself.  A peer may
acknowledge as late as it likes; a stream that ends counts as acknowledged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted_mux.errors import (
    KeyInUse,
    KeysExhausted,
    NotSupported,
    SessionClosed,
    TooManyStreams,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from twisted_mux.engine.deadlines import Deadlines
    from twisted_mux.engine.session import Session
    from twisted_mux.engine.stream import Stream
    from twisted_mux.wire.base import Key


class Opener:
    """
    What one session has opened.

    @ivar mayOpen: is there room for another stream that the peer has not
        acknowledged?
    @ivar live: streams opened by this side that have not ended.
    @ivar exhausted: have the keys run out?
    @ivar peerLeft: did the peer say that it takes no more streams?
    @ivar refused: streams opened by this side that the peer has reset before it
        acknowledged them or sent anything.
    """

    __slots__ = (
        "_acknowledges",
        "_deadlines",
        "_keys",
        "_most",
        "_session",
        "_unacknowledged",
        "exhausted",
        "live",
        "mayOpen",
        "peerLeft",
        "refused",
    )

    def __init__(
        self, session: Session, keys: Iterator[Key], deadlines: Deadlines
    ) -> None:
        self._session = session
        self._deadlines = deadlines
        self._keys = keys
        self._unacknowledged = 0
        self._acknowledges = session.capabilities.ack
        self._most = session.config.maxUnacknowledged or float("inf")
        self.mayOpen = True
        self.live = 0
        self.exhausted = False
        self.peerLeft = False
        self.refused = 0

    def takeKey(self, name: bytes, key: Key | None) -> Key:
        """
        The key for a stream that is opened now.

        @raise UsageError: see L{Session.openStream
            <twisted_mux.engine.session.Session>}.
        """
        session = self._session
        if session.over or session.draining:
            raise SessionClosed("the session is closed")
        if self.peerLeft:
            raise SessionClosed("the peer takes no more streams")
        if name and not session.capabilities.names:
            raise NotSupported(f"streams of {session.codec.name} have no names")
        most = session.config.maxOutboundStreams
        if most and self.live >= most:
            raise TooManyStreams(
                f"{most} streams are open (limit maxOutboundStreams: {most})"
            )
        if key is None:
            key = next(self._keys, None)
            if key is None or key in session.streams or key in session.table.owed:
                key = self._nextKey()
        elif key in session.streams or key in session.table.owed:
            raise KeyInUse(f"stream {session.describeKey(key)} is open already")
        return key

    def opened(self) -> None:
        """
        A stream was opened with the key.
        """
        self.live += 1
        if self._acknowledges:
            self._unacknowledged += 1
            self.mayOpen = self._unacknowledged < self._most

    def _nextKey(self) -> Key:
        # Where others have keys of this side's: the next that is free.
        streams = self._session.streams
        owed = self._session.table.owed
        for key in self._keys:
            if key not in streams and key not in owed:
                return key
        self.exhausted = True
        raise KeysExhausted(
            f"the {self._session.codec.name} session has used up its stream ids"
        )

    def acknowledged(self, stream: Stream) -> None:
        """
        The peer has accepted a stream.
        """
        stream.acknowledged = True
        self._unacknowledged -= 1
        if not self.mayOpen or self._deadlines.limitsOpening:
            self._fewer(stream)
        if stream.handler is not None:
            stream.handler.streamAccepted()

    def ended(self, stream: Stream) -> None:
        """
        A stream has ended that the peer had not acknowledged.
        """
        self._unacknowledged -= 1
        self._fewer(stream)

    def _fewer(self, stream: Stream) -> None:
        self._deadlines.acknowledged(stream)
        if not self.mayOpen and self._unacknowledged < self._most:
            self.mayOpen = True
            if not self._session.over:
                self._session.handler.opensAllowed()
