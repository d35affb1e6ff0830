"""
Named streams: which protocol runs on a stream is agreed upon when it is opened.

B{The two handshakes}:

  - C{simple}: the opener sends the protocol's name as its first message, the
    other side sends it back, or closes the stream if it has no such protocol.  A
    message is C{uvarint length | bytes}; where frames are messages (mplex) it is
    a frame.
  - C{multistream}: U{multistream-select 1.0
    <https://github.com/multiformats/multistream-select>}.  A message is C{uvarint
    length | text | "\\n"}; both sides send C{/multistream/1.0.0}, the opener
    proposes names, the other side sends one back or answers C{na}.

B{Layers.}  L{twisted_mux.negotiation.simple} and
L{twisted_mux.negotiation.multistream} have the rules and nothing else: bytes go
in, bytes come out, no Twisted (L{twisted_mux.negotiation.handshakes} is what they
have in common).  L{twisted_mux.negotiation.accepting} and
L{twisted_mux.negotiation.proposing} run them on streams.

B{Who owns the bytes.}  While the handshake lasts the stream's protocol is one of
ours, which has what was received in a buffer of at most one chunk and one
message.  When it is over the stream's protocol is replaced for good
(C{transport.protocol}); what came behind the handshake is put back into the
stream (L{StreamTransport.unread<twisted_mux.transport.StreamTransport.unread>})
before the application's C{connectionMade}, and delivered in a later turn.  So the
stream itself, and nobody else, knows what waits: pausing, closing, half-close,
C{startTLS} from within C{connectionMade} and an end right behind the handshake
need no care here, and nothing of ours is in the way afterwards.  Rejected: a
protocol that stays and forwards, as C{TLSMemoryBIOProtocol} does.  It costs a call
for every chunk, and hides what the transport and the protocol declare from each
other.

B{States.}  The opener: opening a stream, shaking hands on it, done.  The accepting
side: shaking hands, (on message wires) sending the confirmation, done.  From each of
them a stream that is lost, the time limit and a broken rule lead to the end, and
what leads there first decides what it is called; anything later finds the state
done, and nothing to do.

B{Message wires.}  A frame is as much as one write, unless writes wait for the
carrier and are sent together.  So whoever must send a message alone writes nothing
before it was taken: the opener waits for the answer anyway; the accepting side
connects its protocol only when the confirmation has been taken, since it may be one
that speaks first.  A name that is longer than our own C{maxFrame} can't be sent.  In
the other direction the opener knows the length of what it waits for, and the
accepting side asks the codec whether the frame is at its end.  It can't tell two
frames that came in one chunk with the open: an opener has to wait for the
confirmation, so those are no handshake.

B{Several names.}  C{multistream} proposes them on one stream.  With C{simple} each
needs a stream of its own, since the other side closes it on a name that it has not
got; a reset means the same, since that is how many implementations close.  The next
stream is opened in a turn of its own, so that the last one has been ended, and its
address is free, where streams have addresses.

B{What is refused.}  A name of more than 1,024 bytes (a line of C{multistream} with
its newline included: that is what Go and JavaScript read), an empty message, a
message without its newline, a length that is not minimal, more than 16
proposals (C{ls} is one too), anything unexpected, and whoever needs more than
C{MuxConfig.negotiationTimeout} (10 seconds).  The stream is reset, with one line in
the log on the accepting side, where nobody else would hear of it.  It counts as a
reset that the peer has caused, of which it has a limited number (CVE-2025-8671);
beyond that, the session does not notice.  A name that is not there is no offence:
the stream is closed in order.

B{Peers.}  Go's (C{go-multistream} 0.6) and Rust's (C{multistream-select} 0.13) openers
send their header and the first proposal in one packet, and their data right behind if
they like (C{lazyClient.go}; C{V1Lazy}): the order of bytes is the same, so nothing has
to be done for that.  C{ls}, which Go has dropped (it answers C{na}), is answered as Rust
and JavaScript do: one message with all names, each of them a message, and a newline.
"""

from twisted_mux.negotiation.accepting import NamedProtocols
from twisted_mux.negotiation.handshakes import (
    LONGEST_NAME,
    MOST_PROPOSALS,
    NEGOTIATIONS,
)
from twisted_mux.negotiation.proposing import NamedClientEndpoint

__all__ = [
    "LONGEST_NAME",
    "MOST_PROPOSALS",
    "NEGOTIATIONS",
    "NamedClientEndpoint",
    "NamedProtocols",
]
