"""Asking the blue pods what they serve. Their answers are bounded in time and size, and no redirect is followed."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp

from bluetune_api.records import Probe
from bluetune_api.verify import Verify
from bluetune_operator.core.kinds import name_of
from bluetune_operator.core.rollout.moves import Answers
from bluetune_operator.core.rollout.serving_answers import MAX_BYTES, vectors_problem, vectors_question, version_problem

CONNECT_SECONDS, VERSION_SECONDS, ENCODE_SECONDS = 3.0, 5.0, 30.0
NOT_UNDERSTOOD = frozenset({400, 404, 422})
"""What servers of OpenAI's API say to a model's name or a path that they do not have."""
AT_ONCE = 16
"""Pods of one model asked at the same time."""
ALL_SECONDS = 60.0
"""For one round of questions; if it is over, the next one begins anew."""


class PodServers:
    """An HTTP client for servers in pods, which are reached by their addresses."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def ask(self, pods: Sequence[Mapping[str, Any]], verify: Verify, digest: str, probe: Probe | None) -> Answers:
        """Ask every pod for its digest, if its API has one, and, with a probe, for vectors.

        Right only if there is a pod and all of them answer rightly; the message is about the first one that does not,
        which ends the round. One model's pods have the round for themselves, however slow another's are.
        """
        if not pods:
            return Answers(False, "no pod of the version is ready")
        gate = asyncio.Semaphore(AT_ONCE)
        tasks = [asyncio.ensure_future(self._judged(gate, pod, verify, digest, probe)) for pod in pods]
        try:
            async with asyncio.timeout(ALL_SECONDS):
                for answer in asyncio.as_completed(tasks):
                    if not (found := await answer).right:
                        return found
        except TimeoutError:
            text = f"{len(pods)} pods did not all answer within {ALL_SECONDS:.0f} s"
            return Answers(False, text, "VerifyUnreachable")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        what = "serve" if verify.api == "Bluetune" else "answer with the vectors of"
        return Answers(True, f"{len(pods)} pods {what} {digest}")

    async def _judged(
        self, gate: asyncio.Semaphore, pod: Mapping[str, Any], verify: Verify, digest: str, probe: Probe | None
    ) -> Answers:
        """One pod's answers."""
        address, scheme = str(pod["status"]["podIP"]), verify.scheme.lower()
        root = f"{scheme}://[{address}]:{verify.port}" if ":" in address else f"{scheme}://{address}:{verify.port}"
        async with gate:
            asked, problem = "", None
            try:
                if verify.api == "Bluetune":
                    asked = f"GET {verify.version_path}"
                    body = await self._request("GET", root + verify.version_path, None, VERSION_SECONDS)
                    problem = version_problem(body, digest)
                if problem is None and verify.vectors_path is not None and probe is not None:
                    asked, question = f"POST {verify.vectors_path}", vectors_question(probe, verify)
                    body = await self._request("POST", root + verify.vectors_path, question, ENCODE_SECONDS)
                    problem = vectors_problem(body, probe, verify)
            except _WrongAnswer as error:
                problem = str(error)
                if verify.api == "OpenAI" and error.status in NOT_UNDERSTOOD:
                    problem += f"; see verify.model={verify.model!r} and verify.encodePath={verify.vectors_path!r}"
            except _NoAnswer as error:
                return Answers(False, f"pod {name_of(pod)}: {asked}: {error}", "VerifyUnreachable")
        return Answers(problem is None, f"pod {name_of(pod)}: {asked}: {problem}" if problem else "")

    async def _request(self, method: str, url: str, data: bytes | None, seconds: float) -> bytes:
        """The body. Raises _NoAnswer, _WrongAnswer."""
        if self._session is None:
            # as many connections as the rounds want: a limit here would be one for all models together
            connector = aiohttp.TCPConnector(limit=0)
            self._session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
            )
        headers = {"Content-Type": "application/json"} if data is not None else {}
        timeout = aiohttp.ClientTimeout(total=seconds, connect=CONNECT_SECONDS)
        try:
            async with self._session.request(
                method,
                url,
                data=data,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
                ssl=False,  # pods are asked by address, which no certificate names; kubelet's probes do the same
            ) as response:
                if response.status != 200:
                    raise _WrongAnswer(f"HTTP {response.status}", response.status)
                body = bytearray()
                async for chunk in response.content.iter_chunked(1 << 16):
                    body += chunk
                    if len(body) > MAX_BYTES:
                        raise _WrongAnswer(f"the answer is longer than {MAX_BYTES} bytes")
                return bytes(body)
        except TimeoutError:
            raise _NoAnswer(f"no answer within {seconds:.0f} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _NoAnswer(f"no answer: {error}") from error


class _NoAnswer(Exception):
    """The pod could not be asked; the message says why."""


class _WrongAnswer(Exception):
    """It answered, and not what is asked for; by which HTTP status, if that says so."""

    def __init__(self, said: str, status: int | None = None) -> None:
        super().__init__(said)
        self.status = status
