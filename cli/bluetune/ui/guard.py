"""Who may see the page: a browser that was given the address with its token, and no other site that it shows.

Anybody on the machine can connect to a port of 127.0.0.1, and any site may send a browser there. So each request must
name this host (against DNS that leads elsewhere), carry the cookie that the token was exchanged for, and, if it
changes something, come from a script of this very page.
"""

import hmac
import secrets
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

HOST = "127.0.0.1"
ENTER = "/enter/"
"""Before the token, in the address that is printed."""
ASKED_BY = "X-Bluetune"
"""Header of requests that change something; other sites cannot send it without being asked about first."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; frame-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
EMBEDDED_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'self'"
)
"""Of a report: no script runs, nothing is loaded, and it is of no site that could reach the page."""
ENTERED = b'<!doctype html><html lang="en"><meta http-equiv="refresh" content="0;url=/"><title>bluetune</title>'
"""A page of our own that goes on, as the cookie is not sent where another site led here."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Guard:
    """The token of this start, and the check of each request."""

    def __init__(self, port: int) -> None:
        self.token = secrets.token_urlsafe(32)
        self._session = secrets.token_urlsafe(32)
        self._cookie = f"bluetune-{port}"  # cookies are of a host, whatever the port
        self._hosts = {f"{HOST}:{port}", f"localhost:{port}"}

    def address(self, port: int) -> str:
        """What the user opens."""
        return f"http://{HOST}:{port}{ENTER}{self.token}"

    def middleware(self) -> Middleware:
        """For aiohttp."""

        @web.middleware
        async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
            refused = self._refusal(request)
            if refused is not None:
                return _hardened(web.Response(status=403, text=f"{refused}\n"))
            if request.path.startswith(ENTER):
                return _hardened(self._enter())
            try:
                return await handler(request)
            except web.HTTPException as error:
                return _hardened(web.Response(status=error.status, text=f"{error.reason}\n"))

        return check

    @staticmethod
    async def harden(request: web.Request, response: web.StreamResponse) -> None:
        """The headers of each answer, before it begins."""
        _hardened(response)

    def _refusal(self, request: web.Request) -> str | None:
        if request.headers.get("Host", "").lower() not in self._hosts:
            return f"this page answers to {' and '.join(sorted(self._hosts))} only"
        if request.path.startswith(ENTER):
            given = request.path.removeprefix(ENTER)
            known = hmac.compare_digest(given.encode(), self.token.encode())
            return None if known else "this address is of another start: use the one that bluetune ui printed last"
        if not hmac.compare_digest(request.cookies.get(self._cookie, "").encode(), self._session.encode()):
            return "open the address that bluetune ui printed: it holds the token that this page asks for"
        if request.method not in ("GET", "HEAD"):
            origin = request.headers.get("Origin", "")
            if origin.removeprefix("http://") != request.headers["Host"] or ASKED_BY not in request.headers:
                return "only the page itself may ask for changes"
        return None

    def _enter(self) -> web.Response:
        response = web.Response(body=ENTERED, content_type="text/html", charset="utf-8")
        response.set_cookie(self._cookie, self._session, httponly=True, samesite="Strict", path="/")
        return response


def _hardened(response: web.StreamResponse) -> web.StreamResponse:
    headers = response.headers
    headers.setdefault("Content-Security-Policy", POLICY)
    headers.setdefault("Cache-Control", "no-store")
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "no-referrer"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    headers["Permissions-Policy"] = "camera=(), microphone=(), geolocation=()"
    return response
