"""Write a run's report. A run never fails because its report cannot be made; a store that fails is another matter."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bluetune_api import store_layout
from bluetune_api.objectstore import ObjectStore, StoreError
from bluetune_api.records import CheckReport, MethodPlan, Plan
from bluetune_trainer.data.measurable import informative
from bluetune_trainer.data.types import Catalogue, Split
from bluetune_trainer.errors import Stopped, StoreFailed, raise_if
from bluetune_trainer.report.content import RunFacts, Stage, click_positions
from bluetune_trainer.report.page import render
from bluetune_trainer.search.contract import SearchOutcome
from bluetune_trainer.search.evidence import Evidence
from bluetune_trainer.search.gate import Measured, measure_gate
from bluetune_trainer.search.version import Version
from bluetune_trainer.store.versions import Published
from bluetune_trainer.training.params import resolve_settings
from bluetune_trainer.training.parts import Parts

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finished:
    """A run whose version is published."""

    plan: Plan
    method: MethodPlan
    """The method as the plugin made it."""
    parts: Parts
    check: CheckReport
    catalogue: Catalogue
    split: Split
    """Without what `left_out` counts."""
    left_out: int
    """Sessions of judged queries that nothing was trained or chosen by."""
    outcome: SearchOutcome
    start: Path
    """Folder of the start version."""
    measured: Measured | None
    published: Published
    stages: list[Stage]


@dataclass(frozen=True)
class Written:
    """Where the report is, or why there is none."""

    url: str | None = None
    problem: str | None = None


def write_report(
    store: ObjectStore, run: Finished, *, stop: threading.Event, make: Callable[[RunFacts], str] = render
) -> Written:
    """Put the report into the store.

    Raises:
        StoreError, StoreFailed: the store does not take it.
        Stopped: `stop` was set.
    """
    try:
        page = make(_facts(run, stop)).encode()
    except (Stopped, StoreError, StoreFailed):
        raise
    except Exception as error:  # our bug, and the version is worth more than its report
        problem = f"the report could not be made: {type(error).__name__}: {error}"
        log.exception("no report", extra={"problem": problem})
        return Written(problem=problem[:500])
    key = store_layout.report(run.plan.owner.uid)
    store.put(key, page)
    log.info("report written", extra={"report": store.uri(key), "bytes": len(page)})
    return Written(url=store.uri(key))


def _facts(run: Finished, stop: threading.Event) -> RunFacts:
    settings = resolve_settings(run.method.settings)
    split = run.split
    asked = run.plan.method.model_copy(update={"initial_max_evals": run.method.initial_max_evals})
    return RunFacts(
        plan=run.plan.model_copy(update={"method": asked}),
        check=run.check,
        objective=settings.objective,
        trials=run.outcome.trials,
        best=run.outcome.best,
        baseline=run.outcome.baseline,
        gate=run.measured.report if run.measured else None,
        evidence=run.measured.evidence if run.measured else _on_validation(run, stop),
        texts=run.catalogue.texts,
        positions=click_positions(split),
        split_sizes=(len(split.train), len(split.validation), len(split.gate)),
        cut=run.outcome.cut,
        informative=(int(informative(split.validation).sum()), int(informative(split.gate).sum())),
        left_out=run.left_out,
        version=run.published.version,
        uri=run.published.uri,
        digest=run.published.digest,
        manifest=run.published.manifest,
        stages=run.stages,
        named=frozenset(run.method.initial_params or ()),
    )


def _on_validation(run: Finished, stop: threading.Event) -> Evidence | None:
    """Queries to show where the gate had none: such a batch is small, so this takes little."""
    if not informative(run.split.validation).any():
        return None

    against = run.plan.start_version or ""
    plan, gate = run.plan, run.plan.gate.model_copy(update={"judgments": None})
    log.info("the gate had nothing to compare: the report shows validation queries", extra={"run": plan.owner.uid})
    settings = resolve_settings(run.method.settings)
    measured = measure_gate(
        Version(run.start, settings, run.parts),
        Version(run.outcome.model_folder, settings, run.parts),
        run.catalogue,
        run.split.validation,
        gate,
        against=against,
        on_step=partial(raise_if, stop),
    )
    return None if measured is None else measured.evidence
