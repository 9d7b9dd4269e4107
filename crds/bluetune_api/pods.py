"""The part of a pod that a method may set. Everything else about the pod is bluetune's, so that it stays restricted."""

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema

from bluetune_api.base import ApiModel, Free, Name, ObjectReference, Rule, ShortText, SubdomainName

QUANTITY = r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)(n|u|m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei|[eE][+-]?[0-9]+)?$"
MAX_CHARACTERS = 32


def _as_text(quantity: object) -> str:
    """A quantity as its text; whole numbers may stand without quotes, as in a pod."""
    if isinstance(quantity, float) and quantity.is_integer():
        quantity = int(quantity)  # 8e9, which kubectl sends as a whole number
    if isinstance(quantity, int) and not isinstance(quantity, bool):
        quantity = str(quantity)
    if isinstance(quantity, float):
        raise ValueError(f'a fraction needs quotes here: "{quantity}"')
    if not isinstance(quantity, str) or len(quantity) > MAX_CHARACTERS or not re.match(QUANTITY, quantity):
        raise ValueError('must be a quantity, such as 2, "500m" or "8Gi"')
    return quantity


Quantity = Annotated[
    str,
    BeforeValidator(_as_text),
    WithJsonSchema(
        {"x-kubernetes-int-or-string": True, "pattern": QUANTITY, "maxLength": MAX_CHARACTERS, "minimum": 0}
    ),
]
"""A Kubernetes quantity: "500m", "4Gi", 1. A fraction must be a text: a structural schema knows whole numbers or texts,
and no other pair."""
Quantities = Annotated[dict[str, Quantity], Field(max_length=16)]
Labels = Annotated[dict[str, Annotated[str, StringConstraints(max_length=63)]], Field(max_length=32)]
Annotations = Annotated[dict[str, Annotated[str, StringConstraints(max_length=1024)]], Field(max_length=32)]


class ContainerClaim(ApiModel):
    """A device claim of the pod that the trainer's container uses."""

    name: Name
    """Name in the pod's resourceClaims."""
    request: Annotated[str, StringConstraints(max_length=128)] | None = None
    """One request of the claim; absent: all of it."""


class Resources(ApiModel):
    """Requests and limits of the trainer's container."""

    requests: Quantities | None = None
    """What the scheduler sets aside, for example `{cpu: 2, memory: 8Gi}`."""
    limits: Quantities | None = None
    """What the container may use at most, for example `{nvidia.com/gpu: 1, memory: 16Gi}`."""
    claims: Annotated[list[ContainerClaim], Field(max_length=16)] | None = None
    """Devices of the pod's resourceClaims (dynamic resource allocation)."""


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
    """How long NoExecute is tolerated; absent: without an end."""


class KeyReference(ApiModel):
    """A key of a Secret or a ConfigMap in the same namespace."""

    name: SubdomainName
    """Name of the Secret or ConfigMap."""
    key: Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
    """Key in it."""


class EnvVar(ApiModel):
    """An environment variable with a plain value, or one from a Secret or a ConfigMap."""

    RULES = (
        Rule(
            "[has(self.value), has(self.secretKeyRef), has(self.configMapKeyRef)].filter(x, x).size() == 1",
            "set exactly one of value, secretKeyRef and configMapKeyRef",
            lambda e: sum(v is not None for v in (e.value, e.secret_key_ref, e.config_map_key_ref)) == 1,
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
    secret_key_ref: KeyReference | None = None
    """Key of a Secret that holds it."""
    config_map_key_ref: KeyReference | None = None
    """Key of a ConfigMap that holds it."""


class EnvFrom(ApiModel):
    """All keys of a Secret or ConfigMap as environment variables; those that are named singly come first."""

    RULES = (
        Rule(
            "has(self.configMapRef) != has(self.secretRef)",
            "set exactly one of configMapRef and secretRef",
            lambda e: (e.config_map_ref is None) != (e.secret_ref is None),
        ),
    )

    prefix: Annotated[str, StringConstraints(max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """Put before each key."""
    config_map_ref: ObjectReference | None = None
    """The ConfigMap."""
    secret_ref: ObjectReference | None = None
    """The Secret."""


OWN_VOLUMES = ("plan", "tmp", "shm", "ca")
OWN_PATHS = "/etc/bluetune"
"""Where plan and certificate are mounted: here, and below what begins so."""
VOLUME_KINDS = ("persistentVolumeClaim", "ephemeral", "emptyDir", "configMap", "secret")


class Volume(ApiModel):
    """A volume, as in a pod; of the kinds that the Pod Security level restricted takes, those that bring no token."""

    RULES = (
        Rule(
            None,
            f"set exactly one of {', '.join(VOLUME_KINDS)}",
            lambda v: (
                sum(
                    kind is not None
                    for kind in (v.persistent_volume_claim, v.ephemeral, v.empty_dir, v.config_map, v.secret)
                )
                == 1
            ),
            exactly_one=VOLUME_KINDS,
        ),
        Rule(
            f"!(self.name in {list(OWN_VOLUMES)})",
            f"{', '.join(OWN_VOLUMES)} are bluetune's own volumes; choose another name",
            lambda v: v.name not in OWN_VOLUMES,
            "name",
        ),
    )

    name: Name
    """Its name in volumeMounts."""
    persistent_volume_claim: Free | None = None
    """A claim, such as `{claimName: models}`; checked by Kubernetes."""
    ephemeral: Free | None = None
    """A claim that is made for each pod (volumeClaimTemplate), such as a large /tmp; checked by Kubernetes."""
    empty_dir: Free | None = None
    """A folder that is empty at first, such as `{medium: Memory, sizeLimit: 8Gi}`; checked by Kubernetes."""
    config_map: Free | None = None
    """A ConfigMap, such as `{name: settings}`; checked by Kubernetes."""
    secret: Free | None = None
    """A Secret, such as `{secretName: licence}`; checked by Kubernetes."""


class VolumeMount(ApiModel):
    """Where the trainer's container sees a volume."""

    RULES = (
        Rule(
            f"!self.mountPath.startsWith('{OWN_PATHS}')",
            f"{OWN_PATHS} holds the plan; choose another path",
            lambda m: not m.mount_path.startswith(OWN_PATHS),
            "mountPath",
        ),
    )

    name: Name
    """Name of the volume."""
    mount_path: Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^/[^:]*$")]
    """Path in the container. A volume at `/tmp` or `/dev/shm` takes the place of bluetune's own."""
    sub_path: Annotated[str, StringConstraints(max_length=512)] | None = None
    """Folder of the volume that is mounted; absent: all of it."""
    read_only: bool | None = None
    """Whether it can only be read."""


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
    scheduler_name: SubdomainName | None = None
    """Scheduler of the pods; default: the cluster's."""
    topology_spread_constraints: Annotated[list[Free], Field(max_length=16)] | None = None
    """How the pods spread over the cluster; checked by Kubernetes."""
    resource_claims: Annotated[list[Free], Field(max_length=16)] | None = None
    """Devices that the pods claim (dynamic resource allocation), which `resources.claims` then names; checked by
    Kubernetes."""
    image_pull_secrets: Annotated[list[ObjectReference], Field(max_length=8)] | None = None
    """Secrets to pull the method's image with."""
    labels: Labels | None = None
    """Additional labels of the pods and of their Job, such as `kueue.x-k8s.io/priority-class`."""
    annotations: Annotations | None = None
    """Additional annotations of the pods and of their Job."""
    env: Annotated[list[EnvVar], Field(max_length=64)] | None = None
    """Additional environment of the trainer's container."""
    env_from: Annotated[list[EnvFrom], Field(max_length=16)] | None = None
    """ConfigMaps and Secrets whose keys are all in that environment."""
    volumes: Annotated[list[Volume], Field(max_length=16)] | None = None
    """Additional volumes of the pods."""
    volume_mounts: Annotated[list[VolumeMount], Field(max_length=16)] | None = None
    """Where the trainer's container sees them."""
