"""From a session, as it was logged, to an input of the fine-tuning."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, overload

from pydantic import BaseModel, ConfigDict, Field

from bluetune_trainer.compat.queries import TextQueryItem
from bluetune_trainer.compat.sessions import SearchResultItem, SessionEvent, SessionWithEvents
from bluetune_trainer.data.event_types import EventTypes
from bluetune_trainer.errors import PluginFailed

COUNTED = EventTypes()
"""Types of events that count where nobody says which."""


class SessionEventWithImportance(BaseModel, ABC):
    """An event, and how much it says: a click weighs by its importance, and at 0 or below it is no click."""

    object_id: str
    """The result that was clicked."""

    @property
    @abstractmethod
    def event_importance(self) -> float:
        """How much the event says."""

    @classmethod
    @abstractmethod
    def from_model(cls, event: SessionEvent) -> "SessionEventWithImportance":
        """From an event as it was logged."""


class DummySessionEventWithImportance(SessionEventWithImportance):
    """What the event's meta says in `importance`; else 1 for clicks, carts and purchases, and 0 for impressions."""

    importance: float = Field(default=1.0, allow_inf_nan=False)

    @property
    def event_importance(self) -> float:
        """How much the event says."""
        return self.importance

    @classmethod
    def from_model(cls, event: SessionEvent) -> "DummySessionEventWithImportance":
        """From an event as it was logged."""
        given = (event.meta or {}).get("importance")
        importance = COUNTED.gain(event.event_type) if given is None else given
        return cls.model_validate({"object_id": event.object_id, "importance": importance})


class FineTuningInput(BaseModel):
    """A session as the splitter sees it: a query, results, and those of them that were clicked."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    query: Any
    """A query object."""
    events: list[str]
    """Ids of the results that were clicked."""
    results: list[str]
    """Ids of the results, in the order in which they were shown."""
    ranks: dict[str, float | None] = Field(default_factory=dict)
    """What the search ranked each result by, if that was logged."""
    event_types: list[float] | None = None
    """Importance of each of `events`, one by one; None: 1 each."""
    timestamp: float | None = None
    """Seconds since the epoch."""

    @property
    def is_irrelevant(self) -> bool:
        """Whether no result was clicked."""
        return not self.events

    @property
    def not_events(self) -> list[str]:
        """Ids of the results that were not clicked."""
        clicked = set(self.events)
        return [result for result in self.results if result not in clicked]

    def __len__(self) -> int:
        return len(self.results)

    def remove_results(self, ids: Iterable[str]) -> None:
        """Leave results out."""
        gone = set(ids)
        self.results = [result for result in self.results if result not in gone]
        self.events = [event for event in self.events if event not in gone]
        self.ranks = {result: rank for result, rank in self.ranks.items() if result not in gone}


class Metas(Sequence[Any]):
    """Metas of a session's results, each made when it is looked at: a run reads items from the catalogue.

    Args:
        make: a meta of a result's id and meta.
        results: of the session.
    """

    def __init__(self, make: Callable[[str, dict[str, Any]], Any], results: Sequence[SearchResultItem]) -> None:
        self._make = make
        self._results = results

    def __len__(self) -> int:
        return len(self._results)

    @overload
    def __getitem__(self, at: int) -> Any: ...
    @overload
    def __getitem__(self, at: slice) -> "Metas": ...
    def __getitem__(self, at: int | slice) -> Any:
        if isinstance(at, slice):
            return Metas(self._make, self._results[at])
        result = self._results[at]
        return self._make(result.object_id, result.meta or {})


@dataclass
class FineTuningInputWithItems:
    """An input, and what must be loaded for it."""

    input: FineTuningInput
    """The session."""
    items: Sequence[Any]
    """ItemMeta objects of its results."""


class ClickstreamSessionConverter:
    """Makes inputs of sessions.

    A subclass that overrides `convert` decides what is asked, shown and clicked in each session.

    Args:
        item_type: class of items' metas, made of a result's id and meta, or of the item's line in the catalogue.
        query_item_type: class of query objects, made of `text` and the session's `search_meta`.
        fine_tuning_type: class of the inputs.
        event_type: class that weighs events; what it gives importance 0 is no click.
    """

    def __init__(
        self,
        item_type: type[Any],
        query_item_type: type[Any] = TextQueryItem,
        fine_tuning_type: type[FineTuningInput] = FineTuningInput,
        event_type: type[SessionEventWithImportance] = DummySessionEventWithImportance,
    ) -> None:
        self.item_type = item_type
        self.query_item_type = query_item_type
        self.fine_tuning_type = fine_tuning_type
        self.event_type = event_type

    def convert(self, session_data: SessionWithEvents | dict[str, Any]) -> FineTuningInputWithItems:
        """A session, as an object or as it was logged, as an input with its items' metas."""
        session = SessionWithEvents.model_validate(session_data) if isinstance(session_data, dict) else session_data
        clicked: dict[str, float] = {}
        for event in () if session.is_irrelevant else session.events:
            importance = self._importance(event)
            if importance > 0:
                clicked[event.object_id] = max(importance, clicked.get(event.object_id, 0.0))
        shown: dict[str, SearchResultItem] = {}
        for result in session.search_results:
            shown.setdefault(result.object_id, result)
        results = list(shown)
        events = [result for result in results if result in clicked]
        return FineTuningInputWithItems(
            input=self.fine_tuning_type(
                query=self.query(session),
                events=events,
                results=results,
                ranks={result: item.rank for result, item in shown.items()},
                event_types=[clicked[event] for event in events],
                timestamp=session.created_at,
            ),
            items=Metas(self.item_meta, list(shown.values())),
        )

    def query(self, session: SessionWithEvents) -> Any:
        """The session's query as an object."""
        fields = session.search_query if isinstance(session.search_query, dict) else {"text": session.search_query}
        return self.query_item_type(**{**(session.search_meta or {}), **fields})

    def item_meta(self, object_id: str, fields: dict[str, Any]) -> Any:
        """What a data loader gets to know of an item."""
        return self.item_type(**{**fields, "object_id": object_id})

    def _importance(self, event: SessionEvent) -> float:
        weighed: object = self.event_type.from_model(event)
        importance = getattr(weighed, "event_importance", None)
        if isinstance(importance, bool) or not isinstance(importance, int | float) or not math.isfinite(importance):
            name = self.event_type.__name__
            raise PluginFailed(
                f"event_importance of {name} must be a number, for {event.object_id!r} it is {importance!r}"
            )
        return float(importance)


def is_plain(converter: ClickstreamSessionConverter) -> bool:
    """Whether the converter takes sessions as they are, where no event says how important it is."""
    own = type(converter)
    return (
        own.convert is ClickstreamSessionConverter.convert
        and own.query is ClickstreamSessionConverter.query
        and converter.query_item_type is TextQueryItem
        and converter.event_type is DummySessionEventWithImportance
        and converter.fine_tuning_type is FineTuningInput
    )
