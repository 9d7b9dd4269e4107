"""Twenty schedules with a new seed each time. To see one again: `python tests/chaos --seed SEED --number N`."""

import secrets
from pathlib import Path

import pytest

from chaos.stage import staged
from chaos.suite import line_of, run_all, table
from cluster.lifecycle import Cluster

SCHEDULES, PARALLEL = 20, 3
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def test_the_operator_keeps_its_promises_under_random_faults(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = secrets.randbelow(10**6)
    with capsys.disabled():
        print(f"\nseed {seed}")
        with staged(cluster, tmp_path) as stage:
            outcomes = run_all(stage, seed, range(SCHEDULES), lambda each: print(line_of(each)), parallel=PARALLEL)
        print(table(each.wire() for each in outcomes))
    broken = [f"{line_of(each)}\n  {text}" for each in outcomes for text in each.violations]
    assert not broken, "\n".join(broken)
    assert any(each.counts for each in outcomes), "no fault hit"
