"""Judgments of people, for the gate: which item is how relevant to which query."""

import threading
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bluetune_api.objectstore import ObjectStore
from bluetune_trainer.data.inspect import MAX_BROKEN
from bluetune_trainer.data.measurable import informative
from bluetune_trainer.data.reading import pin, stream
from bluetune_trainer.data.records import shortened
from bluetune_trainer.data.splits import clicked_sessions, normalised
from bluetune_trainer.data.tally import Lines
from bluetune_trainer.data.types import Catalogue, Split
from bluetune_trainer.errors import DataInvalid

MAX_GRADE = 1000
"""Graded judgments end at 3 to 5, seldom at 100. Gains are linear in the grade."""


class Judged(NamedTuple):
    """One judgment."""

    query: str
    item: int
    """Position in the catalogue."""
    grade: float
    """0 is irrelevant; more is more relevant."""


def read_judgments(
    store: ObjectStore, path: str, catalogue: Catalogue, workdir: Path, *, stop: threading.Event
) -> list[Judged]:
    """Judgments (`query`, `object_id`, `grade`) below a path of the store. Items that the catalogue lacks are left out.

    Raises:
        DataInvalid: there are none, or too many lines are broken; with the first of them.
    """
    tally, found = Lines(), []
    for key, line, record in stream(store, pin(store, path), tally, workdir=workdir, stop=stop):
        query, object_id, grade = record.get("query"), record.get("object_id"), record.get("grade")
        if not isinstance(query, str) or not query.strip():
            tally.offend(key, line, f"query: a text is expected, this is {shortened(query)}")
        elif not isinstance(object_id, str | int) or isinstance(object_id, bool):
            tally.offend(key, line, f"object_id: an id is expected, this is {shortened(object_id)}")
        elif not isinstance(grade, int | float) or isinstance(grade, bool) or not 0 <= grade <= MAX_GRADE:
            tally.offend(key, line, f"grade: a number from 0 to {MAX_GRADE} is expected, this is {shortened(grade)}")
        elif not _is_text(query):
            tally.offend(key, line, "query holds half of a surrogate pair, which is no character")
        else:
            tally.read += 1
            item = catalogue.position.get(str(object_id))
            if item is not None:
                found.append(Judged(query, item, float(grade)))
    offences = "".join(f"\n  {o.key}:{o.line}: {o.problem}" for o in tally.offences)
    if tally.broken_files or tally.broken > MAX_BROKEN * max(tally.broken + tally.read, 1):
        raise DataInvalid(f"serving.gate.judgments: {tally.broken} lines of {path} are broken. First:{offences}")
    if not any(judged.grade > 0 for judged in found):
        raise DataInvalid(
            f"serving.gate.judgments: {path} holds no relevant item of the catalogue ({tally.read} judgments read);"
            " check that its object_id are ids of the catalogue"
        )
    return found


def without_judged(split: Split, judged: Iterable[str]) -> tuple[Split, int]:
    """The split without training and validation sessions of judged queries, and how many sessions that leaves out.

    Queries are compared as the split compares them. A model that learned from the clicks of a judged query would be
    measured on what it has seen.

    Raises:
        DataInvalid: no clicked session is left to train on, or none that tells rankings apart to choose trials by.
    """
    known = {normalised(query) for query in judged}
    parts = []
    for name, part in (("training", split.train), ("validation", split.validation)):
        kept = part.subset(np.flatnonzero([normalised(query) not in known for query in part.queries]))
        enough = clicked_sessions(kept) if name == "training" else informative(kept).any()
        if not enough:
            raise DataInvalid(
                f"serving.gate.judgments: without the sessions of the {len(known)} judged queries, which are not"
                f" trained on, no {name} session that says anything is left: judge fewer, or collect more"
            )
        parts.append(kept)
    left_out = len(split.train) + len(split.validation) - sum(len(part) for part in parts)
    return replace(split, train=parts[0], validation=parts[1]), left_out


def _is_text(query: str) -> bool:
    try:
        query.encode()
    except UnicodeEncodeError:
        return False
    return True
