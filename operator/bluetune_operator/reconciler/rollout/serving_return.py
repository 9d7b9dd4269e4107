"""Giving the fields of a Deployment back: `spec.serving` names another one, or none, or a container that it has not."""

import logging
from collections.abc import Iterable

from bluetune_api.model import EmbeddingModelStatus, Rollout, ServedBy, Serving
from bluetune_operator.core.errors import ApiError, Conflict, WebhookFailed
from bluetune_operator.core.kinds import DEPLOYMENTS, Object, namespace_of, uid_of
from bluetune_operator.core.rollout.choice import active
from bluetune_operator.core.rollout.moves import Failure, abandoned
from bluetune_operator.core.rollout.record import touched
from bluetune_operator.core.rollout.serving_fields import field_conflict, giving_back, owned_container, serving_as_told
from bluetune_operator.core.rollout.serving_patch import FIELD_MANAGER, fetcher_of, index_env_of, serving_patch
from bluetune_operator.core.rollout.serving_pods import version_of_template
from bluetune_operator.reconciler.base import Context
from bluetune_operator.reconciler.rollout.reconcile import Subject, digest_of_version

logger = logging.getLogger(__name__)


def has_moved(status: EmbeddingModelStatus, serving: Serving | None) -> bool:
    """Whether the Deployment that bluetune told last is no longer the one to tell."""
    return status.blue is not None and (serving is None or serving.deployment != status.blue.deployment)


async def return_fields(context: Context, subject: Subject, models: Iterable[Object]) -> EmbeddingModelStatus:
    """Give the Deployment back that `status.blue` names; the status without it, and without a rollout under way.

    A rollout that has told it a version nobody verified is undone first. All of it can be repeated: until the status is
    written, it is done again. What another model serves by now is left alone.
    """
    status, blue = subject.status, subject.status.blue
    assert blue is not None  # noqa: S101 - or nothing has moved
    namespace = namespace_of(subject.model)
    if not any(_serves(model, namespace, blue, subject.model) for model in models):
        deployment = await context.kube.get(DEPLOYMENTS, namespace, blue.deployment)
        if deployment is not None and (version := _version_before(status, deployment)) is not None:
            deployment = await _tell_version_before(context, subject, deployment, blue, *version)
        if deployment is not None:
            await release(context, deployment)
    update: dict[str, object] = {"blue": None}
    if status.rollout is not None and active(status.rollout):
        update["rollout"] = abandoned(status.rollout, _why(subject, blue), subject.now)
    return status.model_copy(update=update)


async def release_container(context: Context, subject: Subject, deployment: Object | None) -> None:
    """Give the fields of another container than serving.container back, so that its owner can rename or remove it."""
    if deployment is not None and owned_container(deployment) not in (None, subject.serving.container):
        await release(context, deployment)


async def release(context: Context, deployment: Object) -> None:
    """Own nothing in a Deployment any longer, while all values stay: no pod is replaced for it."""
    patch = giving_back(deployment)
    if patch is None:
        return
    namespace, name = namespace_of(deployment), str(deployment["metadata"]["name"])
    try:
        await context.kube.json_patch(DEPLOYMENTS, namespace, name, patch)
    except (Conflict, WebhookFailed):
        raise
    except ApiError as error:  # nobody is harmed: the fields stay owned by a manager that writes no more
        logger.warning("fields of Deployment %s/%s are not given back: %s", namespace, name, error.message)


async def _tell_version_before(
    context: Context, subject: Subject, deployment: Object, blue: ServedBy, version: str, digest: str
) -> Object:
    serving, fetcher = serving_as_told(deployment, blue), fetcher_of(context.config)
    before, store = blue.told_before, subject.spec.store
    same = before is not None and (before.version, before.digest) == (version, digest)
    env = index_env_of(before.template, store, version) if before is not None and same else None
    patch = serving_patch(serving, store, namespace_of(subject.model), version, digest, fetcher, env)
    body = {
        **patch,
        "metadata": {**patch["metadata"], "resourceVersion": deployment["metadata"]["resourceVersion"]},
    }
    try:
        return await context.kube.apply(DEPLOYMENTS, body, field_manager=FIELD_MANAGER)
    except WebhookFailed:
        raise
    except Conflict as error:
        if field_conflict(serving, error.message) is None:
            raise
        logger.warning("Deployment %s does not go back to version %s: %s", blue.deployment, version, error.message)
    except ApiError as error:
        logger.warning("Deployment %s does not go back to version %s: %s", blue.deployment, version, error.message)
    return deployment


def _version_before(status: EmbeddingModelStatus, deployment: Object) -> tuple[str, str] | None:
    """What a Deployment that tells an unverified version must tell again, with its digest."""
    rollout: Rollout | None = status.rollout
    if rollout is None or not active(rollout) or not touched(rollout) or rollout.source in (None, rollout.to):
        return None
    if version_of_template(deployment["spec"]["template"]) != rollout.to:
        return None
    digest = digest_of_version(rollout.source, status)
    return (rollout.source, digest) if rollout.source and digest else None


def _serves(other: Object, namespace: str, blue: ServedBy, model: Object) -> bool:
    serving = (other.get("spec") or {}).get("serving") or {}
    return (
        namespace_of(other) == namespace
        and uid_of(other) != uid_of(model)
        and serving.get("deployment") == blue.deployment
    )


def _why(subject: Subject, blue: ServedBy) -> Failure:
    if subject.spec.serving is None:
        return Failure("ServingRemoved", "spec.serving was removed during the rollout")
    now = subject.spec.serving.deployment
    return Failure("ServingMoved", f"serving.deployment was changed from {blue.deployment} to {now} during the rollout")
