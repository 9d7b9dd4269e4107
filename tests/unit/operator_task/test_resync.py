"""A full list wakes what the watches missed, and has looked at what is under way before the next one."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from bluetune_operator.adapters.cache import ObjectCache
from bluetune_operator.adapters.kube import KubeApi
from bluetune_operator.core.config import Config
from bluetune_operator.core.errors import ApiError, ApiUnavailable
from bluetune_operator.core.kinds import METHODS, MODELS, TASKS, Key, Kind
from bluetune_operator.handlers import informer
from bluetune_operator.handlers.health import Health
from bluetune_operator.handlers.informer import Informer
from unit.operator_task.cached_objects import task, thing

PERIOD = Config().resync_seconds


class Server:
    """Answers lists, a page for each list of objects; None breaks off, and a scope may be refused."""

    def __init__(self, **pages: list[list[dict[str, Any]] | None]) -> None:
        self.pages_of = pages
        self.refused: dict[str | None, ApiError] = {}

    async def pages(self, kind: Kind, scope: str | None, *, labels: str | None) -> AsyncIterator[list[dict[str, Any]]]:
        if scope in self.refused:
            raise self.refused[scope]
        for page in self.pages_of.get(kind.plural, []):
            if page is None:
                raise ApiUnavailable("cut")
            yield [one for one in page if scope is None or one["metadata"]["namespace"] == scope]


class Listing:
    """An informer and what it put on the queue: after how many seconds, by key."""

    def __init__(self, server: Server, *namespaces: str) -> None:
        self.cache = ObjectCache()
        self.added: dict[str, float] = {}
        self.health = Health(PERIOD)
        config = Config(namespaces=namespaces)
        self.informer = Informer(cast("KubeApi", server), self.cache, config, self.health, self._add)

    def resync(self) -> dict[str, float]:
        self.added.clear()
        asyncio.run(self.informer.resync())
        return self.added

    def _add(self, key: Key, delay: float, *, urgent: bool = True) -> None:
        name = f"{key.kind}/{key.name}"
        self.added[name] = min(delay, self.added.get(name, delay))


def test_an_unchanged_list_has_what_is_under_way_looked_at_before_the_next_one() -> None:
    server = Server(
        embeddingmodels=[[thing("m", spec={})]],
        finetuningmethods=[[thing("text", spec={})]],
        finetuningtasks=[[task("holds", locked=True), task("waits")], [task("over", locked=True, ended=True)]],
    )
    listing = Listing(server)
    first = listing.resync()
    assert {name for name, delay in first.items() if delay == 0} == {
        "EmbeddingModel/m",
        "Lock/m",
        "FineTuningMethod/text",
        "FineTuningTask/holds",
        "FineTuningTask/waits",
        "FineTuningTask/over",
    }
    again = listing.resync()
    assert set(again) >= {"EmbeddingModel/m", "Lock/m", "FineTuningMethod/text", "FineTuningTask/holds"}
    assert "FineTuningTask/waits" not in again
    assert all(0 < delay < PERIOD for delay in again.values())
    assert len(set(again.values())) == len(again)


def test_what_a_list_took_over_before_it_broke_off_is_woken() -> None:
    listing = Listing(Server(finetuningtasks=[[task("seen")], None]))
    with pytest.raises(ApiUnavailable):
        listing.resync()
    assert listing.cache.get(TASKS, "n", "seen") is not None
    assert listing.added["FineTuningTask/seen"] == 0


def test_what_a_list_no_longer_shows_is_gone_and_wakes_whom_it_concerns() -> None:
    server = Server(embeddingmodels=[[thing("m", spec={})]], finetuningtasks=[[task("gone"), task("stays")]])
    listing = Listing(server)
    listing.resync()
    server.pages_of["finetuningtasks"] = [[task("stays")]]
    again = listing.resync()
    assert listing.cache.get(TASKS, "n", "gone") is None
    assert again["FineTuningTask/gone"] == again["Lock/m"] == again["EmbeddingModel/m"] == 0
    assert "FineTuningTask/stays" not in again


def test_a_list_of_one_kind_says_nothing_about_another() -> None:
    listing = Listing(Server(embeddingmodels=[[thing("same", spec={})]], finetuningmethods=[[thing("same", spec={})]]))
    listing.resync()
    assert listing.cache.get(MODELS, "n", "same") is not None
    assert listing.cache.get(METHODS, "n", "same") is not None


def test_a_watch_that_begins_anew_is_followed_by_a_full_list_as_it_tells_of_no_deletions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(informer, "ANEW_SECONDS", 0.0)

    async def is_due(*events: tuple[Kind, str | None]) -> bool:
        listing = Listing(Server())
        for version, (kind, type_) in enumerate(events):
            listing.informer.seen(kind, type_, thing("x", version, spec={"modelRef": {"name": "m"}}))
        try:
            async with asyncio.timeout(0.05):
                await listing.informer.until_list_is_due(PERIOD)
        except TimeoutError:
            return False
        return True

    first, anew = (METHODS, None), (MODELS, None)
    assert not asyncio.run(is_due())
    assert not asyncio.run(is_due(first, (TASKS, None), (MODELS, "ADDED"), first))
    assert asyncio.run(is_due(first, (MODELS, "ADDED"), anew))
    assert not asyncio.run(is_due(first, (MODELS, "ADDED"), (TASKS, "DELETED")))


FORBIDDEN = ApiError(403, "Forbidden", "cannot list resource embeddingmodels in the namespace staging")


def in_staging(name: str) -> dict[str, Any]:
    made = task(name)
    made["metadata"]["namespace"] = "staging"
    return made


def test_a_namespace_that_is_refused_is_left_out_and_the_others_are_served() -> None:
    server = Server(finetuningtasks=[[task("here"), in_staging("there")]])
    listing = Listing(server, "n", "staging")
    listing.resync()
    assert listing.cache.get(TASKS, "staging", "there") is not None
    server.refused["staging"] = FORBIDDEN
    synced = listing.health.last_sync
    added = listing.resync()
    assert listing.informer.lost == {"staging"}
    assert listing.health.last_sync != synced
    assert listing.cache.get(TASKS, "n", "here") is not None
    assert listing.cache.get(TASKS, "staging", "there") is None
    assert added["FineTuningTask/there"] == 0
    del server.refused["staging"]
    listing.resync()
    assert listing.informer.lost == frozenset()
    assert listing.cache.get(TASKS, "staging", "there") is not None


@pytest.mark.parametrize(
    ("namespaces", "error"),
    [
        ((), FORBIDDEN),
        (("n",), FORBIDDEN),
        (("n", "staging"), ApiError(404, "NotFound", "the server could not find the requested resource")),
        (("n", "staging"), ApiError(401, "Unauthorized", "Unauthorized")),
    ],
)
def test_an_operator_that_may_list_nothing_says_so(namespaces: tuple[str, ...], error: ApiError) -> None:
    server = Server()
    server.refused = dict.fromkeys(namespaces or (None,), error)
    listing = Listing(server, *namespaces)
    with pytest.raises(ApiError, match=error.message):
        listing.resync()
    assert listing.health.last_sync is None


def test_an_api_server_that_does_not_answer_is_no_lost_namespace() -> None:
    listing = Listing(Server(finetuningtasks=[None]), "n", "staging")
    with pytest.raises(ApiUnavailable):
        listing.resync()
    assert listing.informer.lost == frozenset()
