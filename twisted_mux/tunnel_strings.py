"""
The endpoint strings of a tunnel: what they must say so that nobody is let in by
mistake, and what is wrong with them, in one line.

B{Loopback.}  Twisted's C{tcp:8080} listens on every interface of the machine.  For a
tunnel that is a way in for the whole network, and too easily had.  So in a tunnel's
strings a port without C{interface=} is one on the loopback interface
(L{withInterface}).

B{Carriers.}  Whoever can open a carrier can use all that is behind it.  So carriers
from beyond this machine are accepted only where TLS verifies who they are, or where
the operator has said that it need not (L{carrierComplaint}).  Of what can't be known
from the string (C{systemd:}, C{onion:}) the worst is assumed.

The kinds of strings are known here by name.  One that is not known may listen where it
likes, since nobody writes it by mistake; but carriers are not accepted on it without
more ado.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, TypeVar

from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint

from twisted_mux.endpoint_strings import Kind, parseString, quote, unparse
from twisted_mux.errors import ConfigError
from twisted_mux.masking import masked, maskedIn

__all__ = [
    "carrierComplaint",
    "carriersKey",
    "checkStatus",
    "sourceEndpoint",
    "takeApart",
    "targetEndpoint",
    "withInterface",
]

E = TypeVar("E")

#: Strings that have another string in them, which says where to listen.
_WRAPPERS = frozenset({"mux", "mux-listen", "haproxy"})
#: Of these, those that accept carriers.
_ACCEPTING = frozenset({"mux", "mux-listen"})
#: Kinds that nobody from beyond this machine can reach.
_LOCAL = frozenset({"unix", "stdio"})
#: Kinds on which TLS verifies who dials in.
_VERIFYING = frozenset({"mtls"})


@dataclass(frozen=True)
class _Port:
    """
    A kind of string that says on which interface it listens.

    @ivar position: which of the arguments that is, where it has no name.
    @ivar loopback: what it says for the loopback interface.
    """

    position: int
    loopback: str = "127.0.0.1"


_PORTS: Mapping[str, _Port] = {
    "tcp": _Port(2),
    "mtls": _Port(2),
    "ssl": _Port(5),
    "tls": _Port(4),
    "tcp6": _Port(3, "::1"),
}


def takeApart(text: str) -> tuple[list[str], dict[str, str]]:
    """
    The positional and the keyword arguments of a string, as Twisted finds them, the
    first one included.
    """
    args: list[str] = []
    options: dict[str, str] = {}
    for field in re.findall(r"((?:\\.|[^\\:])*):", f"{text}:", re.DOTALL):
        parts = re.findall(r"(?:^|=)((?:\\.|[^\\=])*)", field, re.DOTALL)
        plain = [re.sub(r"\\(.)", r"\1", part, flags=re.DOTALL) for part in parts]
        if len(plain) == 1:
            args.append(plain[0])
        else:
            options[plain[0]] = "=".join(plain[1:])
    return args, options


def _innermost(
    args: list[str], options: dict[str, str]
) -> tuple[str, list[str], dict[str, str]]:
    """
    What a string listens with: which kind, its positional arguments, that first, and
    its keyword arguments.
    """
    inner = list(args)
    while inner and inner[0] in _WRAPPERS:
        del inner[0]
    if inner:
        return inner[0], inner, options
    quoted = options.get("endpoint")
    return ("", [], {}) if quoted is None else _innermost(*takeApart(quoted))


def withInterface(text: str) -> str:
    """
    The same string, on the loopback interface if it does not say otherwise.
    """
    args, options = takeApart(text)
    if "endpoint" in options:
        options["endpoint"] = withInterface(options["endpoint"])
        return unparse(args, options)
    kind, inner, _ = _innermost(args, options)
    port = _PORTS.get(kind)
    if port is None or "interface" in options or len(inner) > port.position:
        return text
    return f"{text}:interface={quote(port.loopback)}"


def carrierComplaint(text: str) -> str:
    """
    What speaks against accepting carriers on a string, to which L{withInterface} has
    been applied.

    @return: one line; empty if nothing does.
    """
    args, options = takeApart(text)
    if not args or args[0] not in _ACCEPTING:
        return ""
    kind, inner, options = _innermost(args, options)
    if kind in _LOCAL or kind in _VERIFYING:
        return ""
    port = _PORTS.get(kind)
    if port is None:
        where = f"{_shown(kind)}: may be reached from beyond this machine"
    else:
        interface = options.get("interface") or "".join(
            inner[port.position : port.position + 1]
        )
        if _isLoopback(interface):
            return ""
        interface = _shown(interface) or "every interface"
        where = f"{interface} is reached from beyond this machine"
    return (
        f"{where}, and TLS does not verify who opens carriers there, as mtls: does; "
        "--insecure-carrier allows it"
    )


def checkStatus(reactor: Any, text: str, token: str | None) -> None:
    """
    May the status page be served there?  Nothing is listened on.

    @param text: where, an endpoint string.
    @param token: what those who ask must know, if they have to know anything.
    @raise ConfigError: it makes no sense, or anybody could read it.
    """
    sourceEndpoint(reactor, text, True)
    if token is not None:
        if len(token) < 8 or not token.isascii() or not token.isprintable():
            raise ConfigError("the token must be 8 or more plain characters")
    # What lets strangers open carriers lets them look as well.
    elif carrierComplaint(f"mux:{withInterface(text)}"):
        raise ConfigError(
            f"{_shown(text)}: may be reached from beyond this machine: "
            "status-token is needed"
        )


def _isLoopback(interface: str) -> bool:
    try:
        return ip_address(interface).is_loopback
    except ValueError:
        return interface == "localhost"


def carriersKey(text: str) -> Hashable:
    """
    Strings C{mux-listen:} with the same key share their carriers; C{None} for all
    others.
    """
    args, options = takeApart(withInterface(text))
    if not args or args[0] != "mux-listen":
        return None
    return parseString(Kind.LISTEN, args[1:], options).sharedBy


def sourceEndpoint(
    reactor: Any, text: str, insecureCarrier: bool
) -> IStreamServerEndpoint:
    """
    The endpoint for where a tunnel listens.

    @raise ConfigError: there is something wrong with the string.
    """
    text = withInterface(text)
    endpoint: IStreamServerEndpoint = _parsed(serverFromString, reactor, text)
    _refuse(text, insecureCarrier)
    return endpoint


def targetEndpoint(
    reactor: Any, text: str, insecureCarrier: bool
) -> IStreamClientEndpoint:
    """
    The endpoint for where a tunnel connects to.

    @raise ConfigError: there is something wrong with the string.
    """
    args, _ = takeApart(text)
    listens = args[:1] == ["mux-listen"]
    if listens:
        text = withInterface(text)
    endpoint: IStreamClientEndpoint = _parsed(clientFromString, reactor, text)
    if listens:
        _refuse(text, insecureCarrier)
    return endpoint


def _refuse(text: str, insecureCarrier: bool) -> None:
    complaint = carrierComplaint(text)
    if complaint and not insecureCarrier:
        raise ConfigError(f"{_shown(text)}: {complaint}")


def _parsed(parse: Callable[[Any, str], E], reactor: Any, text: str) -> E:
    try:
        return parse(reactor, text)
    except Exception as error:
        # Whatever a kind's parser does with what it does not understand: Twisted's own
        # raise ValueError, TypeError, KeyError, IndexError, OSError, and OpenSSL's.
        raise ConfigError(f"{_shown(text)}: {_explain(error)}") from error


def _shown(text: str) -> str:
    # In one line, though a string of TOML may have several.
    return " ".join(masked(text).split())


# What Python says of a call, or a number, and what that means for a string.
_MEANINGS = (
    (r".*unexpected keyword argument '(\w+)'.*", r"unknown option \1"),
    (r".*missing \d+ required positional arguments?: (.*)", r"\1 is missing"),
    (r".*takes .*positional arguments? but .*", r"too many parts"),
    (r"invalid literal for int\(\) with base 10: (.*)", r"\1 is no whole number"),
    (r"Unknown endpoint type: (.*)", r"no kind of endpoints is called \1"),
)


def _explain(error: Exception) -> str:
    """
    An error of a parser, in one line.
    """
    text = maskedIn(" ".join(str(error).split()))
    for pattern, meaning in _MEANINGS:
        found = re.fullmatch(pattern, text)
        if found:
            return found.expand(meaning)
    if isinstance(error, KeyError | IndexError):
        return f"there is no {text}"
    return text or type(error).__name__
