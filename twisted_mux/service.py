"""
The service behind C{twist mux}: all tunnels, from the start of a process to its end.

B{The start.}  A tunnel that can't listen is one line in the log, and the end of the
process with exit status 1.  Nearly always that is known while C{startService} runs,
which raises L{StartFailed} then.  Where it turns out later there is no way to give the
status to C{twist} or C{twistd}, which have started the reactor and know of none but
signals; so it is given to the interpreter, when that is about to exit.

B{The end.}  C{twist} and C{twistd} end with the signal that made them stop, as shells
like it.  For whoever supervises services SIGTERM is an ordinary end, whose exit status
is 0; so the signals are handled here.  No more connections are taken, live ones have
some time to finish, what is left then is reset: so that nobody takes what is cut off for
all there was.  A second signal makes that time end now.

B{Reloading.}  A tunnel is known by its name.  One that listens at the same place as
before keeps its port, and all its connections whatever else has changed: another
target is for new connections.  One that is gone, or listens elsewhere, ends as it would
with the process, while the others go on.  Ports are closed before others are opened,
which may be the same.  A file that has anything wrong with it changes nothing; a port
that can't be opened is no fault of the file, so the rest of that goes ahead.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredLock
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_mux.errors import ConfigError
from twisted_mux.tunnel import RunningTunnel, allOf, within
from twisted_mux.tunnel_config import Tunnel, TunnelConfig

__all__ = ["CLOSE_TIMEOUT", "StartFailed", "TunnelService"]

#: Seconds that carriers have to close when they have no streams any more.
CLOSE_TIMEOUT = 5.0


class StartFailed(SystemExit, Exception):
    """
    A tunnel can't listen; the log says which and why.

    It ends the process without a traceback, as a L{SystemExit} does; but C{twistd}
    gets to remove its PID file and to tell its parent, as with an L{Exception}.
    """

    def __init__(self, text: str) -> None:
        super().__init__(1)
        self._text = text

    def __str__(self) -> str:
        return self._text


class TunnelService(Service):
    """
    Tunnels at work.

    @ivar config: what they are to be.
    @ivar tunnels: those that there are, by name.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        config: TunnelConfig,
        load: Callable[[], TunnelConfig] | None = None,
    ) -> None:
        """
        @param load: makes the configuration anew; without, it stays.
        @raise ConfigError: the configuration makes no sense.
        """
        self.config = config
        self._reactor = reactor
        self._load = load
        self.tunnels = {
            tunnel.name: RunningTunnel(reactor, tunnel, config.insecureCarrier)
            for tunnel in config.tunnels
        }
        self._lock = DeferredLock()
        self._retired: set[RunningTunnel] = set()
        # Targets that listen, by what their carriers are known by.
        self._targets: dict[Hashable, Any] = {}
        self._listening = False
        self._complaint = ""
        self._starting = False
        self._ending = False
        self._stopping = False

    # The start.

    def privilegedStartService(self) -> None:
        """
        Listen, while that is allowed everywhere.

        @raise StartFailed: that failed.
        """
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        self._listen()

    def startService(self) -> None:
        """
        Listen, unless that is done, and handle signals from when the reactor runs.

        @raise StartFailed: that failed.
        """
        super().startService()  # type: ignore[no-untyped-call]
        self._listen()
        self._reactor.callWhenRunning(self._handleSignals)

    def _listen(self) -> None:
        if self._listening:
            return
        self._listening = self._starting = True
        for running in self.tunnels.values():
            self._start(running).addErrback(self._notStarted, running)
        self._starting = False
        if self._complaint:
            raise StartFailed(self._complaint)

    def _start(self, running: RunningTunnel) -> Deferred[None]:
        self._targets[running.targetKey] = running.target
        return running.start()

    def _notStarted(self, reason: Failure, running: RunningTunnel) -> None:
        if self._stopping:
            return
        name, why = running.tunnel.name, reason.getErrorMessage()
        self._complaint = f"tunnel {name}: {why}"
        self._log.critical("tunnel {tunnel}: {why}", tunnel=name, why=why)
        if not self._starting:
            atexit.register(_exitWithFailure)
            self._stopReactor()

    # Signals.

    def _handleSignals(self) -> None:
        signals: dict[str, Callable[[], object]] = {
            "SIGTERM": self.terminate,
            "SIGINT": self.terminate,
        }
        if self._load is not None:
            signals["SIGHUP"] = self.reload
        for name, function in signals.items():
            number = getattr(signal, name, None)
            if number is not None:
                signal.signal(number, self._handler(function))

    def _handler(self, function: Callable[[], object]) -> Callable[..., None]:
        def handle(*_: object) -> None:
            self._reactor.callFromThread(function)

        return handle

    def terminate(self) -> None:
        """
        End in good order; a second time, at once.
        """
        if self._ending:
            self.cut()
        else:
            self._stopReactor()

    def _stopReactor(self) -> None:
        # It calls our stopService, but not at once.
        if not self._ending:
            self._ending = True
            self._reactor.callWhenRunning(self._reactor.stop)

    # The end.

    @property
    def live(self) -> int:
        """
        How many connections there are.
        """
        return sum(running.bridge.live for running in self.present)

    @property
    def present(self) -> list[RunningTunnel]:
        """
        All tunnels, those that are ending included.
        """
        return [*self.tunnels.values(), *self._retired]

    def stopService(self) -> Deferred[None]:
        """
        Take no more connections; let live ones finish, as long as they may; reset
        the others; close carriers.

        @return: fires when all of that is done.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        self._ending = self._stopping = True
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        everything = self.present
        limit = self._reactor.callLater(self.config.drain, self.cut)
        await within(
            self._reactor,
            CLOSE_TIMEOUT,
            # One that does not listen yet is gone by that.
            [running.stopListening() for running in tuple(self.tunnels.values())],
        )
        live = self.live
        if live:
            self._log.info(
                "draining: {live} connections have {seconds:g} seconds",
                live=live,
                seconds=self.config.drain,
            )
        await allOf([running.bridge.whenIdle() for running in everything])
        if limit.active():
            limit.cancel()
        closing = [running.closeCarriers() for running in everything]
        await within(self._reactor, CLOSE_TIMEOUT, closing)

    def cut(self) -> None:
        """
        Reset all connections.
        """
        live = self.live
        if live:
            self._log.warn("{live} connections are cut off", live=live)
        for running in self.present:
            running.bridge.abort()

    # Reloading.

    def reload(self) -> Deferred[None]:
        """
        Make the configuration anew, and do what it says.

        @return: fires when that is done, or was found to be impossible, which is
            logged.
        """
        return self._lock.run(lambda: Deferred.fromCoroutine(self._reload()))

    async def _reload(self) -> None:
        if self._load is None or self._stopping:
            return
        try:
            config = self._load()
        except ConfigError as error:
            complaint = "; ".join(str(error).splitlines())
            self._log.error(
                "nothing is changed, for there are errors: {complaint}",
                complaint=complaint,
            )
            return
        if config.status != self.config.status:
            self._log.warn("the status page stays as it was: that needs a restart")
        self.config = replace(config, status=self.config.status)
        removed = await self._remove({each.name: each for each in config.tunnels})
        counts = {"added": 0, "changed": 0, "unchanged": 0, "failed": 0}
        for tunnel in config.tunnels:
            if not self._stopping:
                counts[await self._put(tunnel)] += 1
        self._closeTargets()
        self._log.info(
            "reloaded: tunnels {added} added, {removed} removed, {changed} changed, "
            "{unchanged} unchanged{others}",
            **counts,
            removed=removed,
            others=f", {counts['failed']} failed" if counts["failed"] else "",
        )

    async def _remove(self, wanted: dict[str, Tunnel]) -> int:
        """
        End the tunnels that are not wanted any more.
        """
        gone = [
            running
            for name, running in self.tunnels.items()
            if name not in wanted or wanted[name].source != running.tunnel.source
        ]
        for running in gone:
            del self.tunnels[running.tunnel.name]
            self._retired.add(running)
        await allOf([running.stopListening() for running in gone])
        for running in gone:
            limit = self._reactor.callLater(self.config.drain, running.bridge.abort)
            running.bridge.whenIdle().addCallback(self._retiredEnded, running, limit)
        return len(gone)

    def _retiredEnded(self, _: None, running: RunningTunnel, limit: Any) -> None:
        self._retired.discard(running)
        if limit.active():
            limit.cancel()

    async def _put(self, tunnel: Tunnel) -> str:
        """
        See to it that a tunnel is there as it is wanted.

        @return: what that was for it.
        """
        running = self.tunnels.get(tunnel.name)
        if running is not None and running.tunnel == tunnel:
            return "unchanged"
        try:
            if running is None:
                await self._add(tunnel)
                return "added"
            await self._change(running, tunnel)
            return "changed"
        except Exception:
            # One that is given up because all come to their end has not failed.
            if not self._stopping:
                why = Failure().getErrorMessage()
                self._log.error("tunnel {tunnel}: {why}", tunnel=tunnel.name, why=why)
            return "failed"

    async def _add(self, tunnel: Tunnel) -> None:
        running = RunningTunnel(self._reactor, tunnel, self.config.insecureCarrier)
        self.tunnels[tunnel.name] = running
        try:
            await self._start(running)
        except BaseException:
            # The next time it is tried again.
            del self.tunnels[tunnel.name]
            raise

    async def _change(self, running: RunningTunnel, tunnel: Tunnel) -> None:
        changing = running.retarget(tunnel, self.config.insecureCarrier)
        self._targets[running.targetKey] = running.target
        await changing

    def _closeTargets(self) -> None:
        """
        Nobody is to dial in any more where no tunnel wants them.
        """
        wanted = {running.targetKey for running in self.tunnels.values()}
        # Those that dial close what they don't need by themselves.
        wanted.add(None)
        for key in [key for key in self._targets if key not in wanted]:
            self._targets.pop(key).closeCarriers()


def _exitWithFailure() -> None:
    """
    End the process, which has nothing more to do, with exit status 1.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
