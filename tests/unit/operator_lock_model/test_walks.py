"""Random schedules of operators, people, faults and edits of the Lease: no invariant breaks, and all comes to its end.

A failure prints the whole run, its profile and its seed; `walks.py` says how to replay it.
"""

import os
import random

import pytest

from unit.operator_lock_model.walks import PROFILES, walk

SEED = int(os.environ.get("BLUETUNE_SEED", "0")) or random.SystemRandom().randrange(1, 1_000_000_000)
"""Of the slow walks: new in each run, unless it is given."""


@pytest.mark.parametrize("profile", PROFILES)
def test_a_few_walks(profile: str) -> None:
    for seed in range(6):
        walk(profile, seed)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("profile", PROFILES)
def test_many_walks(profile: str) -> None:
    print(f"BLUETUNE_SEED={SEED}")
    for seed in range(SEED, SEED + 150):
        walk(profile, seed)
