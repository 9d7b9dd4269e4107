"""Every session that the reader of batches takes goes through a plugin's converter and retriever, in every form."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bluetune_api.clickstream import Clickstream
from bluetune_trainer.compat.reading import as_logged
from bluetune_trainer.errors import PlanInvalid, PluginFailed
from bluetune_trainer.plugin.resolve import Resolved

Make = Callable[..., Resolved]
Load = Callable[..., Any]

WEIGHS = """
def __init__(self):
    super().__init__()
    class Weighed(SessionEventWithImportance):
        importance: float
        @property
        def event_importance(self):
            return self.importance
        @classmethod
        def from_model(cls, event):
            return cls(object_id=event.object_id, importance={"impression": 0, "thumbs_up": 4}.get(event.event_type, 1))
    class Up(TextQueryRetriever):
        def _convert_query(self, query):
            return "CONVERTED " + query.text
    self.sessions_converter = ClickstreamSessionConverter(item_type=ItemMeta, event_type=Weighed)
    self.retriever = Up()
"""


def seen(session: dict[str, Any]) -> dict[str, Any]:
    """The session with an impression of its second result, and praise for its third."""
    second, third = (session["search_results"][place]["object_id"] for place in (1, 2))
    events = [{"object_id": second, "event_type": "impression"}, {"object_id": third, "event_type": "thumbs_up"}]
    return {**session, "events": [*(session["events"] or []), *events]}


def test_importances_and_the_retriever_count_in_every_form(plugin: Make, load: Load) -> None:
    loaded = load(plugin(WEIGHS), seen)
    assert loaded.tally.offences == []
    assert len(loaded.sessions) == 60
    assert loaded.sessions.queries[0] == "CONVERTED query 0"
    assert loaded.sessions.clicked[:4].tolist() == [True, False, True, False]
    assert loaded.sessions.gains[:4].tolist() == [1, 0, 4, 0]
    assert loaded.split.train.gains.max() == 4


@pytest.mark.parametrize(("importance", "gains"), [(0, [1, 0, 0, 0]), (2.5, [1, 2.5, 0, 0]), (None, [1, 1, 0, 0])])
def test_the_stock_converter_weighs_an_event_by_its_metas_importance(
    plugin: Make, load: Load, importance: Any, gains: list[float]
) -> None:
    def weigh(session: dict[str, Any]) -> dict[str, Any]:
        second = session["search_results"][1]["object_id"]
        event = {"object_id": second, "meta": {"importance": importance}}
        return {**session, "events": [*(session["events"] or []), event]}

    loaded = load(plugin("pass"), weigh)
    assert loaded.sessions.graded()[:4].tolist() == gains
    assert int(loaded.sessions.clicked.sum()) == 54 + (60 if importance != 0 else 0)


def test_an_importance_that_is_no_number_breaks_the_line_with_its_reason(plugin: Make, load: Load) -> None:
    loaded = load(
        plugin("pass"), lambda session: {**session, "events": [{"object_id": "1", "meta": {"importance": "high"}}]}
    )
    assert len(loaded.tally.offences) == 10
    assert loaded.tally.broken == 60
    assert loaded.tally.offences[0].problem == "events[0].meta.importance: a number is expected, this is 'high'"


def test_a_converter_that_changes_what_is_asked_changes_the_query(plugin: Make, load: Load) -> None:
    loaded = load(
        plugin(
            """
            def __init__(self):
                super().__init__()
                class Short(ClickstreamSessionConverter):
                    def convert(self, session_data):
                        made = super().convert(session_data)
                        made.input.query = TextQueryItem(text=made.input.query.text.removeprefix("query "))
                        return made
                self.sessions_converter = Short(item_type=ItemMeta)
            """
        )
    )
    assert loaded.sessions.queries[:2] == ["0", "1"]


def test_a_converter_that_says_how_a_query_is_made_is_asked(plugin: Make, load: Load) -> None:
    loaded = load(
        plugin(
            """
            def __init__(self):
                super().__init__()
                class Named(ClickstreamSessionConverter):
                    def query(self, session):
                        return TextQueryItem(text=f"{session.session_id} {session.search_query}")
                self.sessions_converter = Named(item_type=ItemMeta)
            """
        )
    )
    assert loaded.sessions.queries[:2] == ["0 query 0", "1 query 1"]


def test_the_retrievers_own_class_of_queries_is_made_of_the_converters(plugin: Make, load: Load) -> None:
    loaded = load(
        plugin(
            """
            def __init__(self):
                super().__init__()
                class Located(TextQueryItem):
                    city: str = "nowhere"
                class ByCity(QueryRetriever):
                    def get_model_class(self):
                        return Located
                    def _convert_query(self, query):
                        return f"{query.text} in {query.city}"
                self.retriever = ByCity()
            """
        ),
        lambda session: {**session, "search_meta": {"city": "Oslo"}},
    )
    assert loaded.sessions.queries[0] == "query 0 in Oslo"


def test_a_query_that_was_logged_as_an_object_is_its_text(plugin: Make, load: Load) -> None:
    loaded = load(plugin("pass"), lambda session: {**session, "search_query": {"text": session["search_query"]}})
    assert loaded.sessions.queries[:2] == ["query 0", "query 1"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"search_meta": ["red"]}, "search_meta: Input should be a valid dictionary"),
        (
            {"search_results": [{"object_id": "1", "rank": "first"}]},
            "search_results.0.rank: Input should be a valid number",
        ),
        ({"created_at": "yesterday"}, "created_at: a time is expected"),
    ],
)
def test_a_session_that_the_plugins_objects_cannot_hold_is_a_broken_line_with_its_reason(
    plugin: Make, load: Load, change: dict[str, Any], says: str
) -> None:
    loaded = load(plugin(WEIGHS), lambda session: {**session, **change} if int(session["session_id"]) == 7 else session)
    assert loaded.tally.broken == 1
    assert loaded.tally.offences[0].line == 7
    assert says in loaded.tally.offences[0].problem
    assert loaded.tally.read == 59


def test_a_query_that_the_plugins_class_cannot_hold_is_a_broken_line_with_its_reason(plugin: Make, load: Load) -> None:
    loaded = load(
        plugin(
            """
            def __init__(self):
                super().__init__()
                class Located(TextQueryItem):
                    city: str
                self.sessions_converter = ClickstreamSessionConverter(item_type=ItemMeta, query_item_type=Located)
            """
        )
    )
    assert loaded.tally.broken == 60
    assert loaded.tally.offences[0].problem == "Located of the plugin cannot be made of it: city: must be set"


def test_nulls_and_numbers_in_fields_that_training_does_not_need_do_no_harm(plugin: Make, load: Load) -> None:
    extra = {"user_id": 12, "batch_id": None, "session_number": None, "search_meta": None, "is_irrelevant": None}
    events = {"event_id": 5, "session_id": 9, "meta": None, "event_type": None, "created_at": None}
    loaded = load(
        plugin(WEIGHS),
        lambda session: {
            **session,
            **extra,
            "events": [{**event, **events} for event in session["events"] or []],
        },
    )
    assert loaded.tally.offences == []
    assert int(loaded.sessions.clicked.sum()) == 54


def test_results_keep_their_ranks_and_stand_as_they_were_shown(plugin: Make, load: Load) -> None:
    def ranked(session: dict[str, Any]) -> dict[str, Any]:
        results = session["search_results"]
        return {
            **session,
            "search_results": [
                {**result, "rank": rank} for result, rank in zip(results, (13, 12, 11, 10), strict=True)
            ],
        }

    loaded = load(plugin(WEIGHS), ranked)
    plain = load(plugin("pass"), ranked)
    assert loaded.sessions.items.tolist() == plain.sessions.items.tolist()
    assert loaded.sessions.shown_rank.tolist() == plain.sessions.shown_rank.tolist()
    shown = as_logged(
        {
            "session_id": 1,
            "search_query": "x",
            "created_at": 1,
            "search_results": [{"object_id": 5, "rank": 2}, {"object_id": 6, "rank": 1}],
            "events": None,
        }
    ).search_results
    assert [result.object_id for result in shown] == ["6", "5"]


def test_a_search_that_was_logged_without_its_list_keeps_its_clicks(plugin: Make, load: Load) -> None:
    loaded = load(plugin(WEIGHS), lambda session: {**session, "search_results": []})
    assert int(loaded.sessions.clicked.sum()) == 54


@pytest.mark.parametrize(
    ("event_type", "says"),
    [
        ("return None", "event_importance of Odd must be a number, for '0' it is None"),
        ("return type('E', (), {'object_id': '0', 'event_importance': 'much'})()", "it is 'much'"),
        ("return type('E', (), {'object_id': '0', 'event_importance': float('nan')})()", "it is nan"),
    ],
)
def test_an_event_class_that_gives_no_importance_fails_the_plugin(
    plugin: Make, load: Load, event_type: str, says: str
) -> None:
    body = f"""
def __init__(self):
    super().__init__()
    class Odd(SessionEventWithImportance):
        @property
        def event_importance(self):
            return 1
        @classmethod
        def from_model(cls, event):
            {event_type}
    self.sessions_converter = ClickstreamSessionConverter(item_type=ItemMeta, event_type=Odd)
"""
    with pytest.raises(PluginFailed) as failed:
        load(plugin(body))
    assert says in failed.value.message


def test_importances_that_do_not_go_with_the_clicks_fail_the_plugin(plugin: Make, load: Load) -> None:
    body = """
def __init__(self):
    super().__init__()
    class Odd(ClickstreamSessionConverter):
        def convert(self, session_data):
            made = super().convert(session_data)
            made.input.event_types = [1.0, 2.0, 3.0]
            return made
    self.sessions_converter = Odd(item_type=ItemMeta)
"""
    with pytest.raises(PluginFailed, match="event_types of an input must be one number for each of its events"):
        load(plugin(body))


def test_sessions_of_the_clickstream_are_not_converted_twice(plugin: Make, load: Load) -> None:
    looks = WEIGHS + "\ndef learned_from(self, clickstream):\n    return [s for s in clickstream if s.events]\n"
    loaded = load(plugin(looks), seen)
    parts = (loaded.split.train, loaded.split.validation, loaded.split.gate)
    assert sum(len(part) for part in parts) == 60
    assert {round(float(gain)) for part in parts for gain in part.gains} == {0, 1, 4}
    assert np.concatenate([part.shown_rank for part in parts]).max() == 3


def test_importances_of_sessions_that_a_plugin_makes_itself_weigh(plugin: Make, load: Load) -> None:
    own = """
def learned_from(self, clickstream):
    def mine(s):
        first = {"object_id": s.search_results[0].object_id, "meta": {"importance": 3}}
        return {**s.model_dump(), "created_at": "2026-01-31T12:00:00Z", "events": [first]}
    return [mine(s) for s in clickstream]
"""
    loaded = load(plugin(own))
    assert set(loaded.split.train.gains.tolist()) == {0, 3}
    assert loaded.split.train.created[0] == pytest.approx(1769860800)


def test_types_in_the_manifest_are_refused_beside_a_converter_that_decides_itself(plugin: Make) -> None:
    types = Clickstream(event_types={"purchase": 5})
    plugin("pass", clickstream=types)
    with pytest.raises(PlanInvalid, match=r"clickstream.eventTypes: the sessions' converter of .*:Mine says which"):
        plugin(WEIGHS, clickstream=types)
