"""Asking the blue pods what they serve. Their answers are bounded in time and size, and no redirect is followed."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp

from bluetune_api.model import Verify
from bluetune_api.records import Probe
from bluetune_operator.core.kinds import name_of
from bluetune_operator.core.rollout import Answers
from bluetune_operator.core.serving_answers import MOST_BYTES, probe_body, vectors_problem, version_problem

CONNECT_SECONDS, VERSION_SECONDS, ENCODE_SECONDS = 3.0, 5.0, 30.0
AT_ONCE = 16
"""Pods asked at the same time."""
ALL_SECONDS = 120.0
"""For one round of questions; if it is over, the next one begins anew."""


class PodServers:
    """An HTTP client for servers in pods, which are reached by their addresses."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def ask(self, pods: Sequence[Mapping[str, Any]], verify: Verify, digest: str, probe: Probe | None) -> Answers:
        """Ask every pod for its digest and, with a probe, for vectors.

        Right only if there is a pod and all of them answer rightly; the message is about the first one that does not.
        """
        if not pods:
            return Answers(False, "no pod of the version is ready")
        try:
            async with asyncio.timeout(ALL_SECONDS):
                problems = await asyncio.gather(*(self._pod_problem(pod, verify, digest, probe) for pod in pods))
        except TimeoutError:
            return Answers(False, f"{len(pods)} pods did not all answer within {ALL_SECONDS:.0f} s")
        wrong = [f"pod {name_of(pod)}: {problem}" for pod, problem in zip(pods, problems, strict=True) if problem]
        return Answers(not wrong, wrong[0] if wrong else f"{len(pods)} pods serve {digest}")

    async def _pod_problem(
        self, pod: Mapping[str, Any], verify: Verify, digest: str, probe: Probe | None
    ) -> str | None:
        address = str(pod["status"]["podIP"])
        root = f"http://[{address}]:{verify.port}" if ":" in address else f"http://{address}:{verify.port}"
        async with self._gate:
            body, problem = await self._request("GET", root + verify.version_path, None, VERSION_SECONDS)
            if problem or (problem := version_problem(body, digest)):
                return f"GET {verify.version_path}: {problem}"
            if verify.encode_path is None or probe is None:
                return None
            body, problem = await self._request("POST", root + verify.encode_path, probe_body(probe), ENCODE_SECONDS)
            if problem or (problem := vectors_problem(body, probe, verify.min_cosine)):
                return f"POST {verify.encode_path}: {problem}"
            return None

    async def _request(self, method: str, url: str, data: bytes | None, seconds: float) -> tuple[bytes, str | None]:
        """The body, or what went wrong."""
        if self._session is None:
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)
        headers = {"Content-Type": "application/json"} if data is not None else {}
        timeout = aiohttp.ClientTimeout(total=seconds, connect=CONNECT_SECONDS)
        try:
            async with self._session.request(
                method, url, data=data, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                if response.status != 200:
                    return b"", f"HTTP {response.status}"
                body = bytearray()
                async for chunk in response.content.iter_chunked(1 << 16):
                    body += chunk
                    if len(body) > MOST_BYTES:
                        return b"", f"the answer is longer than {MOST_BYTES} bytes"
                return bytes(body), None
        except TimeoutError:
            return b"", f"no answer within {seconds:.0f} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return b"", f"no answer: {error}"
