"""Splits and clicks of the quality benchmark: what is scored was never clicked."""

import numpy as np
import pytest
from semanlink.dataset import Document, Judgments, Semanlink

from quality.worlds import World, clicked_sessions, world


@pytest.fixture(scope="module")
def data() -> Semanlink:
    documents = tuple(
        Document(f"d{i}", f"word{i % 40} title {i}", "", "", f"20{10 + i % 10}-01-{1 + i % 28:02}") for i in range(400)
    )
    judgments = Judgments(
        tuple(f"word{tag}" for tag in range(40)), tuple(frozenset(range(tag, 400, 40)) for tag in range(40))
    )
    return Semanlink(documents, judgments)


def test_by_tags_no_scored_query_is_ever_searched(data: Semanlink) -> None:
    here = world(data, "tags")
    assert not set(here.clicked.queries) & set(here.scored.queries)
    assert len(here.clicked) + len(here.scored) == 40
    assert here.ranked == data.documents


def test_by_time_what_is_ranked_is_newer_than_all_that_was_shown(data: Semanlink) -> None:
    here = world(data, "time")
    assert max(d.date for d in here.catalogue) <= min(d.date for d in here.ranked)
    assert len(here.catalogue) + len(here.ranked) == 400
    tag = here.scored.queries[0]
    meant = {data.documents[p].item_id for p in data.judgments.relevant[data.judgments.queries.index(tag)]}
    assert {here.ranked[p].item_id for p in here.scored.relevant[0]} <= meant


def sessions(here: World, clicks: str, count: int = 60) -> list[dict[str, object]]:
    cosines = np.zeros((len(here.clicked), len(here.catalogue)), np.float32)
    for row, relevant in enumerate(here.clicked.relevant):
        cosines[row, list(relevant)] = 1.0
    cosines += np.random.default_rng(0).normal(0, 0.3, cosines.shape).astype(np.float32)
    return clicked_sessions(here, cosines, count=count, seed=0, logger="zero-shot", clicks=clicks)  # type: ignore[arg-type]


def clicked_places(found: list[dict[str, object]]) -> list[int]:
    places = []
    for one in found:
        shown = [result["object_id"] for result in one["search_results"]]  # type: ignore[attr-defined]
        places += [shown.index(event["object_id"]) for event in one["events"]]  # type: ignore[attr-defined]
    return places


def test_there_are_as_many_sessions_as_asked_for_all_with_a_click(data: Semanlink) -> None:
    found = sessions(world(data, "tags"), "model")
    assert len(found) == 60
    assert all(session["events"] for session in found)
    assert [s["created_at"] for s in found] == sorted(str(s["created_at"]) for s in found)


def test_noise_keeps_the_number_of_clicks_and_forgets_where_they_were(data: Semanlink) -> None:
    here = world(data, "tags")
    meant, noise = sessions(here, "model", 200), sessions(here, "noise", 200)
    assert [len(s["events"]) for s in meant] == [len(s["events"]) for s in noise]  # type: ignore[arg-type]
    assert np.mean(clicked_places(meant)) < 3
    assert np.mean(clicked_places(noise)) == pytest.approx(4.5, abs=0.6)


def test_more_sessions_than_can_be_made_are_refused(data: Semanlink) -> None:
    with pytest.raises(ValueError, match="100000 sessions"):
        sessions(world(data, "tags"), "model", 100_000)
