"""
What tunnels there are to be: from the command line, or from a TOML file.

A file looks like this::

    drain = 30
    insecure-carrier = false
    status = "tcp:9000"
    status-token = "correct-horse-battery"

    [tunnels.web]
    from = "tcp:8080"
    to = "mux:tcp:server.example:7000"
    connect-timeout = 40

All that is wrong with a file is found at once; each complaint has the file, the line
and the key.  TOML's parser does not tell the lines of keys, but it can be asked: the
first lines of a file, as many as it takes for the key to be there, are a TOML file as
well (L{lineOf}).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from twisted_mux.bridge import CONNECT_TIMEOUT
from twisted_mux.errors import ConfigError
from twisted_mux.tunnel_strings import checkStatus, sourceEndpoint, targetEndpoint

__all__ = [
    "DRAIN",
    "BadConfig",
    "StatusPage",
    "Tunnel",
    "TunnelConfig",
    "checkStatusPage",
    "checkTunnel",
    "lineOf",
    "readConfig",
]

#: Seconds that live connections have, when the process is told to end: less than
#: the 90 after which systemd, and more than the 10 after which Docker, loses patience.
DRAIN = 30.0


class BadConfig(ConfigError):
    """
    There is something wrong with a file.

    @ivar complaints: all that is; each is one line.
    """

    def __init__(self, complaints: Sequence[str]) -> None:
        super().__init__("\n".join(complaints))
        self.complaints = tuple(complaints)


@dataclass(frozen=True)
class Tunnel:
    """
    What arrives at one endpoint goes to another.

    @ivar name: how messages call it.
    @ivar source: where it listens, an endpoint string.
    @ivar target: where it connects to, another.
    @ivar connectTimeout: seconds that this may take.
    """

    name: str
    source: str
    target: str
    connectTimeout: float = CONNECT_TIMEOUT


@dataclass(frozen=True)
class StatusPage:
    """
    Where the status page is, and for whom.

    @ivar where: an endpoint string; C{None} if there is no page.
    @ivar token: what those who ask must know; C{None} if they need not know anything.
    """

    where: str | None = None
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class TunnelConfig:
    """
    Everything.

    @ivar tunnels: their names are different.
    @ivar drain: seconds that live connections have when they are to end.
    @ivar insecureCarrier: may anybody open carriers, where strings allow it?
    @ivar status: the page.
    """

    tunnels: tuple[Tunnel, ...]
    drain: float = DRAIN
    insecureCarrier: bool = False
    status: StatusPage = StatusPage()


def checkTunnel(
    reactor: Any, tunnel: Tunnel, insecureCarrier: bool
) -> list[tuple[str, str]]:
    """
    Does a tunnel make sense?  Nothing is listened on, nothing dialled.

    @return: what is wrong, as keys and complaints.
    """
    return [
        *_complaints("from", sourceEndpoint, reactor, tunnel.source, insecureCarrier),
        *_complaints("to", targetEndpoint, reactor, tunnel.target, insecureCarrier),
    ]


def checkStatusPage(reactor: Any, page: StatusPage) -> list[tuple[str, str]]:
    """
    Does a status page make sense, if there is to be one?  Nothing is listened on.

    @return: as of L{checkTunnel}.
    """
    if page.where is None:
        return []
    return _complaints("status", checkStatus, reactor, page.where, page.token)


def _complaints(
    key: str, parse: Callable[..., object], *args: Any
) -> list[tuple[str, str]]:
    try:
        parse(*args)
    except ConfigError as error:
        return [(key, str(error))]
    return []


def _toml() -> Any:
    """
    The module that reads TOML.
    """
    try:
        return import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    except ImportError:
        raise BadConfig(
            ["to read TOML, Python 3.10 needs the package tomli: twisted-mux[cli]"]
        ) from None


def lineOf(source: str, path: Sequence[str]) -> int:
    """
    In which line of a TOML file is a key?

    @param path: the names of the tables that it is in, and its own.
    @return: the number of the line, from 1; that of the innermost table that is
        there, if it is not, and 1 if none is.
    """
    toml = _toml()
    found = 1
    depth = 0
    good = 0
    lines = _lines(source)
    for number in range(1, len(lines) + 1):
        try:
            content: Any = toml.loads("".join(lines[:number]))
        except toml.TOMLDecodeError:
            # In the middle of something that takes several lines.
            continue
        there = 0
        while (
            there < len(path) and isinstance(content, dict) and path[there] in content
        ):
            content = content[path[there]]
            there += 1
        if there > depth:
            depth = there
            found = good + 1
        good = number
    return found


def _lines(source: str) -> list[str]:
    """
    Lines as TOML counts them: C{str.splitlines} knows many more ends of lines.
    """
    return re.findall(r"[^\n]*\n|[^\n]+", source)


class _Reader:
    """
    Takes the content of a file apart, and collects complaints.
    """

    def __init__(self, file: str, source: str) -> None:
        self.complaints: list[tuple[int, str]] = []
        self._file = file
        self._source = source

    def complain(self, path: Sequence[str], text: str) -> None:
        """
        Something is wrong with a key.
        """
        line = lineOf(self._source, path)
        keys = (key if key.isprintable() else repr(key) for key in path)
        where = f"{'.'.join(keys)}: " if path else ""
        self.complaints.append((line, f"{self._file}:{line}: {where}{text}"))

    def take(
        self,
        table: dict[str, Any],
        path: Sequence[str],
        kind: type[Any],
        default: Any,
        needed: bool = False,
    ) -> Any:
        """
        Take the value of the key that C{path} ends with out of its table.

        @param default: what it is if it is not there, or wrong.
        @param needed: does it have to be there?
        """
        if path[-1] not in table:
            if needed:
                self.complain(path, "is missing")
            return default
        value = table.pop(path[-1])
        if kind is float and type(value) in (int, float):
            if 0 <= value <= sys.float_info.max:
                return float(value)
            self.complain(path, f"must be at least 0, not {_short(value)}")
        elif type(value) is kind:
            return value
        else:
            found = "" if path[-1] in _SECRET else f", not {_short(value)}"
            self.complain(path, f"must be {_KINDS[kind]}{found}")
        return default

    def unknown(self, table: dict[str, Any], path: Sequence[str]) -> None:
        """
        What is left in a table is not known.
        """
        for key in table:
            self.complain([*path, key], "unknown key")

    def tunnel(self, name: str, table: object) -> Tunnel | None:
        """
        A tunnel, if it is one.
        """
        path = ["tunnels", name]
        if not isinstance(table, dict):
            self.complain(path, "must be a table with from and to")
            return None
        source = self.take(table, [*path, "from"], str, None, True)
        target = self.take(table, [*path, "to"], str, None, True)
        timeout = self.take(table, [*path, "connect-timeout"], float, CONNECT_TIMEOUT)
        self.unknown(table, path)
        if source is None or target is None:
            return None
        return Tunnel(name, source, target, timeout)


# Keys whose values are not for everybody's eyes.
_SECRET = frozenset({"status-token"})
_KINDS = {
    str: "a string",
    float: "a number of seconds",
    bool: "true or false",
    dict: "a table",
}


def readConfig(
    reactor: Any,
    file: str,
    insecureCarrier: bool = False,
    drain: float | None = None,
    status: StatusPage = StatusPage(),
) -> TunnelConfig:
    """
    Read a file, and check all that can be checked without doing anything.

    @param insecureCarrier: what the command line says; the file may say it too.
    @param drain: what the command line says; this goes before the file.
    @param status: what the command line says; what it says goes before the file.
    @raise BadConfig: something is wrong with it.
    """
    toml = _toml()
    try:
        with open(file, encoding="utf-8", newline="") as stream:
            source = stream.read()
    except UnicodeDecodeError:
        raise BadConfig([f"{file}: is not UTF-8"]) from None
    except (OSError, ValueError) as error:
        # Of the second kind are names with a zero byte.
        why = getattr(error, "strerror", None) or error
        raise BadConfig([f"{file}: {why}"]) from None
    try:
        content = toml.loads(source)
    except toml.TOMLDecodeError as error:
        raise BadConfig([_syntaxError(file, source, str(error))]) from None
    except (ValueError, RecursionError) as error:
        # Not TOML's own: numbers of thousands of digits, arrays in arrays in arrays.
        raise BadConfig([f"{file}:1: can't be read: {error}"]) from None
    reader = _Reader(file, source)
    saidDrain = reader.take(content, ["drain"], float, DRAIN)
    insecure = reader.take(content, ["insecure-carrier"], bool, False)
    insecure = insecure or insecureCarrier
    page = _statusPage(reactor, reader, content, status)
    tables = reader.take(content, ["tunnels"], dict, {})
    reader.unknown(content, [])
    if not tables and not reader.complaints:
        reader.complain([], "there are no tunnels")
    tunnels = []
    for name, table in tables.items():
        tunnel = reader.tunnel(name, table)
        if tunnel is not None:
            tunnels.append(tunnel)
            for key, complaint in checkTunnel(reactor, tunnel, insecure):
                reader.complain(["tunnels", name, key], complaint)
    if reader.complaints:
        raise BadConfig([text for _, text in sorted(reader.complaints)])
    return TunnelConfig(
        tuple(tunnels), saidDrain if drain is None else drain, insecure, page
    )


def _statusPage(
    reactor: Any, reader: _Reader, content: dict[str, Any], said: StatusPage
) -> StatusPage:
    """
    The status page, by the command line and the file.
    """
    there = "status" in content
    where = reader.take(content, ["status"], str, None)
    token = reader.take(content, ["status-token"], str, None)
    page = StatusPage(said.where or where, said.token or token)
    for key, complaint in checkStatusPage(reactor, page):
        if said.where is None:
            reader.complain([key], complaint)
        else:
            reader.complaints.append((0, f"--{key}: {complaint}"))
    if token is not None and page.where is None and not there:
        reader.complain(["status-token"], "there is no status page")
    return page


def _short(value: object) -> str:
    """
    A value, for a complaint.
    """
    try:
        text = repr(value)
    except ValueError:
        # A hexadecimal one gets through TOML's parser, however long.
        return "something with a number of thousands of digits"
    return text if len(text) <= 200 else f"{text[:200]}..."


def _syntaxError(file: str, source: str, text: str) -> str:
    """
    A complaint of TOML's parser, in our form.
    """
    found = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", text, re.DOTALL)
    if found is None:
        # At the end of the document.
        last = max(1, len(_lines(source)))
        return f"{file}:{last}: {re.sub(r' *[(]at.*[)]$', '', text)}"
    return f"{file}:{found[2]}: {found[1]} (column {found[3]})"
