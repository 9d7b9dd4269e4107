"""The judged side of the gate: the whole catalogue in blocks, ties, and items that nobody judged."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from bluetune_trainer.ranking.ties import RanksNotFinite
from bluetune_trainer.search import catalogue_ranking
from bluetune_trainer.search.catalogue_ranking import CatalogueRanking, rank_catalogue
from bluetune_trainer.search.judged import judged_metrics
from bluetune_trainer.training.batches import Ints

ITEMS, QUERIES = 60, 4


class Table:
    """Numbers of texts: those of queries from 1000 on."""

    def add(self, texts: list[str], kind: str) -> Ints:
        return np.array([1000 + int(text) for text in texts], np.int64)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue_ranking, "ITEMS_IN_BLOCK", 7)
    monkeypatch.setattr(catalogue_ranking, "QUERIES_IN_BLOCK", 3)
    # An item's vector is its number, a query's its number less 1000, so that a ranker reads its ranks in a table.
    monkeypatch.setattr(catalogue_ranking, "embed_all", lambda e, texts, s: torch.from_numpy(texts % 1000)[:, None])


def ranked(ranks: torch.Tensor, items: Ints, pairs: list[Ints], *, is_similarity: bool = True) -> CatalogueRanking:
    """By ranks of queries and numbers of items."""

    class Embedder:
        table = Table()

    ranker: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = lambda q, i: ranks[q[:, 0]][:, i[:, 0]]  # noqa: E731
    return rank_catalogue(
        Embedder(),  # type: ignore[arg-type]
        [str(q) for q in range(len(ranks))],
        items,
        ranker,
        pairs,
        is_similarity=is_similarity,
        depth=min(10, len(items)),
    )


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("levels", [3, 12, 1000])
@pytest.mark.parametrize("is_similarity", [True, False])
def test_blocks_give_what_one_sorted_catalogue_does_whatever_is_tied(levels: int, is_similarity: bool) -> None:
    random = np.random.default_rng(levels)
    by_number = torch.from_numpy(random.integers(0, levels, (QUERIES, 40)) / levels).float()
    items = random.integers(0, 40, ITEMS)  # some items have the same text
    pairs = [random.permutation(ITEMS)[: 5 + q] for q in range(QUERIES)]
    grades = [random.integers(0, 3, len(p)).astype(float).tolist() for p in pairs]
    found = judged_metrics(ranked(by_number, items, pairs, is_similarity=is_similarity), grades)
    for q in range(QUERIES):
        scores = by_number[q][items] * (1 if is_similarity else -1)
        grade = dict(zip(pairs[q].tolist(), grades[q], strict=True))
        expected = np.zeros(5)
        for _ in range(400):  # orders of what is tied
            order = np.lexsort((random.random(ITEMS), -scores.numpy()))
            expected += of_order(order.tolist(), grade)
        got = [float(found[name][q]) for name in found]
        assert got == pytest.approx((expected / 400).tolist(), abs=0.04 if levels < 1000 else 0.02)


def of_order(order: list[int], grade: dict[int, float]) -> list[float]:
    """NDCG, MRR, recall, condensed NDCG and the judged share of one order of all items."""

    def dcg(gains: list[float]) -> float:
        return sum(g / math.log2(place + 2) for place, g in enumerate(gains[:10]))

    ideal = max(dcg(sorted(grade.values(), reverse=True)), 1e-12)
    gains = [grade.get(item, 0.0) for item in order]
    hits = [g > 0 for g in gains[:10]]
    return [
        dcg(gains) / ideal,
        1 / (hits.index(True) + 1) if any(hits) else 0.0,
        sum(hits) / max(sum(g > 0 for g in grade.values()), 1),
        dcg([grade[item] for item in order if item in grade]) / ideal,
        sum(item in grade for item in order[:10]) / 10,
    ]


@pytest.mark.usefixtures("small_blocks")
def test_the_first_places_are_those_of_the_catalogue() -> None:
    ranks = torch.rand(QUERIES, ITEMS, generator=torch.Generator().manual_seed(1))
    found = ranked(ranks, np.arange(ITEMS), [np.array([3])] * QUERIES)
    assert found.best.tolist() == ranks.topk(10).indices.tolist()
    assert found.of_pairs.tolist() == ranks[:, 3].tolist()
    few = ranked(ranks[:, :4], np.arange(4), [np.array([3])] * QUERIES)
    assert few.best.tolist() == ranks[:, :4].topk(4).indices.tolist()


@pytest.mark.usefixtures("small_blocks")
def test_what_nobody_judged_is_said_and_left_out_of_the_condensed_list() -> None:
    ranks = torch.linspace(1, 0, ITEMS)[None]
    found = ranked(ranks, np.arange(ITEMS), [np.array([12, 14])])
    values = {name: float(value) for name, value in judged_metrics(found, [[1.0, 0.0]]).items()}
    assert values == {"ndcg@10": 0, "mrr@10": 0, "recall@10": 0, "ndcg@10_condensed": 1, "judged@10": 0}


@pytest.mark.usefixtures("small_blocks")
def test_a_model_that_ranks_all_alike_finds_judged_items_by_chance() -> None:
    found = ranked(torch.ones(1, ITEMS), np.arange(ITEMS), [np.arange(6)])
    values = judged_metrics(found, [[1.0] * 6])
    assert float(values["recall@10"]) == pytest.approx(10 / ITEMS)
    first = [math.comb(ITEMS - 1 - place, 5) / math.comb(ITEMS, 6) for place in range(10)]
    assert float(values["mrr@10"]) == pytest.approx(sum(c / (p + 1) for p, c in enumerate(first)))


@pytest.mark.usefixtures("small_blocks")
def test_a_rank_that_is_no_number_is_refused_also_of_an_item_that_nobody_judged() -> None:
    ranks = torch.rand(1, ITEMS)
    ranks[0, 41] = math.nan
    with pytest.raises(RanksNotFinite):
        ranked(ranks, np.arange(ITEMS), [np.array([3])])


def test_no_block_is_larger_than_it_says(small_blocks: None) -> None:
    seen: list[tuple[int, int]] = []

    class Embedder:
        table = Table()

    def ranker(queries: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        seen.append((len(queries), len(items)))
        return torch.zeros(len(queries), len(items))

    many_alike = np.array([5] * 200 + [6, 7])
    found = rank_catalogue(
        Embedder(),  # type: ignore[arg-type]
        [str(q) for q in range(8)],
        many_alike,
        ranker,
        [np.array([0])] * 8,
        is_similarity=True,
        depth=10,
    )
    assert max(q for q, _ in seen) == 3
    assert max(i for _, i in seen) <= 7
    assert found.tied_at_end.tolist() == [202] * 8
    assert list(itertools.chain(*found.best.tolist()))
