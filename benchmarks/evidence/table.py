"""The table: what passes, by how much better people call it."""

from collections.abc import Callable, Sequence

import numpy as np

from evidence.compare import Seen

BETTER, HARMFUL = 0.02, -0.01


def table(found: Sequence[Seen]) -> str:
    """Markdown."""
    lines = [
        "| data | logger | better by 0.02 that pass | by clicks in the list | not better that pass | harmful that pass"
        " | regret of the chosen one | by clicks in the list |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for data in dict.fromkeys(one.data for one in found):
        for logger in dict.fromkeys(one.logger for one in found):
            rows = [one for one in found if (one.data, one.logger) == (data, logger)]
            if rows:
                lines.append(f"| {data} | {logger} | " + " | ".join(_cells(rows)) + " |")
    return "\n".join(lines)


def _cells(rows: Sequence[Seen]) -> list[str]:
    better = [one for one in rows if one.truth >= BETTER]
    no_better = [one for one in rows if one.truth <= 0]
    harmful = [one for one in rows if one.truth <= HARMFUL]
    return [
        _share(better, lambda one: one.passes),
        _share(better, lambda one: one.in_list_passes),
        _share(no_better, lambda one: one.passes),
        _share(harmful, lambda one: one.passes),
        f"{_regret(rows, lambda one: one.gain):.4f}",
        f"{_regret(rows, lambda one: one.in_list):.4f}",
    ]


def _share(rows: Sequence[Seen], of: Callable[[Seen], bool]) -> str:
    return f"{np.mean([of(one) for one in rows]):.2f} of {len(rows)}" if rows else "none"


def _regret(rows: Sequence[Seen], by: Callable[[Seen], float]) -> float:
    """Mean over logs of what people lose by the candidate that the clicks call best."""
    lost = []
    for log in {(one.clicks, one.draw) for one in rows}:
        mine = [one for one in rows if (one.clicks, one.draw) == log]
        lost.append(max(one.truth for one in mine) - max(mine, key=by).truth)
    return float(np.mean(lost))
