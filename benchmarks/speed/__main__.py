"""Seconds a session of fine-tuning on this machine, of all contenders in one run, alternating.

    .venv/bin/python benchmarks/speed [--sessions 64] [--repeats 3] [--threads 2] [--worlds generated semanlink]

Sessions have 10 results and 1 to 3 clicks. `generated`: titles and descriptions of mixed length (about 28 tokens, a
tail to 250), no text twice. `semanlink`: sessions on real bookmarks. Every side but the one-session loops makes one
AdamW step for each 16 sessions, on the same sessions in the same order; the first step of each is not counted. Loading,
tokenizing (but in the one-session loops, which tokenize as they go) and filling the caches of frozen layers are not
counted: they happen once in a search. Processor time stands beside the wall clock: on a machine that does other things,
it is the figure that can be compared.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:1] = [str(HERE.parent), str(HERE.parents[1] / "examples" / "semanlink")]

import torch  # noqa: E402

from bluetune_trainer.training.precision import bf16_pays  # noqa: E402
from machine import machine  # noqa: E402
from speed import peers, worlds  # noqa: E402
from speed.ours import Side, ours  # noqa: E402

BATCH = 16
WORLDS: dict[str, Callable[[int], worlds.World]] = {"generated": worlds.generated, "semanlink": worlds.semanlink}
LAYER_PRODUCTS = 6 * (4 * 384 * 384 + 2 * 384 * 1536)
"""Multiplications a token in the layers of all-MiniLM-L6-v2: six of (query, key, value, out: 384²; up, down)."""


MEMORY = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=4294967296"


def main() -> int:
    """Run, print the tables, write the JSON."""
    if os.environ.get("GLIBC_TUNABLES") != MEMORY:  # read when a process starts
        environment = {**os.environ, "GLIBC_TUNABLES": MEMORY}
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)  # noqa: S606 - this program itself
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS))
    parser.add_argument("--out", type=Path, default=HERE.parent / "results" / "trainer_speed.json")
    options = parser.parse_args()
    if options.out.is_dir():
        options.out /= "trainer_speed.json"
    torch.set_num_threads(options.threads)
    count = max(options.sessions // BATCH, 1) * BATCH
    result: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(options.threads, bf16_pays("cpu")),
        "batch_size": BATCH,
        "repeats": options.repeats,
        "worlds": {},
    }
    for name in options.worlds:
        result["worlds"][name] = measured(WORLDS[name](count), count, options.repeats)
        show(name, result["worlds"][name])
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(f"\nwritten to {options.out}")
    return 0


def sides_of(world: worlds.World) -> list[Side]:
    """All contenders."""
    depths = ((0, False), (0, True), (3, True), (5, True))
    found = [ours(world, BATCH, fixed=fixed, bf16=bf16) for fixed, bf16 in depths]
    found += [
        peers.sentence_transformers(world, BATCH, bf16=bf16, attention=attention)
        for bf16 in (False, True)
        for attention in ("sdpa", "eager")
    ]
    return [*found, *(peers.one_session_a_step(world, padded=padded) for padded in (True, False))]


def measured(world: worlds.World, count: int, repeats: int) -> dict[str, Any]:
    """Milliseconds a session by side, and the share of the machine's peak."""
    sides = sides_of(world)
    for side in sides:
        side.step(0)
    wall: dict[str, list[float]] = {side.name: [] for side in sides}
    busy: dict[str, list[float]] = {side.name: [] for side in sides}
    shares: dict[str, list[float]] = {}
    for repeat in range(repeats):
        seconds = {side.name: [0.0, 0.0, 0.0] for side in sides}  # wall clock, processor, sessions
        for i in range(count // BATCH):
            for side in sides:
                number = i if side.sessions > 1 else (repeat * (count // BATCH) + i) % count
                begin, used = time.perf_counter(), time.process_time()
                side.step(number)
                spent = time.perf_counter() - begin, time.process_time() - used, side.sessions
                seconds[side.name] = [total + more for total, more in zip(seconds[side.name], spent, strict=True)]
                if side.encode is not None and side.tokens is not None:
                    shares.setdefault(side.name, []).append(_share(side, number))
        for name, (clock, processor, sessions) in seconds.items():
            wall[name].append(clock / sessions)
            busy[name].append(processor / sessions)
    best = {
        precision: min(
            statistics.median(wall[s.name]) for s in sides if s.name.startswith("sentence") and precision in s.name
        )
        for precision in ("fp32", "bf16")
    }
    loop = statistics.median(wall[next(s.name for s in sides if "padded to" in s.name)])
    rows = {}
    for side in sides:
        median = statistics.median(wall[side.name])
        rows[side.name] = {
            "ms": round(1000 * median, 2),
            "fastest_ms": round(1000 * min(wall[side.name]), 2),
            "processor_ms": round(1000 * statistics.median(busy[side.name]), 2),
            "times_sentence_transformers": round(best[side.name[-4:]] / median, 2),
            "times_one_session_loop": round(loop / median, 1),
            "note": side.note,
        }
        if side.name in shares:
            rows[side.name]["share_of_matrix_peak"] = round(statistics.median(shares[side.name]), 3)
    return {"sessions": count, "sides": rows}


def _share(side: Side, number: int) -> float:
    """Multiplications of the layers, on real tokens, forward and backward, over what the peak would do meanwhile."""
    assert side.encode is not None
    assert side.tokens is not None
    begin = time.perf_counter()
    side.encode(number)
    seconds = time.perf_counter() - begin
    return (
        3
        * 2
        * LAYER_PRODUCTS
        * side.tokens(number)
        / seconds
        / peak(torch.bfloat16 if "bf16" in side.name else torch.float32)
    )


def peak(dtype: torch.dtype, budget: float = 0.05) -> float:
    """Operations a second of products of [2048, 384] and [384, 1536], the layers' largest: the best of 50 ms."""
    left, right = torch.ones(2048, 384, dtype=dtype), torch.ones(384, 1536, dtype=dtype)
    best, end = float("inf"), time.perf_counter() + budget
    while time.perf_counter() < end:
        begin = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - begin)
    return 2 * 2048 * 384 * 1536 / best


def show(world: str, result: dict[str, Any]) -> None:
    """Print a world's table."""
    print(f"\n{world}: {result['sessions']} sessions")
    print(f"{'a session':58} {'ms':>8} {'CPU ms':>8} {'× ST':>6} {'× loop':>7} {'of peak':>8}")
    for name, row in result["sides"].items():
        share = f"{row['share_of_matrix_peak']:8.0%}" if "share_of_matrix_peak" in row else " " * 8
        figures = f"{row['ms']:8.1f} {row['processor_ms']:8.1f} {row['times_sentence_transformers']:6.2f}"
        print(f"{name:58} {figures} {row['times_one_session_loop']:7.1f} {share}  {row['note']}")


if __name__ == "__main__":
    raise SystemExit(main())
