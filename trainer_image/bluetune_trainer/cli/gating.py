"""The gate of a run: what it compares with, by what, and what earlier runs found out."""

import logging
import threading
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path

from bluetune_api.objectstore import ObjectStore
from bluetune_api.records import MethodPlan, Plan, digest_of
from bluetune_trainer.data.judgments import Judged
from bluetune_trainer.data.splits import informative_queries
from bluetune_trainer.data.types import Catalogue, Sessions, Split
from bluetune_trainer.errors import raise_if
from bluetune_trainer.search.comparing import compare
from bluetune_trainer.search.comparison import Comparison
from bluetune_trainer.search.contract import CrossFit, SearchOutcome
from bluetune_trainer.search.gate import Measured, by_clicks, measure_gate
from bluetune_trainer.search.guarding import guarded
from bluetune_trainer.search.judged import Judgment
from bluetune_trainer.search.remembered import earlier_of, to_keep
from bluetune_trainer.search.version import Version
from bluetune_trainer.store import runs
from bluetune_trainer.store.evidence import earlier_evidence, keep_evidence
from bluetune_trainer.store.versions import download_version, files_of
from bluetune_trainer.training.params import resolve_settings
from bluetune_trainer.training.parts import Parts

log = logging.getLogger(__name__)


class GateOfRun:
    """Compares what a run trains with the live version. The run's start version lies in `workdir`/start."""

    def __init__(
        self,
        store: ObjectStore,
        plan: Plan,
        method: MethodPlan,
        parts: Parts,
        catalogue: Catalogue,
        judged: Sequence[Judged] | None,
        workdir: Path,
        stop: threading.Event,
    ) -> None:
        self._store = store
        self._plan = plan
        self._method = method
        self._parts = parts
        self._catalogue = catalogue
        self._judgments = None if judged is None else [Judgment(*entry) for entry in judged]
        self._workdir = workdir
        self._step = partial(raise_if, stop)
        live = plan.live_version or plan.start_version
        assert live is not None  # noqa: S101 - the plan was judged when it was read
        self._live = live
        # what cannot be read then ends the run before it has trained, and not after
        earlier_evidence(store, live, plan.owner.uid)

    def cross_fit(self, split: Split, on_step: Callable[[float], None]) -> CrossFit | None:
        """What the search does for the gate: folds, where nothing is held out and clicks decide; else nothing."""
        gate = self._plan.gate
        if self._judgments is not None or len(split.gate) or gate.folds < 2 or informative_queries(split.train) < 2:
            return None
        return CrossFit(gate.folds, self._compare, runs.StoredTrials(self._store, self._plan.owner.uid), on_step)

    def measure(self, split: Split, outcome: SearchOutcome) -> Measured | None:
        """The answer, whose evidence is kept for later runs; None if there is nothing to decide by."""
        plan, batches = self._plan, self._plan.selection().learn
        new = self._version(outcome.model_folder)
        candidate = digest_of(str([(f.path, f.sha256) for f in files_of(outcome.model_folder)]).encode())
        kept = earlier_evidence(self._store, self._live, plan.owner.uid)
        earlier = earlier_of(kept, candidate=candidate, batches=batches, metric=plan.gate.metric)
        if outcome.comparison is not None:
            measured: Measured | None = by_clicks(
                outcome.comparison, plan.gate, against=self._live, earlier=earlier, folds=plan.gate.folds
            )
        else:
            measured = measure_gate(
                self._live_version,
                new,
                self._catalogue,
                split.gate,
                plan.gate,
                against=self._live,
                judgments=self._judgments,
                earlier=earlier,
                on_step=self._step,
            )
        if measured is None:
            log.warning("nothing to compare for the gate: no session has both a click and a result without one")
            return None
        keep_evidence(
            self._store,
            self._live,
            plan.owner.uid,
            to_keep(measured, candidate=candidate, batches=batches),
        )
        return guarded(
            measured,
            self._live_version,
            new,
            self._catalogue,
            split,
            plan.gate,
            self._step,
        )

    @cached_property
    def _live_folder(self) -> Path:
        if self._live == self._plan.start_version:
            return self._workdir / "start"
        folder = self._workdir / "live"
        download_version(self._store, self._live, folder)
        return folder

    def _compare(self, folder: Path, held_out: Sessions) -> Comparison | None:
        return compare(self._live_version, self._version(folder), self._catalogue, held_out, self._step)

    @cached_property
    def _live_version(self) -> Version:
        return self._version(self._live_folder)

    def _version(self, folder: Path) -> Version:
        return Version(folder, resolve_settings(self._method.settings), self._parts)
