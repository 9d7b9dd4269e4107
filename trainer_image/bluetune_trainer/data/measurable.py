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


def can_move(metric: str, sessions: Sessions) -> bool:
    """Whether the metric depends on how the sessions' results are ranked.

    recall@10 is 1, whatever the order, where no session shows more than ten results.
    """
    telling = informative(sessions)
    return bool(telling.any()) and (metric != _BOUNDED or bool((_different(sessions)[0][telling] > CUTOFF).any()))


def metric_problems(split: Split, objective: str | None, gate_metric: str | None) -> list[str]:
    """Why trials, or the gate, could not be judged by these sessions.

    Args:
        split: the batch's.
        objective: settings.objective; None is its preset.
        gate_metric: serving.gate.metric, where the gate judges by clicks; else None.
    """
    if not informative(split.validation).any():
        return [
            "no validation session has a click and a result that was shown and not clicked, so every model ranks them"
            " perfectly: log in search_results all that a search showed, and more different queries"
        ]
    asked = [
        ("settings.objective", objective, "validation", split.validation, ""),
        ("serving.gate.metric", gate_metric, "held-out", split.gate, ", or name serving.gate.judgments"),
    ]
    return [
        f"{field}: {_BOUNDED} is 1 for every model, because no {name} session shows more than {CUTOFF} different"
        f" results; use ndcg@10 or mrr@10{else_}"
        for field, metric, name, sessions, else_ in asked
        if metric == _BOUNDED and informative(sessions).any() and not can_move(_BOUNDED, sessions)
    ]


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
