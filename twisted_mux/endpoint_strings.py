"""
What an endpoint string says: which carrier, and which options of the mux.

Twisted takes a string apart into positional and keyword arguments before a plugin
sees it.  Here the mux's own keywords are taken out and checked, and the rest is put
together again as the carrier's string, with everything escaped that has a meaning
in one: C{haproxy:} of Twisted does the same, but forgets C{=}.

Two kinds of strings can't be written flat: those whose carrier takes a keyword of
the same name, as a mux within a mux does, since the outer one takes all that it
knows.  For these C{endpoint=} takes the whole carrier, quoted.

Whatever is wrong is one L{ConfigError}, which is a L{ValueError}, as Twisted's own
parsers raise; its text names the option.  A keyword that is not known is the
carrier's, and passed on, unless it starts with C{mux}: that is a slip.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from twisted_mux.config import MuxConfig
from twisted_mux.errors import ConfigError, UnknownWire
from twisted_mux.masking import masked
from twisted_mux.negotiation.handshakes import checkNames
from twisted_mux.wire import codecNamed, wireNames
from twisted_mux.wire.base import Role

__all__ = [
    "AUTO",
    "IDLE",
    "WAIT",
    "Kind",
    "MuxString",
    "checkLabel",
    "checkWire",
    "parseAddress",
    "parseString",
    "quote",
    "unparse",
]

#: The name that stands for whichever wire a carrier's client speaks.
AUTO = "auto"
#: Seconds that a dialled carrier without streams is kept.  Long enough for
#: requests that come every now and then to find it open, and shorter than what
#: middleboxes take for dead.
IDLE = 60.0
#: Seconds that a connect waits for a peer to dial in: about as long as TCP takes
#: to give up.
WAIT = 30.0


class Kind(enum.Enum):
    """
    What a string is used for; the value is how messages call it.
    """

    SERVER = "mux: as a server"
    CLIENT = "mux: as a client"
    DIAL = "mux-dial:"
    LISTEN = "mux-listen:"

    @property
    def dials(self) -> bool:
        """
        Are its carriers dialled, rather than accepted?
        """
        return self in (Kind.CLIENT, Kind.DIAL)

    @property
    def opens(self) -> bool:
        """
        Are its connections streams that this side opens?
        """
        return self in (Kind.CLIENT, Kind.LISTEN)


@dataclass(frozen=True)
class MuxString:
    """
    What a string says.  What the options mean for users is in
    C{docs/reference/endpoint-strings.md}.

    @ivar carrier: the carrier's endpoint string.
    @ivar wire: a wire's name or L{AUTO}.
    @ivar role: our role on the carrier.
    @ivar config: what was said about sessions.
    @ivar idle: see L{MuxClientEndpoint<twisted_mux.endpoints.MuxClientEndpoint>},
    @ivar carriers: and so for C{carriers},
    @ivar wait: and for this L{MuxListenEndpoint
        <twisted_mux.endpoints.MuxListenEndpoint>}.
    @ivar name: what streams are opened with: a name,
    @ivar address: or an address, on a wire that has those.
    @ivar protocol: the names of protocols, as bytes, separated by commas in the
        string: to propose, or to accept,
    @ivar negotiate: and by which handshake (see L{twisted_mux.negotiation}).
    """

    carrier: str
    wire: str
    role: Role
    config: MuxConfig
    idle: float = IDLE
    carriers: int = 1
    wait: float = WAIT
    name: bytes = b""
    address: tuple[str, int] | None = None
    protocol: tuple[bytes, ...] | None = None
    negotiate: str = "simple"

    @property
    def sharedBy(self) -> tuple[object, ...]:
        """
        Strings for which this is equal share carriers, if both dial or both
        listen: all that concerns carriers, and nothing that concerns single
        streams.
        """
        return (
            self.carrier,
            self.wire,
            self.role,
            self.config,
            self.idle,
            self.carriers,
        )


def quote(text: str) -> str:
    """
    C{text} as it has to stand within an endpoint string.
    """
    return re.sub(r"[\\:=]", r"\\\g<0>", text)


def unparse(args: Sequence[str], options: Mapping[str, str]) -> str:
    """
    The string that Twisted would take apart into these arguments; keywords in
    the order of their names.
    """
    return ":".join(
        [quote(arg) for arg in args]
        + [f"{quote(key)}={quote(options[key])}" for key in sorted(options)]
    )


def parseString(
    kind: Kind, args: Sequence[str], options: Mapping[str, str]
) -> MuxString:
    """
    What a string means that Twisted has taken apart.

    @raise ConfigError: it makes no sense, but for the carrier's part.
    """
    rest = dict(options)
    own = {key: rest.pop(key) for key in options if key in _KNOWN}
    for key in rest:
        if key.startswith("mux"):
            raise ConfigError(
                f"unknown option {key}: it is one of {', '.join(sorted(_KNOWN))}"
            )
    wire = own.pop("wire", "yamux")
    checkWire(kind, wire)
    parsed = MuxString(
        carrier=_carrier(kind, args, rest),
        wire=wire,
        role=Role.CLIENT if kind.dials else Role.SERVER,
        config=MuxConfig(),
    )
    for key, value in own.items():
        if key in _CONFIG:
            parsed = replace(parsed, config=_configured(parsed.config, key, value))
        else:
            kinds, parse = _OPTIONS[key]
            if kind not in kinds:
                raise ConfigError(f"{key} means nothing for {kind.value}")
            parsed = replace(parsed, **parse(parsed, key, value))
    if parsed.protocol is not None:
        try:
            checkNames(parsed.protocol, parsed.negotiate)
        except ConfigError as error:
            raise ConfigError(f"muxProtocol: {error}") from None
    elif "muxNegotiate" in own:
        raise ConfigError("muxNegotiate means nothing without muxProtocol")
    return parsed


def checkWire(kind: Kind, wire: str) -> None:
    """
    Is there such a wire for that kind?

    @raise ConfigError: there is not.
    """
    if wire == AUTO:
        if kind is not Kind.SERVER:
            raise ConfigError(
                f"wire=auto means nothing for {kind.value}: only peers that open "
                "streams are bound to speak first"
            )
        return
    try:
        codecNamed(wire)
    except UnknownWire as error:
        extra = f", or {AUTO}" if kind is Kind.SERVER else ""
        raise UnknownWire(f"{error}{extra}") from None


def checkLabel(
    option: str, wire: str, name: bytes, address: tuple[str, int] | None
) -> None:
    """
    Can streams of C{wire} be opened with such a name or address?

    @raise ConfigError: they can't.
    """
    can = codecNamed(wire).capabilities
    if name and not can.names:
        having = ", ".join(
            other for other in wireNames() if codecNamed(other).capabilities.names
        )
        raise ConfigError(
            f"{option}: streams of {wire} have no names; those of {having} do"
        )
    if address is not None and not can.addressed:
        raise ConfigError(f"{option}: streams of {wire} have no addresses")


def parseAddress(text: str) -> tuple[str, int]:
    """
    The host and the port in C{host:port} or C{[host]:port}.

    @raise ConfigError: it is neither.
    """
    found = re.fullmatch(r"(?:\[([^\[\]]+)\]|([^\[\]]+)):(\d{1,5})", text, re.ASCII)
    if found is None or int(found[3]) > 65535:
        raise ConfigError(f"host:port is needed, not {text!r}")
    return found[1] or found[2], int(found[3])


def _carrier(kind: Kind, args: Sequence[str], rest: dict[str, str]) -> str:
    quoted = rest.pop("endpoint", None)
    if quoted is None:
        if not any(args):
            raise ConfigError(f"{kind.value} needs a carrier, as in mux:tcp:…")
        return unparse(args, rest)
    if any(args) or rest:
        raise ConfigError(
            "endpoint= gives the whole carrier, so there can't be "
            f"{masked(unparse(args, rest))!r} beside it"
        )
    if not quoted:
        raise ConfigError("endpoint= is empty")
    return quoted


def _number(key: str, value: str, whole: bool) -> float:
    if re.fullmatch(r"\d{1,12}" if whole else r"\d{1,12}(\.\d{1,6})?", value, re.ASCII):
        return int(value) if whole else float(value)
    raise ConfigError(
        f"{key} must be a {'whole ' if whole else ''}number, not {value!r}"
    )


def _configured(config: MuxConfig, key: str, value: str) -> MuxConfig:
    field, whole = _CONFIG[key]
    content: object = value if whole is None else _number(key, value, whole)
    change: dict[str, Any] = {field: content}
    try:
        return replace(config, **change)
    except ConfigError as error:
        raise ConfigError(f"{key}={value}: {error}") from None


def _role(parsed: MuxString, key: str, value: str) -> dict[str, Any]:
    try:
        return {"role": Role(value)}
    except ValueError:
        roles = " or ".join(role.value for role in Role)
        raise ConfigError(f"{key} must be {roles}, not {value!r}") from None


def _label(parsed: MuxString, key: str, value: str) -> dict[str, Any]:
    if codecNamed(parsed.wire).capabilities.addressed:
        try:
            address = parseAddress(value)
        except ConfigError as error:
            raise ConfigError(f"{key}: {error}") from None
        return {"address": address}
    name = value.encode()
    checkLabel(key, parsed.wire, name, None)
    return {"name": name}


def _idle(parsed: MuxString, key: str, value: str) -> dict[str, Any]:
    return {"idle": _number(key, value, False)}


def _wait(parsed: MuxString, key: str, value: str) -> dict[str, Any]:
    return {"wait": _number(key, value, False)}


def _carriers(parsed: MuxString, key: str, value: str) -> dict[str, Any]:
    carriers = _number(key, value, True)
    if not carriers:
        raise ConfigError(f"{key} must be at least 1, not {value}")
    return {"carriers": carriers}


def _admission(parsed: MuxString, key: str, value: str) -> dict[str, Any]:
    field = _ADMISSION[key]
    change: dict[str, Any] = {field: _number(key, value, True)}
    return {"config": replace(parsed.config, **change)}


def _protocol(parsed: MuxString, key: str, value: str) -> dict[str, Any]:
    return {"protocol": tuple(name.encode() for name in value.split(","))}


def _negotiate(parsed: MuxString, key: str, value: str) -> dict[str, Any]:
    return {"negotiate": value}


# Options that are fields of MuxConfig: which, and is it a whole number, a number
# or (None) a word.
_CONFIG: Mapping[str, tuple[str, bool | None]] = {
    "muxOpen": ("opening", None),
    "muxKeepAlive": ("keepAlive", False),
    "muxKeepAliveTimeout": ("keepAliveTimeout", False),
    "muxWindow": ("window", True),
    "muxMaxWindow": ("maxWindow", True),
    "muxMaxFrame": ("maxFrame", True),
    "muxMaxStreams": ("maxStreams", True),
    "muxMaxPending": ("maxPending", True),
    "muxReadSize": ("readSize", True),
}
# These as well, where carriers are listened for.
_ADMISSION: Mapping[str, str] = {
    "muxMaxSessions": "maxSessions",
    "muxMaxSessionsPerPeer": "maxSessionsPerPeer",
}

_Parser = Callable[[MuxString, str, str], dict[str, Any]]
_ALL = frozenset(Kind)
_DIALLING = frozenset(kind for kind in Kind if kind.dials)
_LISTENING = frozenset(Kind) - _DIALLING
_OPENING = frozenset(kind for kind in Kind if kind.opens)

# The others: for which kinds, and what they say.
_OPTIONS: Mapping[str, tuple[frozenset[Kind], _Parser]] = {
    "muxRole": (_ALL, _role),
    "muxName": (_OPENING, _label),
    "muxIdle": (_DIALLING, _idle),
    "muxCarriers": (_DIALLING, _carriers),
    **dict.fromkeys(_ADMISSION, (_LISTENING, _admission)),
    "muxWait": (frozenset({Kind.LISTEN}), _wait),
    "muxProtocol": (_ALL, _protocol),
    "muxNegotiate": (_ALL, _negotiate),
}
_KNOWN = frozenset({"wire", *_CONFIG, *_OPTIONS})
