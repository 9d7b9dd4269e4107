"""What a trial went through, validation by validation: bounded, however often it validates."""

import math

from bluetune_api.records import TrialPoint

MAX_POINTS = 100
DIGITS = 6


class History:
    """Collects a point at each validation, with the mean training loss of the steps since the one before.

    At MAX_POINTS, neighbours become one: the point with the higher objective, with the mean of both training losses.
    So the curve keeps its peaks and its length stays bounded.
    """

    def __init__(self) -> None:
        self.points: list[TrialPoint] = []
        self.losses: list[float] = []
        """Of the steps since the last validation."""

    def stepped(self, loss: float) -> None:
        """A training step had this loss."""
        self.losses.append(loss)

    def validated(self, epoch: float, quality: float, val_loss: float) -> None:
        """A validation took place."""
        train = math.fsum(self.losses) / len(self.losses) if self.losses else None
        self.losses.clear()
        if len(self.points) >= MAX_POINTS:
            self.points = halved(self.points)
        self.points.append(
            TrialPoint(
                epoch=epoch,
                quality=round(quality, DIGITS),
                val_loss=round(val_loss, DIGITS),
                train_loss=None if train is None else round(train, DIGITS),
            )
        )


def halved(points: list[TrialPoint]) -> list[TrialPoint]:
    """Each pair of neighbours as one point; an odd last one stays."""
    pairs = [points[i : i + 2] for i in range(0, len(points), 2)]
    return [_joined(pair) for pair in pairs]


def _joined(pair: list[TrialPoint]) -> TrialPoint:
    better = max(pair, key=lambda point: point.quality)
    losses = [point.train_loss for point in pair if point.train_loss is not None]
    return better.model_copy(update={"train_loss": round(math.fsum(losses) / len(losses), DIGITS) if losses else None})
