"""What a batch holds that no person searched for, or that is nobody's business."""

import re
from fnmatch import translate

import numpy as np
from numpy.typing import NDArray

from bluetune_api.clickstream import Clickstream
from bluetune_trainer.data.personal import is_personal
from bluetune_trainer.data.rows import Rows
from bluetune_trainer.data.splits import normalised

NOBODY = 0
"""Client of a session that names none."""


class Hygiene:
    """Says of each session why it is left out, if it is."""

    def __init__(self, clickstream: Clickstream) -> None:
        self._most_clicks = clickstream.max_clicks
        self._personal = clickstream.personal_data == "LeaveOut"
        patterns = [translate(normalised(one)) for one in clickstream.exclude_queries]
        self._excluded = re.compile("|".join(patterns)) if patterns else None
        self._judged: dict[str, str | None] = {}

    def problem(self, query: str, clicks: int) -> str | None:
        """Why a session is left out, in the words of the check; None if it is not."""
        if clicks > self._most_clicks:
            return f"sessions of more than {self._most_clicks} clicks (clickstream.maxClicks), which were left out"
        if query not in self._judged:
            self._judged[query] = self._of_query(query)
        return self._judged[query]

    def _of_query(self, query: str) -> str | None:
        if self._personal and is_personal(query):
            return (
                "sessions whose query holds an e-mail address or a card number, which were left out"
                " (clickstream.personalData)"
            )
        if self._excluded is not None and self._excluded.fullmatch(normalised(query)):
            return "sessions of queries that clickstream.excludeQueries names, which were left out"
        return None


def without_busy_clients(rows: Rows, clients: NDArray[np.uint64], most: int | None) -> tuple[Rows, int]:
    """The sessions of clients with at most so many, and how many were left out.

    Args:
        rows: n sessions, as they were logged.
        clients: [n] a number of each session's client, NOBODY where it names none.
        most: sessions of a client; None for no limit.
    """
    if most is None:
        return rows, 0
    _, group, sizes = np.unique(clients, return_inverse=True, return_counts=True)
    keep = (sizes[group] <= most) | (clients == NOBODY)
    if keep.all():
        return rows, 0
    kept = np.flatnonzero(keep)
    return rows.only(kept, np.repeat(keep, rows.lengths), rows.lengths[kept]), int((~keep).sum())
