"""How good fine-tuned models are: clicks are simulated, scores are people's judgments that nobody saw.

    python benchmarks/quality [--only TEXT] [--seeds 0 1 2 3 4] [--work DIR] [--out DIR]
    python benchmarks/quality --data FOLDER [FOLDER …] [--sessions 1200] [--max-items 3000] [--max-tokens 128] …

Without `--data`, on Semanlink. With it, on judged sets of yours: `items.jsonl` and `judgments*.jsonl` in each folder.

A position-based model of clicks (examples/semanlink/semanlink/clicks.py) makes the sessions, of which half are ranked
by the zero-shot model and half by BM25, with noise. Every column trains on the same clicks, texts cut at 64 tokens,
and ranks everything there is, for queries (or documents) that no click touched. A cell that was measured with the same
code is not measured again, so an interrupted run goes on. Seeds vary clicks and training; the split stays. Intervals
are paired bootstraps over queries, of the mean over seeds.
"""

import argparse
import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE.parent), str(ROOT / "examples" / "semanlink")]

import numpy as np  # noqa: E402 - the path comes first
import torch  # noqa: E402

from bluetune_trainer.training.precision import bf16_pays  # noqa: E402
from machine import machine  # noqa: E402
from quality import judged_columns, report  # noqa: E402
from quality.cells import cached, fingerprint  # noqa: E402
from quality.judged import Logging  # noqa: E402
from quality.measure import Bench  # noqa: E402
from quality.plan import plan  # noqa: E402
from semanlink import dataset  # noqa: E402

OURS = ("document_loss", "clicks_only", "default", "search")


def main() -> int:
    """Measure what is missing, print the table, write JSON and table after every cell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="measure cells whose description holds this; tell of all there are")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, default=dataset.cache_folder() / "benchmark-quality")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    sets = parser.add_argument_group("judged sets")
    sets.add_argument("--data", type=Path, nargs="+", help="folders with items.jsonl and judgments*.jsonl")
    sets.add_argument("--sessions", type=int, default=Logging.sessions, help="with a click")
    sets.add_argument("--bm25-share", type=float, default=Logging.bm25_share, help="of the sessions that BM25 ranks")
    sets.add_argument("--click-irrelevant", type=float, default=Logging.click_irrelevant)
    sets.add_argument("--max-items", type=int, default=3000, help="of a catalogue, relevant ones first")
    sets.add_argument("--max-queries", type=int, default=300, help="that learn, and that are scored")
    sets.add_argument("--max-tokens", type=int, default=128, help="of a text, for every column")
    sets.add_argument("--columns", nargs="+", default=judged_columns.COLUMNS, choices=judged_columns.COLUMNS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.data:
        return measure_sets(options)
    own = fingerprint(HERE / "worlds.py", HERE / "baselines.py", ROOT / "examples" / "semanlink" / "semanlink")
    trainer = fingerprint(ROOT / "trainer_image", ROOT / "crds" / "bluetune_api" / "method.py", HERE / "ours.py")
    library = version("sentence-transformers")
    bench, found = Bench(options.work), {}
    for cell in plan(options.seeds):
        code = {"st_steps": library, "st_time": library}.get(cell.column, trainer if cell.column in OURS else "")
        if options.only not in str(cell):
            continue
        with tempfile.TemporaryDirectory(prefix="bluetune-quality-") as scratch:
            found[cell] = cached(
                options.work / "cells",
                cell,
                f"{own}-{code}",
                lambda c=cell, w=scratch: bench.measure(c, Path(w), found),
            )
        print(f"{np.mean(found[cell].ndcg):.4f}  {cell}", flush=True)
        made = report.rows(found)
        content = {
            "machine": machine(options.threads, bf16_pays("cpu")),
            "code": {"benchmark": own, "trainer": trainer, "sentence-transformers": library},
            "goals": report.GOALS,
            "rows": made,
        }
        if not options.only:
            options.out.mkdir(parents=True, exist_ok=True)
            (options.out / "quality.json").write_text(json.dumps(content, indent=1) + "\n")
            (options.out / "quality.md").write_text(report.page(content) + "\n")
    print(report.table(report.rows(found)))
    return 0


def measure_sets(options: argparse.Namespace) -> int:
    """Measure the columns on each judged set, print the table and write JSON after every set."""
    how = Logging(options.sessions, options.bm25_share, click_irrelevant=options.click_irrelevant)
    what = judged_columns.Options(
        options.seeds, options.max_items, options.max_queries, options.max_tokens, options.columns
    )
    measured = []
    for folder in options.data:
        measured.append(judged_columns.measure(folder, how, what))
        content = {"machine": machine(options.threads, bf16_pays("cpu")), "sets": measured}
        options.work.mkdir(parents=True, exist_ok=True)
        (options.work / "judged.json").write_text(json.dumps(content, indent=1) + "\n")
    print(judged_columns.table(measured))
    return 0


if __name__ == "__main__":
    sys.exit(main())
