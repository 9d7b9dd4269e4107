"""What a check says of the sessions of a batch, counted over all of them at once."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from bluetune_trainer.data.rows import Rows
from bluetune_trainer.data.splits import normalised
from bluetune_trainer.data.tally import SessionTally

MAX_PLACES = 50
"""Places from the first whose clicks are counted each."""


def count(rows: Rows, tally: SessionTally) -> None:
    """Count sessions, results and clicks, each session once."""
    clicked, known = rows.levels > 0, rows.items >= 0
    owners, sessions = rows.owners(), len(rows.queries)

    def a_session(marks: NDArray[np.bool_]) -> NDArray[np.int64]:
        """[n] how many results of each session are marked."""
        return np.bincount(owners[marks], minlength=sessions)

    clicks, learned = a_session(clicked), a_session(clicked & known)
    choice = (clicks > 0) & (rows.lengths > 1)
    tally.sessions = sessions
    tally.results, tally.known, tally.positives = len(rows.items), int(known.sum()), int(clicked.sum())
    tally.with_clicks, tally.usable = int((clicks > 0).sum()), int((learned > 0).sum())
    tally.informative = int(((learned > 0) & (a_session(~clicked & known) > 0)).sum())
    tally.all_clicked = int((choice & (clicks == rows.lengths)).sum())
    tally.one_result = int(((clicks > 0) & (rows.lengths == 1)).sum())
    tally.choices, tally.chosen = int(rows.lengths[choice].sum()), int(clicks[choice].sum())
    places = rows.ranks[clicked]
    tally.clicks_by_place = np.bincount(places[places < MAX_PLACES]).tolist()
    if sessions:
        tally.first, tally.last = float(rows.created.min()), float(rows.created.max())
    asked: Counter[str] = Counter()
    for query, often in Counter(rows.queries).items():
        asked[normalised(query)] += often
    tally.queries = len(asked)
    tally.most_frequent = max(asked.values(), default=0)
