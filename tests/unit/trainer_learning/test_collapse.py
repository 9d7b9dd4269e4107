"""When a model counts as collapsed."""

import itertools

import pytest
import torch

from bluetune_trainer.ranking.collapse import all_tied, collapsed, mean_cosine


def test_the_mean_cosine_is_that_of_all_pairs_of_items() -> None:
    vectors = torch.rand(6, 3, generator=torch.Generator().manual_seed(0)) - 0.3
    pairs = [float(torch.cosine_similarity(a, b, dim=0)) for a, b in itertools.combinations(vectors, 2)]
    assert mean_cosine(vectors) == pytest.approx(sum(pairs) / len(pairs), abs=1e-6)
    assert mean_cosine(torch.ones(5, 3)) == pytest.approx(1)
    assert mean_cosine(torch.ones(1, 3)) == 0


def test_parts_that_an_item_lacks_are_no_vectors() -> None:
    parts = torch.tensor([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 1.0], [0.0, 0.0]]])
    assert mean_cosine(parts) == pytest.approx(0)


def test_a_session_is_tied_if_all_its_valid_ranks_are_the_same() -> None:
    ranks = torch.tensor([[0.5, 0.5, 0.9], [0.5, 0.5, 0.9], [0.5, 0.1, 0.1]])
    valid = torch.tensor([[True, True, False], [True, True, True], [True, False, False]])
    assert all_tied(ranks, valid) == 0.5
    assert all_tied(ranks, torch.zeros(3, 3, dtype=torch.bool)) == 0


@pytest.mark.parametrize(
    ("cosine", "before", "tied", "found"),
    [
        (0.6, 0.5, 0.0, None),
        (0.9985, 0.5, 0.0, None),
        (0.9995, 0.5, 0.0, "mean cosine of two items is 0.99950"),
        (0.9995, 0.9989, 0.0, "mean cosine of two items is 0.99950"),
        (0.9991, 0.9989, 0.0, None),
        (1.0, 0.9999, 0.0, None),
        (0.5, 0.5, 0.94, None),
        (0.5, 0.5, 0.97, "all results rank alike in 97% of the sessions"),
    ],
)
def test_a_model_has_collapsed_if_it_no_longer_tells_items_apart(
    cosine: float, before: float, tied: float, found: str | None
) -> None:
    said = collapsed(cosine, before, tied)
    assert (said is None) == (found is None)
    assert found is None or found in str(said)
