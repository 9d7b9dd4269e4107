"""The part of a pod that a method may set. Everything else about the pod is bluetune's, so that it stays restricted."""

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema

from bluetune_api.base import ApiModel, Free, ObjectReference, Rule, ShortText, SubdomainName

QUANTITY = r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)(n|u|m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei|[eE][+-]?[0-9]+)?$"
MOST_CHARACTERS = 32


def _as_text(quantity: object) -> str:
    """A quantity as its text; whole numbers may stand without quotes, as in a pod."""
    if isinstance(quantity, float) and quantity.is_integer():
        quantity = int(quantity)  # 8e9, which kubectl sends as a whole number
    if isinstance(quantity, int) and not isinstance(quantity, bool):
        quantity = str(quantity)
    if isinstance(quantity, float):
        raise ValueError(f'a fraction needs quotes here: "{quantity}"')
    if not isinstance(quantity, str) or len(quantity) > MOST_CHARACTERS or not re.match(QUANTITY, quantity):
        raise ValueError('must be a quantity, such as 2, "500m" or "8Gi"')
    return quantity


Quantity = Annotated[
    str,
    BeforeValidator(_as_text),
    WithJsonSchema(
        {"x-kubernetes-int-or-string": True, "pattern": QUANTITY, "maxLength": MOST_CHARACTERS, "minimum": 0}
    ),
]
"""A Kubernetes quantity: "500m", "4Gi", 1. A fraction must be a text: a structural schema knows whole numbers or texts,
and no other pair."""
Quantities = Annotated[dict[str, Quantity], Field(max_length=16)]
Labels = Annotated[dict[str, Annotated[str, StringConstraints(max_length=63)]], Field(max_length=32)]
Annotations = Annotated[dict[str, Annotated[str, StringConstraints(max_length=1024)]], Field(max_length=32)]


class Resources(ApiModel):
    """Requests and limits of the trainer's container."""

    requests: Quantities | None = None
    """What the scheduler sets aside, for example `{cpu: 2, memory: 8Gi}`."""
    limits: Quantities | None = None
    """What the container may use at most, for example `{nvidia.com/gpu: 1, memory: 16Gi}`."""


GPUS = "BLUETUNE_GPUS"
"""Environment variable of a trainer's container: how many GPUs it asks for. A variable, and no field of the plan: a
plan is read strictly, and the trainer's image may be older than the operator."""
_GPU_RESOURCE = re.compile(r"(nvidia|amd)\.com/(gpu|mig-)")


def gpus(resources: Resources | None) -> int:
    """How many GPUs a container asks for, of the kinds that torch calls CUDA devices."""
    if resources is None:
        return 0
    asked = {**(resources.requests or {}), **(resources.limits or {})}
    return sum(int(amount) for name, amount in asked.items() if _GPU_RESOURCE.match(name) and amount.isdigit())


class Toleration(ApiModel):
    """A toleration, as in a pod."""

    key: ShortText | None = None
    """Taint key; absent matches all keys with operator Exists."""
    operator: Literal["Equal", "Exists"] = "Equal"
    """How the value is compared."""
    value: ShortText | None = None
    """Taint value, for Equal."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Taint effect; absent matches all."""
    toleration_seconds: Annotated[int, Field(ge=0)] | None = None
    """How long NoExecute is tolerated; absent is for ever."""


class SecretKeyReference(ApiModel):
    """A key of a Secret in the same namespace."""

    name: SubdomainName
    """Name of the Secret."""
    key: Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
    """Key in it."""


class EnvVar(ApiModel):
    """An environment variable with a plain value, or one from a Secret."""

    RULES = (
        Rule(
            "has(self.value) != has(self.secretKeyRef)",
            "set exactly one of value and secretKeyRef",
            lambda e: (e.value is None) != (e.secret_key_ref is None),
        ),
        Rule(
            "!self.name.startsWith('BLUETUNE_') && !self.name.startsWith('AWS_')",
            "names beginning with BLUETUNE_ and AWS_ are bluetune's own",
            lambda e: not e.name.startswith(("BLUETUNE_", "AWS_")),
            "name",
        ),
    )

    name: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    """Name of the variable."""
    value: Annotated[str, StringConstraints(max_length=2048)] | None = None
    """Its value."""
    secret_key_ref: SecretKeyReference | None = None
    """Where its value is kept."""


class PodTemplate(ApiModel):
    """What a method may set on pods of the trainer."""

    resources: Resources | None = None
    """Requests and limits of the trainer's container; Jobs without a GPU never ask for extended resources."""
    node_selector: Labels | None = None
    """Labels of the nodes that may run it."""
    tolerations: Annotated[list[Toleration], Field(max_length=32)] | None = None
    """Taints it tolerates, for example of GPU nodes."""
    affinity: Free | None = None
    """A pod affinity; checked by Kubernetes."""
    priority_class_name: SubdomainName | None = None
    """PriorityClass of the pods."""
    runtime_class_name: SubdomainName | None = None
    """RuntimeClass of the pods, for example `nvidia`."""
    image_pull_secrets: Annotated[list[ObjectReference], Field(max_length=8)] | None = None
    """Secrets to pull the method's image with."""
    labels: Labels | None = None
    """Additional labels of the pods."""
    annotations: Annotations | None = None
    """Additional annotations of the pods."""
    env: Annotated[list[EnvVar], Field(max_length=64)] | None = None
    """Additional environment of the training container."""
