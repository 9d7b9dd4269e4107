"""Sessions that no person made, or that are nobody's business: left out, counted, and never quoted."""

from typing import Any

import pytest

from bluetune_api.clickstream import Clickstream
from bluetune_trainer.data.event_types import EventTypes
from bluetune_trainer.data.notes import notes
from bluetune_trainer.data.personal import is_personal, masked
from bluetune_trainer.data.records import shortened
from bluetune_trainer.data.sessions import read_sessions
from bluetune_trainer.data.tally import SessionTally
from bluetune_trainer.data.types import Catalogue

CATALOGUE = Catalogue(list("abc"), ["lamp", "boat", "bike"], {"a": 0, "b": 1, "c": 2})
CARD = "4111 1111 1111 1111"


def session(number: int, query: str = "lamp", clicked: str = "a", **more: Any) -> dict[str, Any]:
    return {
        "session_id": str(number),
        "search_query": query,
        "created_at": 1_772_445_600 + number,
        "search_results": [{"object_id": o} for o in "abc"],
        "events": [{"object_id": o} for o in clicked],
        **more,
    }


def read(*records: dict[str, Any], **how: Any) -> tuple[list[str], list[str]]:
    """The queries of what was read, and what the check says of the rest."""
    tally, clickstream = SessionTally(), Clickstream(**how)
    lines = [("k", n, record) for n, record in enumerate(records, 1)]
    found = read_sessions(lines, CATALOGUE, tally, clickstream=clickstream)
    return list(found.queries), notes(tally, EventTypes(), clickstream)


@pytest.mark.parametrize(
    ("text", "personal"),
    [
        ("red lamp", False),
        ("orders of jane.doe+x@example.co.uk", True),
        ("lamp @ home", False),
        ("@types/node", False),
        (CARD, True),
        ("visa 4111-1111-1111-1111 declined", True),
        ("4111111111111112", False),
        ("9783161484100", False),
        ("378282246310005", True),
    ],
)
def test_addresses_and_card_numbers_are_personal(text: str, personal: bool) -> None:
    assert is_personal(text) is personal
    assert (masked(text) != text) is personal


def test_a_message_quotes_no_personal_data() -> None:
    assert shortened({"user": "jane@example.com", "card": CARD}) == "{'user': '[personal]', 'card': '[personal]'}"


def test_sessions_with_personal_data_are_left_out_unless_the_method_keeps_them() -> None:
    records = [session(1), session(2, "jane@example.com"), session(3, f"refund {CARD}")]
    queries, said = read(*records)
    assert queries == ["lamp"]
    assert [note for note in said if "personalData" in note and note.endswith(": 2")]
    assert not any("example.com" in note for note in said)
    assert len(read(*records, personal_data="Keep")[0]) == 3


def test_queries_of_the_exclusion_list_are_left_out_whatever_their_case() -> None:
    records = [session(1), session(2, "Health  CHECK 17"), session(3, "health"), session(4, "smoke test")]
    queries, said = read(*records, exclude_queries=["health check*", "Smoke Test"])
    assert queries == ["lamp", "health"]
    assert [note for note in said if "excludeQueries" in note and note.endswith(": 2")]


def test_a_session_of_more_clicks_than_a_person_makes_is_left_out() -> None:
    queries, said = read(session(1), session(2, "boat", "abc"), max_clicks=2)
    assert queries == ["lamp"]
    assert "sessions of more than 2 clicks (clickstream.maxClicks), which were left out: 1" in said


@pytest.mark.parametrize("field", ["user_id", "client_id"])
def test_a_client_with_too_many_searches_is_left_out_whole(field: str) -> None:
    robot = [session(n, f"robot {n}", **{field: 7}) for n in range(3)]
    people = [session(n, f"person {n}", **{field: f"p{n}"}) for n in range(3)]
    nameless = [session(n, f"nameless {n}") for n in range(10, 15)]
    queries, said = read(*robot, *people, *nameless, max_searches_per_client=2)
    assert queries == [*(f"person {n}" for n in range(3)), *(f"nameless {n}" for n in range(10, 15))]
    assert [note for note in said if "maxSearchesPerClient" in note and note.endswith(": 3")]
    assert len(read(*robot, *people, *nameless)[0]) == 11
