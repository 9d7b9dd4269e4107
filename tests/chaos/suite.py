"""Many schedules: some at a time, each once, resumable by the seed."""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from chaos.run import Outcome, Stage, run
from chaos.schedule import FAULTS, draw

FOLDER = Path("/var/tmp/bluetune-chaos")


def results_file(seed: int, *, machine: bool, real: bool) -> Path:
    """Where the outcomes of a seed are kept, a line each."""
    return FOLDER / f"seed-{seed}{'-machine' if machine else ''}{'-real' if real else ''}.jsonl"


def done(path: Path) -> list[dict[str, Any]]:
    """Outcomes of earlier runs of the seed."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run_all(
    stage: Stage,
    seed: int,
    numbers: Iterable[int],
    tell: Callable[[Outcome], None],
    *,
    machine: bool = False,
    parallel: int = 3,
    goes_on: Callable[[], bool] = lambda: True,
    only: str | None = None,
) -> list[Outcome]:
    """Run schedules; each outcome is told as it comes. Faults of the machine are not run side by side."""
    outcomes: list[Outcome] = []

    def one(number: int) -> None:
        if goes_on():
            outcome = run(stage, draw(seed, number, machine=machine, only=only, real=stage.trainer.real))
            outcomes.append(outcome)
            tell(outcome)

    with ThreadPoolExecutor(1 if machine else parallel) as pool:
        for future in [pool.submit(one, number) for number in numbers]:
            future.result()
    return outcomes


def line_of(outcome: Outcome) -> str:
    """One line for people."""
    word = "VIOLATED" if outcome.violations else "held" if outcome.counts else "missed"
    faults = ", ".join(
        f"{fault.kind}{' (missed)' if fault.kind in outcome.missed else ''}" for fault in outcome.schedule.faults
    )
    return f"{outcome.schedule.seed}/{outcome.schedule.number:<4} {word:<9} {outcome.seconds:5.0f} s  {faults}"


def table(outcomes: Iterable[dict[str, Any]]) -> str:
    """Schedules that count, by fault, and violations."""
    outcomes = list(outcomes)
    counted = [each for each in outcomes if not each["missed"]]
    by_fault = Counter(fault["kind"] for each in counted for fault in each["schedule"]["faults"])
    broken = sum(bool(each["violations"]) for each in outcomes)
    lines = [f"{len(counted)} schedules counted of {len(outcomes)}, {broken} with violations"]
    lines += [f"{by_fault[kind]:>5}  {kind:<16} {FAULTS[kind]}" for kind in FAULTS if by_fault[kind]]
    return "\n".join(lines)
