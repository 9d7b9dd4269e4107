"""Search sessions as the document's plugins see them: objects made one at a time, however many sessions there are."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, overload

from pydantic import BaseModel, BeforeValidator, Field, PrivateAttr, model_validator

from bluetune_trainer.data.clicks import seconds_of
from bluetune_trainer.data.types import Catalogue, Sessions

Id = Annotated[str, BeforeValidator(lambda value: str(value) if type(value) is int else value)]
"""A text; a whole number is taken as one, as the reader of batches takes it."""
Seconds = Annotated[float, BeforeValidator(seconds_of)]
"""A time in any form that the reader of batches takes, as seconds since the epoch."""


class Logged(BaseModel):
    """Something that was logged. A field that is null counts as absent, and fields of other names are ignored."""

    @model_validator(mode="before")
    @classmethod
    def _nulls_are_absent(cls, data: Any) -> Any:
        return {name: value for name, value in data.items() if value is not None} if isinstance(data, dict) else data


class SearchResultItem(Logged):
    """One result, as it was shown."""

    object_id: Id
    """Its id in the catalogue."""
    rank: float | None = None
    """What the search ranked it by, if that was logged."""
    meta: dict[str, Any] | None = None
    """Whatever else was logged."""


class SessionEvent(Logged):
    """Something that a user did with a result: a click."""

    event_id: Id = ""
    """Its id."""
    session_id: Id = ""
    """Session in which it happened."""
    object_id: Id
    """The result that was clicked."""
    event_type: str = "click"
    """What was done."""
    created_at: Seconds = 0
    """Seconds since the epoch."""
    meta: dict[str, Any] | None = None
    """Whatever else was logged."""


class SessionWithEvents(Logged):
    """A search session: what was asked, what was shown, what was clicked."""

    session_id: Id
    """Its id."""
    search_query: Any
    """What was asked."""
    created_at: Seconds = 0
    """Seconds since the epoch."""
    search_results: list[SearchResultItem] = Field(default_factory=list)
    """In the order in which they were shown."""
    search_meta: dict[str, Any] | None = None
    """Whatever else was logged about the query."""
    user_id: Id | None = None
    """Who asked."""
    is_irrelevant: Annotated[bool, BeforeValidator(lambda value: value is True)] = False
    """Marked as a session in which nothing was relevant."""
    batch_id: str = ""
    """Batch that it belongs to."""
    session_number: int = 0
    """Its place in the batch."""
    events: list[SessionEvent] = Field(default_factory=list)
    """Clicks."""

    _position: int | None = PrivateAttr(default=None)


class ClickstreamNotRead(Exception):
    """The plugin looks into the clickstream before it was read; what is decided by it waits until then."""


class Clickstream(Sequence[SessionWithEvents]):
    """A batch as a sequence of sessions that are made when they are looked at; slices are sequences of that kind.

    The sessions are those that passed the check, with the results that the catalogue knows. What the check does not
    keep is not there: `session_id` is the session's number in the batch, and `meta`, `user_id` and `rank` are empty;
    override `session` of the plugin to use them. An event stands for all of a result's; what they say together
    is in its meta as `importance`, if that is not 1.

    Before the batch was read every look raises ClickstreamNotRead; a plugin that hands the sequence on to
    `prepare_data` need not care.
    """

    def __init__(self) -> None:
        self._sessions: Sessions | None = None
        self._catalogue: Catalogue | None = None
        self._index: Sequence[int] = range(0)

    def read(self, sessions: Sessions, catalogue: Catalogue) -> None:
        """Say what the sequence holds."""
        self._sessions, self._catalogue, self._index = sessions, catalogue, range(len(sessions))

    def positions(self) -> Sequence[int]:
        """Positions in the batch of the sessions that the sequence holds, in its order."""
        self._content()
        return self._index

    def __len__(self) -> int:
        self._content()
        return len(self._index)

    def __iter__(self) -> Iterator[SessionWithEvents]:
        sessions, catalogue = self._content()
        for position in self._index:
            yield session_at(sessions, catalogue, position)

    @overload
    def __getitem__(self, at: int) -> SessionWithEvents: ...
    @overload
    def __getitem__(self, at: slice) -> "Clickstream": ...
    def __getitem__(self, at: int | slice) -> "SessionWithEvents | Clickstream":
        sessions, catalogue = self._content()
        if isinstance(at, slice):
            part = Clickstream()
            part._sessions, part._catalogue, part._index = sessions, catalogue, self._index[at]
            return part
        return session_at(sessions, catalogue, self._index[at])

    def _content(self) -> tuple[Sessions, Catalogue]:
        if self._sessions is None or self._catalogue is None:
            raise ClickstreamNotRead
        return self._sessions, self._catalogue


def session_at(sessions: Sessions, catalogue: Catalogue, position: int) -> SessionWithEvents:
    """The session at a position of the batch as an object."""
    begin, end = int(sessions.offsets[position]), int(sessions.offsets[position + 1])
    ids = [catalogue.ids[item] for item in sessions.items[begin:end].tolist()]
    gains = (sessions.gains if len(sessions.gains) else sessions.clicked)[begin:end].tolist()
    session = SessionWithEvents.model_construct(
        session_id=str(position),
        search_query=sessions.queries[position],
        created_at=_created(sessions, position),
        search_results=[SearchResultItem.model_construct(object_id=i, rank=None, meta=None) for i in ids],
        session_number=position,
        events=[
            SessionEvent.model_construct(
                session_id=str(position), object_id=i, meta=None if gain == 1 else {"importance": gain}
            )
            for i, gain in zip(ids, gains, strict=True)
            if gain
        ],
    )
    session._position = position
    return session


def position_of(session: SessionWithEvents) -> int | None:
    """Where in the batch a session of a Clickstream lies; None for one that the plugin made."""
    return session._position


def _created(sessions: Sessions, position: int) -> float:
    created = getattr(sessions, "created", ())
    return float(created[position]) if len(created) else 0.0
