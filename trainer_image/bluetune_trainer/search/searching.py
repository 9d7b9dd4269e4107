"""What a search does: orders for the trials of a rung, and what came of them written down."""

import logging
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import torch

from bluetune_api.records import Trial
from bluetune_trainer.search.contract import Candidate, ReportProgress, TrialLog
from bluetune_trainer.search.halving import Prune, Run, Standing, next_round, wave_of, work_left
from bluetune_trainer.search.place import Failed, Heard, Place
from bluetune_trainer.search.progress import Work, by_quality, search_progress
from bluetune_trainer.search.space import Space
from bluetune_trainer.search.suggest import suggest
from bluetune_trainer.training.checkpoint import load
from bluetune_trainer.training.keeper import best_in
from bluetune_trainer.training.params import parse_params
from bluetune_trainer.training.steps import StepPlan
from bluetune_trainer.training.task import TrainingTask
from bluetune_trainer.training.trial import Order, TrialRun, run_trial

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Running:
    """How far a trial is that runs."""

    share: float
    epoch: int
    seconds: float


@dataclass(frozen=True)
class _Params:
    """Parameters of a trial."""

    values: dict[str, Any]
    indices: dict[str, list[int]] | None
    """Where hyperopt drew them from."""
    origin: str | None
    """The version whose they are."""


@dataclass
class Search:
    """The state of a search, and what it does next."""

    task: TrainingTask
    place: Place
    space: Space
    candidates: list[Candidate]
    total: int
    plan: StepPlan
    trials: TrialLog
    progress: ReportProgress
    stop: Event
    workdir: Path
    finished: list[Trial]
    waiting: dict[int, Trial] = field(default_factory=dict)
    """As they were at the last rung that they reached."""
    afterwards: float = 0
    """Full trainings that come after the search."""
    running: dict[int, _Running] = field(default_factory=dict)
    _drawn: dict[int, _Params] = field(default_factory=dict)
    _here: int | None = None

    def _standings(self) -> dict[int, Standing]:
        """What halving decides by."""
        waiting = {n: Standing(tuple(trial.rungs)) for n, trial in self.waiting.items()}
        ended = {t.trial: Standing(tuple(t.rungs), True, t.quality, t.pruned) for t in self.finished}
        return {**waiting, **ended}

    def run(self) -> None:
        """Until all trials ended."""
        while (found := self._next()) is not None:
            if isinstance(found, Prune):
                self._prune(found)
                continue
            orders = [self._order(run) for run in found]
            for order, came in self.place.run(orders, Heard(self._stepped, self._keep)):
                self._take(order, came)
                while isinstance(certain := self._next(), Prune):
                    self._prune(certain)

    def _next(self) -> tuple[Run, ...] | Prune | None:
        return next_round(self._standings(), self.total, len(self.plan.rungs))

    def _order(self, run: Run) -> Order:
        params = parse_params(self._params(run.trial).values)
        return Order(params, run.trial, self.plan, run.until, self._checkpoint(run.trial))

    def _stepped(self, number: int, share: float, epoch: int, spent: float) -> None:
        self.running[number] = _Running(share, epoch, spent)
        self.report()

    def _keep(self, number: int) -> None:
        self.trials.keep_checkpoint(number, self._checkpoint(number))

    def _take(self, order: Order, came: TrialRun | Failed) -> None:
        """Write down what came of a trial."""
        number = order.number
        params, begun = self._params(number), self.waiting.get(number)
        last = self.running.pop(number, None)
        fields: dict[str, Any] = {
            "trial": number,
            "params": params.values,
            "space": params.indices,
            "origin": params.origin,
        }
        if isinstance(came, Failed):
            spent = last.seconds if last is not None else begun.seconds if begun else 0.0
            rungs = begun.rungs if begun else []
            trial = Trial(**fields, status="fail", rungs=rungs, seconds=round(spent, 3), message=came.message)
            log.warning("trial failed", extra={"trial": number, "params": params.values, "error": came.message})
            self._finish(trial, None)
            return
        trial = Trial(
            **fields,
            status="ok",
            quality=came.quality,
            metrics=came.metrics,
            epochs=came.epochs,
            best_epoch=came.best_epoch,
            rungs=came.rungs,
            history=came.history,
            seconds=round(came.seconds, 3),
        )
        if came.paused:
            log.info("trial waits", extra={"trial": number, "rung": order.until, "quality": trial.quality})
            self.trials.record_rung(trial)
            self.waiting[number] = trial
            self.report()
            return
        log.info("trial ended", extra={"trial": number, "quality": trial.quality})
        self._finish(trial, self._save(number, came.model_state) if self._is_best(trial) else None)

    def _prune(self, found: Prune) -> None:
        for number in found.trials:
            self._end_early(self.waiting[number])

    def _end_early(self, waiting: Trial) -> None:
        """End a trial at the rung where it waits."""
        trial = waiting.model_copy(update={"pruned": True})
        weights = None
        if self._is_best(trial):
            checkpoint = load(self._checkpoint(trial.trial))
            best = best_in(checkpoint) if checkpoint is not None else None
            if best is None:  # the checkpoint is lost: the way to the rung is short, and known
                weights = self._again(trial).model_state
            else:
                weights = best.weights
        log.info("trial pruned", extra={"trial": trial.trial, "quality": trial.quality})
        self._finish(trial, self._save(trial.trial, weights) if weights is not None else None)

    def _again(self, trial: Trial) -> TrialRun:
        return run_trial(
            self.task,
            parse_params(trial.params),
            number=trial.trial,
            plan=self.plan,
            until=len(trial.rungs) - 1,
            on_step=lambda share, epoch, spent: None,
            stop=self.stop,
        )

    def _params(self, number: int) -> _Params:
        """Those that were written down, the lineage's, or drawn ones.

        What is drawn for a wave follows from the trials before it, whatever of its own trials ended: so the order in
        which they run, and how many at a time, change nothing.
        """
        begun = self.waiting.get(number)
        if begun is not None:
            return _Params(begun.params, begun.space, begun.origin)
        if self.candidates:
            candidate = self.candidates[number]
            return _Params(dict(candidate.params), None, candidate.origin)
        if number not in self._drawn:
            wave = wave_of(number, self.total)
            known = [trial for trial in (*self.finished, *self.waiting.values()) if trial.trial < wave.start]
            ended = {trial.trial: trial.params for trial in self.finished}
            beside = [ended.get(other) or self._params(other).values for other in range(wave.start, number)]
            point = suggest(self.space, known, number, self.task.settings.seed, self.total, beside)
            self._drawn[number] = _Params(self.space.params(point), self.space.indices(point), None)
        return self._drawn[number]

    def _checkpoint(self, number: int) -> Path:
        """File of a trial's state; from the store if an earlier process wrote it."""
        folder = self.workdir / "checkpoints"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{number}.safetensors"
        if not path.exists():
            self.trials.fetch_checkpoint(number, path)
        return path

    def report(self) -> None:
        """Tell how far the search is."""
        whole, running, waiting = self.plan.epochs, self.running, self.waiting.values()
        begun = {t.trial: t.epochs / whole for t in waiting}
        others = [t for t in (*self.finished, *waiting) if t.trial not in running]
        standings, shares, workers = self._standings(), self._shares(), self.place.at_once
        ahead = sum(max(now.share - begun.get(number, 0.0), 0) for number, now in running.items())
        left = max(work_left(standings, self.total, shares) - ahead, 0)
        at_once = max(work_left(standings, self.total, shares, workers) - ahead / workers, 0)
        work = Work(
            done=sum(t.epochs / whole for t in others) + sum(now.share for now in running.values()),
            seconds=sum(t.seconds for t in others) + sum(now.seconds for now in running.values()),
            left=self.afterwards + left,
            left_at_once=self.afterwards + at_once,
        )
        first = min(running, default=None)
        start = self.task.start.known
        baseline = start.metrics[self.task.settings.objective] if start is not None else None
        self.progress(
            search_progress(
                self.finished,
                list(waiting),
                self.total,
                work,
                trial=first,
                epoch=None if first is None else running[first].epoch,
                baseline=baseline,
            )
        )

    def _shares(self) -> list[float]:
        return [batches / self.plan.batches for batches in self.plan.rungs]

    def model_of(self, best: Trial) -> Path:
        """Folder of the best trial's model; from the store if an earlier process ran it."""
        folder = self.workdir / "best"
        if self._here != best.trial:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            self.trials.fetch_best(best.trial, folder)
        return folder

    def _is_best(self, trial: Trial) -> bool:
        return by_quality([*self.finished, trial])[0].trial == trial.trial

    def _save(self, number: int, weights: dict[str, torch.Tensor]) -> Path:
        folder = self.workdir / "best"
        shutil.rmtree(folder, ignore_errors=True)
        self._here = None
        model = self.task.new_model()
        model.load_state_dict(weights, strict=False)
        model.save(folder)
        self._here = number
        return folder

    def _finish(self, trial: Trial, model: Path | None) -> None:
        self.trials.record(trial, model)
        self.waiting.pop(trial.trial, None)
        self.finished.append(trial)
        self.task.tell(trial)
        (self.workdir / "checkpoints" / f"{trial.trial}.safetensors").unlink(missing_ok=True)
        self.report()
