"""Keys as people write them into a Secret."""

import pytest

from bluetune_api.credentials import StaticKeys, static_keys
from bluetune_api.objectstore import StoreDenied
from bluetune_api.s3 import store_from_environment
from bluetune_api.store_location import StoreLocation

BOTH = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (BOTH, StaticKeys("id", "secret")),
        ({"AWS_ACCESS_KEY_ID": "id\n", "AWS_SECRET_ACCESS_KEY": " secret\r\n"}, StaticKeys("id", "secret")),
        ({**BOTH, "AWS_SESSION_TOKEN": "tok/en==\n"}, StaticKeys("id", "secret", "tok/en==")),
        ({**BOTH, "AWS_SESSION_TOKEN": ""}, StaticKeys("id", "secret")),
        ({"AWS_ACCESS_KEY_ID": "id"}, None),
        ({"AWS_ACCESS_KEY_ID": "\n", "AWS_SECRET_ACCESS_KEY": "secret"}, None),
        ({}, None),
    ],
)
def test_white_space_around_a_key_is_not_part_of_it(values: dict[str, str], expected: StaticKeys | None) -> None:
    assert static_keys(values) == expected


@pytest.mark.parametrize(("value", "says"), [("one\ntwo", "a line break"), ("a b", "U+0020"), ("schlüssel", "U+00FC")])
@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"])
def test_what_cannot_be_a_key_is_refused_by_name_and_never_quoted(name: str, value: str, says: str) -> None:
    with pytest.raises(StoreDenied, match=name) as caught:
        static_keys({**BOTH, name: value})
    assert says in str(caught.value)
    assert value not in str(caught.value)


def test_keys_are_not_shown() -> None:
    shown = repr(StaticKeys("id", "hidden", "token"))
    assert "hidden" not in shown
    assert "token'" not in shown


def test_an_environment_whose_key_is_only_a_line_break_is_said_to_lack_it() -> None:
    location = StoreLocation(endpoint="localhost:9000", bucket="models", secure=False)
    with pytest.raises(StoreDenied, match="AWS_SECRET_ACCESS_KEY not set"):
        store_from_environment(location, {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "\n"})
