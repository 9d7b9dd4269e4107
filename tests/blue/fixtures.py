"""The fixture of tests of models and rollouts: `pytest_plugins = ["blue.fixtures"]`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from blue.world import CRDS, Blue
from cluster.buckets import Bucket
from cluster.kubectl import Kubectl


@pytest.fixture
def blue(kubectl: Kubectl, bucket: Bucket, tmp_path: Path) -> Iterator[Blue]:
    """A namespace with the store's keys and an empty bucket; the operator's log is shown if the test fails."""
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRDS))
    made = Blue(kubectl, bucket, tmp_path)
    made.secret()
    yield made
    print(made.log_tail())
