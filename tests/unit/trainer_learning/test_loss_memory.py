"""One long session among short ones: no loss, and no kind of examples, makes a tensor of results times results."""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from bluetune_trainer.ranking.features import ExamplesType, RankingFeatures
from bluetune_trainer.ranking.losses import (
    CosineProbMarginRankingLoss,
    InfoNCELoss,
    ListwiseSoftmaxLoss,
    RankingLossInterface,
)

SESSIONS, RESULTS, ITEMS = 40, 1000, 400


class Largest(TorchDispatchMode):
    """Numbers in the largest tensor that is made."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_iter(made):
            if isinstance(tensor, torch.Tensor):
                self.numbers = max(self.numbers, tensor.untyped_storage().nbytes() // tensor.element_size())
        return made


@pytest.mark.parametrize("loss", [ListwiseSoftmaxLoss(), InfoNCELoss(), CosineProbMarginRankingLoss(0.2)])
@pytest.mark.parametrize("kind", [ExamplesType.all_examples, ExamplesType.hard_negatives, ExamplesType.hard_positives])
def test_a_step_makes_no_tensor_larger_than_a_row_of_results_for_each_click(
    loss: RankingLossInterface, kind: ExamplesType
) -> None:
    random = torch.Generator().manual_seed(0)
    valid = torch.zeros(SESSIONS, RESULTS, dtype=torch.bool)
    valid[:, :10] = True
    valid[0] = True
    clicked = torch.zeros(SESSIONS, RESULTS, dtype=torch.bool)
    clicked[:, 3] = True
    clicked[0, :20] = True
    features = RankingFeatures(
        ranks=torch.rand(SESSIONS, RESULTS, generator=random).requires_grad_(),
        clicked=clicked,
        valid=valid,
        confidences=valid.float(),
        batch_ranks=torch.rand(SESSIONS, ITEMS, generator=random),
        batch_allowed=torch.ones(SESSIONS, ITEMS, dtype=torch.bool),
        examples=kind,
    )
    with Largest() as largest:
        loss(features).backward()
    clicks = SESSIONS + 19
    assert SESSIONS * RESULTS <= largest.numbers <= 2 * clicks * RESULTS
