"""What schedules need of the cluster: definitions, rights, a bucket and a trainer."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chaos.run import Stage
from chaos.trainers import real_trainer, scripted
from cluster.buckets import new_bucket
from cluster.kubectl import Kubectl
from cluster.lifecycle import Cluster
from rights.granting import operator_environment

CRDS = Path(__file__).resolve().parents[2] / "crds"


@contextmanager
def staged(cluster: Cluster, keep: Path, *, real: bool = False) -> Iterator[Stage]:
    """The stage, for a thread that is moved into the cluster's network for the time of a `with`."""
    with cluster.entered():
        Kubectl()("apply", "--server-side", "--force-conflicts", f"--filename={CRDS}")
        operator_environment()
        with new_bucket(cluster.s3()) as bucket:
            yield Stage(cluster, bucket, real_trainer() if real else scripted(cluster), keep)
