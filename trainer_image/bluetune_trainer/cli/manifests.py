"""The three manifests of a run from YAML files, and the plan that follows from them."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from bluetune_api import API_VERSION, GROUP
from bluetune_api.method import FineTuningMethod
from bluetune_api.model import EmbeddingModel
from bluetune_api.resource import Resource
from bluetune_api.task import FineTuningTask
from bluetune_trainer.cli.kubectl_yaml import documents
from bluetune_trainer.errors import PlanInvalid, in_words
from bluetune_trainer.plugin.loading import alternatives

KINDS: dict[str, type[Resource]] = {
    "EmbeddingModel": EmbeddingModel,
    "FineTuningMethod": FineTuningMethod,
    "FineTuningTask": FineTuningTask,
}
N = TypeVar("N", bound=Resource)
MAX_CHARACTERS, RANDOM_CHARACTERS = 63, 5
"""Maximum length of a name, and length of what the API server puts behind a `generateName`."""


@dataclass(frozen=True)
class Manifests:
    """What one run is made of."""

    task: FineTuningTask
    model: EmbeddingModel
    method: FineTuningMethod


def read_manifests(paths: Sequence[Path], task: str | None) -> Manifests:
    """The task that is meant, with its model and method. Objects of other kinds are passed over.

    Raises:
        PlanInvalid: a file cannot be read, a manifest is wrong, or a reference leads nowhere.
    """
    found = _read(paths)
    chosen = _choose_task(found["FineTuningTask"], task, paths)
    model = _follow(EmbeddingModel, found, chosen.spec.model_ref.name, "spec.modelRef.name", chosen)
    owner: Resource = chosen
    if chosen.spec.method_ref is not None:
        name = chosen.spec.method_ref.name
    elif model.spec.method_ref is not None:
        name, owner = model.spec.method_ref.name, model
    else:
        raise PlanInvalid(
            f"neither FineTuningTask {chosen.metadata.name} nor EmbeddingModel {model.metadata.name} names a method;"
            " set spec.methodRef.name in one of them"
        )
    return Manifests(chosen, model, _follow(FineTuningMethod, found, name, "spec.methodRef.name", owner))


def read_model(paths: Sequence[Path], name: str | None) -> tuple[EmbeddingModel, FineTuningMethod | None]:
    """The model that is meant, with the method that it names. Objects of other kinds are passed over.

    Raises:
        PlanInvalid: a file cannot be read, a manifest is wrong, or a reference leads nowhere.
    """
    found = _read(paths)
    models, where = found["EmbeddingModel"], ", ".join(str(path) for path in paths)
    if not models:
        raise PlanInvalid(f"there is no EmbeddingModel in {where}")
    if name is None and len(models) > 1:
        raise PlanInvalid(f"{where} has several EmbeddingModels; choose one with --model: {', '.join(sorted(models))}")
    model = models.get(name) if name else next(iter(models.values()))
    if not isinstance(model, EmbeddingModel):
        raise PlanInvalid(
            f"--model: there is no EmbeddingModel {name!r} in {where}; {alternatives(name or '', models)}"
        )
    if model.spec.method_ref is None:
        return model, None
    return model, _follow(FineTuningMethod, found, model.spec.method_ref.name, "spec.methodRef.name", model)


def _read(paths: Sequence[Path]) -> dict[str, dict[str, Resource]]:
    """All resources of bluetune, by kind and name."""
    found: dict[str, dict[str, Resource]] = {kind: {} for kind in KINDS}
    for path in paths:
        for file in sorted([*path.glob("*.yaml"), *path.glob("*.yml")]) if path.is_dir() else [path]:
            for resource in _resources(file):
                found[type(resource).__name__][resource.metadata.name] = resource
    return found


def _resources(file: Path) -> Iterator[Resource]:
    try:
        found = documents(file.read_text())
    except OSError as error:
        raise PlanInvalid(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PlanInvalid(f"{file} is not UTF-8 text") from error
    except yaml.YAMLError as error:
        raise PlanInvalid(f"{file} is not YAML: {' '.join(str(error).split())}") from error
    for document in found:
        yield from _of_document(document, file)


def _of_document(document: Any, file: Path) -> Iterator[Resource]:
    if not isinstance(document, dict):
        return
    kind = document.get("kind")
    if kind == "List" and isinstance(document.get("items"), list):
        for item in document["items"]:
            yield from _of_document(item, file)
    elif kind in KINDS:
        yield _resource(_named(document), file)
    elif str(document.get("apiVersion")).startswith(f"{GROUP}/"):
        raise PlanInvalid(f"{file}: {GROUP} has no kind {kind!r}; {alternatives(str(kind), KINDS)}")


def _named(document: dict[str, Any]) -> dict[str, Any]:
    """With a name in place of `generateName`, as `kubectl create` gives one; the same manifest always gets the same."""
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or metadata.get("name") or not isinstance(metadata.get("generateName"), str):
        return document
    digest = hashlib.sha256(json.dumps(document, sort_keys=True, default=str).encode()).hexdigest()
    name = metadata["generateName"][: MAX_CHARACTERS - RANDOM_CHARACTERS] + digest[:RANDOM_CHARACTERS]
    return {**document, "metadata": {**metadata, "name": name}}


def _resource(document: dict[str, Any], file: Path) -> Resource:
    kind = document["kind"]
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if document.get("apiVersion") != API_VERSION:
        raise PlanInvalid(f"{file}: {kind} {name}: apiVersion must be {API_VERSION}")
    try:
        return KINDS[kind].model_validate(document)
    except ValidationError as error:
        raise PlanInvalid(f"{file}: {kind} {name}: {in_words(error)}") from error


def _choose_task(tasks: dict[str, Resource], name: str | None, paths: Sequence[Path]) -> FineTuningTask:
    where = ", ".join(str(path) for path in paths)
    if not tasks:
        raise PlanInvalid(f"there is no FineTuningTask in {where}")
    if name is None and len(tasks) > 1:
        raise PlanInvalid(f"{where} has several FineTuningTasks; choose one with --task: {', '.join(sorted(tasks))}")
    chosen = tasks.get(name) if name else next(iter(tasks.values()))
    if not isinstance(chosen, FineTuningTask):
        raise PlanInvalid(f"--task: there is no FineTuningTask {name!r} in {where}; {alternatives(name or '', tasks)}")
    return chosen


def _follow(kind: type[N], found: dict[str, dict[str, Resource]], name: str, field: str, owner: Resource) -> N:
    there = found[kind.__name__]
    resource = there.get(name)
    if not isinstance(resource, kind):
        known = f"; {alternatives(name, there)}" if there else f"; no {kind.__name__} is in the files given with -f"
        raise PlanInvalid(
            f"{type(owner).__name__} {owner.metadata.name}: {field}: there is no {kind.__name__} {name!r}{known}"
        )
    return resource
