"""Judgments of people, for the gate: which item is how relevant to which query."""

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bluetune_api.objectstore import ObjectStore
from bluetune_trainer.data.measurable import informative
from bluetune_trainer.data.problems import MAX_BROKEN, delta_problem, unread_problem, useless_problem
from bluetune_trainer.data.reading import listing, pin, stream
from bluetune_trainer.data.records import shortened
from bluetune_trainer.data.splits import clicked_sessions, normalised
from bluetune_trainer.data.tally import Lines
from bluetune_trainer.data.types import Catalogue, Split
from bluetune_trainer.errors import DataInvalid

QRELS, TOPICS = ".qrels", ".topics"
"""Ends of names of TREC's files."""
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
    """Judgments below a path of the store. Items that the catalogue lacks are left out.

    A record is a judgment (`query`, `object_id`, `grade`), a row of Quepid's CSV (`query`, `docid`, `rating`), or a
    list of judgments as OpenSearch's Search Relevance Workbench exports it (`judgmentRatings`). Files of TREC's qrels
    name topics; their texts are in a `.topics` file beside them, or the topic is the text itself.

    Raises:
        DataInvalid: there are none, or too many lines are broken, or topics have no text; with the first of them.
    """
    tally, found = Lines(), _Found(catalogue)
    objects, log = listing(store, path)
    if log is not None:
        raise DataInvalid(f"serving.gate.judgments: {delta_problem(log)}")
    if path.lower().endswith(QRELS):
        objects += pin(store, path[: -len(QRELS)] + TOPICS)
    for key, line, record in stream(store, objects, tally, workdir=workdir, stop=stop):
        for judgment in _judgments(record):
            problem = found.add(judgment)
            if problem is not None:
                tally.offend(key, line, problem)
            else:
                tally.use(key)
    if tally.unread:
        raise DataInvalid(f"serving.gate.judgments: {unread_problem(tally.unread)}")
    if tally.useless():
        raise DataInvalid(f"serving.gate.judgments: {useless_problem(tally)}")
    offences = "".join(f"\n  {o.key}:{o.line}: {o.problem}" for o in tally.offences)
    if tally.broken_files or tally.broken > MAX_BROKEN * max(tally.broken + tally.read, 1):
        raise DataInvalid(f"serving.gate.judgments: {tally.broken} lines of {path} are broken. First:{offences}")
    judged = found.judged(path)
    if not any(one.grade > 0 for one in judged):
        raise DataInvalid(
            f"serving.gate.judgments: {path} holds no relevant item of the catalogue ({tally.read} judgments read);"
            " check that its object_id are ids of the catalogue"
        )
    return judged


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
    taught = split.taught
    if taught is not None:
        taught = taught.subset(np.flatnonzero([normalised(query) not in known for query in taught.queries]))
    return replace(split, train=parts[0], validation=parts[1], taught=taught), left_out


class _Found:
    """Judgments, and the texts of topics, which may come later."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._position = catalogue.position
        self._judged: list[Judged] = []
        self._of_topics: list[tuple[str, int, float]] = []
        self._topics: set[str] = set()
        self._texts: dict[str, str] = {}

    def add(self, record: Mapping[str, Any]) -> str | None:
        """Take in a judgment or a topic's text; what is wrong with it."""
        topic, query = record.get("topic"), record.get("query")
        object_id, grade = record.get("object_id"), record.get("grade")
        of_topic = isinstance(topic, str) and query is None
        if not of_topic and (not isinstance(query, str) or not query.strip()):
            return f"query: a text is expected, this is {shortened(query)}"
        if not _is_text(topic if of_topic else query):
            return "query holds half of a surrogate pair, which is no character"
        if isinstance(topic, str) and not of_topic and object_id is None:
            self._texts[topic] = str(query)
            return None
        if not isinstance(object_id, str | int) or isinstance(object_id, bool):
            return f"object_id: an id is expected, this is {shortened(object_id)}"
        if not isinstance(grade, int | float) or isinstance(grade, bool) or not 0 <= grade <= MAX_GRADE:
            return f"grade: a number from 0 to {MAX_GRADE} is expected, this is {shortened(grade)}"
        item = self._position.get(str(object_id))
        if of_topic:
            self._topics.add(str(topic))
        if item is not None and of_topic:
            self._of_topics.append((str(topic), item, float(grade)))
        elif item is not None:
            self._judged.append(Judged(str(query), item, float(grade)))
        return None

    def judged(self, path: str) -> list[Judged]:
        """All judgments, with the texts of their topics. Raises DataInvalid if a topic has none."""
        numbered = not self._texts and any(topic.isdecimal() for topic in self._topics)
        without = sorted(topic for topic in self._topics if topic not in self._texts) if self._texts or numbered else []
        if without:
            named = ", ".join(map(repr, without[:3]))
            raise DataInvalid(
                f"serving.gate.judgments: {len(without)} topics of {path} have no text, for example {named}; put a file"
                " *.topics with the id and the query of each (a tab between them) beside the qrels"
            )
        return [
            *self._judged,
            *(Judged(self._texts.get(topic, topic), item, grade) for topic, item, grade in self._of_topics),
        ]


def _judgments(record: dict[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A record's judgments: itself, a row of Quepid's, or what the Search Relevance Workbench rated."""
    if "docid" in record and "rating" in record:
        if record["rating"] not in (None, ""):  # a document that nobody has rated yet
            yield {
                "query": record.get("query"),
                "object_id": record["docid"],
                "grade": _number(record["rating"]),
            }
        return
    rated = record.get("judgmentRatings")
    if not isinstance(rated, list):
        yield record
        return
    for entry in rated:
        query, ratings = (entry.get("query"), entry.get("ratings")) if isinstance(entry, dict) else (None, None)
        for rating in ratings if isinstance(ratings, list) else [None]:
            named = rating if isinstance(rating, dict) else {}
            yield {"query": query, "object_id": named.get("docId"), "grade": _number(named.get("rating"))}


def _number(rating: object) -> object:
    try:
        return float(rating) if isinstance(rating, str) else rating
    except ValueError:
        return rating


def _is_text(query: Any) -> bool:
    try:
        query.encode()
    except UnicodeEncodeError:
        return False
    return True
