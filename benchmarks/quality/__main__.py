"""How good fine-tuned models are, on Semanlink: clicks are simulated, scores are people's judgments that nobody saw.

    python benchmarks/quality [--only TEXT] [--seeds 0 1 2 3 4] [--work DIR] [--out DIR]

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
from quality import report  # noqa: E402
from quality.cells import cached, fingerprint  # noqa: E402
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
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
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


if __name__ == "__main__":
    sys.exit(main())
