"""Two judges of a candidate: small regressions of clicks on ranks, and the gain over the live version they see.

A version's own results favour it: people click what they are shown, and mostly the live version chose that. So clicks
are not counted where they fell. A regression learns from shown results how relevance goes with the ranks by three
rankers (live, candidate, words), corrected for how likely each place is looked at. Then it judges what the two
versions would show at their ten best places, whether or not it was ever shown: the direct method of off-policy
evaluation (M. Dudik, J. Langford, L. Li, Doubly Robust Policy Evaluation and Learning, ICML 2011).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bluetune_trainer.evidence.examination import Examined
from bluetune_trainer.evidence.observations import DEPTH, Compared, Floats, Ints, Ranks

ClickJudge = Literal["Local", "Symmetric"]
Discount = Callable[[Floats], Floats]
NEAR = 50
"""The local judge learns from documents that one of the two versions ranks among this many."""
SHRINKAGE = 40.0
"""What the local judge's credit for the candidate's own preference is shrunk by: the log must insist on it."""


@dataclass(frozen=True)
class Moments:
    """What a regression with k features needs of each of Q queries; sums of it are all that an estimate depends on."""

    products: Floats
    """[Q, k, k]: sum of examination · x x' over shown results."""
    clicks: Floats
    """[Q, k]: sum of gain · x."""
    gains: Floats
    """[Q, k]: sum over both versions' ten best of (discount by candidate − discount by live) · x."""
    levels: Floats
    """[Q, k]: sum over live's ten best of discount · x."""
    ridge: Floats
    """k."""


@dataclass(frozen=True)
class Estimate:
    """A judge's answer."""

    before: Floats
    """Q: how much people would like the live version's ten best, from 0 to about 1."""
    after: Floats
    """The same of the candidate's."""
    influence: Floats
    """Q: what each query adds to the error of `gain`; their sum is 0."""

    @property
    def gain(self) -> float:
        """Mean gain of a query."""
        return float((self.after - self.before).mean())

    @property
    def error(self) -> float:
        """Standard error of `gain`, queries as clusters."""
        n = len(self.influence)
        return float(np.sqrt((self.influence**2).sum() * n / max(n - 1, 1)))


def _scaled(raw: Discount) -> Discount:
    """A discount of the ten best ranks, 0 beyond, that sums up to 1."""
    total = raw(np.arange(DEPTH, dtype=float)).sum()

    def discount(rank: Floats) -> Floats:
        return np.where(rank < DEPTH, raw(rank) / total, 0.0)

    return discount


DISCOUNTS: Mapping[str, Discount] = {
    "ndcg@10": _scaled(lambda rank: 1 / np.log2(rank + 2.0)),
    "mrr@10": _scaled(lambda rank: 1 / (rank + 1.0)),
    "recall@10": _scaled(np.ones_like),
}
"""The weights by the metric that is asked for. What they weigh is 1 for ten results that all would be clicked when
looked at."""


def _local(ranks: Ranks) -> Floats:
    """[N, 4] features. The last one alone tells the two versions apart."""
    live, candidate, lexical = (np.log1p(r) / 9 for r in (ranks.live, ranks.candidate, ranks.lexical))
    return np.stack([np.ones(len(live)), live + candidate, lexical, candidate - live], 1)


def _symmetric(ranks: Ranks) -> Floats:
    """[N, 5] features, in which the two versions could change places: neither is favoured by what was shown."""
    live, candidate, lexical = (10 / (10.0 + r) for r in (ranks.live, ranks.candidate, ranks.lexical))
    both = live + candidate
    return np.stack([np.ones(len(live)), both, lexical, both * lexical, live * candidate], 1)


FEATURES: Mapping[ClickJudge, Callable[[Ranks], Floats]] = {"Local": _local, "Symmetric": _symmetric}
CLICK_JUDGES: tuple[ClickJudge, ...] = get_args(ClickJudge)
RIDGES: Mapping[ClickJudge, tuple[float, ...]] = {"Local": (1, 1, 1, SHRINKAGE), "Symmetric": (1, 1, 1, 1, 1)}


def moments(
    judge: ClickJudge, compared: Compared, examined: Examined, discount: Discount = DISCOUNTS["ndcg@10"]
) -> Moments:
    """What a judge needs of a log that was examined so."""
    features = FEATURES[judge]
    x = features(compared.shown)
    weight = examined.of_place(compared.log.place) * examined.stands_for
    gain = compared.log.gain
    if judge == "Local":
        near = np.minimum(compared.shown.live, compared.shown.candidate) < NEAR
        weight, gain = weight * near, gain * near
    top = features(compared.top)
    moved = discount(compared.top.candidate) - discount(compared.top.live)
    n = compared.queries
    return Moments(
        products=_by_query(compared.log.query, np.einsum("ni,nj,n->nij", x, x, weight), n),
        clicks=_by_query(compared.log.query, x * gain[:, None], n),
        gains=_by_query(compared.top_query, top * moved[:, None], n),
        levels=_by_query(compared.top_query, top * discount(compared.top.live)[:, None], n),
        ridge=np.asarray(RIDGES[judge], float),
    )


def estimate(moments: Moments) -> Estimate:
    """The gain that a judge sees, and what each query adds to its error.

    The regression is least squares of gain = examination · x'β with weights 1 / examination, so that only sums are
    needed. The influence is that of a mean of x'β over queries whose β is estimated from the same queries.
    """
    own, influence, beta = _gain(moments, np.ones(len(moments.gains), np.bool_))
    before = moments.levels @ beta
    return Estimate(before, before + own, influence)


def gain_of(moments: Moments, chosen: NDArray[np.bool_]) -> tuple[float, Floats]:
    """Mean gain of the chosen queries by the regression on all of them, and what each of all adds to its error."""
    own, influence, _ = _gain(moments, chosen)
    return float(own[chosen].mean()), influence


def _gain(moments: Moments, chosen: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """Gain of each query; influence of each on the mean gain of the chosen ones; the regression's coefficients."""
    inverse = np.linalg.inv(moments.products.sum(0) + np.diag(moments.ridge))
    beta = inverse @ moments.clicks.sum(0)
    own = moments.gains @ beta
    residual = moments.clicks - moments.products @ beta
    deviation = np.where(chosen, own - own[chosen].mean(), 0.0) / chosen.sum()
    influence = deviation + residual @ (inverse @ moments.gains[chosen].mean(0))
    return own, influence - influence.mean(), beta


def _by_query(query: Ints, values: Floats, queries: int) -> Floats:
    total = np.zeros((queries, *values.shape[1:]))
    np.add.at(total, query, values)
    return total
