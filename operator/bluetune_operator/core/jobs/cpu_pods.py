"""The pods that use no GPU, of an import and of a check: what of a method's podTemplate is for them."""

import re
from decimal import Decimal

from bluetune_api.pods import PodTemplate, Quantities, Resources

MOST = {"cpu": "2", "memory": "8Gi", "ephemeral-storage": "32Gi"}
"""Maximum of what a check or an import asks for, of what the training asks for."""

INHERITED = (
    "priority_class_name",
    "image_pull_secrets",
    "labels",
    "annotations",
    "env",
    "env_from",
    "volumes",
    "volume_mounts",
)
"""Fields that say nothing of the node: how urgent the pods are, who pays for them, what the plugin reads."""

_PARTS = re.compile(r"^([0-9.]+)(.*)$")
_UNITS = {
    "": Decimal(1),
    **{unit: Decimal(10) ** power for unit, power in (("n", -9), ("u", -6), ("m", -3), ("k", 3))},
    **{unit: Decimal(1000) ** power for power, unit in enumerate("MGTPE", start=2)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", start=1)},
}


def cpu_template(training: PodTemplate | None, cpu: PodTemplate | None) -> PodTemplate:
    """What the pods without a GPU run with.

    Where a training runs is no place for them: a selector of GPU nodes would make an autoscaler start one to read a
    file, and the toleration that GPU pods are given by admission is not theirs.

    Args:
        training: the method's podTemplate.
        cpu: its cpuPodTemplate; what it sets replaces what would be inherited, field by field.
    """
    base, own = training or PodTemplate(), cpu or PodTemplate()
    inherited = {name: getattr(base, name) for name in INHERITED if getattr(own, name) is None}
    resources = own.resources if own.resources is not None else _small(base.resources)
    return own.model_copy(update={**inherited, "resources": resources})


def _small(resources: Resources | None) -> Resources | None:
    """CPU and memory of a training, where it names them (a quota may ask for them), and not all of a large one's."""
    if resources is None:
        return None
    return Resources(requests=_at_most(resources.requests), limits=_at_most(resources.limits))


def _at_most(asked: Quantities | None) -> Quantities | None:
    if asked is None:
        return None
    return {name: min(amount, MOST[name], key=amount_of) for name, amount in asked.items() if name in MOST}


def amount_of(quantity: str) -> Decimal:
    """A Kubernetes quantity as a number."""
    parts = _PARTS.match(quantity)
    if parts is None:
        raise ValueError(f"{quantity!r} is no quantity")
    number, unit = parts[1], parts[2]
    if unit in _UNITS:
        return Decimal(number) * _UNITS[unit]
    try:
        return Decimal(f"{number}{unit}")  # 8e9
    except ArithmeticError:  # an exponent that no number has: Kubernetes will refuse it, or round it
        return Decimal(0) if unit[1] == "-" else Decimal("Infinity")
