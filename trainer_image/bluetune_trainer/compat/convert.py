"""From a session, as it was logged, to an input of the fine-tuning."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from bluetune_trainer.compat.queries import TextQueryItem
from bluetune_trainer.compat.sessions import SessionEvent, SessionWithEvents


class SessionEventWithImportance(BaseModel, ABC):
    """An event, and how much it says. An event of importance 0 or below is no click."""

    object_id: str
    """The result that was clicked."""

    @property
    @abstractmethod
    def event_importance(self) -> float:
        """How much the event says."""

    @classmethod
    @abstractmethod
    def from_model(cls, event: SessionEvent) -> "SessionEventWithImportance":
        """Of an event, as it was logged."""


class DummySessionEventWithImportance(SessionEventWithImportance):
    """Importance 1, or what the event's meta says in `importance`."""

    importance: float = 1.0

    @property
    def event_importance(self) -> float:
        """How much the event says."""
        return self.importance

    @classmethod
    def from_model(cls, event: SessionEvent) -> "DummySessionEventWithImportance":
        """Of an event, as it was logged."""
        return cls(object_id=event.object_id, importance=float((event.meta or {}).get("importance", 1.0)))


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
    """Importance of each event."""
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


@dataclass
class FineTuningInputWithItems:
    """An input, and what must be loaded for it."""

    input: FineTuningInput
    """The session."""
    items: list[Any]
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
        events = [] if session.is_irrelevant else [self.event_type.from_model(event) for event in session.events]
        clicked = {event.object_id for event in events if event.event_importance > 0}
        results = list(dict.fromkeys(result.object_id for result in session.search_results))
        return FineTuningInputWithItems(
            input=self.fine_tuning_type(
                query=self.query(session),
                events=[result for result in results if result in clicked],
                results=results,
                ranks={result.object_id: result.rank for result in session.search_results},
                event_types=[event.event_importance for event in events if event.event_importance > 0],
                timestamp=session.created_at,
            ),
            items=[self.item_meta(result.object_id, result.meta or {}) for result in session.search_results],
        )

    def query(self, session: SessionWithEvents) -> Any:
        """The session's query as an object."""
        fields = session.search_query if isinstance(session.search_query, dict) else {"text": session.search_query}
        return self.query_item_type(**{**(session.search_meta or {}), **fields})

    def item_meta(self, object_id: str, fields: dict[str, Any]) -> Any:
        """What a data loader gets to know of an item."""
        return self.item_type(**{**fields, "object_id": object_id})


def is_plain(converter: ClickstreamSessionConverter) -> bool:
    """Whether the converter takes sessions as they are, so that nothing need be made of a million of them."""
    return (
        type(converter).convert is ClickstreamSessionConverter.convert
        and converter.event_type is DummySessionEventWithImportance
        and converter.fine_tuning_type is FineTuningInput
    )
