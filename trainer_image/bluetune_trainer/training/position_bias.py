"""What a click counts: by its events, and corrected for the place at which the result was shown. numpy only."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bluetune_api.method import Propensity
from bluetune_trainer.training.batches import NumberedSessions


@dataclass(frozen=True)
class ClickWeights:
    """Inverse propensity scoring under the position-based model: a click is seen with the chance that its place is
    looked at, so it counts 1 / max(chance, clip).

    Source: Joachims, Swaminathan and Schnabel 2017, Unbiased Learning-to-Rank with Biased Feedback; the clip trades
    bias for variance (Strehl et al. 2010, Learning from Logged Implicit Exploration Data).
    """

    propensity: Propensity
    mean: float
    """Of 1 / max(chance, clip) over the training clicks: dividing by it keeps the loss's scale, and the gradient's."""

    @classmethod
    def of(cls, propensity: Propensity, train: NumberedSessions) -> "ClickWeights":
        """Scaled so that the training clicks weigh 1 on average."""
        inverse = 1 / clipped_chances(propensity, train.shown_rank[train.clicked])
        return cls(propensity, float(inverse.mean()) if len(inverse) else 1.0)

    def __call__(self, sessions: NumberedSessions) -> NDArray[np.float32]:
        """One weight for each result of the sessions; those of unclicked results mean nothing."""
        inverse = 1 / clipped_chances(self.propensity, sessions.shown_rank)
        return (inverse / self.mean).astype(np.float32)


@dataclass(frozen=True)
class Worth:
    """What a click counts in the loss: by the gain of its events, and by where the result was shown."""

    position: ClickWeights | None
    """Under `positionBias: IPS`."""
    mean_gain: float
    """Of the training clicks: dividing by it keeps the loss's scale, and the gradient's."""

    @classmethod
    def of(cls, propensity: Propensity | None, train: NumberedSessions) -> "Worth":
        """Scaled so that the training clicks weigh 1 on average. `propensity`: None if places do not count."""
        gains = train.gains[train.clicked] if len(train.gains) else np.ones(1, np.float32)
        position = None if propensity is None else ClickWeights.of(propensity, train)
        return cls(position, float(gains.mean()) if len(gains) else 1.0)

    def __call__(self, sessions: NumberedSessions) -> NDArray[np.float32] | None:
        """One weight for each result of the sessions, as `ClickWeights` gives them; None where all clicks count 1."""
        by_place = None if self.position is None else self.position(sessions)
        if not len(sessions.gains):
            return by_place
        by_gain = (sessions.gains / self.mean_gain).astype(np.float32)
        return by_gain if by_place is None else by_gain * by_place


def clipped_chances(propensity: Propensity, ranks: NDArray[np.int32]) -> NDArray[np.float64]:
    """Chances that results at these places (from 0) are looked at, none below the clip."""
    if propensity.examination is None:
        chances = 1 / (ranks + 1.0)
    else:
        table = np.asarray(propensity.examination)
        chances = table[np.minimum(ranks, len(table) - 1)]
    return np.maximum(chances**propensity.eta, propensity.clip)
