"""A run from Python: tables in, a model folder out. The laptop run does the work, in a folder that is removed after it.

`bluetune.fine_tune` is how people call it.
"""

import html
import os
import shutil
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from bluetune_api import API_VERSION, store_layout
from bluetune_api.gate_verdict import GateVerdict
from bluetune_api.method import FineTuningMethod
from bluetune_api.model import PLUGIN_BASE, EmbeddingModel
from bluetune_api.objectstore import LocalStore, ObjectNotFound, ObjectStore
from bluetune_api.records import GateReport, Manifest, Result, Trial
from bluetune_api.resource import Resource
from bluetune_api.store_location import StoreLocation
from bluetune_api.task import FineTuningTask
from bluetune_trainer.cli.bar import shown
from bluetune_trainer.cli.display import summary
from bluetune_trainer.cli.laptop import gate_of, run_here
from bluetune_trainer.cli.manifests import Manifests
from bluetune_trainer.cli.stopping import interruptible
from bluetune_trainer.data.frames import put
from bluetune_trainer.errors import DataInvalid, PlanInvalid, StoreFailed, in_words
from bluetune_trainer.report.decision import decision
from bluetune_trainer.store.runs import StoredTrials

R = TypeVar("R", bound=Resource)
BATCH = "sessions"
"""The batch that the sessions become; messages name its files."""
HUB = "sentence-transformers"
"""Who a model without a name of its own belongs to, as sentence-transformers has it."""
HEIGHT = 720
"""Height of the report in a notebook, in pixels; it scrolls."""


@dataclass(frozen=True)
class GateAnswer:
    """What the gate says of a run."""

    passed: bool
    """Whether a cluster would roll the version out."""
    verdict: GateVerdict
    """Reason and message."""
    report: GateReport | None
    """What was measured; None: nothing."""


@dataclass(frozen=True, repr=False)
class Run:
    """A run that ended well."""

    model: Path
    """The model's folder, which sentence-transformers opens."""
    gate: GateAnswer
    trials: list[Trial]
    """Those that ended, by number."""
    result: Result
    """The run's record, as the operator would read it."""
    report: str | None
    """The report, an HTML page of its own; None if it could not be made."""
    summary: str
    """What the command line prints at the end."""

    def __repr__(self) -> str:
        return self.summary

    def _repr_html_(self) -> str:
        """For Jupyter: the report in a frame that may run its own script, and touch nothing of the notebook."""
        if self.report is None:
            return f"<pre>{html.escape(self.summary)}</pre>"
        page = html.escape(self.report)
        return (
            f'<iframe sandbox="allow-scripts" srcdoc="{page}" style="width:100%;height:{HEIGHT}px;border:0"></iframe>'
        )


def fine_tune(
    base: str | os.PathLike[str],
    *,
    sessions: object,
    items: object,
    out: str | os.PathLike[str],
    clickstream: Mapping[str, Any] | None = None,
    method: Mapping[str, Any] | None = None,
    gate: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Run:
    """Fine-tune a model on search clicks; see `bluetune.fine_tune`.

    Raises:
        TrainerError: as a Job's trainer would.
        KeyboardInterrupt: Ctrl-C, or a notebook's stop button.
    """
    target = Path(out).expanduser().absolute()
    manifests = _manifests(_uri_of(base), _method(method, clickstream), gate)
    _require_room(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".bluetune-") as temporary:
        root = Path(temporary).resolve()
        put(sessions, root / store_layout.batch(BATCH), "sessions")
        (root / store_layout.batch_marker(BATCH)).touch()
        put(items, root / manifests.method.spec.items.path, "items")
        store, stop = LocalStore(root), threading.Event()
        display = shown(progress=progress)
        with interruptible(stop):
            try:
                result = run_here(manifests, store, display, stop=stop, open_store=_no_store)
            finally:
                display.close()
                if stop.is_set():
                    raise KeyboardInterrupt from None
        if isinstance(result, str):
            raise DataInvalid(result)
        return _taken(store, root, result, manifests, target)


def _taken(store: LocalStore, root: Path, result: Result, manifests: Manifests, target: Path) -> Run:
    """What outlives the run's folder; the model is moved out of it."""
    published = root / store_layout.version(result.version)
    report = None
    with suppress(ObjectNotFound):
        page = store.get(store_layout.report(result.owner.uid)).decode()
        report = page.replace(html.escape(str(published)), html.escape(str(target)))
    trials = StoredTrials(store, result.owner.uid).finished()
    kept = result.model_copy(update={"uri": str(target), "report_url": None})
    asked = gate_of(manifests)
    verdict = decision(kept.gate, asked).verdict
    _replace(published, target)
    return Run(
        model=target,
        gate=GateAnswer(verdict.reason == "GatePassed", verdict, kept.gate),
        trials=trials,
        result=kept,
        report=report,
        summary=summary(kept, asked),
    )


def _require_room(target: Path) -> None:
    """Raises PlanInvalid for a place that has something else than an earlier run's model: that would be removed."""
    if not target.exists() or _is_model(target):
        return
    if target.is_dir() and not any(target.iterdir()):
        return
    raise PlanInvalid(f"out: {target} has something else than a model that fine_tune wrote; name a new folder")


def _is_model(folder: Path) -> bool:
    """Whether a folder has a published model's manifest, and no file that the manifest does not name."""
    try:
        manifest = Manifest.model_validate_json((folder / store_layout.MANIFEST).read_bytes())
    except (OSError, ValidationError):
        return False
    named = {store_layout.MANIFEST, *(file.path for file in manifest.files)}
    return all(path.relative_to(folder).as_posix() in named for path in folder.rglob("*") if not path.is_dir())


def _replace(folder: Path, target: Path) -> None:
    """Move a folder to its place; an earlier model there goes only when the new one is in its place."""
    if not target.exists():
        folder.rename(target)
        return
    old = folder.with_name("before")
    target.rename(old)
    try:
        folder.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _uri_of(base: str | os.PathLike[str]) -> str:
    """A base as EmbeddingModels name it: a folder, or a model of the hub by the name that sentence-transformers takes.

    Raises:
        PlanInvalid: there is no such folder, or the base lies in a store.
    """
    given = os.fspath(base)
    if given.startswith("hf://") or given == PLUGIN_BASE:
        return given
    if given.startswith("s3://"):
        raise PlanInvalid(f"base: {given} is in a store, and fine_tune opens none; download it, and give its folder")
    folder = Path(given).expanduser()
    if folder.is_dir():
        return str(folder.resolve())
    if isinstance(base, os.PathLike) or given.startswith(("/", ".", "~")) or given.count("/") > 1 or not given:
        raise PlanInvalid(f"base: there is no folder {given!r}; give a model's folder, or its name on the hub")
    return f"hf://{given}" if "/" in given else f"hf://{HUB}/{given}"


def _method(method: Mapping[str, Any] | None, clickstream: Mapping[str, Any] | None) -> dict[str, Any]:
    """The spec of the FineTuningMethod."""
    spec = dict(method or {})
    if clickstream is not None:
        if "clickstream" in spec:
            raise PlanInvalid("clickstream: it is given twice, also in method; leave one of them out")
        spec["clickstream"] = dict(clickstream)
    items = spec.get("items")
    if isinstance(items, Mapping) and "path" in items:
        raise PlanInvalid(f"method.items.path: {items['path']!r} is not used; the argument items is the catalogue")
    return spec


def _manifests(base: str, method: dict[str, Any], gate: Mapping[str, Any] | None) -> Manifests:
    """What a run is made of. The store and the Deployment that the API asks for are never opened."""
    store = {"endpoint": "localhost:9000", "bucket": "notebook", "credentialsSecretRef": {"name": "none"}}
    model: dict[str, Any] = {"base": {"uri": base}, "store": store, "methodRef": {"name": "notebook"}}
    if gate is not None:
        model["serving"] = {"deployment": "none", "container": "none", "gate": dict(gate)}
    return Manifests(
        task=_resource(FineTuningTask, {"modelRef": {"name": "notebook"}, "batchId": BATCH}),
        model=_resource(EmbeddingModel, model),
        method=_resource(FineTuningMethod, method),
    )


def _resource(kind: type[R], spec: Mapping[str, Any]) -> R:
    document = {
        "apiVersion": API_VERSION,
        "kind": kind.__name__,
        "metadata": {"name": "notebook"},
        "spec": dict(spec),
    }
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise PlanInvalid(f"{kind.__name__}: {in_words(error)}") from error


def _no_store(location: StoreLocation) -> ObjectStore:
    raise StoreFailed(f"{location.uri()} is in a store, and fine_tune opens none; download it, and give its folder")
