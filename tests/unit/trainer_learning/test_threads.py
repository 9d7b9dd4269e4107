"""How many threads a container's CPU limit allows."""

import pytest

from bluetune_trainer.training.threads import cpu_limit


@pytest.mark.parametrize(
    ("cpu_max", "limit"),
    [
        ("max 100000\n", None),
        ("200000 100000\n", 2),
        ("150000 100000", 2),
        ("50000 100000", 1),
        ("", None),
        ("200000", None),
    ],
)
def test_a_cpu_limit_is_rounded_up_to_whole_processors(cpu_max: str, limit: int | None) -> None:
    assert cpu_limit(cpu_max) == limit
