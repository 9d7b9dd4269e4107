"""Sending notices to webhooks: bounded in time and number, not to the node itself, and without following redirects."""

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

SECONDS, CONNECT_SECONDS = 8.0, 3.0
AT_ONCE = 4
"""Posts of all models at the same time: webhooks that swallow requests keep no worker of the operator."""

METADATA = frozenset(
    map(ipaddress.ip_address, ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16"))
)
"""Where clouds serve a machine's metadata and keys, beside the addresses of the link."""


REFUSED = "its address is one of the node, of its link or of a cloud's metadata, and nothing is sent there"


def is_allowed(address: str) -> bool:
    """Whether a webhook may be at an address: not on the node or its link, and not where a cloud keeps its keys."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    kept_out = found.is_loopback or found.is_link_local or found.is_multicast or found.is_unspecified
    return not kept_out and found not in METADATA


class _Refused(OSError):
    """Nothing is sent to such an address."""


class _Guarded(AbstractResolver):
    """Names resolve to addresses that are allowed; the connection goes to what was judged, not to a second answer."""

    def __init__(self, allowed: Callable[[str], bool]) -> None:
        self._allowed = allowed
        self._inner = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if kept := [each for each in found if self._allowed(each["host"])]:
            return kept
        raise _Refused

    async def close(self) -> None:
        await self._inner.close()


class Webhooks:
    """An HTTP client for webhooks."""

    def __init__(self, allowed: Callable[[str], bool] = is_allowed) -> None:
        self._allowed = allowed
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._session: aiohttp.ClientSession | None = None

    @property
    def busy(self) -> bool:
        """Whether all posts that may be are under way: come again soon."""
        return self._gate.locked()

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def post(self, url: str, content_type: str, body: bytes, headers: dict[str, str]) -> str | None:
        """Send a notice; why it was not taken, or None. The address is in no message: it may be a secret."""
        host = (urlsplit(url).hostname or "").strip("[]")
        if _is_literal(host) and not self._allowed(host):
            return REFUSED
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=AT_ONCE, resolver=_Guarded(self._allowed), force_close=True)
            self._session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
            )
        timeout = aiohttp.ClientTimeout(total=SECONDS, connect=CONNECT_SECONDS)
        sent: dict[str, Any] = {"data": body, "headers": {"Content-Type": content_type, **headers}}
        async with self._gate:
            try:
                async with self._session.post(url, timeout=timeout, allow_redirects=False, **sent) as response:
                    return None if 200 <= response.status < 300 else f"it answered with HTTP {response.status}"
            except TimeoutError:
                return f"no answer within {SECONDS:.0f} s"
            except (aiohttp.ClientError, OSError, ValueError) as error:
                refused = isinstance(getattr(error, "os_error", error), _Refused)
                return REFUSED if refused else f"no answer: {type(error).__name__}"


def _is_literal(host: str) -> bool:
    """Whether aiohttp asks no resolver about a host: also for `127.1` and `2130706433`, which sockets understand."""
    return ":" in host or host.replace(".", "").isdigit()
