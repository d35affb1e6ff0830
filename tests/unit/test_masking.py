"""
Messages about endpoint strings do not have the secrets in these.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.testing import MemoryReactorClock

from twisted_mux.errors import ConfigError
from twisted_mux.masking import masked, maskedIn
from twisted_mux.tap import Options
from twisted_mux.tunnel_strings import sourceEndpoint, targetEndpoint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tcp:80", "tcp:80"),
        ("a:password=b", "a:password=***"),
        ("a:password=b c\nd:e=f", "a:password=***:e=f"),
        (r"a:password=b\:c:d=e", "a:password=***:d=e"),
        (r"a:password=b\\:d=e", "a:password=***:d=e"),
        (r"passphrase=\\:x", "passphrase=***:x"),
        (r"mux:endpoint=a\:password\=b\\\:c\:d\=e:wire=x", None),
        (r"mux:endpoint=mux\:endpoint\=a\\\:token\\\=b:wire=x", None),
    ],
)
def test_strings(text: str, expected: str | None) -> None:
    """
    Secrets are taken out of strings, those of strings within strings too.
    """
    shown = masked(text)
    if expected is not None:
        assert shown == expected
    else:
        assert shown.endswith("=***:wire=x")
        assert shown.startswith("mux:endpoint=")


def test_texts() -> None:
    """
    In a text nothing but the secrets is taken out.
    """
    assert maskedIn("to a:passwd=b: refused") == "to a:passwd=***: refused"
    assert maskedIn("to a:passwd=b was refused") == "to a:passwd=*** was refused"


@pytest.mark.parametrize(
    "text",
    [
        "nosuch:password=hush",
        "mux:nosuch:password=hush",
        r"mux:endpoint=nosuch\:password\=hush",
        r"mux:tcp:1:password=hush:endpoint=tcp\:1",
        r"haproxy:tcp:1:password=hush",
        r"mux:haproxy:tcp:1:password=hush hush",
    ],
)
def test_complaints(text: str) -> None:
    """
    What is said of a string that makes no sense.
    """
    for parse in (sourceEndpoint, targetEndpoint):
        with pytest.raises(ConfigError) as caught:
            parse(MemoryReactorClock(), text, False)
        assert "hush" not in str(caught.value)
        assert "***" in str(caught.value)
    for raw in (serverFromString, clientFromString):
        if text.startswith("mux:"):
            with pytest.raises(ConfigError) as caught:
                raw(MemoryReactorClock(), text)
            assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--from", "a:password=hush"],
        ["--from", "a:password=hush", "--from", "b"],
        ["--to", "a:password=hush"],
    ],
)
def test_commandLine(arguments: list[str]) -> None:
    """
    What is said of a command line.
    """
    options = Options()
    with pytest.raises(Exception, match=r"password=\*\*\*"):
        options.parseOptions(arguments)


def test_names() -> None:
    """
    What carriers are called in the log and in reasons.
    """
    endpoint: Any = serverFromString(
        MemoryReactorClock(), "mux-dial:socks5:allow=*:user=us:password=hush"
    )
    assert endpoint._source.current().label == "socks5:allow=*:password=***:user=us"
