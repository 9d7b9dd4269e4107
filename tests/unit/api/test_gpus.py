"""How many GPUs a container asks for, and quantities as people write them."""

import pytest

from bluetune_api.pods import Resources, gpus


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        (None, 0),
        (Resources(), 0),
        (Resources(limits={"cpu": "2", "memory": "8Gi"}), 0),
        (Resources(limits={"nvidia.com/gpu": "2"}), 2),
        (Resources(requests={"nvidia.com/gpu": "2"}, limits={"nvidia.com/gpu": "2"}), 2),
        (Resources(limits={"nvidia.com/mig-1g.10gb": "1"}), 1),
        (Resources(limits={"nvidia.com/gpu.shared": "1"}), 1),
        (Resources(limits={"amd.com/gpu": "1"}), 1),
        (Resources(limits={"rdma/hca": "1", "example.com/fuse": "4"}), 0),
    ],
)
def test_gpus_are_counted_and_other_extended_resources_are_not(resources: Resources | None, expected: int) -> None:
    assert gpus(resources) == expected
