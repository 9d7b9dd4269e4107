"""Requests and limits of containers of which nobody says any."""

import pytest

from bluetune_api.pods import Resources
from bluetune_operator.core.jobs.pod_resources import CHECK_OR_IMPORT, FETCHER, TRAINING, filled

Amounts = dict[str, str]
SMALL = {"cpu": "100m", "memory": "256Mi"}


@pytest.mark.parametrize(
    ("requests", "limits", "expected"),
    [
        (None, None, (SMALL, {"cpu": "2", "memory": "8Gi"})),
        # a limit stands for its request
        (None, {"memory": "4Gi"}, ({"cpu": "100m"}, {"cpu": "2", "memory": "4Gi"})),
        (None, {"cpu": "4", "memory": "4Gi"}, (None, {"cpu": "4", "memory": "4Gi"})),
        # a request gets a limit that is no less
        ({"memory": "1Gi"}, None, ({"cpu": "100m", "memory": "1Gi"}, {"cpu": "2", "memory": "8Gi"})),
        ({"memory": "64Gi", "cpu": "2500m"}, None, ({"memory": "64Gi", "cpu": "2500m"}, None)),
        # what is said of other resources stays
        ({"ephemeral-storage": "1Gi"}, None, ({**SMALL, "ephemeral-storage": "1Gi"}, {"cpu": "2", "memory": "8Gi"})),
    ],
)
def test_what_is_missing_is_filled_in(
    requests: Amounts | None, limits: Amounts | None, expected: tuple[Amounts | None, Amounts | None]
) -> None:
    found = filled(Resources(requests=requests, limits=limits), CHECK_OR_IMPORT)
    asked, most = expected
    assert (found.requests, found.limits) == (asked, most or {"memory": "64Gi", "cpu": "2500m"})


def test_a_training_gets_no_limit() -> None:
    assert filled(None, TRAINING) == Resources(requests=SMALL)
    gpu = Resources(limits={"nvidia.com/gpu": "1", "memory": "16Gi"})
    assert filled(gpu, TRAINING) == Resources(requests={"cpu": "100m"}, limits=gpu.limits)


@pytest.mark.parametrize("defaults", [CHECK_OR_IMPORT, FETCHER])
def test_with_the_defaults_a_quota_on_requests_and_limits_is_satisfied(defaults: Resources) -> None:
    found = filled(None, defaults)
    assert set(found.requests or {}) == set(found.limits or {}) == {"cpu", "memory"}
