"""Long items: how they are cut into parts, and how the parts' ranks become one."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bluetune_trainer.ranking.rankers import COSINE_SIMILARITY
from bluetune_trainer.training.parts_of_items import MAX_PARTS, ByParts, by_item, split_to_fit, widened


@given(st.text("ab \n", max_size=400), st.integers(3, 40))
def test_parts_fit_are_as_long_as_they_can_be_and_lose_nothing_but_white_space(text: str, most: int) -> None:
    text = " ".join(text.split())
    parts = split_to_fit(text, lambda part: len(part) <= most)
    whole = text.split()
    if not whole:
        assert parts == [text]
        return
    assert all(0 < len(part) <= most for part in parts)
    found = "".join("".join(part.split()) for part in parts)
    if len(parts) < MAX_PARTS:
        assert found == "".join(whole)
    assert "".join(whole).startswith(found)
    for part, following in itertools.pairwise(parts):
        assert len(part) + 1 + len(following.split()[0]) > most or len(part) == most


@pytest.mark.parametrize(
    ("text", "most", "expected"),
    [
        ("one two three", 100, ["one two three"]),
        ("one two three", 7, ["one two", "three"]),
        ("abcdefgh", 3, ["abc", "def", "gh"]),
        ("电动自行车", 2, ["电动", "自行", "车"]),
        ("a abcdefgh", 3, ["a", "abc", "def", "gh"]),
        ("", 3, [""]),
        ("x", 0, ["x"]),
    ],
)
def test_words_stay_whole_where_they_can(text: str, most: int, expected: list[str]) -> None:
    assert split_to_fit(text, lambda part: len(part) <= most) == expected


def test_an_item_without_end_has_a_bounded_number_of_parts_and_of_looks() -> None:
    looked: list[int] = []

    def fits(part: str) -> bool:
        looked.append(len(part))
        return len(part) <= 500

    assert len(split_to_fit("word " * 1_000_000, fits)) == MAX_PARTS
    assert max(looked) <= 1024
    assert len(looked) < 30 * MAX_PARTS


VECTORS = [[[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]], [[0.8, 0.6]], [[-1.0, 0.0], [0.6, -0.8]]]


def plain(query: list[float], parts: list[list[float]], how: str) -> float:
    ranks = [sum(a * b for a, b in zip(query, part, strict=True)) for part in parts]
    if how == "Mean":
        return sum(ranks) / len(ranks)
    sign = 1 if how == "SoftMax" else -1
    weights = [math.exp(sign * rank / 0.1) for rank in ranks]
    return sum(w * r for w, r in zip(weights, ranks, strict=True)) / sum(weights)


@pytest.mark.parametrize("how", ["Mean", "SoftMax", "SoftMin"])
def test_ranks_of_parts_become_the_items_as_in_plain_python(how: str) -> None:
    queries = [[1.0, 0.0], [0.6, 0.8]]
    flat = torch.tensor([part for item in VECTORS for part in item], requires_grad=True)
    items = by_item(flat, [len(item) for item in VECTORS])
    ranks = ByParts(COSINE_SIMILARITY, how)(torch.tensor(queries), items)  # type: ignore[arg-type]
    expected = torch.tensor([[plain(query, item, how) for item in VECTORS] for query in queries])
    assert torch.allclose(ranks, expected, atol=1e-6)
    (ranks * torch.tensor([[1.0, 2.0, 3.0], [3.0, 1.0, 2.0]])).sum().backward()
    assert flat.grad is not None
    assert (flat.grad.abs().sum(1) > 0).all()


def test_queries_in_a_batch_of_parts_count_by_their_first() -> None:
    queries = widened(torch.tensor([[1.0, 0.0]]), 3)
    items = by_item(torch.tensor([part for item in VECTORS for part in item]), [3, 1, 2])
    ranker = ByParts(COSINE_SIMILARITY, "Mean")
    assert torch.equal(ranker(queries, items), ranker(torch.tensor([[1.0, 0.0]]), items))


def test_items_of_one_part_are_ranked_as_without_parts() -> None:
    queries, items = torch.eye(2), torch.tensor([[0.6, 0.8], [1.0, 0.0]])
    assert torch.equal(ByParts(COSINE_SIMILARITY, "SoftMax")(queries, items), COSINE_SIMILARITY(queries, items))
