"""Cells, intervals and the table of the quality benchmark."""

from pathlib import Path

import numpy as np
import pytest

from quality.cells import Cell, Measured, cached
from quality.plan import plan
from quality.report import heading, interval, page, paired, rows, table


def test_a_cell_is_measured_once_for_a_version_of_the_code(tmp_path: Path) -> None:
    calls: list[int] = []

    def measure() -> Measured:
        calls.append(1)
        return Measured([0.5, 1.0], 0.7, 0.3, more={"steps": 3})

    first = cached(tmp_path, Cell("default"), "a", measure)
    assert cached(tmp_path, Cell("default"), "a", measure) == first
    assert len(calls) == 1
    cached(tmp_path, Cell("default"), "b", measure)
    cached(tmp_path, Cell("default", seed=1), "a", measure)
    assert len(calls) == 3


def test_what_learns_nothing_is_measured_once_for_all_clicks(tmp_path: Path) -> None:
    calls: list[int] = []

    def measure() -> Measured:
        calls.append(1)
        return Measured([0.5], 0.7, 0.3)

    for seed in (0, 1):
        for count in (100, 1257):
            cached(tmp_path, Cell("bm25", sessions=count, seed=seed), "a", measure)
    assert len(calls) == 1
    cached(tmp_path, Cell("bm25", split="time"), "a", measure)
    assert len(calls) == 2


def test_the_interval_is_that_of_a_mean() -> None:
    difference = np.random.default_rng(1).normal(0.02, 0.1, 400)
    low, high = interval(difference)
    mean, half = difference.mean(), 1.96 * difference.std() / 20
    assert low == pytest.approx(mean - half, abs=0.0015)
    assert high == pytest.approx(mean + half, abs=0.0015)


def test_a_difference_pairs_queries_and_seeds() -> None:
    cells = {
        Cell("default", seed=0): Measured([0.6, 0.4], 0, 0),
        Cell("default", seed=1): Measured([0.8, 0.4], 0, 0),
        Cell("bm25", seed=0): Measured([0.5, 0.5], 0, 0),
        Cell("bm25", seed=1): Measured([0.5, 0.5], 0, 0),
        Cell("bm25", seed=2): Measured([0.0, 0.0], 0, 0),
    }
    ours, theirs = ([c for c in cells if c.column == name] for name in ("default", "bm25"))
    found = paired(cells, ours, theirs)
    assert found["seeds"] == {"0": 0.0, "1": 0.1}
    assert found["delta"] == 0.05
    assert (found["low"], found["high"]) == (-0.1, 0.2)


def test_the_table_has_a_part_for_each_setting() -> None:
    cells = {
        Cell(column, sessions=count): Measured([0.5, 0.7], 0.6, 0.2)
        for count in (100, 1257)
        for column in ("bm25", "zero_shot", "default")
    }
    made = rows(cells)
    assert [row["column"] for row in made] == ["zero_shot", "bm25", "default"] * 2
    text = table(made)
    assert text.count("## ") == 2
    assert "| bluetune, default | 0.6000 | 0.6000 | 0.2000 | +0.0000 [+0.0000, +0.0000] |  |" in text
    assert heading({**made[0], "clicks": "noise"}).endswith("clicks are pure noise")


def test_the_default_is_planned_before_what_gets_its_time() -> None:
    cells = plan([0, 1])
    assert len(set(cells)) == len(cells)
    for i, cell in enumerate(cells):
        if cell.column == "st_time":
            assert Cell("default", cell.split, cell.sessions, cell.logger, cell.clicks, cell.seed) in cells[:i]


def test_the_page_tells_goals_met_and_missed_and_what_the_gate_said_of_noise() -> None:
    said = {"default": {"promoted": "False", "reason": "GateNotPassed", "message": "worse"}}
    cells = {
        Cell("default"): Measured([0.48], 0, 0),
        Cell("search"): Measured([0.5], 0, 0),
        Cell("default", sessions=100): Measured([0.4], 0, 0),
        Cell("default", clicks="noise"): Measured([0.4], 0, 0, more={"decisions": said}),
    }
    machine = {"threads": 2, "cores": 2, "processor": "a processor", "date": "2026-01-01"}
    text = page({"machine": machine, "goals": {"default": 0.485, "search": 0.49}, "rows": rows(cells)})
    assert "2 threads of 2 cores, a processor, 2026-01-01" in text
    assert text.count("- Goal") == 2
    assert "“bluetune, default”, NDCG@10 of 0.485: missed by 0.0050" in text
    assert "“bluetune, search”, NDCG@10 of 0.49: met by 0.0100" in text
    assert "- Noise, seed 0, “bluetune, default”, gate default: GateNotPassed: worse" in text
