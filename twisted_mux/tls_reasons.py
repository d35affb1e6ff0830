"""
Why TLS could not be agreed upon, in one line.

What OpenSSL says when a handshake fails is a list of its own words; what is wrong with
a certificate it tells only the callback that verifies it, as a number.  Here both become
what somebody who reads a log can act upon.  Who it is
that refuses is part of that: an alert (C{"tlsv1 alert unknown ca"}) is the peer's word,
about our certificate; everything else is ours, about theirs.
"""

from __future__ import annotations

import re

from OpenSSL.SSL import Error as OpenSSLError
from OpenSSL.SSL import SysCallError
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure

from twisted_mux.errors import MuxError

__all__ = ["TLSFailed", "explainTLS", "explainVerification"]


class TLSFailed(MuxError, ConnectionLost):
    """
    TLS could not be agreed upon, or one side does not accept the other.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._text = text

    def __str__(self) -> str:
        return f"TLS: {self._text}"


# Codes of X509_verify_cert, see OpenSSL's x509_vfy.h.
_VERIFICATION = {
    7: "has a wrong signature",
    9: "is not valid yet",
    10: "has expired",
    23: "is revoked",
    24: "says that it is no authority",
    26: "is not for this purpose",
}

# Of the same: there is nobody who vouches for it.
_UNTRUSTED = (18, 19, 20, 21)

# Reasons of OpenSSL, some of which differ between its versions.
_REASONS = (
    (r"peer did not return a certificate", "the peer has no certificate"),
    (r"certificate verify failed", "the peer's certificate is not accepted"),
    (r".*alert certificate required", "the peer wants a certificate"),
    (r".*alert certificate expired", "the peer takes our certificate for expired"),
    (r".*alert unknown ca", "the peer does not trust our certificate's authority"),
    (
        r".*alert ((?:bad|unsupported|unknown|revoked) certificate|certificate \w+)",
        r"the peer does not accept our certificate (\1)",
    ),
    (
        r"wrong version number|unknown protocol|https? .*request|packet length .*",
        "the peer does not speak TLS",
    ),
    (
        r"unsupported protocol|version too low|.*alert protocol version",
        "there is no version of TLS that both sides accept",
    ),
    # What is sent when our own callback refuses: OpenSSL knows no reason then.
    (r".*alert internal error", "the peer refuses us; its log says why"),
    (r".*alert (.*)", r"the peer says: \1"),
    (r"unexpected eof.*", "closed by the peer without TLS's own end"),
)


def explainVerification(code: int, depth: int) -> str:
    """
    What OpenSSL has against a certificate.

    @param code: its error's number.
    @param depth: 0 is the peer's own certificate, all others are authorities'.
    """
    if code in _UNTRUSTED:
        return "the peer's certificate is of no authority in trustRoots"
    whose = (
        "an authority of the peer's certificate" if depth else "the peer's certificate"
    )
    what = _VERIFICATION.get(code)
    if what is None:
        return f"{whose} is not valid (OpenSSL's error {code})"
    return f"{whose} {what}"


def explainTLS(reason: Failure, complaint: str = "") -> Failure:
    """
    Why a connection was lost, without the words of OpenSSL.

    @param complaint: what L{explainVerification} has said before, if anything.
    @return: C{reason} itself if it has nothing to do with TLS.
    """
    error = reason.value
    if not isinstance(error, OpenSSLError) or isinstance(error, SysCallError):
        return reason
    if complaint:
        return Failure(TLSFailed(complaint))
    words = "; ".join(entry[2] for entry in _entries(error)) or "no reason given"
    for pattern, meaning in _REASONS:
        found = re.fullmatch(pattern, words)
        if found:
            return Failure(TLSFailed(found.expand(meaning)))
    return Failure(TLSFailed(words))


def _entries(error: OpenSSLError) -> list[tuple[str, str, str]]:
    if error.args and isinstance(error.args[0], list):
        return error.args[0]
    return []
