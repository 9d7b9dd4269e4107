"""An open loop: requests are sent when they are due, whether earlier ones were answered or not. None is sent again."""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import aiohttp

SECONDS = 30.0
"""A request that takes longer has failed."""


@dataclass(frozen=True)
class Answer:
    """What became of a request."""

    due: float
    """When it was due, in seconds since the load began."""
    seconds: float
    """From then to its end: a wait to be sent counts."""
    problem: str | None = None
    """Why it failed."""
    version: str = ""
    """Version of the model that answered."""
    index_version: str = ""
    """Version of the vectors that were searched."""

    def as_json(self) -> dict[str, Any]:
        """For the record."""
        return asdict(self)


def queries(titles: Sequence[str], seed: int) -> Iterator[str]:
    """Words of two titles and a number: no query comes twice, so nothing can be cached."""
    chance = random.Random(seed)
    number = 0
    while True:
        number += 1
        words = f"{chance.choice(titles)} {chance.choice(titles)}".split()
        yield " ".join([*chance.sample(words, min(4, len(words))), str(number)])


class Client:
    """Searches. Each request has a connection of its own, so none is lost or repeated with a kept one."""

    def __init__(self, address: str, titles: Sequence[str], seed: int) -> None:
        self._url = f"http://{address}/search"
        self._queries = queries(titles, seed)
        timeout = aiohttp.ClientTimeout(total=SECONDS)
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def ask(self, due: float, clock_start: float) -> Answer:
        """Search once."""
        problem, body = None, {}
        try:
            parameters = {"q": next(self._queries), "limit": "10", "log": "0"}
            async with self._session.get(self._url, params=parameters) as answer:
                if answer.status == 200:
                    body = await answer.json()
                    problem = None if body["results"] else "no result"
                else:
                    problem = f"HTTP {answer.status}"
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError) as error:
            problem = f"{type(error).__name__}: {error}"
        seconds = time.monotonic() - clock_start - due
        return Answer(due, seconds, problem, str(body.get("version", "")), str(body.get("index_version", "")))

    async def capacity(self, at_once: int, seconds: float) -> float:
        """Requests a second that are answered when `at_once` are always under way. Raises RuntimeError on a failure."""
        begun, done = time.monotonic(), 0

        async def worker() -> None:
            nonlocal done
            while time.monotonic() - begun < seconds:
                answer = await self.ask(time.monotonic() - begun, begun)
                if answer.problem:
                    raise RuntimeError(f"the service fails before anything is switched: {answer.problem}")
                done += 1

        await asyncio.gather(*(worker() for _ in range(at_once)))
        return done / (time.monotonic() - begun)

    async def open_loop(self, rate: float, over: asyncio.Event, seed: int) -> list[Answer]:
        """Requests as a Poisson process until `over` is set; waits for all answers."""
        chance, begun, due = random.Random(seed), time.monotonic(), 0.0
        under_way: list[asyncio.Task[Answer]] = []
        while not over.is_set():
            due += chance.expovariate(rate)
            wait = due - (time.monotonic() - begun)
            if wait > 0:
                await asyncio.sleep(wait)
            under_way.append(asyncio.create_task(self.ask(due, begun)))
        return list(await asyncio.gather(*under_way))
