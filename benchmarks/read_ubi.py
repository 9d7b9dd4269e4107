"""Seconds of a core and memory that it takes to check a batch of UBI.

    python benchmarks/read_ubi.py [--events 1000000]

Prints a line of JSON. Half of the searches have lists of what was seen (`impression` events), half of what was
returned.
"""

import argparse
import json
import resource
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bluetune_api.batch_window import BatchSelection
from bluetune_api.objectstore import LocalStore
from bluetune_api.records import MethodPlan
from bluetune_trainer.data import loading
from bluetune_trainer.plugin import TextFineTuningMethod

ITEMS, RESULTS, QUERIES = 50_000, 10, 20_000


def log(events: int) -> Iterator[dict[str, Any]]:
    """Queries and so many events: of two searches, the first has ten impressions, and each has a click."""
    written = search = 0
    while written < events:
        name, shown = f"q{search}", [f"sku-{(search * 31 + place * 977) % ITEMS}" for place in range(RESULTS)]
        seen = shown if search % 2 == 0 else []
        query = {"query_id": name, "client_id": f"c{search % 5000}", "user_query": f"thing {search % QUERIES} of many"}
        yield query | {"timestamp": "2026-03-02T10:00:00.000Z"} | ({} if seen else {"query_response_hit_ids": shown})
        deeds = [("impression", item) for item in seen] + [("click", shown[search % RESULTS])]
        for action, item in deeds:
            about = {
                "object": {"object_id": item, "object_id_field": "sku"},
                "position": {"ordinal": shown.index(item)},
            }
            yield {
                "action_name": action,
                "query_id": name,
                "client_id": f"c{search % 5000}",
                "session_id": f"v{search % 9000}",
                "timestamp": "2026-03-02T10:00:05.000Z",
                "message_type": "INFO",
                "event_attributes": about,
            }
        written, search = written + len(deeds), search + 1


def main() -> None:
    """Write the log, check it, print what it took."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    events = parser.parse_args().events
    with tempfile.TemporaryDirectory() as folder:
        batch, items = Path(folder) / "clickstream" / "b1", Path(folder) / "items"
        batch.mkdir(parents=True)
        items.mkdir()
        with (items / "items.jsonl").open("w") as file:
            file.writelines(json.dumps({"item_id": f"sku-{n}", "title": f"thing {n}"}) + "\n" for n in range(ITEMS))
        with (batch / "part.jsonl").open("w") as file:
            file.writelines(json.dumps(document) + "\n" for document in log(events))
        (batch / "_SUCCESS").touch()
        before, started = time.process_time(), time.perf_counter()
        report = loading.check(
            LocalStore(Path(folder)),
            BatchSelection(learn=["b1"]),
            MethodPlan(),
            TextFineTuningMethod(),
            stop=threading.Event(),
        )
        took, wall = time.process_time() - before, time.perf_counter() - started
    if not report.valid or report.format != "UBI":
        raise SystemExit(f"the batch is not read as it should be: {report.problems}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(
        json.dumps(
            {
                "events": events,
                "sessions": report.sessions,
                "cpuSeconds": round(took, 1),
                "seconds": round(wall, 1),
                "peakMiB": peak,
            }
        )
    )


if __name__ == "__main__":
    main()
