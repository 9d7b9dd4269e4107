"""Judged sets from a folder: splits, simulated clicks, graded NDCG."""

import json
from pathlib import Path

import numpy as np
import pytest

judged = pytest.importorskip("quality.judged")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """40 queries; query n has items n (grade 3), n + 40 (2) and n + 80 (1); item 119 has no text."""
    items = [{"item_id": f"i{n}", "title": f"word{n % 40}", "description": f"text {n}"} for n in range(400)]
    items[119] = {"item_id": "i119", "title": "", "description": None}
    lines = [
        {"query": f"word{n}", "object_id": f"i{n + 40 * (3 - grade)}", "grade": grade}
        for n in range(40)
        for grade in (0, 1, 2, 3)
    ]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    for part in (0, 1):
        (tmp_path / f"judgments_{part}.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines[part::2]))
    return tmp_path


def test_no_query_is_both_learned_from_and_scored_and_items_without_text_are_left_out(folder: Path) -> None:
    here = judged.load(folder, 1000)
    assert not set(here.world.clicked.queries) & set(here.world.scored.queries)
    assert len(here.learn_grades) + len(here.unseen_grades) == 40
    ids = [document.item_id for document in here.world.catalogue]
    assert len(ids) == 399
    for query, grades in zip(here.world.scored.queries, here.unseen_grades, strict=True):
        n = int(query.removeprefix("word"))
        expected = {f"i{n + 40 * (3 - g)}": g for g in (1, 2, 3)}
        expected.pop("i119", None)
        assert {ids[p]: g for p, g in grades.items()} == expected


def test_a_sampled_catalogue_keeps_what_is_relevant(folder: Path) -> None:
    here = judged.load(folder, 150, 10)
    assert len(here.world.catalogue) == 150
    assert len(here.learn_grades) == len(here.unseen_grades) == 10
    assert all(len(grades) >= 2 for grades in here.learn_grades)


def test_clicks_favour_what_is_relevant_and_all_sessions_have_one(folder: Path) -> None:
    here = judged.load(folder, 1000)
    scores = np.random.default_rng(0).normal(0, 1, (len(here.learn_grades), 399))
    for row, grades in zip(scores, here.learn_grades, strict=True):
        row[list(grades)] += 3
    shares = []
    for click_irrelevant in (0.0, 0.5):
        how = judged.Logging(sessions=300, click_irrelevant=click_irrelevant)
        found = judged.clicked_sessions(here, scores, scores, how, 0)
        assert len(found) == 300
        assert all(one["events"] for one in found)
        grades = dict(zip(here.world.clicked.queries, here.learn_grades, strict=True))
        ids = [document.item_id for document in here.world.catalogue]
        clicks = [ids.index(e["object_id"]) in grades[s["search_query"]] for s in found for e in s["events"]]
        shares.append(np.mean(clicks))
    assert shares[0] == 1
    assert 0.3 < shares[1] < 0.9
    assert judged.clicked_sessions(here, scores, scores, how, 0) == found


def test_the_oracle_clicks_what_people_judged_and_nothing_else(folder: Path) -> None:
    here = judged.load(folder, 1000)
    words = np.random.default_rng(0).normal(0, 1, (len(here.learn_grades), 399))
    found = judged.oracle_sessions(here, words, 60, 0)
    ids = [document.item_id for document in here.world.catalogue]
    grades = dict(zip(here.world.clicked.queries, here.learn_grades, strict=True))
    for one in found:
        clicked = {ids.index(event["object_id"]) for event in one["events"]}
        shown = {ids.index(result["object_id"]) for result in one["search_results"]}
        assert clicked == shown & set(grades[one["search_query"]])
        assert len(clicked) == 2


def test_ndcg_is_that_of_the_grades() -> None:
    scores = np.array([[0.9, 0.8, 0.7, 0.1], [0.1, 0.2, 0.3, 0.4]])
    grades: list[dict[int, int]] = [{0: 1, 2: 3}, {3: 2}]
    ideal = 3 + 1 / np.log2(3)
    assert judged.ndcg(scores, grades).tolist() == pytest.approx([(1 + 3 / 2) / ideal, 1.0])
