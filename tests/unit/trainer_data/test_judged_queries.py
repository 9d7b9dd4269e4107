"""Nothing is trained, and no trial chosen, by the clicks of queries that people judged."""

import numpy as np
import pytest

from bluetune_trainer.data.judgments import without_judged
from bluetune_trainer.data.types import Sessions, Split
from bluetune_trainer.errors import DataInvalid


def sessions(*queries: str) -> Sessions:
    """Two results each, the first of them clicked."""
    count = len(queries)
    return Sessions(
        queries=list(queries),
        items=np.arange(2 * count, dtype=np.int32),
        clicked=np.tile([True, False], count),
        offsets=np.arange(0, 2 * count + 1, 2),
    )


def test_judged_queries_are_left_out_however_they_are_written_and_the_gate_keeps_its_own() -> None:
    split = Split(sessions("red lamp", "desk", "Red  LAMP "), sessions("Chair", "sofa"), sessions("bed", "red lamp"))
    left, left_out = without_judged(split, ["red lamp", "chair ", "unknown"])
    assert left.train.queries == ["desk"]
    assert left.train.items.tolist() == [2, 3]
    assert left.validation.queries == ["sofa"]
    assert left.gate.queries == ["bed", "red lamp"]
    assert left_out == 3


@pytest.mark.parametrize(("judged", "words"), [(["desk"], "training"), (["chair"], "validation")])
def test_judgments_of_all_queries_leave_nothing_to_train_on(judged: list[str], words: str) -> None:
    split = Split(sessions("desk"), sessions("chair"), sessions("bed"))
    with pytest.raises(DataInvalid, match=f"serving.gate.judgments: .*no {words} session"):
        without_judged(split, judged)
