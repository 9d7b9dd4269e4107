"""Judgments of people, for the gate: which item is how relevant to which query."""

import threading
from pathlib import Path
from typing import NamedTuple

from bluetune_api.objectstore import ObjectStore
from bluetune_trainer.data.inspect import MAX_BROKEN, delta_problem, unread_problem
from bluetune_trainer.data.reading import listing, stream
from bluetune_trainer.data.records import shortened
from bluetune_trainer.data.tally import Lines
from bluetune_trainer.data.types import Catalogue
from bluetune_trainer.errors import DataInvalid

MAX_GRADE = 1000
"""Graded judgments end at 3 to 5, seldom at 100; gains may be powers of two of them, which must stay finite."""


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
    objects, log = listing(store, path)
    if log is not None:
        raise DataInvalid(f"serving.gate.judgments: {delta_problem(log)}")
    for key, line, record in stream(store, objects, tally, workdir=workdir, stop=stop):
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
    if tally.unread:
        raise DataInvalid(f"serving.gate.judgments: {unread_problem(tally.unread)}")
    offences = "".join(f"\n  {o.key}:{o.line}: {o.problem}" for o in tally.offences)
    if tally.broken_files or tally.broken > MAX_BROKEN * max(tally.broken + tally.read, 1):
        raise DataInvalid(f"serving.gate.judgments: {tally.broken} lines of {path} are broken. First:{offences}")
    if not any(judged.grade > 0 for judged in found):
        raise DataInvalid(
            f"serving.gate.judgments: {path} holds no relevant item of the catalogue ({tally.read} judgments read);"
            " check that its object_id are ids of the catalogue"
        )
    return found


def _is_text(query: str) -> bool:
    try:
        query.encode()
    except UnicodeEncodeError:
        return False
    return True
