"""
The service behind C{twist mux --status}: the tunnels' service with a window in it.

It stands around that service, not beside it, for the sake of the end: while
connections are being drained is when an operator wants to look.  So the page goes last.

Without C{interface=} it listens on the loopback interface, as tunnels do; beyond that it
needs a token, since it tells who the peers are (L{checkStatus
<twisted_mux.tunnel_strings.checkStatus>}).
"""

from __future__ import annotations

from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_mux.address import describeAddress
from twisted_mux.service import StartFailed, TunnelService
from twisted_mux.status.messages import Messages
from twisted_mux.status.pages import StatusResource, StatusSite
from twisted_mux.status.sampling import Sampler
from twisted_mux.tunnel_strings import checkStatus, sourceEndpoint

__all__ = ["StatusService"]


class StatusService(Service):
    """
    Tunnels, and the page that shows them.

    @ivar tunnels: the tunnels' own service.
    @ivar sampler: what looks at them.
    """

    _log = Logger()

    def __init__(
        self, reactor: Any, tunnels: TunnelService, text: str, token: str | None = None
    ) -> None:
        """
        @param text: where the page is, an endpoint string.
        @param token: what those who ask must know.
        @raise ConfigError: as of L{checkStatus
            <twisted_mux.tunnel_strings.checkStatus>}.
        """
        checkStatus(reactor, text, token)
        self.tunnels = tunnels
        self.sampler = Sampler(reactor, lambda: tunnels.present)
        self._reactor = reactor
        self._text = text
        self._messages = Messages()
        self._resource = StatusResource(self.sampler, self._messages, token)
        self._site = StatusSite(self._resource, reactor)
        self._listening: Deferred[Any] | None = None
        self._port: Any = None
        self._complaint = ""

    def privilegedStartService(self) -> None:
        """
        Listen, while that is allowed everywhere.

        @raise StartFailed: that failed.
        """
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        self._listen()
        self.tunnels.privilegedStartService()

    def startService(self) -> None:
        """
        Listen, unless that is done, and start the tunnels.

        @raise StartFailed: that failed.
        """
        super().startService()  # type: ignore[no-untyped-call]
        self._listen()
        self.tunnels.startService()
        self.sampler.start()

    def _listen(self) -> None:
        if self._listening is not None:
            return
        self._messages.start()
        endpoint = sourceEndpoint(self._reactor, self._text, True)
        self._listening = maybeDeferred(endpoint.listen, self._site)
        self._listening.addCallbacks(self._listens, self._failed)
        if self._complaint:
            self._messages.stop()
            raise StartFailed(self._complaint)

    def _listens(self, port: Any) -> None:
        self._port = port
        where = describeAddress(port.getHost())
        self._log.info("status page at {address}", address=where)

    def _failed(self, reason: Failure) -> None:
        if reason.check(CancelledError):
            return
        self._complaint = f"status page: {reason.getErrorMessage()}"
        self._log.critical("{complaint}", complaint=self._complaint)

    def stopService(self) -> Deferred[None]:
        """
        End the tunnels, then the page.

        @return: fires when both is done.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        self._resource.alive = False
        return self.tunnels.stopService().addBoth(self._stop)

    def _stop(self, result: Any) -> Any:
        self.sampler.stop()
        self._messages.stop()
        if self._listening is not None:
            self._listening.cancel()
        if self._port is None:
            return result
        return maybeDeferred(self._port.stopListening).addCallback(lambda _: result)
