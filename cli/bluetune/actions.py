"""What commands and clients ask of a cluster."""

import random
from collections.abc import Mapping

from bluetune.adapters.cluster import Cluster
from bluetune.core import tasks, versions
from bluetune.core.kinds import MODELS, TASKS, Object, name_of


def new_name(stem: str) -> str:
    """A name for a task that no other task has."""
    return tasks.task_name(stem, "".join(random.choices(tasks.NAME_LETTERS, k=tasks.SUFFIX_LETTERS)))


def submit(cluster: Cluster, manifest: Object) -> Object:
    """Make a task. Raises CliError; also without its model, which a task would wait for without an end."""
    cluster.get(MODELS, manifest["spec"]["modelRef"]["name"])
    return cluster.create(TASKS, manifest)


def retry(cluster: Cluster, task: str, name: str | None, *, resume: bool = False) -> Object:
    """Make a task that does what an ended one was to do; `resume`: go on from its trials. Raises CliError."""
    old = cluster.get(TASKS, task)
    return cluster.create(TASKS, tasks.repeated(old, name or new_name(task), resume=resume))


def change(cluster: Cluster, task: Object, field: str, value: bool) -> Object | None:
    """Set a field of a task's spec; None if it is so already. Raises CliError for a task that has ended."""
    patch = tasks.change(task, field, value)
    return None if patch is None else cluster.patch(TASKS, name_of(task), patch)


def known_versions(cluster: Cluster, model: str) -> tuple[Object, Mapping[str, versions.Version]]:
    """A model, and its versions as its status and its tasks name them, oldest first."""
    found = cluster.get(MODELS, model)
    return found, versions.versions(found, cluster.list(TASKS))
