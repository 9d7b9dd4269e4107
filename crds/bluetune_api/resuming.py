"""Whether a run can go on from another one: what of two plans the state of trials depends on. Pure.

The operator asks before it starts anything, and the trainer before it takes anything over.
"""

import json
from collections.abc import Iterator
from typing import Any

from bluetune_api.records import Plan

SHOWN = 80
"""Characters of a value in a message."""
NAMED = 5
"""Fields that a message names."""
ABSENT = "absent"


def differences(earlier: Plan, plan: Plan) -> str:
    """What makes the trials of an earlier run useless for a plan, with both values; "" if nothing does.

    Image, pods, metadata, and the live version that the gate compares with may be others.
    """
    found = [
        f"{path} was {_shown(before)} and is now {_shown(after)}"
        for path, before, after in _unequal("", _decisive(earlier), _decisive(plan))
    ]
    more = f"; and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return "; ".join(found[:NAMED]) + more


def _decisive(plan: Plan) -> dict[str, Any]:
    """The part of a plan that trials follow. Judgments are in it: judged queries are not trained on."""
    parts = ("model", "batchId", "batches", "startVersion", "method")
    wire = plan.wire()
    return {part: wire.get(part) for part in parts} | {"gate": {"judgments": plan.gate.judgments}}


def _unequal(path: str, before: Any, after: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted(before.keys() | after.keys()):
            yield from _unequal(f"{path}.{name}" if path else name, before.get(name), after.get(name))
    elif before != after:
        yield path, before, after


def _shown(value: Any) -> str:
    if value is None:
        return ABSENT
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
