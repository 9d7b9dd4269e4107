"""Whose the fields of a blue Deployment are: what to do about a conflict, and how bluetune gives its own back."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from bluetune_api.model import ServedBy, Serving
from bluetune_operator.core.kinds import Object
from bluetune_operator.core.rollout.moves import Failure
from bluetune_operator.core.rollout.serving_patch import FETCHER, FIELD_MANAGER, MODEL_VOLUME

Json = Mapping[str, Any]

CONFLICT = re.compile(r'conflicts? with "([^"]+)"( with subresource "[^"]+")?( using )?')
"""How the API server names the other manager; "using" stands there if it wrote the field other than by apply."""
VARIABLE = re.compile(r'\.env\[name="([^"]+)"\]')
ANNOTATION = re.compile(r"\.spec\.template\.metadata\.annotations\.(\S+)")


def last_writer(deployment: Json) -> str:
    """Who else wrote the Deployment's spec last, by its managedFields."""
    entries = [e for e in _entries(deployment) if not e.get("subresource") and "f:spec" in (e.get("fieldsV1") or {})]
    others = [e for e in entries if e.get("manager") != FIELD_MANAGER]
    newest = max(others, key=_time, default=None)
    if newest is None or any(_time(newest) < _time(entry) for entry in entries):
        return "others, perhaps an admission webhook or policy"
    return f"{str(newest.get('manager'))!r} ({newest.get('operation')} at {newest.get('time')})"


def _time(entry: Json) -> str:
    return str(entry.get("time") or "")


def field_conflict(serving: Serving, message: str) -> Failure | None:
    """What to do about a conflict of server-side apply; None if the object only changed since it was read."""
    found = CONFLICT.findall(message)
    if not found:
        return None
    managers = sorted({name for name, _, _ in found})
    fields = sorted(set(re.findall(r"(\.spec\.\S+)", message)))
    text = (
        f"Deployment {serving.deployment}: {', '.join(fields) or 'a field'} belongs to {', '.join(managers)};"
        " take it out of that manager's manifest, since bluetune sets it and never takes a field from others"
    )
    commands = _commands(serving, fields) if any(using for _, _, using in found) else []
    if commands:
        text += f"; if it was set by hand (kubectl set env, edit, rollout undo), free it: {' ; '.join(commands)}"
    return Failure("FieldConflict", text)


def _commands(serving: Serving, fields: Sequence[str]) -> list[str]:
    """What takes the fields out of the Deployment, whoever owns them."""
    name = serving.deployment
    variables = sorted({variable for field in fields for variable in VARIABLE.findall(field)})
    annotations = sorted({annotation for field in fields for annotation in ANNOTATION.findall(field)})
    commands = []
    if variables:
        commands.append(
            f"kubectl set env deployment/{name} -c {serving.container} {' '.join(f'{v}-' for v in variables)}"
        )
    if annotations:
        root = "/spec/template/metadata/annotations/"
        removals = ",".join(f'{{"op":"remove","path":"{root}{_pointer(a)}"}}' for a in annotations)
        commands.append(f"kubectl patch deployment {name} --type=json -p '[{removals}]'")
    if len(fields) > len(variables) + len(annotations):
        commands.append(f"kubectl edit deployment {name}")
    return commands


def owned_container(deployment: Json) -> str | None:
    """The container that bluetune owns fields of; None if it owns none."""
    for entry in _entries(deployment):
        if entry.get("manager") != FIELD_MANAGER:
            continue
        fields: Any = entry.get("fieldsV1") or {}
        for key in ("f:spec", "f:template", "f:spec", "f:containers"):
            fields = fields.get(key) or {}
        names = [match[1] for key in fields if (match := re.match(r'k:\{"name":"([^"]+)"\}', key))]
        return names[0] if names else ""
    return None


def giving_back(deployment: Json) -> list[Object] | None:
    """The JSON patch after which bluetune owns nothing in the Deployment, while all values stay; None if it owns none.

    It is guarded by the resourceVersion. Leaving the fields out of an apply would remove them, and so restart the pods
    without a version.
    """
    entries = _entries(deployment)
    kept = [entry for entry in entries if entry.get("manager") != FIELD_MANAGER]
    if len(kept) == len(entries):
        return None
    version = deployment["metadata"]["resourceVersion"]
    return [
        # an empty list is taken for "leave it as it is", one empty entry for "nobody owns anything"
        {"op": "replace", "path": "/metadata/managedFields", "value": kept or [{}]},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
    ]


def serving_as_told(deployment: Json, blue: ServedBy) -> Serving:
    """How the Deployment was told its version, as far as it says: `spec.serving` may say something else by now."""
    pod = deployment.get("spec", {}).get("template", {}).get("spec", {})
    fetcher = next((c for c in pod.get("initContainers") or () if c.get("name") == FETCHER), None)
    if fetcher is None:
        return Serving(deployment=blue.deployment, container=blue.container)
    mounts = {m.get("name"): m.get("mountPath") for m in fetcher.get("volumeMounts") or ()}
    return Serving(
        deployment=blue.deployment,
        container=blue.container,
        delivery="InitContainer",
        mount_path=mounts.get(MODEL_VOLUME) or "/model",
    )


def _entries(deployment: Json) -> list[Object]:
    return [e for e in deployment["metadata"].get("managedFields") or () if isinstance(e, dict)]


def _pointer(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
