"""
C{twist mux} and C{twistd mux}: the options, and what makes the service.

The options know what tunnels there are to be and have checked it, so that whatever
makes no sense is said before anything happens.  Nothing happens in L{makeService}
either, since C{twistd} forks after it: the service is made, no more.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from twisted.logger import ILogObserver, textFileLogObserver
from twisted.python import usage
from twisted.python.logfile import LogFile

from twisted_mux.bridge import CONNECT_TIMEOUT
from twisted_mux.errors import ConfigError
from twisted_mux.json_log import jsonLines
from twisted_mux.masking import masked
from twisted_mux.service import TunnelService
from twisted_mux.tunnel_config import (
    DRAIN,
    BadConfig,
    StatusPage,
    Tunnel,
    TunnelConfig,
    checkStatusPage,
    checkTunnel,
    readConfig,
)

if TYPE_CHECKING:
    from twisted_mux.status.serving import StatusService

__all__ = ["Options", "makeService", "twistdObserver"]


class Options(usage.Options):
    """
    The command line.

    @ivar config: what it says, from when it was parsed.
    """

    config: TunnelConfig

    synopsis = "[--from STRING --to STRING ...] [--config FILE] [options]"

    longdesc = (
        "What arrives at each --from, a server endpoint string, goes to the --to "
        "behind it, a client endpoint string. A port without interface= is one on "
        "the loopback interface."
    )

    optFlags = [
        ["check", None, "Only check, and say all that is wrong."],
        [
            "insecure-carrier",
            None,
            "Accept carriers from anywhere, though TLS does not verify them.",
        ],
    ]

    optParameters = [
        ["config", "c", None, "A TOML file with tunnels; SIGHUP reads it again."],
        [
            "connect-timeout",
            None,
            None,
            f"Seconds that connecting may take (default: {CONNECT_TIMEOUT:g}).",
        ],
        [
            "drain",
            None,
            None,
            f"Seconds that connections have to finish at the end (default: {DRAIN:g}).",
        ],
        [
            "log-format",
            None,
            None,
            "text, or json, an object on each line (default: as twist or twistd does).",
        ],
        ["status", None, None, "Where to serve a status page, an endpoint string."],
        ["status-token", None, None, "What those who want to see it must know."],
    ]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._sources: list[str] = []
        self._targets: list[str] = []

    def opt_from(self, text: str) -> None:
        """
        Where a tunnel listens, such as tcp:8080 or mux-dial:tcp:example.org:7000.
        """
        if len(self._sources) > len(self._targets):
            raise usage.UsageError(
                f"--from {masked(self._sources[-1])} has no --to behind it"
            )
        self._sources.append(text)

    def opt_to(self, text: str) -> None:
        """
        Where it connects to, such as tcp:localhost:80 or mux:tcp:example.org:7000.
        """
        if len(self._sources) == len(self._targets):
            raise usage.UsageError(f"--to {masked(text)} has no --from before it")
        self._targets.append(text)

    def postOptions(self) -> None:
        """
        Check everything.

        @raise usage.UsageError: it makes no sense.
        @raise SystemExit: that was all there was to do.
        """
        self._formatLog()
        try:
            self.config = self.load()
        except BadConfig as error:
            if not self["check"]:
                raise usage.UsageError(str(error)) from None
            print(error, file=sys.stderr)
            raise SystemExit(1) from None
        if self["check"]:
            print(f"no errors; tunnels: {len(self.config.tunnels)}")
            raise SystemExit(0)

    def load(self) -> TunnelConfig:
        """
        What the command line, or the file that it names, says now.

        @raise BadConfig: it makes no sense.
        """
        from twisted.internet import reactor

        drain = self._seconds("drain")
        timeout = self._seconds("connect-timeout")
        insecure = bool(self["insecure-carrier"])
        status = StatusPage(self["status"], self["status-token"])
        if self["config"] is None:
            tunnels = self._pairs(CONNECT_TIMEOUT if timeout is None else timeout)
            found = checkStatusPage(reactor, status)
            for tunnel in tunnels:
                found += checkTunnel(reactor, tunnel, insecure)
            if found:
                raise BadConfig([f"--{key}: {complaint}" for key, complaint in found])
            drain = DRAIN if drain is None else drain
            config = TunnelConfig(tunnels, drain, insecure, status)
        elif self._sources:
            raise usage.UsageError("--config and --from exclude each other")
        elif timeout is not None:
            raise usage.UsageError(
                "--connect-timeout is for --from and --to; a file says it itself"
            )
        else:
            config = readConfig(reactor, self["config"], insecure, drain, status)
        if status.token is not None and config.status.where is None:
            raise usage.UsageError("--status-token is for --status")
        return config

    def _pairs(self, timeout: float) -> tuple[Tunnel, ...]:
        if not self._sources:
            raise usage.UsageError("--from and --to are needed, or --config")
        if len(self._sources) > len(self._targets):
            raise usage.UsageError(
                f"--from {masked(self._sources[-1])} has no --to behind it"
            )
        return tuple(
            Tunnel(str(number), source, target, timeout)
            for number, (source, target) in enumerate(
                zip(self._sources, self._targets, strict=True), 1
            )
        )

    def _seconds(self, name: str) -> float | None:
        text = self[name]
        if text is None:
            return None
        try:
            seconds = float(text)
        except ValueError:
            seconds = -1.0
        if 0 <= seconds < float("inf"):
            return seconds
        raise usage.UsageError(f"--{name} must be a number of seconds, not {text!r}")

    # The log.

    def _formatLog(self) -> None:
        """
        Tell C{twist} or C{twistd}, whose options come before ours, how to log.
        """
        wanted = self["log-format"]
        if wanted not in (None, "text", "json"):
            raise usage.UsageError(f"--log-format must be text or json, not {wanted!r}")
        parent: Any = self.parent
        if wanted is None or parent is None:
            return
        if "fileLogObserverFactory" in parent:
            parent["fileLogObserverFactory"] = (
                jsonLines if wanted == "json" else textFileLogObserver
            )
        elif wanted == "json":
            if parent.get("syslog"):
                raise usage.UsageError("--log-format json does not go with --syslog")
            # It is looked up there by name, and called without arguments.
            _twistd.update(
                file=parent.get("logfile"), stays=bool(parent.get("nodaemon"))
            )
            parent["logger"] = f"{__name__}.{twistdObserver.__name__}"


# Where twistd is to log, and does its process stay in the foreground?
_twistd: dict[str, Any] = {}


def twistdObserver() -> ILogObserver:
    """
    The observer for C{twistd}: JSON, to where it would have logged text.
    """
    file = _twistd.get("file")
    if file == "-" or (_twistd.get("stays") and not file):
        return jsonLines(sys.stdout)
    return jsonLines(LogFile.fromFullPath(file or "twistd.log"))


def makeService(options: Options) -> TunnelService | StatusService:
    """
    The service that the options describe.
    """
    from twisted.internet import reactor

    load = None
    if options["config"] is not None:
        # twistd changes the folder before anything is read again.
        options["config"] = os.path.abspath(options["config"])
        load = options.load
    try:
        service = TunnelService(reactor, options.config, load)
        status = options.config.status
        if status.where is None:
            return service
        from twisted_mux.status.serving import StatusService

        return StatusService(reactor, service, status.where, status.token)
    except ConfigError as error:
        # It was right a moment ago: a file that a string names is gone, say.
        raise usage.UsageError(str(error)) from None
