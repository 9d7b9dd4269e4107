"""The first manifests of a model: commented, and valid as they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from bluetune.core.data_seen import ClicksSeen, ItemsSeen, some
from bluetune.core.endpoint import split_endpoint
from bluetune.core.errors import CliError, Exit
from bluetune.core.kinds import Object
from bluetune_api import API_VERSION
from bluetune_api.manifest import ManifestError, parse
from bluetune_api.method import Items

METHOD_FILE, MODEL_FILE, TASK_FILE = "method.yaml", "model.yaml", "task.yaml"


@dataclass(frozen=True)
class Blue:
    """The Deployment that serves the model."""

    deployment: str
    container: str
    port: int


@dataclass(frozen=True)
class Answers:
    """What a user said of a model."""

    model: str
    namespace: str | None
    base: str
    endpoint: str
    secure: bool
    bucket: str
    prefix: str
    secret: str
    blue: Blue | None
    gpus: int
    retrain: bool


def bucket_and_prefix(uri: str) -> tuple[str, str]:
    """Bucket and prefix of `s3://bucket/prefix`. Raises CliError."""
    scheme, found, rest = uri.partition("://")
    bucket, _, prefix = rest.strip("/").partition("/")
    if scheme != "s3" or not found or not bucket:
        raise CliError(f"--store {uri!r}: must be s3://BUCKET/PREFIX", Exit.USAGE)
    return bucket, prefix.strip("/")


def endpoint_and_secure(endpoint: str) -> tuple[str, bool]:
    """Host and port, and whether it speaks https, which it does unless http:// stands before. Raises CliError."""
    address, secure = split_endpoint(endpoint)
    return (address, True) if secure is None else (address.rstrip("/"), secure)


def containers_of(deployment: Object) -> dict[str, list[int]]:
    """Containers of a Deployment, and the TCP ports that each declares."""
    return {
        str(container["name"]): [
            int(port["containerPort"]) for port in container.get("ports") or [] if port.get("protocol", "TCP") == "TCP"
        ]
        for container in deployment["spec"]["template"]["spec"]["containers"]
    }


def manifests(answers: Answers, items: ItemsSeen, clicks: ClicksSeen) -> dict[str, str]:
    """The files and what is in them.

    Raises:
        CliError: the API server would refuse one; the message names the option.
    """
    files = {
        METHOD_FILE: _method(answers, items, clicks),
        MODEL_FILE: _model(answers),
        TASK_FILE: _task(answers),
    }
    for text in files.values():
        try:
            parse(_named(yaml.safe_load(text)))
        except ManifestError as error:
            problems = "; ".join(_by_option(problem) for problem in error.problems)
            raise CliError(problems, Exit.USAGE) from None
    return files


def _named(manifest: dict[str, Any]) -> dict[str, Any]:
    """With a name, as `kubectl create` gives one to a task."""
    metadata = manifest["metadata"]
    return manifest | {"metadata": metadata | {"name": metadata.get("name") or metadata["generateName"] + "x"}}


OPTIONS = {
    "spec.base": "--base",
    "spec.store.endpoint": "--endpoint",
    "spec.store.bucket": "--store",
    "spec.store.prefix": "--store",
    "spec.store.credentialsSecretRef": "--secret",
    "spec.serving.deployment": "--deployment",
    "spec.serving.container": "--container",
    "spec.serving.verify.port": "--port",
    "metadata.namespace": "--namespace",
    "metadata.name": "MODEL",
}


def _by_option(problem: str) -> str:
    field, _, why = problem.partition(": ")
    option = next((option for start, option in OPTIONS.items() if field.startswith(start)), field)
    return f"{option}: {why}"


def _method(answers: Answers, items: ItemsSeen, clicks: ClicksSeen) -> str:
    preset = Items()
    id_field, texts = items.id_field or preset.id_field, list(items.text_fields or preset.text_fields)
    types = [f"{kind} ({count})" for kind, count in clicks.event_types.items()]
    lines = [
        "# How the model learns: what an item is, which events are clicks, and what a training may use.",
        *_head("FineTuningMethod", answers.model, answers.namespace),
        "spec:",
        "  items:",
        *_fields_seen(items),
        f"    idField: {_value(id_field)}    # as the clicks name an item",
        f"    textFields: {_value(texts)}    # joined into the text that is encoded",
        "  # Which types of events are clicks, and how much each is worth. Without it, click, add_to_cart, purchase",
        "  # and their like count 1 each; `bluetune check` counts all others.",
        f"  # The newest batch begins with these types: {some(types)}." if types else "",
        "  # clickstream:",
        "  #   eventTypes: {click: 1, add_to_cart: 3, purchase: 5}",
        *_pods(answers.gpus),
    ]
    return _text(lines)


def _fields_seen(items: ItemsSeen) -> list[str]:
    if not items.fields:
        return ["    # The catalogue was not seen: these are the preset's fields."]
    lacking = [
        *([] if items.id_field else ["none of its fields identifies an item"]),
        *([] if items.text_fields else ["none is text"]),
    ]
    end = f"; {' and '.join(lacking)}, so name one" if lacking else ""
    return [f"    # The catalogue has the fields {some(items.fields)}{end}."]


def _pods(gpus: int) -> list[str]:
    if not gpus:
        return [
            "  podTemplate:",
            "    resources:",
            "      requests: {cpu: '2', memory: 4Gi}",
            "      limits: {memory: 8Gi}",
        ]
    return [
        "  podTemplate:",
        "    resources:",
        f"      limits: {{nvidia.com/gpu: {_value(str(gpus))}, memory: 16Gi}}",
    ]


def _model(answers: Answers) -> str:
    lines = [
        "# The model that lives for years: what it starts from, where it is kept, and what serves it.",
        *_head("EmbeddingModel", answers.model, answers.namespace),
        "spec:",
        "  base:",
        f"    uri: {_value(answers.base)}    # published as the first version; it cannot be changed later",
        "  methodRef:",
        f"    name: {_value(answers.model)}",
        "  store:    # below it: items/, clickstream/BATCH/, and all versions",
        f"    endpoint: {_value(answers.endpoint)}",
        f"    secure: {_value(answers.secure)}",
        f"    bucket: {_value(answers.bucket)}",
        f"    prefix: {_value(answers.prefix)}" if answers.prefix else "",
        "    credentialsSecretRef:",
        f"      name: {_value(answers.secret)}    # with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        *_serving(answers.blue),
        *_retrain(answers.retrain),
    ]
    return _text(lines)


def _serving(blue: Blue | None) -> list[str]:
    if blue is None:
        return _commented(
            "  # Which Deployment serves the model. Without it, versions are published and none is rolled out.",
            ["  serving:", "    deployment: search", "    container: server", "    verify: {port: 8080}"],
        )
    return [
        "  serving:    # the container reads BLUETUNE_VERSION, BLUETUNE_URI and BLUETUNE_DIGEST",
        f"    deployment: {_value(blue.deployment)}",
        f"    container: {_value(blue.container)}",
        '    verify:    # each pod is asked after a rollout: GET /version answers {"digest": "sha256:…"}',
        f"      port: {blue.port}",
    ]


def _retrain(wanted: bool) -> list[str]:
    lines = ["  retrain:", "    triggers: [{newBatch: {}}]", "    template: {deployAsBlue: true}"]
    said = "  # A task for each new batch, without anybody asking; brakes are in the docs."
    return [said, *lines] if wanted else _commented(said, lines)


def _task(answers: Answers) -> str:
    lines = [
        "# One run on the newest batch. Each has a name of its own: kubectl create -f task.yaml",
        *_head("FineTuningTask", f"{answers.model}-", answers.namespace, field="generateName"),
        "spec:",
        "  modelRef:",
        f"    name: {_value(answers.model)}",
        "  deployAsBlue: true    # roll the new version out if the gate lets it pass" if answers.blue else "",
    ]
    return _text(lines)


def _head(kind: str, name: str, namespace: str | None, *, field: str = "name") -> list[str]:
    return [
        f"apiVersion: {API_VERSION}",
        f"kind: {kind}",
        "metadata:",
        f"  {field}: {_value(name)}",
        f"  namespace: {_value(namespace)}" if namespace else "",
    ]


def _commented(said: str, lines: list[str]) -> list[str]:
    return [said, *(f"  # {line.removeprefix('  ')}" for line in lines)]


def _value(value: str | bool | list[str]) -> str:
    """In flow style, quoted where YAML asks for it."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True)
    return str(text).removesuffix("...\n").strip()


def _text(lines: list[str]) -> str:
    return "\n".join(line for line in lines if line) + "\n"


def what_next(files: Mapping[str, str], folder: str, answers: Answers) -> list[str]:
    """The commands that follow, in their order."""
    where = f" -n {answers.namespace}" if answers.namespace else ""
    return [
        f"kubectl create secret generic {answers.secret}{where} --from-literal=AWS_ACCESS_KEY_ID=…"
        " --from-literal=AWS_SECRET_ACCESS_KEY=…",
        *(f"kubectl apply -f {folder}/{name}" for name in files if name != TASK_FILE),
        f"bluetune doctor{where}",
        f"kubectl create -f {folder}/{TASK_FILE}",
    ]
