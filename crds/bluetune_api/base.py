"""What all types of the API share: strict parsing, camelCase on the wire, rules that hold here and in the cluster."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel


@dataclass(frozen=True)
class Rule:
    """A rule between fields, said twice side by side: in CEL for the API server and in Python for everybody else.

    `cel` sees the object as `self`; `check` gets the parsed object and returns whether it holds. `field` (a camelCase
    name below the object) is what the rejection names. CEL does not see untyped fields: a rule about those has no `cel`
    but `exactly_one` (camelCase names), which becomes a oneOf.
    """

    cel: str | None
    message: str
    check: Callable[[Any], bool]
    field: str | None = None
    exactly_one: tuple[str, ...] = ()


class ApiModel(BaseModel):
    """A part of a resource or record. Strict, so that pydantic and the API server give the same verdict."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        extra="forbid",
        strict=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )

    RULES: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _rules_hold(self) -> Self:
        for rule in self.RULES:
            if not rule.check(self):
                raise ValueError(f"{rule.field}: {rule.message}" if rule.field else rule.message)
        return self

    def wire(self) -> dict[str, Any]:
        """JSON for the API server or the store: names in camelCase, null fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class StatusModel(ApiModel):
    """A part of a status, which only the operator writes. Fields of a newer release are kept as they are, and written
    again with the rest: an operator that does not know them must not take them away."""

    model_config = ConfigDict(extra="allow")


def immutable(description: str, default: Any = ..., **constraints: Any) -> Any:
    """A field that cannot change once the object exists; the schema generator makes the CEL transition rule."""
    return Field(default, description=description, json_schema_extra={"x-immutable": True}, **constraints)


DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
VERSION_PATTERN = r"^v[0-9a-f]{12}$"
DIGEST_PATTERN = r"^sha256:[0-9a-f]{64}$"

Name = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=DNS_LABEL)]
"""A Kubernetes DNS label."""
SubdomainName = Annotated[
    str, StringConstraints(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$")
]
"""The name of a Secret, a ServiceAccount or any other object whose name may hold dots."""
QueueName = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$")]
"""The name of a Kueue LocalQueue, which is the value of a label."""
VersionId = Annotated[str, StringConstraints(max_length=13, pattern=VERSION_PATTERN)]
"""A model version: `v` and the first 12 hexadecimal digits of its manifest's sha256."""
Digest = Annotated[str, StringConstraints(max_length=71, pattern=DIGEST_PATTERN)]
"""`sha256:` and the 64 hexadecimal digits of the sha256 of a version's manifest.json."""
_FOLDER = r"[^\x00-\x20\x7f\x22\\/._][^\x00-\x1f\x7f\x22\\/]*"
"""A folder's name in a batch id. What begins with `_` or `.` is hidden, and so is no batch; nor can it lead upwards."""
BATCH_PATTERN = rf"^{_FOLDER}(/{_FOLDER})*$"
MAX_BATCH_ID = 512
"""Characters; a key of S3 has 1,024 bytes, with the model's prefix before and a file's name after this."""
BatchId = Annotated[str, StringConstraints(min_length=1, max_length=MAX_BATCH_ID, pattern=BATCH_PATTERN)]
"""The folder of a clickstream batch, below `clickstream/`: `2026-01-31`, `dt=2026-01-31/hour=05`."""
ImportPath = Annotated[
    str,
    StringConstraints(
        min_length=1,
        max_length=253,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*(:[A-Za-z_][A-Za-z0-9_]*)?$",
    ),
]
"""A built-in's name, or `package.module:Name`."""
Uid = Annotated[str, StringConstraints(max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9-]*$")]
"""uid of an object; it is part of keys in the store."""
Duration = Annotated[str, StringConstraints(min_length=2, max_length=8, pattern=r"^[1-9][0-9]*[smhd]$")]
"""A number of seconds, minutes, hours or days: `90s`, `15m`, `2h`, `1d`."""
Timestamp = Annotated[str, Field(max_length=32, json_schema_extra={"format": "date-time"})]
"""RFC 3339, UTC."""
ShortText = Annotated[str, StringConstraints(max_length=256)]
Text = Annotated[str, StringConstraints(max_length=2048)]
Uri = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
Metadata = Annotated[dict[str, Annotated[str, StringConstraints(max_length=1024)]], Field(max_length=32)]
"""What people write down about a task."""
Free = Annotated[dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]
"""An object whose inside belongs to another API (an affinity, a Job template) and is checked there."""


def seconds_of(duration: str) -> float:
    """A `Duration` in seconds."""
    return float(duration[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[duration[-1]]


class ObjectReference(ApiModel):
    """A reference by name to an object in the same namespace."""

    name: SubdomainName
    """Name of the object, in the same namespace."""


class NameReference(ApiModel):
    """A reference by name to a bluetune resource in the same namespace."""

    name: Name
    """Name of the resource, in the same namespace."""


class Condition(StatusModel):
    """A condition as the Kubernetes API conventions have it."""

    type: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    """What is said to be so, in PascalCase."""
    status: Literal["True", "False", "Unknown"]
    """True, False or Unknown."""
    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """The generation of the object that this was said of."""
    last_transition_time: Timestamp
    """When the status last changed."""
    reason: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z]([A-Za-z0-9_]*)$")]
    """Why, as one word for programs."""
    message: Text = ""
    """Why, and what to do, for people."""


Conditions = Annotated[
    list[Condition],
    Field(max_length=16, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
]

Metrics = Annotated[dict[str, float], Field(max_length=32)]
"""Metric name to value."""


class ObjectMeta(BaseModel):
    """The part of an object's metadata that bluetune reads; the rest passes through."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, extra="allow")

    name: str
    namespace: str | None = None
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
