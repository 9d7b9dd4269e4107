"""Which metric stops a trial early, and which way it is to go."""

from typing import Literal

import pytest

from bluetune_api.method import EarlyStopping
from bluetune_trainer.ranking.accumulators import MetricsAccumulator
from bluetune_trainer.training.early_stopping import EarlyStop, known_metrics, mode_of, problem_with


@pytest.mark.parametrize(
    ("monitor", "mode", "expected"),
    [
        ("val_loss", None, "min"),
        ("mean_train_loss", None, "min"),
        ("ndcg@10", None, "max"),
        ("not_irrelevant_dist_shift", None, "max"),
        ("spread", "min", "min"),
        ("val_loss", "max", "max"),
    ],
)
def test_a_loss_is_to_fall_and_anything_else_to_rise_unless_the_settings_say_otherwise(
    monitor: str, mode: Literal["min", "max"] | None, expected: str
) -> None:
    stop = EarlyStop(EarlyStopping(monitor=monitor, mode=mode, patience=5, min_delta=0.1))
    assert mode_of(EarlyStopping(monitor=monitor, mode=mode)) == expected
    assert (stop.monitor, stop.mode, stop.patience, abs(stop.min_delta)) == (monitor, expected, 5, 0.1)


def test_what_accumulators_make_of_a_metric_can_be_monitored() -> None:
    followed = MetricsAccumulator("train_loss", calc_mean=True, calc_sliding=True)
    assert known_metrics(["ndcg@10"], [followed]) == {
        *("ndcg@10", "val_loss", "loss", "train_loss", "mean_train_loss", "sliding_train_loss")
    }
    assert followed.aggregate() == []


def test_a_metric_that_is_not_reported_is_named_with_the_one_that_was_meant() -> None:
    assert problem_with(EarlyStopping(monitor="val_loss"), {"val_loss"}) is None
    assert problem_with(EarlyStopping(monitor="val_los"), {"val_loss", "ndcg@10"}) == (
        "settings.earlyStopping.monitor: no validation reports 'val_los'; did you mean 'val_loss'? Known are ndcg@10,"
        " val_loss"
    )
