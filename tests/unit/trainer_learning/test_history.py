"""A trial's validations, recorded and bounded."""

import pytest

from bluetune_api.records import TrialPoint
from bluetune_trainer.training.history import MAX_POINTS, History, halved


def test_a_point_has_the_mean_training_loss_since_the_validation_before() -> None:
    history = History()
    for loss in (3.0, 1.0):
        history.stepped(loss)
    history.validated(0.5, 0.4, 1.5)
    history.stepped(0.5)
    history.validated(1.0, 0.5, 1.2)
    history.validated(1.0, 0.5, 1.2)
    assert history.points == [
        TrialPoint(epoch=0.5, quality=0.4, val_loss=1.5, train_loss=2.0),
        TrialPoint(epoch=1.0, quality=0.5, val_loss=1.2, train_loss=0.5),
        TrialPoint(epoch=1.0, quality=0.5, val_loss=1.2, train_loss=None),
    ]


def test_many_validations_stay_bounded_in_order_and_keep_the_peak_and_the_end() -> None:
    history = History()
    for number in range(1, 1001):
        history.stepped(1.0)
        history.validated(number / 100, 0.9 if number == 333 else 0.5, 1.0)
    epochs = [point.epoch for point in history.points]
    assert len(epochs) <= MAX_POINTS
    assert epochs == sorted(epochs)
    assert (3.33, 0.9) in [(point.epoch, point.quality) for point in history.points]
    assert epochs[-1] == 10.0


@pytest.mark.parametrize("count", [0, 1, 4, 5])
def test_halving_keeps_the_better_of_two_neighbours(count: int) -> None:
    points = [TrialPoint(epoch=i, quality=i % 2, val_loss=0, train_loss=float(i)) for i in range(count)]
    assert [point.epoch for point in halved(points)] == [[], [0], [1, 3], [1, 3, 4]][[0, 1, 4, 5].index(count)]
    if count > 1:
        assert halved(points)[0].train_loss == 0.5
