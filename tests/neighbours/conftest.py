"""Fixtures of this lane: the operator and its world, and Kueue beside them."""

from collections.abc import Iterator

import pytest

from cluster.kubectl import Kubectl
from cluster.lifecycle import Cluster
from neighbours.kueue import MANAGED, kueue
from tasks.fixtures import operator, resources, stand_in, world

__all__ = ["operator", "resources", "stand_in", "world"]


@pytest.fixture(scope="session")
def with_kueue(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Kueue, for all tests of the session."""
    with kueue(cluster, tmp_path_factory.mktemp("kueue")):
        yield


@pytest.fixture
def managed(with_kueue: None, namespace: str) -> str:
    """The test's namespace, in which every Job is Kueue's."""
    Kubectl()("label", "namespace", namespace, f"{MANAGED}=yes")
    return namespace
