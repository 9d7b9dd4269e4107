"""The records that operator and trainer exchange through the store, and the plan that a Job is given."""

import hashlib
import json
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from bluetune_api.base import ApiModel, BatchId, Digest, ImportPath, Metrics, Rule, SubdomainName, Uid, VersionId
from bluetune_api.batch_window import BatchSelection
from bluetune_api.clickstream import Clickstream
from bluetune_api.index_target import OpenSearch, Pgvector, Vectors
from bluetune_api.method import Items, SearchSpace, Settings
from bluetune_api.model import Gate
from bluetune_api.plan_format import format_needed
from bluetune_api.reading import Record
from bluetune_api.retrain import Outcome
from bluetune_api.store_location import StoreLocation
from bluetune_api.task import EarlierRun, TrialSummary


def _is_moment(text: str) -> str:
    datetime.fromisoformat(text)  # its ValueError says what is wrong
    return text


Moment = Annotated[str, StringConstraints(max_length=32), AfterValidator(_is_moment)]
"""RFC 3339, UTC."""
FormatVersion = Annotated[int, Field(ge=1)]
"""Absent is 1. It is raised for what a reader must not pass over."""


class RunOwner(ApiModel):
    """The object that a run belongs to; its uid names the run's folder."""

    kind: Literal["FineTuningTask", "EmbeddingModel"]
    """A task, or a model whose base is imported."""
    name: str
    """Its name."""
    namespace: str
    """Its namespace."""
    uid: str
    """Its uid."""


class MethodPlan(ApiModel):
    """A method with the task's overrides applied."""

    plugin: ImportPath = "TextFineTuningMethod"
    """Built-in name or `package.module:Class`."""
    items: Items = Field(default_factory=Items)
    """Where the catalogue is."""
    clickstream: Clickstream = Field(default_factory=Clickstream)
    """What a batch looks like, and what in it counts."""
    settings: Settings = Field(default_factory=Settings)
    """How trials train and are judged; absent fields get the preset's value."""
    initial_params: SearchSpace | None = None
    """The search space; absent: the preset's."""
    initial_max_evals: Annotated[int, Field(ge=1)] | None = None
    """Trials of the search; absent: what the plugin says, or the preset's."""


class IndexPlan(ApiModel):
    """Which index is to be made."""

    version: VersionId
    """The version that encodes it."""
    digest: Digest
    """sha256 of the version's manifest."""
    run: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{1,32}$")]
    """The rollout that it is for: all its pods read the catalogue as the first of them saw it."""
    shards: Annotated[int, Field(ge=1)] = 1
    """Parts that it is made in."""
    vectors: Vectors | None = None
    """How its vectors are made shorter."""
    pgvector: Pgvector | None = None
    """Load: the table. The address is in the environment."""
    opensearch: OpenSearch | None = None
    """The cluster, also while encoding, so that vectors that it cannot index are refused before. Name and password are
    in the environment."""


class Plan(Record):
    """All that a trainer container is told."""

    format_version: FormatVersion = 1
    """What a trainer must know to follow it: see `plan_format`."""
    kind: Literal["Import", "Check", "Train", "Index", "Load"]
    """What to do."""
    owner: RunOwner
    """Whose run it is."""
    model: str
    """Name of the EmbeddingModel."""
    store: StoreLocation
    """Where everything is read and written."""
    base_uri: str | None = None
    """Import: what to publish."""
    batch_id: BatchId | None = None
    """Check, Train: the batch; of several, the newest."""
    batches: BatchSelection | None = None
    """Check, Train: all batches, where the task asks for several."""
    start_version: VersionId | None = None
    """Train: version to start from."""
    live_version: VersionId | None = None
    """Train: version that the gate compares with; absent: the start version."""
    resume_from: EarlierRun | None = None
    """Train: an earlier run of the same plan, whose finished trials are taken over."""
    method: MethodPlan = Field(default_factory=MethodPlan)
    """How to train."""
    gate: Gate = Field(default_factory=Gate)
    """What to measure for the gate."""
    index: IndexPlan | None = None
    """Index, Load: which one."""
    metadata: dict[str, str] = Field(default_factory=dict)
    """The task's, for the result and the model card."""

    def selection(self) -> BatchSelection:
        """Check, Train: the batches of the run, also where it is one."""
        assert self.batch_id is not None  # noqa: S101 - a plan without one is refused when it is read
        return self.batches or BatchSelection(learn=[self.batch_id])

    @model_validator(mode="after")
    def _needs_its_format(self) -> Self:
        self.format_version = max(self.format_version, format_needed(self))
        return self


class Resumed(Record):
    """runs/<uid>/resumed.json: what a run has taken over, written once all of it is there."""

    format_version: FormatVersion = 1
    """Of this record."""
    earlier: EarlierRun
    """From which run."""
    trials: int
    """Trials that had ended there."""
    waiting: int
    """Trials that had not, and go on."""


class PinnedObject(ApiModel):
    """An input as the check saw it."""

    key: str
    """Relative to the model's prefix."""
    etag: str
    """ETag as the store gave it; a train Job refuses an object whose ETag changed."""
    size: int
    """Size in bytes."""


class Offence(ApiModel):
    """A broken line of the batch or the catalogue."""

    key: str
    """Object it is in."""
    line: int
    """Its line, or row of a Parquet file, from 1."""
    problem: str
    """What is wrong with it, with the field and the value."""


class EventCount(ApiModel):
    """Events of one type in a batch."""

    type: str
    """Type as it was logged; `click` where an event has no type."""
    events: int
    """How many were logged."""
    gain: float
    """What a result gains by one; 0 is a type that does not count."""


class CheckReport(Record):
    """check.json: what the check Job found in a batch."""

    valid: bool
    """Whether the batch is worth training on."""
    problems: list[str] = Field(default_factory=list)
    """Why it is not."""
    notes: list[str] = Field(default_factory=list)
    """What was left out or read in a way that one should know of, and why."""
    batch_id: BatchId
    """The batch; of several, the newest."""
    batches: list[BatchId] | None = None
    """All batches that are learned from, newest first; absent: one."""
    format: Literal["Sessions", "UBI", "Events"] = "Sessions"
    """How it was read: as the method says, or as found."""
    batch: list[PinnedObject]
    """Its objects; of several batches, all of theirs."""
    replay: list[PinnedObject] | None = None
    """Objects of older batches, of which a part is learned from again; they are not judged."""
    items: list[PinnedObject]
    """The catalogue's objects."""
    sessions: int
    """Searches that can be read; one that was logged more than once counts once."""
    sessions_with_clicks: int
    """Sessions with at least one click on a shown result."""
    positives: int
    """Clicked results."""
    results: int
    """Shown results."""
    coverage: float
    """Share of shown results that the catalogue knows."""
    informative_sessions: int = 0
    """Sessions with a result that was clicked and one that was not, both in the catalogue: what can be measured."""
    all_clicked_sessions: int = 0
    """Sessions of several results that were all clicked."""
    one_result_sessions: int = 0
    """Sessions of a single result, which was clicked."""
    queries: int = 0
    """Different queries, without regard to case and white space."""
    smallest_gain: float | None = None
    """Gain in NDCG@10 that the gate sees four times in five, by how many different queries it will compare on; absent
    where clicks do not decide, or no interval is asked for."""
    largest_query_share: float = 0
    """Share of the sessions that ask the most frequent query."""
    clicks_by_place: list[int] = Field(default_factory=list)
    """Clicks at each place from the first, 50 places at most."""
    event_types: list[EventCount] = Field(default_factory=list)
    """Events by type, the most frequent first, 50 types at most."""
    events_without_object: int = 0
    """Events of a type that counts, without an object_id; they do nothing."""
    clicks_not_shown: int = 0
    """Clicks on what is not among the search's results; they do nothing."""
    clicks_without_list: int = 0
    """Clicks of searches without results; what was clicked stands in for the list."""
    duplicates: int
    """Sessions that were logged before, with the same time and clicks; they are dropped."""
    merged: int = 0
    """Sessions that were logged before, with another time or other clicks; the clicks are united."""
    capped_sessions: int = 0
    """Sessions with more results than clickstream.maxResults."""
    ranks_ignored: int = 0
    """Sessions whose ranks are no different whole numbers; the order of search_results counts."""
    broken_lines: int
    """Lines that cannot be read; they are dropped."""
    offences: list[Offence] = Field(default_factory=list)
    """The first of them, 10 at most."""
    unknown_items: list[str] = Field(default_factory=list)
    """The first ids that the catalogue does not know, 10 at most."""
    catalogue_size: int
    """Items in the catalogue."""
    item_updates: int = 0
    """Lines of items that came before; the last line of an item counts."""
    item_deletions: int = 0
    """Lines that remove an item."""
    first: str | None = None
    """Earliest created_at."""
    last: str | None = None
    """Latest created_at."""


class TrialPoint(ApiModel):
    """A validation of a trial."""

    epoch: float
    """Epochs trained by then."""
    quality: float
    """The objective on the validation sessions."""
    val_loss: float
    """The loss on the validation sessions."""
    train_loss: float | None = None
    """Mean loss of the training steps since the validation before."""


class RunPrecision(Record):
    """runs/<uid>/precision.json: what `settings.precision: Auto` came to on the machine of the run's first attempt."""

    format_version: FormatVersion = 1
    """Format version of this record."""
    precision: Literal["FP32", "BF16"]
    """Precision of all attempts and of the gate's measurement."""
    machine: Annotated[str, StringConstraints(max_length=256)]
    """Which machine that was, for people."""


class Trial(Record):
    """trials/<n>.json: a trial that ended. It is never run again."""

    trial: int
    """Its number, from 0; it is seeded from (seed, number)."""
    status: Literal["ok", "fail"]
    """fail is a trial that raised or diverged; it has no quality."""
    params: dict[str, Any]
    """Its hyperparameters."""
    quality: float | None = None
    """The objective on the validation sessions, at its best epoch."""
    metrics: Metrics = Field(default_factory=dict)
    """All metrics at that epoch."""
    epochs: float = 0
    """Epochs it trained."""
    best_epoch: float | None = None
    """Epoch that was kept."""
    pruned: bool = False
    """Ended by halving at the last of its rungs; `quality` is what it had there."""
    rungs: list[float] = Field(default_factory=list)
    """The objective at each rung it reached."""
    history: list[TrialPoint] = Field(default_factory=list)
    """Its validations in order, 100 at most; of more, neighbours are one."""
    seconds: float = 0
    """Wall-clock time."""
    message: str | None = None
    """Why it failed."""
    space: dict[str, list[int]] | None = None
    """Where hyperopt drew from: indices for choices. Lets the search resume where it was."""
    origin: VersionId | None = None
    """Version whose parameters these are; absent: the search drew them."""

    def rank(self, *, ended: bool = True) -> tuple[bool, bool, float, int]:
        """Sorts trials, the best first; equal ones by number, those without a quality last.

        Those that trained to their end come before those that were pruned or wait (`ended` is False): what these
        reached at a rung, after an eighth of a training, may be higher by luck alone.
        """
        return self.quality is None, self.pruned or not ended, -(self.quality or 0.0), self.trial


class LineageParams(ApiModel):
    """Parameters that made a version."""

    origin: VersionId
    """The version."""
    params: dict[str, Any]
    """Parameters of the trial that won there."""


class Lineage(Record):
    """lineage.json: what a run tries in place of a search; empty if it searches. Written once, before the trials."""

    candidates: list[LineageParams] = Field(default_factory=list)
    """The start version's parameters, then its ancestors', 10 at most."""


class Progress(Record):
    """attempts/<pod uid>/progress.json: how far an attempt is. The operator copies it into the task's status."""

    stage: Literal["Loading", "Baseline", "Searching", "Evaluating", "Publishing", "Done"]
    """What the trainer is doing."""
    percent: Annotated[int, Field(ge=0, le=100)]
    """Estimated progress of the whole run, in percent."""
    eta_seconds: int | None = None
    """Estimated seconds to the end."""
    trials_done: int = 0
    """Trials that ended."""
    trials_total: int = 0
    """Trials of the search."""
    trial: int | None = None
    """The running trial."""
    epoch: int | None = None
    """Its epoch, from 1."""
    baseline: float | None = None
    """The objective of the start version on the validation sessions."""
    best: TrialSummary | None = None
    """Best trial so far."""
    top_trials: list[TrialSummary] = Field(default_factory=list)
    """Best trials, best first, 10 at most."""
    updated_at: Moment
    """When this was written."""


JudgeName = Literal["Local", "Symmetric", "People"]
"""Who says how much better a version is: two regressions on clicks, or people's judgments."""


class GateJudge(ApiModel):
    """What one judge says."""

    name: JudgeName
    """The judge."""
    delta: float
    """The gain of a query that it sees, over this run and the earlier ones."""
    low: float
    """Lower end of its interval."""
    high: float
    """Upper end."""


class GateGuard(ApiModel):
    """Something that must not get worse, whatever the gain is."""

    kind: Literal["Agreement", "Forgetting", "Slice", "Query"]
    """What is guarded: the live version's results as a whole; documents that nobody was shown; queries of one kind; a
    query of `gate.guards`."""
    name: str
    """Which one it is."""
    before: float | None = None
    """Agreement: absent. Forgetting: mean reciprocal rank. Slice: what the judges say of a query. Query: results among
    the ten best that must stay there. Of the live version."""
    after: float | None = None
    """The same of the candidate; Agreement: share of the live version's ten best that are among the candidate's."""
    limit: float | None = None
    """What the gate asked for: Agreement: the least `after`. Forgetting: the largest drop. Slice: the largest loss."""
    passed: bool | None = None
    """Whether it holds; absent: it was not measured."""
    detail: str
    """The numbers in words, or why there are none."""


class GateReport(ApiModel):
    """What was measured for the gate, on queries that no trial saw."""

    metric: str
    """The metric it is about. From clicks it is an estimate, and 1 is a page whose ten results all would be clicked if
    people looked at them."""
    against: VersionId
    """The live version that was compared with."""
    baseline: Metrics
    """Metrics of the live version."""
    candidate: Metrics
    """Metrics of the new version."""
    delta: float
    """Gain in `metric`: the mean of the judges, over this run and the earlier ones that count."""
    own_delta: float | None = None
    """Gain by this run's sessions alone; absent in older results."""
    low: float | None = None
    """Lower end of the gain's interval: that of the judge who is least sure."""
    high: float | None = None
    """Upper end."""
    confidence: float = 0.95
    """What the gate asked for: over all runs against this live version, a candidate that is no better passes at most
    in a share of 1 - confidence."""
    risk: float | None = None
    """This run's part of 1 - confidence, left out at each end of the interval; absent in older results."""
    attempt: Annotated[int, Field(ge=1)] = 1
    """Which run against this live version it is, from 1."""
    earlier_runs: int = 0
    """Earlier runs whose evidence is in the interval."""
    judges: list[GateJudge] = Field(default_factory=list)
    """What each says; all of them must agree."""
    sessions: int
    """Sessions, or judged queries, compared."""
    queries: int | None = None
    """Different queries among them, which the interval is drawn from; absent in older results."""
    queries_needed: int | None = None
    """Different queries with which a gain as large as this passes four times in five."""
    folds: int | None = None
    """Trainings that were compared, each on queries that it did not see; absent: one, on held-out queries."""
    examination: list[float] = Field(default_factory=list)
    """Clicks: how likely the result at each place is looked at, as the log tells; 1 is the first place."""
    source: Literal["Clicks", "Judgments"] = "Clicks"
    """What relevance was taken from."""
    guards: list[GateGuard] = Field(default_factory=list)
    """What must not get worse, and whether it did."""


class KeptEvidence(Record):
    """evidence/<live version>/<task uid>.json: what a run found out, for later runs against the same live version."""

    format_version: FormatVersion = 1
    """Format version of this record."""
    candidate: Digest
    """sha256 of the list of files of what was compared with the live version."""
    batch_id: BatchId | None = None
    """Batch that the sessions are of; of several, the newest."""
    batches: list[BatchId] | None = None
    """All batches that the sessions are of; absent: one."""
    metric: str
    """The metric."""
    gains: dict[JudgeName, float]
    """Gain of a query, by judge."""
    influence: dict[JudgeName, dict[str, float]]
    """What each query adds to the error of the gain, by judge and by a digest of the query."""


class Result(Record):
    """result.json: how a run ended well. Written once, with a conditional create."""

    format_version: FormatVersion = 1
    """Format version of this record."""
    kind: Literal["Import", "Train"]
    """What was done."""
    owner: RunOwner
    """Whose run it was."""
    version: VersionId
    """The version that was published."""
    digest: Digest
    """sha256 of its manifest."""
    uri: str
    """Its folder."""
    parent: VersionId | None = None
    """Version it was trained from."""
    batch_id: BatchId | None = None
    """Batch it was trained on."""
    best: TrialSummary | None = None
    """The trial that won."""
    params_from: VersionId | None = None
    """Version of the lineage whose parameters won; absent: the search drew them."""
    top_trials: list[TrialSummary] = Field(default_factory=list)
    """The best ones, 10 at most."""
    trials_done: int = 0
    """Trials that ended, whatever their end."""
    trials_failed: int = 0
    """Trials that failed."""
    baseline: Metrics = Field(default_factory=dict)
    """The start version on the validation sessions."""
    candidate: Metrics = Field(default_factory=dict)
    """The new version on the validation sessions."""
    gate: GateReport | None = None
    """The comparison that the gate decides by."""
    report_url: str | None = None
    """The report."""
    report_problem: str | None = None
    """Why there is none."""
    metadata: dict[str, str] = Field(default_factory=dict)
    """The task's."""


class ManifestFile(ApiModel):
    """A file of a version."""

    path: str
    """Relative to the version's folder, with forward slashes."""
    size: int
    """Size in bytes."""
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of the file's content, in hex."""


class Probe(ApiModel):
    """Texts and their vectors: what a server of this version must answer."""

    RULES = (
        Rule(None, "texts and vectors must be of the same number", lambda p: len(p.texts) == len(p.vectors), "vectors"),
    )

    texts: list[str]
    """n texts, as given to the encoder (prompts not yet applied)."""
    vectors: list[list[float]]
    """n × dim, rounded to 6 decimals; of length 1 where the model makes such."""


class Manifest(Record):
    """manifest.json of a version. Nothing in it depends on time, task or pod."""

    format_version: FormatVersion = 1
    """Format version of this record."""
    files: list[ManifestFile]
    """All files, sorted by path."""
    dimension: int
    """Dimension of the vectors."""
    parent: VersionId | None = None
    """Version it was trained from; absent for a base."""
    base_uri: str | None = None
    """What the first version of its line was imported from."""
    batch_id: BatchId | None = None
    """Batch it was trained on."""
    lineage_batches: list[BatchId] = Field(default_factory=list)
    """Every batch that it or its ancestors were trained on, oldest first."""
    params: dict[str, Any] = Field(default_factory=dict)
    """Hyperparameters of the trial that won."""
    params_from: VersionId | None = None
    """Version of the lineage whose parameters those were; absent: a search drew them."""
    metrics: Metrics = Field(default_factory=dict)
    """Its metrics on the validation sessions."""
    query_prompt: str = ""
    """Put before each query."""
    item_prompt: str = ""
    """Put before each item."""
    similarity: Literal["cosine", "dot", "euclidean", "manhattan"] = "cosine"
    """What a server must compare its vectors by."""
    probe: Probe
    """What a server of this version must answer."""

    def encode(self) -> bytes:
        """Canonical JSON: sorted keys, no white space; the same version always gives the same bytes."""
        return json.dumps(self.wire(), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest_of(manifest: bytes) -> str:
    """`sha256:…` of a manifest's bytes."""
    return "sha256:" + hashlib.sha256(manifest).hexdigest()


def version_of(digest: str) -> str:
    """The version id that a digest stands for."""
    return "v" + digest.removeprefix("sha256:")[:12]


class KeyClaim(Record):
    """keys/<sha256>: the task that an idempotency key belongs to."""

    task_uid: Uid
    """uid of the task."""
    task: SubdomainName
    """Its name."""


class RetrainedBatch(Record):
    """keys/retrain/<digest>.json: what a run of spec.retrain has done with a batch. Its name tells all that is read."""

    format_version: FormatVersion = 1
    """Format version of this record."""
    batch_id: BatchId
    """The batch."""
    task: str
    """Name of the task that took it."""
    outcome: Outcome
    """How that ended."""
    informative_sessions: int | None = None
    """With TooFewSessions: how many it has."""


class TriedBatch(Record):
    """keys/tried/<start version>/<digest>.json: a run that gave a version which did not go into production."""

    format_version: FormatVersion = 1
    """Format version of this record."""
    batch_id: BatchId
    """Batch it learned from."""
    task: SubdomainName
    """The run's task."""
    version: VersionId
    """What it published."""
    reason: Annotated[str, StringConstraints(max_length=64)]
    """Why that did not go into production."""
