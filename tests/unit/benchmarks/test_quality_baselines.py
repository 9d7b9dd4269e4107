"""Batches and budget of the sentence-transformers column. Needs the library, but no model."""

import numpy as np
import pytest

baselines = pytest.importorskip("quality.baselines")


def session(query: str, *clicked: str) -> dict[str, object]:
    return {
        "search_query": query,
        "search_results": [{"object_id": f"{query}-{i}"} for i in range(5)],
        "events": [{"object_id": one} for one in clicked],
    }


def test_each_click_is_a_row_and_no_query_meets_itself_in_a_batch() -> None:
    sessions = [session(f"q{i % 40}", f"q{i % 40}-0", f"q{i % 40}-3") for i in range(80)]
    found = baselines.batches(sessions, np.random.default_rng(0), 16)
    assert all(len(batch) == 16 for batch in found)
    for batch in found:
        assert len({row[0] for row in batch}) == len({row[1] for row in batch}) == 16
        assert all(row[1].endswith(("-0", "-3")) and not row[2].endswith(("-0", "-3")) for row in batch)


def test_a_session_all_clicked_gives_no_row_and_few_rows_make_a_batch_all_the_same() -> None:
    everything = session("a", *(f"a-{i}" for i in range(5)))
    found = baselines.batches([everything, session("b", "b-1")], np.random.default_rng(0), 16)
    assert [[row[:2] for row in batch] for batch in found] == [[("b", "b-1")]]


@pytest.mark.parametrize(("budget", "share"), [({"steps": 8}, 0.5), ({"processor_seconds": 40.0}, 0.25)])
def test_a_budget_is_of_steps_or_of_processor_time(budget: dict[str, float], share: float) -> None:
    assert baselines.Budget(**budget).spent(4, 10.0) == share
