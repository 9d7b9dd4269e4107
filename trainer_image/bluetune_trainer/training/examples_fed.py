"""Whether a trial was fed any example: without one it would end as it began, and nobody would know why."""

from dataclasses import dataclass, replace

from bluetune_trainer.ranking.features import ExamplesType, RankingFeatures
from bluetune_trainer.training.params import TrialParams


@dataclass
class ExamplesFed:
    """What the batches of a trial held."""

    any: bool = False
    """Whether one held an example."""
    least: float = float("inf")
    """Smallest difference of two ranks whose pair was left out."""
    most: float = 0.0
    """Largest one."""

    def see(self, features: RankingFeatures, *, in_batch: bool) -> None:
        """Look at a batch, until one holds an example.

        Args:
            features: of the batch.
            in_batch: whether the loss learns from other items of the batch, too, where a session has no pair.
        """
        if self.any or features.has_pairs:
            self.any = True
            return
        every = replace(features, examples=ExamplesType.all_examples, min_abs_difference=None, max_abs_difference=None)
        if every.has_pairs:
            difference = (every.positive_ranks - every.negative_ranks).detach().abs()
            self.least, self.most = min(self.least, float(difference.min())), max(self.most, float(difference.max()))
        elif in_batch and features.batch_allowed is not None:
            self.any = bool(features.positives.any()) and bool(features.batch_allowed.any())

    def problem(self, params: TrialParams) -> str | None:
        """Why no batch held an example; None if one did."""
        if self.any:
            return None
        if self.most < self.least:
            return (
                "no example was fed: no session of the batches has both a click and a result without one, and the loss"
                " learns from nothing else"
            )
        low, high = params.min_abs_difference_threshold, params.max_abs_difference_threshold
        return (
            f"no example was fed: ranks of clicked and unclicked results differ by {self.least:.4g} to {self.most:.4g},"
            f" and examples_order {list(params.examples_order)} leaves all of these pairs out, with"
            f" min_abs_difference_threshold {'not set' if low is None else f'{low:g}'} and"
            f" max_abs_difference_threshold {'not set' if high is None else f'{high:g}'}; change or leave out the three"
        )
