"""EmbeddingModel: a model that lives for years: its base, its store, how it is served, and which version is blue."""

import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, StringConstraints

from bluetune_api.base import (
    ApiModel,
    Conditions,
    Digest,
    Free,
    Metrics,
    Name,
    NameReference,
    QueueName,
    Rule,
    ShortText,
    StatusModel,
    Text,
    Timestamp,
    Uri,
    VersionId,
    immutable,
)
from bluetune_api.index_target import Index
from bluetune_api.notify import Notify, NotifyStatus
from bluetune_api.pods import Resources
from bluetune_api.promote import Promote, PromoteStatus
from bluetune_api.resource import PrintColumn, Resource
from bluetune_api.retrain import Retrain, RetrainStatus
from bluetune_api.store_location import StoreSpec
from bluetune_api.verify import Verify

MountPath = Annotated[str, StringConstraints(min_length=2, max_length=256, pattern=r"^/[A-Za-z0-9._/-]+$")]
ItemId = Annotated[str, StringConstraints(min_length=1, max_length=512)]
StorePath = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^[A-Za-z0-9_][A-Za-z0-9._=/-]*$")]


PLUGIN_BASE = "plugin://initial"
"""Instead of a place: the method's plugin gives the base."""


BASE_PATTERN = rf"^(s3://[^/ ]+/[^ ]+|hf://[^/ ]+/[^ ]+|/[^ ]+|{PLUGIN_BASE})$"


def _is_base(uri: str) -> str:
    if not re.match(BASE_PATTERN, uri):
        raise ValueError(
            f"must be s3://bucket/path, hf://org/name@revision, {PLUGIN_BASE} or an absolute path (/models/base)"
        )
    return uri


class Base(ApiModel):
    """What the model starts from."""

    uri: Annotated[
        str,
        StringConstraints(min_length=2, max_length=1024),
        Field(json_schema_extra={"pattern": BASE_PATTERN}),
        AfterValidator(_is_base),
    ]
    """`s3://bucket/path`, `hf://org/name@revision`, an absolute path in the trainer's image, or `plugin://initial`: the
    model that the method's plugin gives."""


class Retention(ApiModel):
    """How many versions the store keeps."""

    keep_versions: Annotated[int, Field(ge=2, le=1000)] = 10
    """Newest versions to keep. Older ones are removed from the store, with `indexes/<version>/`, while no task holds
    the model; but never the base, the current version and its predecessor, what `rollbackTo` or `promote` names, one
    that a rollout or an unfinished task uses, or one that another model's `base.uri` points to."""


class GuardedQuery(ApiModel):
    """A query whose results must not be lost."""

    query: Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"\S")]
    """The query as people type it."""
    expect: Annotated[list[ItemId], Field(max_length=10)] = Field(default_factory=list)
    """Ids of the catalogue: those that the live version has among its ten best, the candidate must have there, too.
    Without any, the live version's three best must be among the candidate's ten."""


def _of_different_queries(gate: "Gate") -> bool:
    return len({guarded.query for guarded in gate.guards}) == len(gate.guards)


class Gate(ApiModel):
    """What a candidate must prove against the live version."""

    RULES = (
        # in the cluster the key of the list says it
        Rule(None, "two entries have the same query", _of_different_queries, "guards"),
    )

    metric: Literal["ndcg@10", "mrr@10", "recall@10"] = "ndcg@10"
    """How the ten best results of a query are weighed, by what clicks tell of them or by the judgments."""
    min_delta: Annotated[float, Field(ge=-1, le=1)] = 0.0
    """The candidate's metric minus the live version's must be more than this."""
    confidence: Annotated[float, Field(ge=0, lt=1)] = 0.95
    """How sure the gain must be: of the runs against one live version, all together, noise passes in a share of 1 -
    confidence. With 0 the mean alone decides, and noise passes half of the time."""
    folds: Annotated[int, Field(ge=0, le=20)] = 5
    """Where fewer than 500 different queries have clicks, this many trainings more judge each query by a model that did
    not see it. 0 or 1: none, and the gate has nothing to decide by there."""
    judgments: StorePath | None = None
    """Qrels below the model's prefix: better than clicks, where they exist. Records of query, object_id and grade;
    TREC's `*.qrels` with a `*.topics` file beside them; Quepid's CSV; or an export of OpenSearch's Search Relevance
    Workbench."""
    min_agreement: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Minimum share of the live version's ten best results that the candidate must have among its own, as the mean of
    the queries that were compared. Below it the candidate is another ranker, and clicks on the live one's results say
    little about it. Catalogues of fewer than 100 texts have no such guard."""
    max_forgetting: Annotated[float, Field(ge=0, le=1)] = 0.02
    """How much worse documents that nobody was shown may be found by words from their own beginning: the drop of their
    mean reciprocal rank, of which the gate must be sure by `confidence`. With 1 nothing is guarded."""
    guards: Annotated[
        list[GuardedQuery],
        Field(
            max_length=100, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["query"]}
        ),
    ] = Field(default_factory=list)
    """Queries whose results must not be lost, whatever clicks say."""


class Reindex(ApiModel):
    """A Job that re-encodes the catalogue with the new version, before the rollout."""

    template: Free
    """A batch/v1 Job's `spec`. Its containers get BLUETUNE_VERSION, BLUETUNE_URI, BLUETUNE_DIGEST, BLUETUNE_STORE (as
    JSON) and the store's keys."""
    timeout_seconds: Annotated[int, Field(ge=1, le=604800)] = 3600
    """After this long the rollout fails."""


class Fetcher(ApiModel):
    """The init container that brings a version's files."""

    resources: Resources | None = None
    """Its requests and limits; default: 100m CPU and 256Mi of memory, at most 1 CPU and 512Mi. A change counts from the
    next rollout on."""


class Serving(ApiModel):
    """The blue Deployment."""

    RULES = (
        Rule(
            "self.delivery != 'InitContainer' || has(self.mountPath)",
            "delivery InitContainer needs mountPath",
            lambda s: s.delivery != "InitContainer" or s.mount_path is not None,
            "mountPath",
        ),
        Rule(
            "self.delivery == 'InitContainer' || !has(self.mountPath)",
            "mountPath goes with delivery InitContainer only",
            lambda s: s.delivery == "InitContainer" or s.mount_path is None,
            "mountPath",
        ),
        Rule(
            "self.delivery == 'InitContainer' || !has(self.fetcher)",
            "fetcher goes with delivery InitContainer only",
            lambda s: s.delivery == "InitContainer" or s.fetcher is None,
            "fetcher",
        ),
        Rule(
            "!has(self.index) || !has(self.reindex)",
            "bluetune makes the index, or your own Job does; leave out serving.index or serving.reindex",
            lambda s: s.index is None or s.reindex is None,
            "index",
        ),
    )

    deployment: Name
    """Name of the Deployment that serves this model; no other model may claim it."""
    container: Name
    """Its container that reads the version."""
    delivery: Literal["Env", "InitContainer"] = "Env"
    """Env sets BLUETUNE_VERSION, BLUETUNE_URI and BLUETUNE_DIGEST; InitContainer also fills mountPath with the verified
    files before the server starts."""
    mount_path: MountPath | None = None
    """Where the server finds the model's files, with InitContainer."""
    fetcher: Fetcher | None = None
    """The init container of InitContainer."""
    rollout_timeout_seconds: Annotated[int, Field(ge=1, le=86400)] = 600
    """After this long without all pods replaced, the rollout fails and goes back."""
    gate: Gate = Field(default_factory=Gate)
    """What a candidate must prove."""
    index: Index | None = None
    """The search index that bluetune makes of the catalogue before the rollout."""
    reindex: Reindex | None = None
    """A Job of your own that brings the index in step before the rollout, instead of `index`."""
    verify: Verify | None = None
    """How the pods are asked what they serve; without it, a finished rollout is believed."""
    rollback_to: VersionId | None = None
    """Serve this version and stay with it until the field is removed."""
    promote: Promote | None = None
    """Roll a kept version out once, without the gate, after a person has read its report. Later tasks are promoted as
    ever, and the field may stay. To ask for the same again, remove it, wait until `status.promote` is gone, and set it
    again."""


def _of_different_names(spec: "EmbeddingModelSpec") -> bool:
    return len({webhook.name for webhook in spec.notify or ()}) == len(spec.notify or ())


class EmbeddingModelSpec(ApiModel):
    """Base, store and serving of a model."""

    RULES = (
        # in the cluster the key of the list says it
        Rule(None, "two entries have the same name", _of_different_names, "notify"),
    )

    base: Base = immutable("What the model starts from; published as its first version.")
    method_ref: NameReference | None = None
    """Method of tasks that name none."""
    store: StoreSpec
    """Where batches, runs and versions are kept."""
    retention: Retention = Field(default_factory=Retention)
    """How many versions are kept."""
    queue_name: QueueName | None = None
    """Kueue LocalQueue for the Jobs that import the base and reindex, and for those of tasks that name none."""
    deletion_policy: Literal["Retain", "RefuseWhileBusy"] = "Retain"
    """`Retain`: the model may be deleted at any time. `RefuseWhileBusy`: the API server refuses to delete it while a
    task holds its lock or a rollout is under way. In both cases store and Deployment stay as they are. The second needs
    the chart's `policies.deletion`."""
    serving: Serving | None = None
    """The blue Deployment; without it, versions are published and nothing is rolled out."""
    retrain: Retrain | None = None
    """When the operator makes tasks by itself; without it, people and pipelines do."""
    notify: (
        Annotated[
            list[Notify],
            Field(
                max_length=5,
                json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
            ),
        ]
        | None
    ) = None
    """Webhooks that are told what became of runs."""


class CurrentVersion(StatusModel):
    """The version that blue serves."""

    version: VersionId
    """Its id."""
    uri: Uri
    """Its folder in the store."""
    digest: Digest
    """sha256 of its manifest."""
    task: ShortText | None = None
    """Task that made it, where that is known; absent for the base."""
    promoted_at: Timestamp
    """When it became current."""
    metrics: Metrics | None = None
    """What the gate measured."""


class IndexLoss(StatusModel):
    """What an index loses by `serving.index.vectors`, as it was measured before the Deployment was told of it."""

    recall: Annotated[float, Field(ge=0, le=1)]
    """Share of the ten nearest items by the version's own vectors that are among the ten nearest by shorter ones."""
    queries: Annotated[int, Field(ge=1)]
    """Number of searches that the mean is over."""
    searched: ShortText
    """What was searched for: ClickedQueries, or Items where there are too few of them."""


class Rollout(StatusModel):
    """A rollout in progress, or the last one's failure. It is kept here so that it survives its task."""

    source: VersionId | None = Field(default=None, alias="from")
    """Version to go back to."""
    to: VersionId
    """Version to be served."""
    digest: Digest
    """sha256 of its manifest."""
    task_uid: ShortText | None = None
    """uid of the task that asked for it; absent for the base, rollbackTo and promote."""
    task: ShortText | None = None
    """Name of that task."""
    step: Literal["Reindex", "Load", "Patch", "Wait", "Verify", "Promote", "RollingBack", "Done", "Failed"]
    """What is being done."""
    started_at: Timestamp
    """When the rollout began."""
    step_started_at: Timestamp
    """When the step began; its timeout counts from here."""
    reason: ShortText | None = None
    """Why it went back, as one word."""
    message: Text | None = None
    """What is happening, or why it went back."""
    metrics: Metrics | None = None
    """What the gate measured for the new version."""
    index_loss: IndexLoss | None = None
    """What the index's shorter vectors lose, with `serving.index.vectors`."""
    index: ShortText | None = None
    """Digest of what `serving.index` said of target and vectors when the rollout's Jobs had made the index. If they say
    something else before the rollout ends, the index is made anew."""
    touched_at: Timestamp | None = None
    """When the index began to be made anew after the Deployment was told of the version: a failure then goes back."""
    attempt: Annotated[int, Field(ge=1)] | None = None
    """Tries in a row to roll this version out; failed ones are tried again with exponential backoff."""
    generation: Annotated[int, Field(ge=0)] | None = None
    """Generation of the model when the rollout began; a newer one is worth another try."""
    undone: Annotated[int, Field(ge=0)] | None = None
    """How often others undid what the rollout did: deleted its Job, or took the version out of the Deployment.
    Each time it is done again later; after five times the rollout is given up."""
    acted_at: Timestamp | None = None
    """When the step's Job was made last, or the Deployment was told last."""
    queued_since: Timestamp | None = None
    """Since when it waits for its turn, as only so many rollouts run at a time; absent once it has started."""
    scaled_down_at: Timestamp | None = None
    """When the Deployment was first seen at 0 replicas; the rollout then may take three days more."""


class Told(StatusModel):
    """What a Deployment was told: whether it has lost that is judged by this, also by another release of bluetune."""

    version: VersionId
    """The version."""
    digest: Digest
    """sha256 of its manifest."""
    asked: ShortText
    """Digest of what `spec.store` and `spec.serving` said."""
    template: Free
    """The fields of the pod template that bluetune set."""


class ServedBy(StatusModel):
    """The Deployment whose fields bluetune owns."""

    deployment: Name
    """Its name."""
    container: Name
    """Its container that reads the version."""
    told: Told | None = None
    """What it was told last."""
    told_before: Told | None = None
    """What it was told of the version that the rollout under way may go back to."""


class LockView(StatusModel):
    """Who holds the model, as the Lease says."""

    holder: ShortText
    """Name of the task."""
    holder_uid: ShortText
    """Its uid."""
    since: Timestamp
    """Since when."""


class EmbeddingModelStatus(StatusModel):
    """Kept by the operator."""

    current: CurrentVersion | None = None
    """What blue serves."""
    history: Annotated[list[CurrentVersion], Field(max_length=10)] | None = None
    """What it served before, newest first."""
    rollout: Rollout | None = None
    """Rollout in progress, or the last failed one."""
    blue: ServedBy | None = None
    """The Deployment that bluetune tells which version to serve. When `spec.serving` names another one, or none, the
    fields of this one are given back: their values stay, and bluetune owns them no longer."""
    lock: LockView | None = None
    """Who holds the model."""
    waiting: Annotated[int, Field(ge=0)] | None = None
    """Tasks in the queue."""
    job_name: ShortText | None = None
    """The import Job."""
    deployment: Name | None = None
    """The Deployment that this model holds; another one that names it waits."""
    base_version: VersionId | None = None
    """Version that the base was published as."""
    base_digest: Digest | None = None
    """sha256 of its manifest."""
    retrain: RetrainStatus | None = None
    """What `spec.retrain` did and waits for."""
    notify: NotifyStatus | None = None
    """What `spec.notify` has told."""
    promote: PromoteStatus | None = None
    """What became of `spec.serving.promote`."""
    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """Generation that the status speaks of."""
    conditions: Conditions | None = None
    """`Imported`, `Ready`, `Reconciling`, `Stalled`, `ServingUnsafe`, `StoreUnsafe`,
    `LockInconsistent`, `Promoted`, `Retraining`, `StatusUnreadable`."""
    message: Text | None = None
    """What Ready says, in one line; the condition has the whole message."""


class EmbeddingModel(Resource):
    """A model that lives for years: where it comes from, where it is kept, how it is served."""

    PLURAL: ClassVar[str] = "embeddingmodels"
    SHORT_NAMES: ClassVar[tuple[str, ...]] = ("emodel",)
    NAME_LIMIT: ClassVar[int] = 40
    COLUMNS: ClassVar[tuple[PrintColumn, ...]] = (
        PrintColumn("Current", ".status.current.version"),
        PrintColumn("Rollout", ".status.rollout.step"),
        PrintColumn("Holder", ".status.lock.holder"),
        PrintColumn("Waiting", ".status.waiting", "integer"),
        PrintColumn("Ready", ".status.conditions[?(@.type=='Ready')].status"),
        PrintColumn("Reason", ".status.conditions[?(@.type=='Ready')].reason"),
        PrintColumn("Promote", ".status.conditions[?(@.type=='Promoted')].reason", priority=1),
        PrintColumn("Next run", ".status.retrain.nextRunTime", priority=1),
        PrintColumn("Message", ".status.message", priority=1),
        PrintColumn("Age", ".metadata.creationTimestamp", "date"),
    )

    kind: Literal["EmbeddingModel"]
    spec: EmbeddingModelSpec
    status: EmbeddingModelStatus | None = None
