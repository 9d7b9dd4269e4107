"""A world whose import, check and training take a second or two: 24 sessions, six items, a random encoder."""

import json
from typing import Any

from bluetune_api.objectstore import ObjectStore
from bluetune_api.records import Plan

OWNER = {"kind": "FineTuningTask", "name": "t", "namespace": "n", "uid": "u1"}
METHOD = {
    "items": {"textFields": ["title"]},
    "settings": {
        "minSessions": 1,
        "minCoverage": 0,
        "numEpochs": 1,
        "batchSize": 16,
        "precision": "FP32",
        "maxTokens": 16,
    },
    "initialParams": {"num_fixed_layers": {"choice": [0]}},
    "initialMaxEvals": 1,
}
ITEMS = ("red lamp", "blue boat", "green chair", "old clock", "wool scarf", "tin kettle")


def fill(store: ObjectStore) -> None:
    """Items and a complete batch."""
    items = [{"item_id": f"i{number}", "title": title} for number, title in enumerate(ITEMS)]
    sessions = [
        {
            "session_id": f"s{number}",
            "search_query": f"query {number}",
            "created_at": 1_772_445_600,
            "search_results": [{"object_id": f"i{(number + place) % 6}"} for place in range(3)],
            "events": [{"object_id": f"i{number % 6}"}],
        }
        for number in range(24)
    ]
    for key, records in (("items/i.jsonl", items), ("clickstream/b/p.jsonl", sessions)):
        store.put(key, "".join(json.dumps(record) + "\n" for record in records).encode())
    store.put("clickstream/b/_SUCCESS", b"")


def plan(kind: str, uid: str, **fields: Any) -> Plan:
    """A plan on that world."""
    location = {"endpoint": "minio:9000", "bucket": "models"}
    owner = {**OWNER, "uid": uid, "kind": "EmbeddingModel" if kind == "Import" else OWNER["kind"]}
    return Plan.model_validate(
        {
            "kind": kind,
            "owner": owner,
            "model": "m",
            "store": location,
            "batchId": "b",
            "method": METHOD,
            "gate": {"folds": 2},
            **fields,
        }
    )
