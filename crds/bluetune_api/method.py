"""FineTuningMethod: how to fine-tune. Many models share one."""

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints

from bluetune_api.base import ApiModel, Conditions, ImportPath, Rule, StatusModel
from bluetune_api.clickstream import Clickstream
from bluetune_api.pods import PodTemplate
from bluetune_api.resource import PrintColumn, Resource

FieldName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Ratio = Annotated[float, Field(ge=0, le=1)]


class Items(ApiModel):
    """Where the catalogue is and how to read it."""

    path: Annotated[
        str, StringConstraints(min_length=1, max_length=512, pattern=r"^[A-Za-z0-9_][A-Za-z0-9._=/-]*$")
    ] = "items/"
    """A file, or a folder (ending in a slash), below the model's prefix: `*.jsonl`, `*.ndjson`, `*.json`, `*.csv` or
    `*.tsv` (each also `.gz` or `.zst`), or `*.parquet`."""
    id_field: FieldName = "item_id"
    """Field with an item's id, as sessions name it in `object_id`."""
    text_fields: Annotated[list[FieldName], Field(min_length=1, max_length=16)] = Field(
        default_factory=lambda: ["title", "description"]
    )
    """Fields joined, in this order, into the text that is encoded; absent ones are passed over."""
    deleted_field: FieldName = "_deleted"
    """Field that is true in a line that removes its item. Of several lines of an item, the last counts."""
    separator: Annotated[str, StringConstraints(max_length=16)] = ". "
    """What stands between the fields."""
    markup: Literal["Keep", "Remove"] = "Keep"
    """What becomes of HTML in the text fields. `Remove`: tags go, with scripts and styles, and entities become
    characters. A plugin with a hook `item_text` does it itself."""


class EarlyStopping(ApiModel):
    """When a trial gives up before its last epoch."""

    monitor: Annotated[str, StringConstraints(min_length=1, max_length=128)] = "val_loss"
    """What must improve: `val_loss`, or any metric that a trial's validations report, for example `ndcg@10`."""
    mode: Literal["min", "max"] | None = None
    """Whether less or more of it is better (preset: less of a loss, more of anything else)."""
    patience: Annotated[int, Field(ge=1, le=1000)] = 3
    """Validations without improvement before the trial stops."""
    min_delta: Annotated[float, Field(ge=0)] = 0.0
    """Minimum change that counts as improvement."""
    strict: bool = True
    """Whether a metric that no validation reports is an error. If not: a warning, and no trial stops early."""
    verbose: bool = False
    """Log how the metric stands after each validation."""


class Propensity(ApiModel):
    """How likely people look at a result, by the place at which it was shown: what `positionBias: IPS` divides by."""

    examination: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=1, max_length=1000)] | None = (
        None
    )
    """Chance for each place from the first; later places have the last one's. Preset: 1 / place."""
    eta: Annotated[float, Field(ge=0, le=10)] = 1.0
    """Power to which the chances are raised: 0 means no bias, above 1 a stronger one."""
    clip: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Chances below this count as this, so that no click weighs more than 1 / clip."""


class Lora(ApiModel):
    """Low-rank adapters: they are trained instead of the weights, and merged into them before the model is kept."""

    rank: Annotated[int, Field(ge=1, le=1024)] = 8
    """Rank of each adapter's product."""
    alpha: Annotated[int, Field(ge=1, le=10000)] = 16
    """The product counts alpha/rank."""


class HardNegatives(ApiModel):
    """Items that nobody clicked for a query but that the start version puts near it: negatives beside those shown."""

    RULES = (Rule("self.count <= self.depth", "depth must be at least count", lambda h: h.count <= h.depth, "depth"),)

    count: Annotated[int, Field(ge=1, le=64)] = 2
    """How many a session is given, drawn anew in each epoch from the `depth` nearest."""
    margin: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """An item counts as negative if its similarity is below (1 - margin) times that of the least similar click."""
    depth: Annotated[int, Field(ge=1, le=1000)] = 50
    """How many of the nearest such items are kept for each query."""


class Settings(ApiModel):
    """How a trial trains and is judged. Whatever is absent gets the preset's value."""

    loss: ImportPath | None = None
    """`ListwiseSoftmaxLoss` (preset), `InfoNCELoss` (also as `MultipleNegativesRankingLoss`),
    `CosineProbMarginRankingLoss`, `ProbMarginRankingLoss`, or a class of yours."""
    ranker: ImportPath | None = None
    """`COSINE_SIMILARITY`, `COSINE_DISTANCE`, `DOT_PRODUCT`, `EUCLIDEAN_DISTANCE`, or a callable of yours (preset: what
    the start version's folder says by `similarity_fn_name`, cosine where it says nothing)."""
    is_similarity: bool | None = None
    """Whether the ranker grows with relevance (preset: as the built-in ranker does; true for a callable of yours)."""
    confidence_calculator: ImportPath | None = None
    """`dummy_confidences` (preset), `calculate_confidences`, or a callable of yours."""
    matryoshka_dims: (
        Annotated[list[Annotated[int, Field(ge=1, le=65536)]], Field(min_length=1, max_length=16)] | None
    ) = None
    """Shorter lengths at which vectors are trained to rank well, too, when truncated; each below the model's own."""
    position_bias: Literal["None", "SkipAbove", "IPS"] | None = None
    """Correction of clicks for where results were shown. `None` (preset); `SkipAbove`: a click is compared only with
    results above it that were passed over; `IPS`: clicks weigh by their inverse propensity, clipped."""
    propensity: Propensity | None = None
    """Propensities of `positionBias: IPS`."""
    metrics: Annotated[list[ImportPath], Field(max_length=16)] | None = None
    """Metrics reported beside the built-in ones."""
    objective: Literal["gain", "ndcg@10", "mrr@10", "recall@10"] | None = None
    """What trials are judged by (preset: gain). `gain` is what clicks on validation queries tell of a trial against the
    start version, as the gate's judges see it, whatever was shown; the others rank the results that sessions showed, as
    a mean over queries, and favour the version that chose them. `recall@10` needs sessions that show more than ten
    results."""
    step_size: Annotated[int, Field(ge=1)] | None = None
    """Optimizer steps after which the learning rate is multiplied by gamma (preset: it falls linearly to 0 instead, at
    the end of the trial; 500 if only gamma is set)."""
    gamma: Annotated[float, Field(gt=0, le=1)] | None = None
    """Factor on the learning rate every step_size optimizer steps (0.9 if only step_size is set)."""
    num_epochs: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Maximum epochs of a trial (preset: 2, each of which goes through few sessions several times, for at least 100
    optimizer steps of the trial)."""
    batch_size: Annotated[int, Field(ge=1, le=65536)] | None = None
    """Sessions in a batch: they share in-batch negatives and, unless batches are accumulated, an optimizer step."""
    accumulate_batches: Annotated[int, Field(ge=1, le=65536)] | None = None
    """Batches in an optimizer step (preset: 1); in-batch negatives stay within a batch."""
    gradient_clipping: Annotated[float, Field(gt=0)] | None = None
    """Maximum L2 norm of all gradients together; longer ones are scaled down to it (preset: no limit)."""
    warmup: Annotated[float, Field(ge=0)] | None = None
    """Optimizer steps over which the rate rises from 0; a value below 1 is a share of the trial (preset: 0.1)."""
    grad_cache: bool | None = None
    """Encode a batch in parts and compute them again for the gradient: memory of one part, a third more time."""
    lora: Lora | None = None
    """Train low-rank adapters instead of the weights (preset: the weights)."""
    hard_negatives: HardNegatives | None = None
    """Add negatives from the whole catalogue to each session (preset: none)."""
    attention: Literal["Auto", "Padded", "Packed"] | None = None
    """Packed computes nothing on padding; for BERT-like models. Auto (preset) packs them on processors."""
    devices: Annotated[int, Field(ge=1, le=64)] | None = None
    """GPUs of the pod that compute each step together, or processes where there is no GPU (preset: 1)."""
    test_each_n_inputs: Annotated[float, Field(gt=0)] | None = None
    """Sessions between two validations, an epoch's at most (preset); a value below 1 is a share of an epoch."""
    early_stopping: EarlyStopping | None = None
    """When a trial gives up."""
    search: Literal["Auto", "Always"] | None = None
    """Auto (preset): search from a base; from a version that was trained, try the parameters that made it and its
    ancestors (10 at most) in place of a search. Always: search."""
    halving: bool | None = None
    """Stop the worst trials early (successive halving; preset: true)."""
    precision: Literal["Auto", "FP32", "BF16"] | None = None
    """Auto (preset) takes BF16 where a probe shows that it pays."""
    max_tokens: Annotated[int, Field(ge=8, le=32768)] | None = None
    """Maximum length of a text in tokens, in training and in the published version (preset: the model's window)."""
    towers: Literal["Shared", "Separate"] | None = None
    """Separate makes two encoders of one: queries and items get weights of their own (preset: as the model has it)."""
    long_items: Literal["Truncate", "Split"] | None = None
    """Items longer than the model's window: cut (preset), or split into parts whose ranks become one."""
    parts_rank: Literal["Mean", "SoftMax", "SoftMin"] | None = None
    """How the ranks of a split item's parts become one (preset: Mean)."""
    query_prompt: Annotated[str, StringConstraints(max_length=256)] | None = None
    """Put before each query, for example `query: ` for E5."""
    item_prompt: Annotated[str, StringConstraints(max_length=256)] | None = None
    """Put before each item, for example `passage: ` for E5."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """Seed of the search, the trials and the batches (preset: 0)."""
    min_sessions: Annotated[int, Field(ge=1)] | None = None
    """Minimum number of sessions with a click (preset: 20)."""
    min_coverage: Ratio | None = None
    """Minimum share of logged results that the catalogue must know (preset: 0.5)."""


class Uniform(ApiModel):
    """Any value between low and high."""

    RULES = (Rule("self.low < self.high", "low must be below high", lambda r: r.low < r.high, "low"),)

    low: float
    """Minimum value."""
    high: float
    """Maximum value."""


class LogUniform(ApiModel):
    """Any value between low and high, evenly over the logarithm. The bounds are values, not logarithms."""

    RULES = (Rule("self.low < self.high", "low must be below high", lambda r: r.low < r.high, "low"),)

    low: Annotated[float, Field(gt=0)]
    """Minimum value."""
    high: Annotated[float, Field(gt=0)]
    """Maximum value."""


class QUniform(ApiModel):
    """Multiples of q between low and high."""

    RULES = (Rule("self.low < self.high", "low must be below high", lambda r: r.low < r.high, "low"),)

    low: float
    """Minimum value."""
    high: float
    """Maximum value."""
    q: Annotated[float, Field(gt=0)]
    """Step."""


class SearchDimension(ApiModel):
    """The values that one parameter may take: exactly one of the four."""

    RULES = (
        Rule(
            None,
            "set exactly one of choice, uniform, logUniform and quniform",
            lambda d: sum(v is not None for v in (d.choice, d.uniform, d.log_uniform, d.quniform)) == 1,
            exactly_one=("choice", "uniform", "logUniform", "quniform"),
        ),
    )

    choice: (
        Annotated[
            list[Annotated[Any, Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]],
            Field(min_length=1, max_length=64),
        ]
        | None
    ) = None
    """One of these values."""
    uniform: Uniform | None = None
    """Evenly between two values."""
    log_uniform: LogUniform | None = None
    """Evenly between the logarithms of two values."""
    quniform: QUniform | None = None
    """Multiples of a step between two values."""


PRESET_EVALS = 8
"""Trials of a search when nobody says how many."""
MAX_EVALS = 1000

SearchSpace = Annotated[dict[str, SearchDimension], Field(min_length=1, max_length=32)]
PARAMETER_NAME = r"^[a-z][a-z0-9_]{0,63}$"
PARAMETER_NAMES_RULE = Rule(
    f"!has(self.initialParams) || self.initialParams.all(name, name.matches('{PARAMETER_NAME}'))",
    "names of parameters are in snake_case, for example query_lr",
    lambda s: all(re.match(PARAMETER_NAME, name) for name in s.initial_params or ()),
    "initialParams",
)
"""A structural schema cannot bound the keys of a map, so this is a rule."""
PAIRWISE_LOSSES = ("CosineProbMarginRankingLoss", "ProbMarginRankingLoss")
"""Built-in losses that compare results of one session only, and learn nothing from in-batch negatives."""
UNUSED_RULES = (
    Rule(
        "!has(self.settings) || !has(self.settings.propensity)"
        " || (has(self.settings.positionBias) && self.settings.positionBias == 'IPS')",
        "only positionBias IPS uses it; set positionBias: IPS, too, or leave it out",
        lambda s: s.settings is None or s.settings.propensity is None or s.settings.position_bias == "IPS",
        "settings.propensity",
    ),
    Rule(
        "!has(self.settings) || !has(self.settings.partsRank)"
        " || (has(self.settings.longItems) && self.settings.longItems == 'Split')",
        "only longItems Split uses it; set longItems: Split, too, or leave it out",
        lambda s: s.settings is None or s.settings.parts_rank is None or s.settings.long_items == "Split",
        "settings.partsRank",
    ),
    Rule(
        "!has(self.initialParams) || !('phrases_per_session' in self.initialParams) || !has(self.settings)"
        f" || !has(self.settings.loss) || !(self.settings.loss in {list(PAIRWISE_LOSSES)})",
        f"phrases_per_session needs a loss with in-batch negatives, and {' and '.join(PAIRWISE_LOSSES)} have none;"
        " leave it out, or choose another loss",
        lambda s: (
            s.settings is None
            or s.settings.loss not in PAIRWISE_LOSSES
            or "phrases_per_session" not in (s.initial_params or ())
        ),
        "initialParams",
    ),
)
"""Rules of a method as it is written. A task's overrides may name one without the other, so a check judges them
merged."""


class FineTuningMethodSpec(ApiModel):
    """How to fine-tune."""

    RULES = (PARAMETER_NAMES_RULE, *UNUSED_RULES)

    plugin: ImportPath = "TextFineTuningMethod"
    """`TextFineTuningMethod`, or `package.module:Class` of a plugin in the image."""
    image: Annotated[str, StringConstraints(min_length=1, max_length=512)] | None = None
    """Trainer image; default: the operator's. A plugin adds itself to that image."""
    items: Items = Field(default_factory=Items)
    """Where the catalogue is and how to read it."""
    clickstream: Clickstream = Field(default_factory=Clickstream)
    """What a batch of clicks looks like, and what in it counts."""
    settings: Settings | None = None
    """How a trial trains and is judged."""
    initial_params: SearchSpace | None = None
    """Values of parameters, by their snake_case names; what is not named is as the preset has it."""
    initial_max_evals: Annotated[int, Field(ge=1, le=MAX_EVALS)] | None = None
    """Trials of the search (preset: 8, or what the plugin says)."""
    pod_template: PodTemplate | None = None
    """Resources, node selection and environment of the pods that train."""
    cpu_pod_template: PodTemplate | None = None
    """The same of the pods that use no GPU: they import a base and check a batch. What is absent here is as in
    podTemplate, but for all that says where a training runs; of its resources they ask for 2 CPUs, 8Gi of memory and
    32Gi of ephemeral-storage at most."""


class FineTuningMethodStatus(StatusModel):
    """Kept by the operator."""

    conditions: Conditions | None = None
    """`Ready` says whether the method can be used."""
    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """Generation that the conditions speak of."""


class FineTuningMethod(Resource):
    """How to fine-tune: plugin, data, settings, search space, resources. Many models share one."""

    PLURAL: ClassVar[str] = "finetuningmethods"
    SHORT_NAMES: ClassVar[tuple[str, ...]] = ("ftm",)
    NAME_LIMIT: ClassVar[int] = 63
    COLUMNS: ClassVar[tuple[PrintColumn, ...]] = (
        PrintColumn("Plugin", ".spec.plugin"),
        PrintColumn("Trials", ".spec.initialMaxEvals", "integer"),
        PrintColumn("Age", ".metadata.creationTimestamp", "date"),
    )

    kind: Literal["FineTuningMethod"]
    spec: FineTuningMethodSpec
    status: FineTuningMethodStatus | None = None
