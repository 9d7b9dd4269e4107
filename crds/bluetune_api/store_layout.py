"""Keys in a model's part of the store, relative to its prefix."""

import hashlib

SUCCESS_MARKER = "_SUCCESS"
CLICKSTREAM = "clickstream/"
VERSIONS = "versions/"
RETIRED = "retired/"
MANIFEST = "manifest.json"
INDEX_MANIFEST = "_manifest.json"
OWNER = "owner.json"
"""The model that the prefix belongs to."""
CURRENT = "current.json"
"""The version that is live."""
CONDITIONAL_WRITES = "keys/conditional-writes"
"""What a store is asked to create twice when it is first used; it stays, so that it is written once."""


def batch(batch_id: str) -> str:
    """Folder of a clickstream batch."""
    return f"{CLICKSTREAM}{batch_id}/"


def batch_marker(batch_id: str) -> str:
    """Object whose existence says that the batch is complete."""
    return batch(batch_id) + SUCCESS_MARKER


def run(uid: str) -> str:
    """Folder of a run; the uid is the task's, or the model's for an import."""
    return f"runs/{uid}/"


def plan(uid: str) -> str:
    """The plan that the run followed."""
    return run(uid) + "plan.json"


def check(uid: str) -> str:
    """What the check Job found."""
    return run(uid) + "check.json"


def trials(uid: str) -> str:
    """Folder of the finished trials."""
    return run(uid) + "trials/"


def trial(uid: str, number: int) -> str:
    """A finished trial."""
    return f"{trials(uid)}{number}.json"


def rungs(uid: str) -> str:
    """Folder of what trials were when they reached a rung."""
    return run(uid) + "rungs/"


def rung(uid: str, number: int, rung: int) -> str:
    """A trial as it was at a rung."""
    return f"{rungs(uid)}{number}-{rung}.json"


def checkpoints(uid: str) -> str:
    """Folder of the state of trials that did not end."""
    return run(uid) + "checkpoints/"


def checkpoint(uid: str, number: int) -> str:
    """State of a trial that did not end."""
    return f"{checkpoints(uid)}{number}.safetensors"


def lineage(uid: str) -> str:
    """Parameters that the run tries in place of a search."""
    return run(uid) + "lineage.json"


def resumed(uid: str) -> str:
    """What the run took over from an earlier one; written last."""
    return run(uid) + "resumed.json"


def precision(uid: str) -> str:
    """Precision that the run's first attempt chose for all of them."""
    return run(uid) + "precision.json"


def attempt(uid: str, pod_uid: str) -> str:
    """Folder of one pod's attempt."""
    return f"{run(uid)}attempts/{pod_uid}/"


def progress(uid: str, pod_uid: str) -> str:
    """How far that attempt is."""
    return attempt(uid, pod_uid) + "progress.json"


def best(uid: str) -> str:
    """Folder with the best finished trial's model."""
    return run(uid) + "best/"


def report(uid: str) -> str:
    """Report of the run."""
    return run(uid) + "report.html"


def result(uid: str) -> str:
    """Result of the run."""
    return run(uid) + "result.json"


def forfeit(uid: str) -> str:
    """Marks a run whose task failed after its result was written: no task with the same key takes the result over."""
    return f"{run(uid)}forfeit"


def version(version_id: str) -> str:
    """Folder of a version."""
    return f"{VERSIONS}{version_id}/"


def manifest(version_id: str) -> str:
    """Manifest of a version, written last: a version without it does not exist."""
    return version(version_id) + MANIFEST


def index(version_id: str) -> str:
    """Folder of a version's vector index: bluetune's own, or what a reindex Job keeps there."""
    return f"indexes/{version_id}/"


def index_manifest(version_id: str) -> str:
    """Manifest of a version's index, written last."""
    return index(version_id) + INDEX_MANIFEST


def index_run(version_id: str, run: str) -> str:
    """The catalogue as a rollout's pods read it."""
    return f"{index(version_id)}_runs/{run}.json"


def index_progress(version_id: str, run: str) -> str:
    """Folder of how far a rollout's pods are."""
    return f"{index(version_id)}_progress/{run}/"


def index_shard_progress(version_id: str, run: str, shard: int) -> str:
    """How far one of them is."""
    return f"{index_progress(version_id, run)}{shard:05d}.json"


def index_part(generation: str, shard: int, shards: int, sha256: str) -> str:
    """Path of a part, relative to the version's index. Its name has its digest, so it is never overwritten by another
    one."""
    return f"{generation}/part-{shard:05d}-of-{shards:05d}-{sha256[:12]}.parquet"


def index_shard(version_id: str, generation: str, shard: int) -> str:
    """Record of a part that is whole."""
    return f"{index(version_id)}{generation}/_shard-{shard:05d}.json"


def retired(version_id: str) -> str:
    """Record that a version is being removed: its manifest, kept until all else of it is gone."""
    return f"{RETIRED}{version_id}.json"


def idempotency_key(key: str) -> str:
    """Claim of an idempotency key."""
    return "keys/" + hashlib.sha256(key.encode()).hexdigest()


def tried(start_version: str) -> str:
    """Folder of what was tried from a version."""
    return f"keys/tried/{start_version}/"


def tried_batch(start_version: str, digest: str) -> str:
    """Record of a batch that was tried from a version; the digest is of all that its result depends on."""
    return f"{tried(start_version)}{digest}.json"


RETRAINED = "keys/retrain/"
"""Folder of what runs of spec.retrain have done with batches."""


def retrained(digest: str) -> str:
    """Record that a run has taken a batch; the digest is of its id."""
    return f"{RETRAINED}{digest}.json"


def too_small(digest: str, sessions: int) -> str:
    """Record that a batch had so few informative sessions, and nothing was trained."""
    return f"{RETRAINED}{digest}-{sessions}.json"


def evidence(live_version: str) -> str:
    """Folder of what runs found out against a live version."""
    return f"evidence/{live_version}/"


def kept_evidence(live_version: str, uid: str) -> str:
    """What a run found out."""
    return f"{evidence(live_version)}{uid}.json"


def fold(uid: str, number: int) -> str:
    """How a training without a part of the queries ranks these."""
    return f"{run(uid)}folds/{number}.npz"
