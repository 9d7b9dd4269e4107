"""Simulated sessions: the click model's probabilities, the clickstream format, and the same ones for the same seed."""

import json
from typing import Any

import numpy as np
import pytest
from semanlink.dataset import Document, Judgments

from semanlink import clicks

DOCUMENTS = [Document(f"d{i}", f"title {i} {'even' if i % 2 == 0 else 'odd'}", "", "") for i in range(40)]
JUDGMENTS = Judgments(("even", "odd"), (frozenset(range(0, 40, 2)), frozenset(range(1, 40, 2))))
COSINES = np.random.default_rng(7).random((2, 40)).astype(np.float32)


def simulate(seed: int = 0, count: int = 60, **model: Any) -> list[dict[str, Any]]:
    return list(
        clicks.simulate(DOCUMENTS, JUDGMENTS, COSINES, count=count, seed=seed, model=clicks.ClickModel(**model))
    )


def test_click_rates_are_examination_times_attraction() -> None:
    random, model = np.random.default_rng(0), clicks.ClickModel()
    shares = [
        np.mean([clicks.clicked(np.full(10, r), model, random) for _ in range(20_000)], axis=0) for r in (True, False)
    ]
    np.testing.assert_allclose(shares[0], clicks.EXAMINATION, atol=0.02)
    np.testing.assert_allclose(shares[1], clicks.EXAMINATION * 0.1, atol=0.01)


def test_a_larger_eta_looks_less_far_down() -> None:
    random = np.random.default_rng(0)
    near, far = (
        np.mean([clicks.clicked(np.full(10, True), clicks.ClickModel(eta=eta), random) for _ in range(5_000)], axis=0)
        for eta in (2.0, 0.5)
    )
    assert near[-1] < 0.02 < 0.2 < far[-1]


def test_a_session_is_what_the_clickstream_takes() -> None:
    for session in simulate():
        shown = [result["object_id"] for result in session["search_results"]]
        assert session["search_query"] in JUDGMENTS.queries
        assert len(shown) == len(set(shown)) == 10
        assert {event["object_id"] for event in session["events"]} <= set(shown)
        assert [result["rank"] for result in session["search_results"]] == list(range(10))


def test_ids_are_unique_and_time_goes_on() -> None:
    sessions = simulate()
    assert len({session["session_id"] for session in sessions}) == len(sessions)
    assert [s["created_at"] for s in sessions] == sorted(s["created_at"] for s in sessions)


def test_a_seed_always_gives_the_same_bytes_and_another_gives_others() -> None:
    assert clicks.jsonl(simulate(1)) == clicks.jsonl(simulate(1)) != clicks.jsonl(simulate(2))


def test_the_number_of_sessions_is_free_and_queries_take_turns() -> None:
    assert [len(simulate(count=count)) for count in (1, 2, 7)] == [1, 2, 7]
    assert {session["search_query"] for session in simulate(count=2)} == set(JUDGMENTS.queries)


def test_without_noise_the_best_cosines_are_shown() -> None:
    session = simulate(count=1, noise=0.0, bm25_share=0.0)[0]
    query = JUDGMENTS.queries.index(session["search_query"])
    best = np.argsort(-COSINES[query])[:10]
    assert [result["object_id"] for result in session["search_results"]] == [DOCUMENTS[i].item_id for i in best]


def test_every_line_is_json() -> None:
    lines = clicks.jsonl(simulate(count=5)).decode().splitlines()
    assert [json.loads(line)["session_id"] for line in lines] == [s["session_id"] for s in simulate(count=5)]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_either_logger_alone_works(share: float) -> None:
    assert len(simulate(bm25_share=share)) == 60
