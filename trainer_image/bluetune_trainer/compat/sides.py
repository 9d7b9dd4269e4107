"""Which sessions a plugin learns from, and which of them judge the trials."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import ValidationError

from bluetune_trainer.compat.columns import columns_of
from bluetune_trainer.compat.convert import ClickstreamSessionConverter, FineTuningInput
from bluetune_trainer.compat.preparing import RankingData
from bluetune_trainer.compat.reading import converted, retrieved
from bluetune_trainer.compat.sessions import Clickstream, SessionWithEvents, position_of, session_at
from bluetune_trainer.compat.train_test import TrainTestSplitter
from bluetune_trainer.data.splits import held_out_share, place
from bluetune_trainer.data.types import Catalogue, Sessions, Split
from bluetune_trainer.errors import PluginFailed, in_words
from bluetune_trainer.plugin.blame import line

log = logging.getLogger(__name__)


def split_as(data: RankingData, splitter: Any, sessions: Sessions, catalogue: Catalogue) -> Split:
    """The gate's share of the queries, and of the rest what the splitter says.

    Args:
        data: what the plugin wants to learn from.
        splitter: a TrainTestSplitter, or what has its `split`.
        sessions: as they were read.
        catalogue: what their items are.

    Raises:
        PluginFailed: the splitter did not put each session on one side.
    """
    chosen = chosen_sessions(data, sessions, catalogue)
    begin = 1 - held_out_share(chosen)
    late = {query for query in set(chosen.queries) if place(query) >= begin}
    held_out = np.array([query in late for query in chosen.queries], np.bool_)
    rest = chosen.subset(np.flatnonzero(~held_out))
    test = np.array(_on_test_side(splitter, data.converter, rest, catalogue), np.bool_)
    return Split(
        train=rest.subset(np.flatnonzero(~test)),
        validation=rest.subset(np.flatnonzero(test)),
        gate=chosen.subset(np.flatnonzero(held_out)),
    )


def chosen_sessions(data: RankingData, sessions: Sessions, catalogue: Catalogue) -> Sessions:
    """The sessions that the plugin wants to learn from.

    Those of the batch went through the converter when they were read, and do not go through it again; sessions that
    the plugin made or changed do.
    """
    if isinstance(data.sessions, Clickstream):
        positions: Sequence[int | None] = data.sessions.positions()
    else:
        positions = [_unchanged(session, sessions, catalogue) for session in data.sessions]
    if positions == range(len(sessions)):
        return sessions
    known = [position for position in positions if position is not None]
    if len(known) == len(positions):
        return sessions.subset(np.array(known, np.int64))
    made = [
        _own(session, data) if position is None else _as_read(session_at(sessions, catalogue, position))
        for session, position in zip(data.sessions, positions, strict=True)
    ]
    used = [entry for entry in made if entry is not None]
    log.info("sessions of the plugin's own", extra={"used": len(used), "leftOut": len(made) - len(used)})
    return columns_of([entry for _, entry in used], [text for text, _ in used], catalogue)


def _unchanged(session: Any, sessions: Sessions, catalogue: Catalogue) -> int | None:
    """Position of a session of the batch that is as it was read."""
    position = position_of(session) if isinstance(session, SessionWithEvents) else None
    return position if position is not None and session == session_at(sessions, catalogue, position) else None


def _as_read(session: SessionWithEvents) -> tuple[str, FineTuningInput]:
    """A session of the batch as the encoder's query and an input: both were made by the plugin when it was read."""
    return session.search_query, ClickstreamSessionConverter(item_type=dict).convert(session).input


def _own(session: SessionWithEvents | dict[str, Any], data: RankingData) -> tuple[str, FineTuningInput] | None:
    """A session that the plugin made, as the encoder's query and an input; None if its converter leaves it out."""
    try:
        logged = SessionWithEvents.model_validate(session) if isinstance(session, dict) else session
        made = converted(logged, data.converter)
        return None if made is None else (retrieved(made.input.query, data.retriever), made.input)
    except ValueError as error:
        words = in_words(error) if isinstance(error, ValidationError) else error
        raise PluginFailed(f"prepare_data got a session that cannot be read: {words}") from error


def _on_test_side(
    splitter: Any, converter: ClickstreamSessionConverter, rest: Sessions, catalogue: Catalogue
) -> list[bool]:
    """Whether each session judges. A splitter of the plugin's own gets inputs whose query is what the encoder reads."""
    if getattr(type(splitter), "split", None) is TrainTestSplitter.split:
        return splitter.on_test_side(rest.queries)  # type: ignore[no-any-return]
    try:
        inputs = [
            ClickstreamSessionConverter.convert(converter, session_at(rest, catalogue, position)).input
            for position in range(len(rest))
        ]
    except ValidationError as error:
        raise PluginFailed(
            f"{error.title} of the plugin cannot be made of a session's query, results and clicks alone, which is what"
            f" a splitter gets: {in_words(error)}{line(splitter.split)}"
        ) from error
    sides = splitter.split(inputs)
    try:
        train, test = list(sides["train"]), list(sides["test"])
    except (TypeError, KeyError):
        expected = 'split must return {"train": …, "test": …}, it returned'
        raise PluginFailed(f"{expected} {type(sides).__name__}{line(splitter.split)}") from None
    known = {id(entry) for entry in inputs}
    if not {id(entry) for entry in (*train, *test)} <= known or len(train) + len(test) != len(inputs):
        raise PluginFailed(
            f"split must put each of the {len(inputs)} inputs on one side; it returned {len(train)} and {len(test)}"
            f"{line(splitter.split)}"
        )
    chosen = {id(entry) for entry in test}
    return [id(entry) in chosen for entry in inputs]
