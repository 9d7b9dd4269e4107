"""What a blue Deployment was told, as the model's status keeps it.

Whether a Deployment has lost its version is judged by what was written into it, and not by what this release would
write: another release may say the same in other fields, and an upgrade of bluetune must not restart every blue
Deployment. What this release would write goes in with the next version, or when the Deployment is told anew. The record
is compared with, and not written: whoever can write a status says nothing in a Deployment by it, but for which of a
version's tables is read once a rollout goes back to it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bluetune_api.model import Rollout, ServedBy, Serving, Told
from bluetune_api.store_location import StoreSpec
from bluetune_operator.core.digests import digest_of_parts
from bluetune_operator.core.kinds import Object
from bluetune_operator.core.rollout.serving_patch import tells


@dataclass(frozen=True)
class Wanted:
    """What the pods are to be told."""

    version: str
    digest: str
    asked: str
    """`asked_by` of the model's spec."""
    patch: Object
    """The apply configuration that says it."""
    told: Told | None = None
    """The record of a Deployment that was told it before."""

    def is_recorded(self, deployment: Mapping[str, Any]) -> bool:
        """Whether a Deployment says it as the record has it."""
        return self.told is not None and tells(deployment, {"spec": {"template": self.told.template}})

    def is_told(self, deployment: Mapping[str, Any] | None) -> bool:
        """Whether a Deployment says it, in the words of this release or of the one that told it."""
        return deployment is not None and (self.is_recorded(deployment) or tells(deployment, self.patch))


def wanted_of(version: str, digest: str, asked: str, patch: Object, told: Told | None) -> Wanted:
    """With the record, if that is about the same version and spec."""
    same = told is not None and (told.version, told.digest, told.asked) == (version, digest, asked)
    return Wanted(version, digest, asked, patch, told if same else None)


def told_before(rollout: Rollout | None, blue: ServedBy | None, now: Told | None) -> Told | None:
    """What to keep of the version that a rollout under way may go back to, until it ends.

    Args:
        rollout: the model's, as it will be written.
        blue: what was kept so far.
        now: what the Deployment is told, as it will be written.
    """
    if rollout is None or rollout.step in ("Done", "Failed") or blue is None or rollout.source == rollout.to:
        return None
    kept = (now, blue.told, blue.told_before)
    return next((told for told in kept if told is not None and told.version == rollout.source), None)


def asked_by(serving: Serving, store: StoreSpec) -> str:
    """Digest of all in a spec that the Deployment's fields are made from, besides the version."""
    where = store if serving.delivery == "InitContainer" else store.uri()
    index = serving.index
    parts: list[Any] = [serving.container, serving.delivery, serving.mount_path, where, serving.fetcher]
    parts.append(index.target if index is not None else None)
    if index is not None and index.vectors is not None:
        parts.append(index.vectors)
    return digest_of_parts(*parts)


def told_now(deployment: Mapping[str, Any] | None, told: Told | None, candidates: Sequence[Wanted]) -> Told | None:
    """What to keep: the first of the candidates that the Deployment says, or what was kept before.

    It is kept by what is seen, so an operator that dies after it has written the Deployment finds it out later.
    """
    for wanted in candidates:
        if deployment is None or not wanted.is_told(deployment):
            continue
        if wanted.is_recorded(deployment):
            return wanted.told
        return Told(
            version=wanted.version,
            digest=wanted.digest,
            asked=wanted.asked,
            template=wanted.patch["spec"]["template"],
        )
    return told
