"""What others wrote (a trainer, whoever has a store's keys, a server in a pod), made fit for a status.

The schema of a status is strict, and a status that the API server refuses is a task that never ends: whatever was
written, what comes out of here fits.
"""

import json
import math
import unicodedata
from typing import Any

MAX_NUMBER = 2**31 - 1
MAX_NAMES, NAME_CHARACTERS, VALUE_CHARACTERS = 64, 64, 256

_KEPT = frozenset("\n\t")
_BLANKS = frozenset({"Cc", "Zl", "Zp"})
_GONE = frozenset({"Cf", "Cs", "Co", "Cn"})
"""Categories of the Unicode Character Database: controls and separators become a blank; what is invisible, turns the
writing direction (CVE-2021-42574, "Trojan Source") or is no character is left out."""


def clean(text: str, limit: int) -> str:
    """At most `limit` characters of a text, none of which moves a terminal's cursor, hides, or reverses the others."""
    return "".join(_cleaned(character) for character in text[: limit * 2])[:limit]


def _cleaned(character: str) -> str:
    if character in _KEPT or character.isprintable():
        return character
    category = unicodedata.category(character)
    if category in _BLANKS:
        return " "
    return "" if category in _GONE else character


def count(number: int) -> int:
    """A number of things that fits into a status."""
    return min(max(number, 0), MAX_NUMBER)


def parameters(params: dict[str, Any]) -> dict[str, Any]:
    """Hyperparameters for people: floats with four digits, names and texts short, what is nested deeper
    than a short list as JSON, cut."""
    return {clean(name, NAME_CHARACTERS): _value(params[name]) for name in list(params)[:MAX_NAMES]}


def _value(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) <= MAX_NUMBER else clean(_json(value), VALUE_CHARACTERS)
    if isinstance(value, float):
        short = float(f"{value:.4g}")  # which may round up to infinity
        return short if math.isfinite(short) else f"{value:.4g}"
    if isinstance(value, str):
        return clean(value, VALUE_CHARACTERS)
    if isinstance(value, list) and len(value) <= MAX_NAMES and not any(isinstance(v, list | dict) for v in value):
        shown = [_value(v) for v in value]
        if len(_json(shown)) <= VALUE_CHARACTERS:
            return shown
    return clean(_json(value), VALUE_CHARACTERS)


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):  # digits beyond sys.get_int_max_str_digits(), or too deep
        return "?"
