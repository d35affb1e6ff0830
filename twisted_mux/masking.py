"""
Endpoint strings as messages may show them: without what must stay secret.

Strings have passwords in them (C{socks5:password=…}, and whatever other packages'
kinds are told), and nearly every message about an endpoint has its string.  Which keys
are secret is known by their names only, since the kinds are not.

A string may be within another (C{endpoint=}), with everything in it escaped once more.
To know there where a secret ends would take parsing both, and what is shown may be no
string at all, since messages are about those that are wrong, too.  So it is taken to
end at the first colon that is not escaped: rather too much is masked than too little.
"""

from __future__ import annotations

import re

__all__ = ["masked", "maskedIn"]

_KEY = r"((?:passw|passphrase|secret|token)\w*\\*=)"
_STRING = re.compile(_KEY + r"(?:\\.|[^\\:])+", re.DOTALL)
_TEXT = re.compile(_KEY + r"(?:\\.|[^\\:\s])+")


def masked(text: str) -> str:
    """
    An endpoint string, without its secrets.
    """
    return _STRING.sub(r"\1***", text)


def maskedIn(text: str) -> str:
    """
    A text that may have endpoint strings in it, without their secrets.  White space
    ends a secret here, so whoever has the string itself uses L{masked}.
    """
    return _TEXT.sub(r"\1***", text)
