"""What a blue Deployment was told, as the model's status keeps it.

Whether a Deployment has lost its version is judged by what was written into it, and not by what this release would
write: another release may say the same in other fields, and an upgrade of bluetune must not restart every blue
Deployment. What this release would write goes in with the next version, or when the spec asks for something else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bluetune_api.model import Serving, Told
from bluetune_api.store_location import StoreSpec
from bluetune_operator.core.digests import digest_of_parts
from bluetune_operator.core.kinds import Object
from bluetune_operator.core.serving_patch import tells


@dataclass(frozen=True)
class Wanted:
    """What the pods are to be told."""

    version: str
    digest: str
    asked: str
    """`asked_by` of the model's spec."""
    patch: Object
    """The apply configuration that says it."""


def asked_by(serving: Serving, store: StoreSpec) -> str:
    """Digest of all in a spec that the Deployment's fields are made from, besides the version."""
    where = store if serving.delivery == "InitContainer" else store.uri()
    target = serving.index.target if serving.index is not None else None
    return digest_of_parts(serving.container, serving.delivery, serving.mount_path, where, serving.fetcher, target)


def as_recorded(wanted: Wanted, told: Told | None) -> Wanted:
    """With the fields that were written for the same version and spec, if they were."""
    if told is None or (told.version, told.digest, told.asked) != (wanted.version, wanted.digest, wanted.asked):
        return wanted
    patch = {**wanted.patch, "spec": {**wanted.patch["spec"], "template": told.template}}
    return Wanted(wanted.version, wanted.digest, wanted.asked, patch)


def told_now(deployment: Mapping[str, Any] | None, told: Told | None, candidates: Sequence[Wanted]) -> Told | None:
    """What to keep: the first of the candidates that the Deployment says, or what was kept before.

    It is kept by what is seen, so an operator that dies after it has written the Deployment finds it out later.
    """
    for wanted in candidates:
        if deployment is not None and tells(deployment, wanted.patch):
            return Told(
                version=wanted.version,
                digest=wanted.digest,
                asked=wanted.asked,
                template=wanted.patch["spec"]["template"],
            )
    return told
