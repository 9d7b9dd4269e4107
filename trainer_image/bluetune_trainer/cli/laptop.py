"""`run -f` and `check -f`: the same three manifests with a folder as the store, and no cluster and no S3.

The folder stands for the model's prefix: `clickstream/<batch>/`, `items/`, and what comes of them, `versions/` and
`runs/`. A run's id is taken from all that it depends on, so the same command again goes on with the same run, and
changed data or manifests begin a new one.
"""

import hashlib
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bluetune_api import store_layout
from bluetune_api.base import ApiModel, seconds_of
from bluetune_api.batch_window import BatchSelection, selection, window
from bluetune_api.batches import find_batches, why_incomplete
from bluetune_api.model import Gate
from bluetune_api.objectstore import LocalStore
from bluetune_api.plans import method_plan, select_batch
from bluetune_api.pods import gpus
from bluetune_api.records import CheckReport, MethodPlan, Plan, Progress, Result, RunOwner
from bluetune_trainer.cli.bar import Shows
from bluetune_trainer.cli.checking import prepare, run_check
from bluetune_trainer.cli.display import Display, summary
from bluetune_trainer.cli.importing import run_import
from bluetune_trainer.cli.manifests import Manifests, read_manifests
from bluetune_trainer.data.inspect import in_one_line
from bluetune_trainer.data.reading import pin
from bluetune_trainer.errors import DataInvalid, PlanInvalid
from bluetune_trainer.plugin.resolve import Resolved
from bluetune_trainer.store.bases import OpenStore
from bluetune_trainer.store.progress import ProgressWriter
from bluetune_trainer.store.runs import read_result
from bluetune_trainer.store.versions import read_manifest

NAMESPACE = "local"


def run_manifests(
    paths: Sequence[Path], folder: Path, task: str | None, *, stop: threading.Event, open_store: OpenStore
) -> str:
    """Run a task to its end. Returns the summary.

    Raises:
        PlanInvalid, DataInvalid, PluginFailed, Stopped: as a Job's trainer would.
    """
    manifests, store = read_manifests(paths, task), _opened(folder)
    result = run_here(manifests, store, Display(sys.stderr), stop=stop, open_store=open_store)
    return result if isinstance(result, str) else summary(result, gate_of(manifests))


def run_here(
    manifests: Manifests, store: LocalStore, display: Shows, *, stop: threading.Event, open_store: OpenStore
) -> Result | str:
    """Run a task to its end. Returns its result, or why nothing is trained. Raises as `run_manifests`."""
    batch = _check(store, manifests, stop)
    if isinstance(batch, str):
        return batch
    chosen, uid, method, prepared, checked = batch
    for line in _said(chosen, checked):
        display.say(line)
    refused = _too_few(manifests, chosen, checked)
    if refused:
        return refused
    start = manifests.task.spec.start_from or _base_version(store, manifests, method, open_store, display, stop)
    plan = _train_plan(manifests, method, uid, chosen, start)
    display.say(f"run {uid}: start version {start}, {prepared.method.initial_max_evals} trials at most")
    done = read_result(store, plan.owner.uid)
    if done is not None:
        display.say("this run is finished; its result:")
        return done
    display.say("importing torch, transformers and lightning")
    from bluetune_trainer.cli.training import run_train
    from bluetune_trainer.training.machine import find_machine

    machine = find_machine()
    missing = _missing_gpus(manifests) if machine.device == "cpu" else ""
    display.say(f"training on: {machine.in_words()}{missing}")

    writer = ProgressWriter.of_attempt(store, plan.owner.uid, "local")

    def report(progress: Progress) -> None:
        writer.report(progress)
        display.show(progress)

    try:
        return run_train(store, plan, stop=stop, report=report)
    finally:
        writer.close()
        display.close()


def check_manifests(paths: Sequence[Path], folder: Path, task: str | None, *, stop: threading.Event) -> str:
    """Judge the batch that a task would take, and train nothing. A run of the same task goes on from this check.

    Returns what the check found. Raises as `run_manifests`.
    """
    manifests, store = read_manifests(paths, task), _opened(folder)
    batch = _check(store, manifests, stop)
    if isinstance(batch, str):
        return batch
    refused = _too_few(manifests, batch.chosen, batch.checked)
    return "\n".join([*_said(batch.chosen, batch.checked), *([refused] if refused else [])])


class _Batch(NamedTuple):
    """What a task would learn from, checked."""

    chosen: BatchSelection
    uid: str
    """Uid of the run."""
    method: MethodPlan
    prepared: Resolved
    checked: CheckReport


def _opened(folder: Path) -> LocalStore:
    if not folder.is_dir():
        raise PlanInvalid(
            f"--store: there is no folder {folder}; it must hold clickstream/<batch>/ with sessions and _SUCCESS,"
            " and items/ with the catalogue"
        )
    return LocalStore(folder)


def _check(store: LocalStore, manifests: Manifests, stop: threading.Event) -> _Batch | str:
    """Choose and check the task's batch; a text says that there is none to learn from."""
    method = method_plan(manifests.method.spec, manifests.task.spec.overrides)
    prepared = prepare(_plan(manifests, "Check", "none", method=method))  # a typo shall not cost the reading of a batch
    chosen, passed_over = _batches(store, manifests, method)
    if chosen is None:
        where = store.uri(store_layout.CLICKSTREAM)
        return f"nothing to do: the start version has learned from every complete batch in {where}{passed_over}"
    uid = _run_id(store, manifests, method, chosen)
    plan = _plan(manifests, "Check", uid, method=method, **_named(chosen))
    return _Batch(chosen, uid, method, prepared, run_check(store, plan, stop=stop))


def _said(chosen: BatchSelection, checked: CheckReport) -> list[str]:
    return [f"{_in_words(chosen)}: {in_one_line(checked)}", *(f"  {note}" for note in checked.notes)]


def _too_few(manifests: Manifests, chosen: BatchSelection, checked: CheckReport) -> str:
    """A sentence if the task asks for more sessions; else empty."""
    fewest = manifests.task.spec.min_sessions
    if fewest is None or checked.informative_sessions >= fewest:
        return ""
    return (
        f"nothing is trained: {_in_words(chosen)} has {checked.informative_sessions} informative sessions,"
        f" spec.minSessions={fewest}"
    )


def _missing_gpus(manifests: Manifests) -> str:
    """A sentence if the method asks for GPUs and this machine has none; else empty."""
    from bluetune_trainer.training.machine import why_no_gpu

    template = manifests.method.spec.pod_template
    asked = gpus(template.resources if template else None)
    return (
        f"; the method asks for {asked} GPU{'s' if asked > 1 else ''}, and torch can use none here: {why_no_gpu()}"
        if asked
        else ""
    )


def _plan(manifests: Manifests, kind: str, uid: str, **fields: object) -> Plan:
    owner = manifests.model if kind == "Import" else manifests.task
    return Plan.model_validate(
        {
            "kind": kind,
            "owner": RunOwner(
                kind="EmbeddingModel" if kind == "Import" else "FineTuningTask",
                name=owner.metadata.name,
                namespace=owner.metadata.namespace or NAMESPACE,
                uid=uid,
            ),
            "model": manifests.model.metadata.name,
            "store": manifests.model.spec.store.location(),
            **fields,
        }
    )


def _uid(name: str, *parts: ApiModel | str) -> str:
    text = "\n".join(part if isinstance(part, str) else part.model_dump_json() for part in parts)
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _base_version(
    store: LocalStore,
    manifests: Manifests,
    method: MethodPlan,
    open_store: OpenStore,
    display: Shows,
    stop: threading.Event,
) -> str:
    """The version that the base was published as; imported now if it was not."""
    uri = manifests.model.spec.base.uri
    uid = _uid(manifests.model.metadata.name, uri, method.plugin, method.settings)
    done = read_result(store, uid)
    if done is not None:
        return done.version
    display.say(f"importing {uri} as the first version")
    plan = _plan(manifests, "Import", uid, base_uri=uri, method=method)
    return run_import(store, plan, open_store, stop=stop).version


def _named(chosen: BatchSelection) -> dict[str, object]:
    """The batches of a run, as a plan names them."""
    alone = chosen == BatchSelection(learn=chosen.learn[:1])
    return {"batch_id": chosen.learn[0], "batches": None if alone else chosen}


def _in_words(chosen: BatchSelection) -> str:
    more, old = len(chosen.learn) - 1, len(chosen.replay)
    return (
        f"batch {chosen.learn[0]}" + (f" and {more} more" if more else "") + (f", {old} old ones again" if old else "")
    )


def _batches(store: LocalStore, manifests: Manifests, method: MethodPlan) -> tuple[BatchSelection | None, str]:
    """The batches that the task names or asks for, or the newest one that the start version has not learned from.

    With them, the folders that are not taken for batches, as the end of a sentence, or empty.
    """
    spec, now = manifests.task.spec, time.time()
    if spec.batch_id is not None and spec.batches is None:
        return BatchSelection(learn=[spec.batch_id]), ""
    learned = read_manifest(store, spec.start_from)[0].lineage_batches if spec.start_from else []  # a base has none
    replays = spec.batches is not None and spec.batches.replay is not None
    found = find_batches(store, learned=frozenset(() if replays else learned), settle=_settle(method), now=now)
    passed_over = f"; {found.in_words()}" if found.in_words() else ""
    if not found.complete and not learned:
        raise DataInvalid(
            f"there is no complete batch in {store.uri(store_layout.CLICKSTREAM)}{passed_over}: put session files into"
            f" {store_layout.CLICKSTREAM}<batch>/, and an empty {store_layout.SUCCESS_MARKER} when they are complete",
            reason="NoBatch",
        )
    if spec.batches is not None:
        inside = window(found.complete, learned, spec.batches, now, spec.batch_id)
        return selection(inside, spec.batches) if inside.new else None, passed_over
    newest = select_batch(found.complete, learned)
    return BatchSelection(learn=[newest]) if newest is not None else None, passed_over


def _settle(method: MethodPlan) -> float | None:
    settle = method.clickstream.settle
    return seconds_of(settle) if settle is not None else None


def _run_id(store: LocalStore, manifests: Manifests, method: MethodPlan, chosen: BatchSelection) -> str:
    start = manifests.task.spec.start_from or manifests.model.spec.base.uri
    complete = all(
        why_incomplete(store, batch, settle=_settle(method), now=time.time()) is None for batch in chosen.learn
    )
    inputs = [one for batch in (*chosen.learn, *chosen.replay) for one in pin(store, store_layout.batch(batch))]
    inputs += pin(store, method.items.path)
    given = chosen.learn[0] if _named(chosen)["batches"] is None else chosen
    return _uid(manifests.task.metadata.name, given, str(complete), start, method, gate_of(manifests), *inputs)


def gate_of(manifests: Manifests) -> Gate:
    """What is asked of a version: the model's, or the preset."""
    serving = manifests.model.spec.serving
    return serving.gate if serving else Gate()


def _train_plan(manifests: Manifests, method: MethodPlan, uid: str, chosen: BatchSelection, start: str) -> Plan:
    return _plan(
        manifests,
        "Train",
        uid,
        **_named(chosen),
        start_version=start,
        method=method,
        gate=gate_of(manifests),
        metadata=manifests.task.spec.metadata or {},
    )
