"""Train: from a plan to a published version and a result."""

import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

from bluetune_api import store_layout
from bluetune_api.objectstore import ObjectStore
from bluetune_api.records import (
    CheckReport,
    GateReport,
    Lineage,
    Manifest,
    ManifestFile,
    Plan,
    Progress,
    Result,
    RunPrecision,
    Trial,
)
from bluetune_api.task import TrialSummary
from bluetune_trainer.cli.checking import checked_batch, prepare
from bluetune_trainer.cli.ending import finish
from bluetune_trainer.cli.gating import GateOfRun
from bluetune_trainer.cli.probe import compare, reference_of
from bluetune_trainer.cli.reporting import Finished, Written, write_report
from bluetune_trainer.data.judgments import Judged, read_judgments, without_judged
from bluetune_trainer.data.loading import load
from bluetune_trainer.data.reading import Reader
from bluetune_trainer.data.types import Catalogue, Split
from bluetune_trainer.errors import PlanInvalid, TrainerError, raise_if
from bluetune_trainer.plugin.blame import blaming
from bluetune_trainer.plugin.resolve import Resolved
from bluetune_trainer.report.card import CardFacts, write_card
from bluetune_trainer.report.comparison import changes, moved
from bluetune_trainer.report.content import Stage
from bluetune_trainer.search.contract import Candidate, CrossFit, SearchOutcome
from bluetune_trainer.store import progress as run_progress
from bluetune_trainer.store import runs
from bluetune_trainer.store.resuming import take_over
from bluetune_trainer.store.versions import Published, download_version, lineage, publish
from bluetune_trainer.training.launch import check_devices
from bluetune_trainer.training.machine import Machine, find_machine
from bluetune_trainer.training.params import resolve_settings
from bluetune_trainer.training.parts import Parts, choose_parts
from bluetune_trainer.training.precision import bf16_pays
from bluetune_trainer.training.similarity import ranked_as_served

log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = "BLUETUNE_CHECKPOINT_SECONDS"
"""Environment variable: least seconds between two checkpoints within a trial; they take 5 % of the time at most."""

Report = Callable[[Progress], None]
"""Told how far the run is, often; must return at once."""


def run_train(store: ObjectStore, plan: Plan, *, stop: threading.Event, report: Report, gpus: int = 0) -> Result:
    """Follow a plan to its result. Again: go on where the last attempt was, and repeat no finished trial.

    `gpus` is how many of them the container asked for.

    Raises:
        GpuNotVisible: it asked for some, and torch can use none.
        DataInvalid, PlanInvalid, PluginFailed: the same plan would end so again.
        Stopped: `stop` was set; finished trials are kept.
    """
    done = runs.read_result(store, plan.owner.uid)
    if done is not None:
        return done
    assert plan.start_version is not None  # noqa: S101 - the plan was judged when it was read
    machine = find_machine(gpus)
    runs.keep_plan(store, plan)
    resolved = prepare(plan)
    if plan.resume_from is not None:
        take_over(store, plan, checked_batch(store, plan, resolved, stop=stop))
    precision = _precision(store, plan, resolved, machine)
    log.info(
        "training", extra={"device": machine.name, "on": machine.in_words(), "precision": precision, "gpusAsked": gpus}
    )
    check_devices(resolve_settings(resolved.method.settings).devices)
    stages = _Stages(report)
    stages.enter("Loading")
    with tempfile.TemporaryDirectory(prefix="bluetune-run-") as temporary:
        workdir = Path(temporary)
        checked = checked_batch(store, plan, resolved, stop=stop)
        with blaming(plan.method.plugin, *resolved.user_code):
            clicks_decide = plan.gate.judgments is None
            catalogue, split = load(
                store,
                resolved.method,
                resolved.plugin,
                checked,
                batches=plan.selection(),
                hold_out=clicks_decide,
                stop=stop,
            )
        judged = _judgments(store, plan, catalogue, workdir, stop)
        left_out = 0
        if judged is not None:
            split, left_out = without_judged(split, (entry.query for entry in judged))
            log.info("judged queries are not trained on", extra={"judgments": len(judged), "sessionsLeftOut": left_out})
        if resolved.plugin.waits_for_data():
            resolved = prepare(plan, resolved.plugin)
            precision = _precision(store, plan, resolved, machine)
        resolved = _with_precision(resolved, precision)
        parent = download_version(store, plan.start_version, workdir / "start")
        resolved = ranked_as_served(resolved, workdir / "start")
        with blaming(plan.method.plugin, *resolved.user_code):
            parts = choose_parts(resolved.method.settings, resolved.plugin, files=Reader(store, stop))
        with blaming(plan.method.plugin, *resolved.user_code, *parts.user_code):
            gate = GateOfRun(store, plan, resolved.method, parts, catalogue, judged, workdir, stop)
            cross = gate.cross_fit(split, stages.evaluating)
            outcome = _search(store, plan, resolved, parts, catalogue, split, stages, stop, workdir, cross)
            raise_if(stop)
            stages.enter("Evaluating")
            measured = gate.measure(split, outcome)
            raise_if(stop)
            stages.enter("Publishing")
            published = _publish(store, plan, parts, checked, outcome, parent)
            runs.StoredTrials(store, plan.owner.uid).remove_checkpoints()
        finished = Finished(
            plan=plan,
            method=resolved.method,
            parts=parts,
            check=checked,
            catalogue=catalogue,
            split=split,
            left_out=left_out,
            outcome=outcome,
            start=workdir / "start",
            measured=measured,
            published=published,
            stages=stages.so_far(),
        )
        written = write_report(store, finished, stop=stop)
        report_of_gate = measured.report if measured else None
        result = _result(plan, outcome, report_of_gate, published, written)
        result = runs.create(store, store_layout.result(plan.owner.uid), result)
        stages.enter("Done")
        return result


class _Stages:
    """Fits the search's progress into the run's, and says when a stage begins."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._last = Progress(stage="Loading", percent=0, updated_at=run_progress.now())
        self._began = time.monotonic()
        self._stages: list[tuple[str, float]] = []
        self._folds: run_progress.FoldsBegan | None = None

    def so_far(self) -> list[Stage]:
        """The stages of this attempt, the last one until now."""
        ends = [*(began for _, began in self._stages[1:]), time.monotonic()]
        return [Stage(name, end - began) for (name, began), end in zip(self._stages, ends, strict=True)]

    def _mark(self, stage: str) -> None:
        if not self._stages or self._stages[-1][0] != stage:
            self._stages.append((stage, time.monotonic()))

    def enter(self, stage: str) -> None:
        log.info("stage", extra={"stage": stage})
        self._mark(stage)
        percent = 100 if stage == "Done" else run_progress.SHARES[stage][0]
        eta = run_progress.after_search(percent, time.monotonic() - self._began)
        update = {"stage": stage, "percent": percent, "eta_seconds": eta, "trial": None, "epoch": None}
        self._last = self._last.model_copy(update={**update, "updated_at": run_progress.now()})
        self._report(self._last)

    def evaluating(self, share: float) -> None:
        """Say what share of the folds is done; the stage begins with the first."""
        elapsed = time.monotonic() - self._began
        if self._folds is None:
            log.info("stage", extra={"stage": "Evaluating"})
            self._mark("Evaluating")
            self._folds = run_progress.FoldsBegan(self._last, share, elapsed)
        found = run_progress.in_folds(self._folds, share, elapsed)
        self._last = found.model_copy(update={"updated_at": run_progress.now()})
        self._report(self._last)

    def of_search(self, part: Progress) -> None:
        self._mark(part.stage)
        self._last = run_progress.whole_run(part, time.monotonic() - self._began)
        self._report(self._last)


def _precision(store: ObjectStore, plan: Plan, resolved: Resolved, machine: Machine) -> Literal["FP32", "BF16"]:
    """What the settings say, or what the run's first attempt found best."""
    named = resolved.method.settings.precision or "Auto"
    if named != "Auto":
        return named
    chosen: Literal["FP32", "BF16"] = "BF16" if bf16_pays(machine.device) else "FP32"
    record = RunPrecision(precision=chosen, machine=machine.in_words()[:256])
    return runs.keep_precision(store, plan.owner.uid, record).precision


def _with_precision(resolved: Resolved, precision: Literal["FP32", "BF16"]) -> Resolved:
    settings = resolved.method.settings.model_copy(update={"precision": precision})
    return replace(resolved, method=resolved.method.model_copy(update={"settings": settings}))


def _search(
    store: ObjectStore,
    plan: Plan,
    resolved: Resolved,
    parts: Parts,
    catalogue: Catalogue,
    split: Split,
    stages: _Stages,
    stop: threading.Event,
    workdir: Path,
    cross: CrossFit | None,
) -> SearchOutcome:
    from bluetune_trainer.search.run import run_search

    folder = workdir / "search"
    folder.mkdir()
    known = Lineage()
    if (resolved.method.settings.search or "Auto") == "Auto":
        known = runs.keep_lineage(store, plan)
    return run_search(
        workdir / "start",
        catalogue,
        split,
        resolved.method,
        runs.StoredTrials(store, plan.owner.uid),
        stages.of_search,
        stop,
        folder,
        parts,
        candidates=[Candidate(c.params, c.origin) for c in known.candidates],
        cross=cross,
        checkpoint_seconds=_checkpoint_seconds(),
        abandon=_abandon,
    )


def _abandon(error: TrainerError) -> None:
    """End this process, whose main thread waits for what will not come, as it would end by itself."""
    os._exit(finish(error))


def _checkpoint_seconds() -> float:
    """Raises PlanInvalid for a value that is no number of seconds."""
    given = os.environ.get(CHECKPOINT_SECONDS) or "60"
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise PlanInvalid(f"{CHECKPOINT_SECONDS}: {given!r} must be a number of seconds, 0 or more")
    return seconds


def _judgments(
    store: ObjectStore, plan: Plan, catalogue: Catalogue, workdir: Path, stop: threading.Event
) -> list[Judged] | None:
    """The gate's, read before hours are spent on a model that they could not judge; None if it judges by clicks."""
    if plan.gate.judgments is None:
        return None
    return read_judgments(store, plan.gate.judgments, catalogue, workdir, stop=stop)


def _publish(
    store: ObjectStore,
    plan: Plan,
    parts: Parts,
    checked: CheckReport,
    outcome: SearchOutcome,
    parent: Manifest,
) -> Published:
    served = parts.load_served(outcome.model_folder)
    reference = reference_of(served)
    card = CardFacts(
        dimension=outcome.dimension,
        similarity=served.similarity,
        unit=served.unit,
        query_prompt=outcome.query_prompt,
        item_prompt=outcome.item_prompt,
        name=plan.model,
        base_uri=parent.base_uri,
        parent=plan.start_version,
        batch_id=plan.batch_id,
        lineage_batches=lineage(parent, plan.selection().learn),
        sessions=checked.sessions,
        sessions_with_clicks=checked.sessions_with_clicks,
        params=outcome.best.params,
        loss=type(parts.new_loss()).__name__,  # a plugin's hook goes before settings.loss
        changes=moved(changes(outcome.baseline, outcome.best.metrics))[0],
        metadata=plan.metadata,
    )
    write_card(outcome.model_folder, card)

    def describe(files: list[ManifestFile]) -> Manifest:
        return Manifest(
            files=files,
            dimension=outcome.dimension,
            parent=plan.start_version,
            base_uri=parent.base_uri,
            batch_id=plan.batch_id,
            lineage_batches=lineage(parent, plan.selection().learn),
            params=outcome.best.params,
            params_from=outcome.best.origin,
            metrics=outcome.best.metrics,
            query_prompt=outcome.query_prompt,
            item_prompt=outcome.item_prompt,
            similarity=served.similarity,
            probe=reference.probe,
        )

    return publish(store, outcome.model_folder, describe, lambda folder: compare(parts.load_served(folder), reference))


def _result(
    plan: Plan, outcome: SearchOutcome, gate: GateReport | None, published: Published, written: Written
) -> Result:
    ranked = sorted(
        (trial for trial in outcome.trials if trial.quality is not None), key=lambda t: (-(t.quality or 0), t.trial)
    )
    return Result(
        kind="Train",
        owner=plan.owner,
        version=published.version,
        digest=published.digest,
        uri=published.uri,
        parent=plan.start_version,
        batch_id=plan.batch_id,
        best=_summary(outcome.best),
        params_from=outcome.best.origin,
        top_trials=[_summary(trial) for trial in ranked[:10]],
        trials_done=len(outcome.trials),
        trials_failed=sum(trial.status == "fail" for trial in outcome.trials),
        baseline=outcome.baseline,
        candidate=outcome.best.metrics,
        gate=gate,
        report_url=written.url,
        report_problem=written.problem,
        metadata=plan.metadata,
    )


def _summary(trial: Trial) -> TrialSummary:
    return TrialSummary(trial=trial.trial, quality=trial.quality or 0.0, params=trial.params)
