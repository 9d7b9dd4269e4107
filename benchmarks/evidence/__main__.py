"""How often the gate is right: clicks are simulated from people's judgments, candidates are known, and so is the truth.

    python benchmarks/evidence [--data FOLDER ...] [--draws 2] [--queries 100] [--sessions 300] [--work DIR] [--out DIR]

A folder holds `items.jsonl` (item_id, title, description) and `judgments.jsonl` (query, object_id, grade); without any,
Semanlink is used, with the tags that clicks are made for. Three tenths of the queries are what candidates learn from;
logs and truth are of the others. Candidates are linear maps of the start model's vectors, from harmful to much better,
and rankers that imitate keywords. Logs come from four loggers and six models of clicking (simulate.py).
"""

import argparse
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE.parent), str(ROOT / "examples" / "semanlink")]

import torch  # noqa: E402 - the path comes first

from evidence import candidates, data  # noqa: E402
from evidence.compare import Seen, as_json, seen  # noqa: E402
from evidence.simulate import CLICKS, LOGGERS  # noqa: E402
from evidence.table import table  # noqa: E402
from machine import machine  # noqa: E402

LEARNED_SESSIONS = 600


def main() -> int:
    """Print the table, and write it with all rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="*", type=Path, default=[], help="folders of judged sets beside Semanlink")
    parser.add_argument("--draws", type=int, default=2, help="logs of each kind")
    parser.add_argument("--queries", type=int, default=100, help="queries of a log, at most")
    parser.add_argument("--sessions", type=int, default=300, help="sessions of a log")
    parser.add_argument("--work", type=Path, default=Path.home() / ".cache" / "bluetune" / "evidence")
    parser.add_argument("--out", type=Path, default=HERE.parent / "results")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: list[Seen] = []
    for judged in (data.semanlink(options.work), *(data.folder(path, options.work) for path in options.data)):
        pool = candidates.pool(judged, LOGGERS[0], "position", LEARNED_SESSIONS, 0)
        for logger in LOGGERS:
            for clicks in CLICKS:
                size = {"queries": options.queries, "sessions": options.sessions, "draws": options.draws}
                found.extend(seen(judged, pool, logger, clicks, **size))
            print(table([one for one in found if one.data == judged.name]), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    head = {"machine": machine(), "queries": options.queries, "sessions": options.sessions, "draws": options.draws}
    (options.out / "evidence.md").write_text(table(found) + "\n")
    (options.out / "evidence.json").write_text(json.dumps({**head, "rows": as_json(found)}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
