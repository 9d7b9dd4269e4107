"""`python tests/chaos --seed N --schedules K`: the operator under random faults on the local cluster.

The cluster must run (`make up`). A seed that was interrupted goes on where it was.
"""

import argparse
import json
import secrets
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from chaos.run import Outcome, Stage
from chaos.schedule import FAULTS
from chaos.stage import staged
from chaos.suite import FOLDER, done, line_of, results_file, run_all, table
from cluster.lifecycle import Cluster


def main() -> int:
    """Run what the command line says; 1 if an invariant was violated."""
    parser = argparse.ArgumentParser(prog="tests/chaos", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--schedules", type=int, default=20)
    parser.add_argument("--parallel", type=int, default=3, help="schedules side by side")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no schedule after this time")
    parser.add_argument("--machine", action="store_true", help="with faults of the whole cluster, one at a time")
    parser.add_argument("--real", action="store_true", help="with the real trainer, which needs minutes for a schedule")
    parser.add_argument("--number", type=int, help="only this schedule, also if it was run before")
    parser.add_argument("--only", choices=sorted(FAULTS), help="a fault that every schedule begins with")
    options = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    path = results_file(options.seed, machine=options.machine, real=options.real)
    print(f"seed {options.seed}; outcomes in {path}", flush=True)
    known = {each["schedule"]["number"] for each in done(path)}
    numbers = (
        [options.number] if options.number is not None else [n for n in range(options.schedules) if n not in known]
    )
    over, writing = time.monotonic() + options.minutes * 60, threading.Lock()

    def tell(outcome: Outcome) -> None:
        with writing:
            print(line_of(outcome), flush=True)
            for text in outcome.violations:
                print(f"    {text}", flush=True)
            if options.number is None and options.only is None:
                with path.open("a") as file:
                    file.write(json.dumps(outcome.wire()) + "\n")

    def run(stage: Stage) -> int:
        outcomes = run_all(
            stage,
            options.seed,
            numbers,
            tell,
            machine=options.machine,
            parallel=options.parallel,
            goes_on=lambda: time.monotonic() < over,
            only=options.only,
        )
        print(table(done(path) or [each.wire() for each in outcomes]))
        return int(any(outcome.violations for outcome in outcomes))

    with staged(Cluster(), FOLDER, real=options.real) as stage:
        return run(stage)


if __name__ == "__main__":
    sys.exit(main())
