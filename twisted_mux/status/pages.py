"""
Answers requests: C{/} is the page, C{/status.json} what it shows, C{/metrics} the same
for Prometheus; C{/alive} and C{/ready} are for whoever spreads connections over several
processes.

B{Alive, ready.}  A process is alive until it is told to end: then it takes no more
connections and wants no more carriers, but goes on with those it has.  It is ready if
there is a carrier that takes streams, too: before that connections would have to wait
for one, while another process may have some.  Both are told by the answer's code.

B{Who may ask.}  With a token whoever has it: as C{Authorization: Bearer TOKEN}, or as
C{?token=TOKEN} for browsers; nobody else gets to know more than that.  Without one,
which is only for places that nobody can reach from beyond this machine, there is still
a way in from outside: a page in a browser on this machine, from a host whose name is
made to point here (DNS rebinding).  So then the request must have come by an address,
or C{localhost}, not by any other name.

B{What a browser may do} with the page is said as strictly as can be: it runs the script
that is in it, known by its hash, asks this server for figures, and nothing else.  All
text gets into it as text.

B{What requests may cost.}  Only GET and HEAD are answered, bodies are thrown away as they
come, and what is said was worked out before anybody asked.  Requests are not logged:
the token would be.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from importlib.resources import files
from ipaddress import ip_address
from typing import Any

from twisted.web import http
from twisted.web.http import (
    FORBIDDEN,
    NOT_ALLOWED,
    NOT_FOUND,
    NOT_IMPLEMENTED,
    OK,
    SERVICE_UNAVAILABLE,
    UNAUTHORIZED,
)
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from twisted_mux.metrics import MetricsMissing, exposition
from twisted_mux.status.messages import Messages
from twisted_mux.status.report import report
from twisted_mux.status.sampling import Sampler

__all__ = ["StatusResource", "StatusSite"]

_PLAIN = "text/plain; charset=utf-8"


def _policy(*hashes: str) -> str:
    script, style = hashes
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src '{script}'",
            f"style-src '{style}'",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


def _hash(text: str) -> str:
    return "sha256-" + b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _readPage() -> tuple[bytes, str]:
    """
    The page, with its script and its style in it, and what it may do.
    """
    folder = files("twisted_mux.status")
    page, style, script = (
        folder.joinpath(f"page.{kind}").read_text(encoding="utf-8")
        for kind in ("html", "css", "js")
    )
    page = page.replace("@style@", style).replace("@script@", script)
    return page.encode(), _policy(_hash(script), _hash(style))


class StatusResource(Resource):
    """
    Everything that is served.

    @ivar alive: is the process not about to end?
    """

    isLeaf = True

    def __init__(
        self, sampler: Sampler, messages: Messages, token: str | None = None
    ) -> None:
        """
        @param token: what those who ask must know; without, they must come by an
            address.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self.alive = True
        self._sampler = sampler
        self._messages = messages
        self._token = None if token is None else token.encode()
        self._page, self._policy = _readPage()

    def render(self, request: Request) -> bytes:
        """
        See L{IResource<twisted.web.resource.IResource>}.
        """
        for name, value in (
            ("Server", "twisted_mux"),
            ("Cache-Control", "no-store"),
            ("Content-Security-Policy", self._policy),
            ("Cross-Origin-Opener-Policy", "same-origin"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
        ):
            request.setHeader(name, value)
        content = self._answer(request)
        request.setHeader("Content-Length", str(len(content)))
        return b"" if request.method == b"HEAD" else content

    def _answer(self, request: Request) -> bytes:
        if request.method not in (b"GET", b"HEAD"):
            request.setHeader("Allow", "GET, HEAD")
            return _say(request, NOT_ALLOWED, "only GET and HEAD")
        if self._token is None:
            if not _byAddress(request):
                return _say(request, FORBIDDEN, "ask by address, or for localhost")
        elif not any(
            hmac.compare_digest(given, self._token) for given in _tokens(request)
        ):
            request.setHeader("WWW-Authenticate", "Bearer")
            return _say(request, UNAUTHORIZED, "a token is needed")
        if request.path == b"/":
            request.setHeader("Content-Type", "text/html; charset=utf-8")
            return self._page
        if request.path == b"/status.json":
            request.setHeader("Content-Type", "application/json")
            return report(self._sampler, self._messages)
        if request.path == b"/metrics":
            return self._metrics(request)
        if request.path in (b"/alive", b"/ready"):
            return self._health(request)
        paths = "/, /status.json, /metrics, /alive and /ready"
        return _say(request, NOT_FOUND, f"there are {paths}")

    def _health(self, request: Request) -> bytes:
        if not self.alive:
            return _say(request, SERVICE_UNAVAILABLE, "about to end")
        if request.path == b"/ready" and not any(
            carrier.state == "up" for carrier in self._sampler.snapshot.carriers
        ):
            return _say(request, SERVICE_UNAVAILABLE, "no carrier")
        return _say(request, OK, "yes")

    def _metrics(self, request: Request) -> bytes:
        try:
            content, kind = exposition(self._sampler.snapshot)
        except MetricsMissing as error:
            return _say(request, NOT_IMPLEMENTED, str(error))
        request.setHeader("Content-Type", kind)
        return content


def _say(request: Request, code: int, text: str) -> bytes:
    """
    Something else than what was asked for, in one line.
    """
    request.setResponseCode(code)
    request.setHeader("Content-Type", _PLAIN)
    return f"{text}\n".encode()


def _tokens(request: Request) -> list[bytes]:
    """
    The tokens that a request has.
    """
    kind, _, given = (request.getHeader(b"authorization") or b"").partition(b" ")
    tokens = list(request.args.get(b"token", ()))
    if kind.lower() == b"bearer":
        tokens.append(given.strip())
    return tokens


def _byAddress(request: Request) -> bool:
    """
    Did it come by an address, or for C{localhost}?
    """
    host: str = request.getRequestHostname().decode("latin-1")
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return host.lower() == "localhost"
    return True


class _Request(Request):
    def handleContentChunk(self, data: bytes) -> None:
        """
        What comes with a request is of no use, and is not kept.
        """


class StatusSite(Site):
    """
    The factory for C{/} and the rest.
    """

    noisy = False

    def __init__(self, resource: StatusResource, reactor: Any) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            resource, requestFactory=_Request, reactor=reactor
        )
        self.displayTracebacks = False

    def log(self, request: http.Request) -> None:
        """
        Nothing: it would say the token, and be said every second.
        """
