"""Whether sessions can tell a better ranking from a worse one: what the check asks before anything is trained. Pure."""

import numpy as np
from numpy.typing import NDArray

from bluetune_trainer.data.types import Sessions, Split

CUTOFF = 10
_BOUNDED = "recall@10"


def informative(sessions: Sessions) -> NDArray[np.bool_]:
    """n: whether a session has a click and a different result without one. Every ranking of the others is perfect."""
    results, clicked = _different(sessions)
    return (clicked > 0) & (clicked < results)


def passed_over(sessions: Sessions) -> NDArray[np.bool_]:
    """n: whether a session shows several results, and one at least that was not clicked."""
    results, clicked = _different(sessions)
    return (results > 1) & (clicked < results)


def can_move(metric: str, sessions: Sessions) -> bool:
    """Whether the metric depends on how the sessions' results are ranked.

    recall@10 is 1, whatever the order, where no session shows more than ten results.
    """
    telling = informative(sessions)
    return bool(telling.any()) and (metric != _BOUNDED or bool((_different(sessions)[0][telling] > CUTOFF).any()))


def metric_problems(split: Split, objective: str | None) -> list[str]:
    """Why trials could not be judged by the validation sessions.

    Args:
        split: the batch's.
        objective: settings.objective; None is its preset.
    """
    if not informative(split.validation).any():
        return [
            "no validation session has a click and a result that was shown and not clicked, so every model ranks them"
            " perfectly: log in search_results all that a search showed, and more different queries"
        ]
    if objective == _BOUNDED and not can_move(_BOUNDED, split.validation):
        return [
            f"settings.objective: {_BOUNDED} is 1 for every model, because no validation session shows more than"
            f" {CUTOFF} different results; use ndcg@10 or mrr@10"
        ]
    return []


def _different(sessions: Sessions) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """n each: how many different results a session has, and how many of them were clicked."""
    owner = np.repeat(np.arange(len(sessions)), np.diff(sessions.offsets))
    keys = owner * (int(sessions.items.max(initial=0)) + 1) + sessions.items
    shown = np.unique(keys, return_index=True)[1]
    clicked = np.unique(keys[sessions.clicked], return_index=True)[1]
    count = len(sessions)
    return (
        np.bincount(owner[shown], minlength=count),
        np.bincount(owner[sessions.clicked][clicked], minlength=count),
    )
