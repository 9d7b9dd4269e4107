"""NDCG, MRR and recall equal trec_eval's, computed by pytrec_eval from the same qrels and run in TREC's files."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import pytrec_eval
import torch

from bluetune_trainer.ranking.metrics import RankedSessions, ndcg, per_session, recall, reciprocal_rank
from bluetune_trainer.ranking.ties import stand
from bluetune_trainer.search.catalogue_ranking import CatalogueRanking
from bluetune_trainer.search.judged import judged_metrics

QUERIES, ITEMS = 40, 25
TREC = {"ndcg@10": "ndcg_cut_10", "mrr@10": "recip_rank", "recall@10": "recall_10"}


def write(folder: Path, grades: np.ndarray, ranks: np.ndarray, most: int = ITEMS) -> tuple[Path, Path]:
    """Qrels of all judged documents (grade from 0 on), and a run of the best so many documents."""
    qrels, run = folder / "qrels.txt", folder / f"run{most}.txt"
    qrels.write_text(
        "".join(f"q{q} 0 d{d} {int(g)}\n" for q, row in enumerate(grades) for d, g in enumerate(row) if g >= 0)
    )
    best = np.argsort(-ranks, axis=1)[:, :most]
    run.write_text(
        "".join(
            f"q{q} Q0 d{d} {place} {ranks[q, d]:.9f} us\n"
            for q, row in enumerate(best)
            for place, d in enumerate(row, start=1)
        )
    )
    return qrels, run


def by_trec_eval(folder: Path, grades: np.ndarray, ranks: np.ndarray) -> dict[str, list[float]]:
    """Metric → value by query. trec_eval's recip_rank has no cut-off, so it gets a run of ten documents."""
    found: dict[str, list[float]] = {}
    for names, most in ((("ndcg@10", "recall@10"), ITEMS), (("mrr@10",), 10)):
        qrels, run = write(folder, grades, ranks, most)
        with qrels.open() as judged, run.open() as ranked:
            evaluator = pytrec_eval.RelevanceEvaluator(
                pytrec_eval.parse_qrel(judged), {"ndcg_cut.10", "recip_rank", "recall.10"}
            )
            values = evaluator.evaluate(pytrec_eval.parse_run(ranked))
        found |= {name: [values[f"q{q}"][TREC[name]] for q in range(len(grades))] for name in names}
    return found


def random_ranks(seed: int) -> np.ndarray:
    """All different, as trec_eval breaks ties by name."""
    return np.random.default_rng(seed).permuted(np.tile(np.arange(ITEMS) / ITEMS, (QUERIES, 1)), axis=1)


def test_clicks_are_scored_as_trec_eval_scores_them(tmp_path: Path) -> None:
    ranks = random_ranks(0)
    clicked = np.random.default_rng(1).random((QUERIES, ITEMS)) < 0.2
    clicked[:, 3] = True
    tensor = torch.from_numpy(ranks)
    sessions = RankedSessions(tensor, tensor, torch.from_numpy(clicked), torch.ones(QUERIES, ITEMS, dtype=torch.bool))
    found = {name: values.tolist() for name, values in per_session(sessions).items()}
    expected = by_trec_eval(tmp_path, clicked.astype(int), ranks)
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, abs=1e-6), name


def test_graded_judgments_are_scored_as_trec_eval_scores_them(tmp_path: Path) -> None:
    """Gains are linear in the grade, as in ndcg_cut; items without a judgment have none."""
    ranks, random = random_ranks(2), np.random.default_rng(3)
    grades = np.where(random.random((QUERIES, ITEMS)) < 0.4, random.integers(0, 4, (QUERIES, ITEMS)), -1)
    grades[:, 0] = 3
    pairs = [np.flatnonzero(row >= 0) for row in grades]
    best = torch.from_numpy(ranks).topk(10)
    ranking = CatalogueRanking(
        best.indices.numpy(),
        best.values,
        torch.ones(QUERIES, dtype=torch.int64),
        torch.from_numpy(np.concatenate([ranks[q][own] for q, own in enumerate(pairs)])),
    )
    found = judged_metrics(ranking, [grades[q][own].astype(float).tolist() for q, own in enumerate(pairs)])
    for name, values in by_trec_eval(tmp_path, grades, ranks).items():
        assert found[name].tolist() == pytest.approx(values, abs=1e-6), name


def orders(groups: Sequence[Sequence[int]]) -> list[list[int]]:
    each = [list(itertools.permutations(group)) for group in groups]
    return [list(itertools.chain(*order)) for order in itertools.product(*each)]


def test_ties_are_the_mean_of_what_trec_eval_gives_their_orders(tmp_path: Path) -> None:
    groups = [[0, 1], [2, 3, 4], [5], [6, 7, 8], [9, 10, 11]]  # the tenth place lies within the last
    grades = np.array([0, 2, 0, 1, 0, 0, 3, 0, 0, 1, 0, 2])
    every = orders(groups)
    places = np.argsort(np.array(every), axis=1)
    expected = by_trec_eval(tmp_path, np.tile(grades, (len(every), 1)), -places.astype(float))
    ranks = torch.zeros(1, len(grades))
    for level, group in enumerate(groups):
        ranks[0, group] = -float(level)
    standing = stand(ranks, torch.ones_like(ranks, dtype=torch.bool), is_similarity=True)
    gains = torch.from_numpy(grades)[None].double()
    found = {
        "ndcg@10": ndcg(gains, standing, gains),
        "mrr@10": reciprocal_rank(gains, standing),
        "recall@10": recall(gains, standing, (gains > 0).sum(1)),
    }
    for name, values in expected.items():
        assert float(found[name]) == pytest.approx(np.mean(values), abs=1e-6), name
