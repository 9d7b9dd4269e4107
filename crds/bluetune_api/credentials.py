"""Keys that open a store, as a Secret or an environment holds them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bluetune_api.objectstore import StoreDenied

ACCESS_KEY, SECRET_KEY, SESSION_TOKEN = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"


@dataclass(frozen=True)
class StaticKeys:
    """Keys that somebody made; with a session token if they are temporary ones."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


def static_keys(values: Mapping[str, str]) -> StaticKeys | None:
    """The keys among these values; None if one of the two that are needed is absent or empty.

    White space around a value is not part of it: `echo KEY | base64` adds a line break.

    Raises:
        StoreDenied: a value holds white space or a control character within, so it cannot be a key.
    """
    found = {name: clean(name, values.get(name) or "") for name in (ACCESS_KEY, SECRET_KEY, SESSION_TOKEN)}
    if not found[ACCESS_KEY] or not found[SECRET_KEY]:
        return None
    return StaticKeys(found[ACCESS_KEY], found[SECRET_KEY], found[SESSION_TOKEN] or None)


def clean(name: str, value: str) -> str:
    """A key without the white space around it. Raises StoreDenied, which never holds the value."""
    stripped = value.strip()
    wrong = next((c for c in stripped if not "!" <= c <= "~"), None)
    if wrong is not None:
        what = "a line break" if wrong in "\r\n" else f"the character U+{ord(wrong):04X}"
        raise StoreDenied(f"the value of {name} holds {what}, which no key has; write it into the Secret again")
    return stripped
