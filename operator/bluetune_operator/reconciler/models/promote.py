"""What spec.serving.promote names, looked at in the store before anything is rolled out."""

from bluetune_api import store_layout
from bluetune_api.objectstore import StoreError
from bluetune_operator.adapters.store import problem_of
from bluetune_operator.core.models.promote import due, version_of_store
from bluetune_operator.core.rollout.choice import Target
from bluetune_operator.core.rollout.moves import Failure
from bluetune_operator.reconciler.rollout.reconcile import Subject


async def promoted_version(subject: Subject) -> Target | Failure | None:
    """The version that is to be rolled out now, or why it must not be; None if nothing is asked for."""
    promote, store = due(subject.status, subject.serving), subject.store
    if promote is None:
        return None
    where = f"spec.serving.promote.version={promote.version}"
    if store is None:
        return Failure("StoreUnreachable", f"{where}: the store cannot be opened")
    try:
        manifest = await store.get_or_none(store_layout.manifest(promote.version))
        base = await store.get_or_none(store_layout.manifest(subject.status.base_version or ""))
        files = await store.objects(store_layout.version(promote.version)) if manifest is not None else []
    except StoreError as error:
        problem = problem_of(error)
        return Failure(problem.reason, f"{where}: {problem}")
    return version_of_store(promote, manifest, base, {info.key: info.size for info in files})
