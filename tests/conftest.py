"""Fixtures of the lanes that need a real cluster; tests that ask for none of them never touch one.

Plain `pytest tests/operator` works: the session starts the local cluster unless it runs, moves its main thread into the
cluster's network (so the API server, pods and S3 are reached directly, and so do threads and processes that tests
start), and takes the cluster down at the end if it was the one that started it.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from cluster import preflight, programs, s3
from cluster.buckets import Bucket, new_bucket
from cluster.errors import ClusterError
from cluster.fresh import new_namespace
from cluster.kubectl import Kubectl
from cluster.lifecycle import Cluster

TRAINER, ROBUSTNESS = (Path(__file__).parent / folder for folder in ("trainer", "robustness"))
FLAKY = 7
"""What pytest-rerunfailures exits with when a test passed at its second attempt only."""

settings.register_profile("steady", deadline=None)  # how long an example takes is the machine's, not the code's
settings.load_profile("steady")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What trains or breaks a small model takes seconds, each of it a little."""
    for item in items:
        if item.path.is_relative_to(TRAINER) or item.path.is_relative_to(ROBUSTNESS):
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the cluster before the first test, in view of whoever waits, and outside of any test's timeout."""
    if session.config.option.collectonly or not any(_needs_cluster(item) for item in session.items):
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        try:
            preflight.check()
            programs.build()
            if any("with_kueue" in item.fixturenames for item in session.items if isinstance(item, pytest.Function)):
                programs.build(programs.NEIGHBOURS)  # here, as the cluster's network leads nowhere else
                for program in programs.NEIGHBOURS:
                    programs.module_folder(program)
        except ClusterError as error:
            pytest.exit(f"These tests need the local cluster: {error}", returncode=2)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """`--fail-on-flaky` of several processes, too: pytest-rerunfailures sees the tests of its own process alone."""
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    if exitstatus == 0 and session.config.option.fail_on_flaky and reporter and reporter.stats.get("rerun"):
        session.exitstatus = FLAKY


def _needs_cluster(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and "cluster" in item.fixturenames


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The local cluster, running, with this thread in its network and KUBECONFIG, kubectl and helm at hand."""
    running = Cluster()
    try:
        started = running.up()
    except ClusterError as error:
        pytest.exit(f"The local cluster: {error}", returncode=2)
    try:
        with running.entered():
            yield running
    finally:
        if started:
            running.down()


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace for this test alone, where only restricted pods may run; deleted afterwards."""
    title = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:40]
    with new_namespace(title) as name:
        yield name


@pytest.fixture
def kubectl(namespace: str) -> Kubectl:
    """kubectl in this test's namespace."""
    return Kubectl(namespace)


@pytest.fixture
def s3_server(cluster: Cluster) -> s3.Server:
    """The S3 server of this test: MinIO, unless the test's folder says otherwise."""
    return cluster.s3("minio")


@pytest.fixture
def bucket(s3_server: s3.Server) -> Iterator[Bucket]:
    """An empty bucket for this test alone; removed with all that is in it."""
    with new_bucket(s3_server) as made:
        yield made
