"""The search: trials as halving orders them, each written down when it ended, and none run twice."""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import torch

from bluetune_api.method import PRESET_EVALS
from bluetune_api.records import MethodPlan, Trial
from bluetune_trainer.data.types import Catalogue, Split
from bluetune_trainer.errors import PlanInvalid, raise_if
from bluetune_trainer.search.contract import Candidate, CrossFit, ReportProgress, SearchOutcome, TrialLog
from bluetune_trainer.search.folds import cross_fit
from bluetune_trainer.search.halving import RUNGS, Prune, Run, Standing, next_move, work_left
from bluetune_trainer.search.progress import Work, by_quality, search_progress
from bluetune_trainer.search.space import Space, check_space, complete_space
from bluetune_trainer.search.suggest import suggest
from bluetune_trainer.training.checkpoint import TrialCheckpoint, load
from bluetune_trainer.training.companions import Preparation, follow
from bluetune_trainer.training.freezing import LayerSplit
from bluetune_trainer.training.keeper import best_in
from bluetune_trainer.training.launch import Abandon, together
from bluetune_trainer.training.model import Model
from bluetune_trainer.training.params import parse_params, resolve_settings
from bluetune_trainer.training.parts import Parts, choose_parts
from bluetune_trainer.training.preset import preset
from bluetune_trainer.training.steps import StepPlan
from bluetune_trainer.training.task import TrainingTask, prepare
from bluetune_trainer.training.trial import TrialFailed, TrialRun, run_trial, trial_steps

log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 60.0
"""Minimum time between two checkpoints within a trial."""


def run_search(
    start_folder: Path,
    catalogue: Catalogue,
    split: Split,
    method: MethodPlan,
    trials: TrialLog,
    progress: ReportProgress,
    stop: Event,
    workdir: Path,
    parts: Parts | None = None,
    *,
    candidates: Sequence[Candidate] = (),
    cross: CrossFit | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    abandon: Abandon | None = None,
) -> SearchOutcome:
    """Search `method.initial_max_evals` trials, going on where `trials` says that an earlier process was.

    With candidates that fit the space and the model, those are the trials, in their order, and nothing is searched.
    With `cross`, what was chosen is then trained once more for each fold of the training queries, without it.

    `parts` are what the settings name, if they are not given. `workdir` is scratch space; the outcome's model
    folder lies in it. `abandon` ends this process at once: with `settings.devices` above 1, if a process is lost while
    this one cannot leave. Raises Stopped within seconds of `stop` being set, PlanInvalid for settings or parameters
    that cannot be used or when no trial came to an end, DataInvalid when there is nothing to learn from.
    """
    settings = resolve_settings(method.settings)
    check_space(method.initial_params, settings.loss)
    parts = parts or choose_parts(method.settings)
    begin = Preparation(start_folder, catalogue, split, settings, parts, workdir, method.plugin)
    with together(settings.devices, follow, begin, abandon):
        task = prepare(start_folder, catalogue, split, settings, parts, workdir, partial(raise_if, stop))
        space = complete_space(method.initial_params, preset(task.subject))
        _tell_of_preset(space, method)
        outcome = _search(task, space, method, trials, progress, stop, workdir, candidates, checkpoint_seconds, cross)
        if cross is None:
            return outcome
        return replace(outcome, comparison=cross_fit(task, outcome.best, split.train, cross, stop, workdir))


def _search(
    task: TrainingTask,
    space: Space,
    method: MethodPlan,
    trials: TrialLog,
    progress: ReportProgress,
    stop: Event,
    workdir: Path,
    candidates: Sequence[Candidate],
    checkpoint_seconds: float,
    cross: CrossFit | None,
) -> SearchOutcome:
    log.info("task prepared", extra={"bf16": task.bf16, "train_sessions": len(task.train)})
    usable = _usable(candidates, space, task.model)
    total = len(usable) or method.initial_max_evals or PRESET_EVALS
    rungs = RUNGS if task.settings.halving and total > 1 else ()
    search = _Search(
        task,
        space,
        usable,
        total,
        trial_steps(task, rungs),
        trials,
        progress,
        stop,
        workdir,
        checkpoint_seconds,
        sorted(trials.finished(), key=lambda t: t.trial),
        {trial.trial: trial for trial in trials.waiting()},
        afterwards=0 if cross is None else cross.trainings,
    )
    search.report()
    while (move := next_move(search.standings(), total, len(search.plan.rungs))) is not None:
        search.make(move)
    ranked = by_quality(search.finished)
    if not ranked:
        raise PlanInvalid(
            f"none of {len(search.finished)} trials came to an end; the last one: {search.finished[-1].message}",
            reason="AllTrialsFailed",
        )
    best = ranked[0]
    folder = search.model_of(best)
    return SearchOutcome(
        best=best,
        model_folder=folder,
        baseline=task.baseline,
        trials=sorted(search.finished, key=lambda t: t.trial),
        dimension=task.model.dimension,
        query_prompt=task.model.query_prompt,
        item_prompt=task.model.item_prompt,
        cut=task.cut,
    )


def _tell_of_preset(space: Space, method: MethodPlan) -> None:
    taken = {name: d for name, d in space.dimensions.items() if name not in (method.initial_params or {})}
    shown = {name: d.choice[0] if d.choice else d.wire() for name, d in taken.items()}
    log.info("parameters that the preset gives", extra={"params": shown})


def _usable(candidates: Sequence[Candidate], space: Space, model: Model) -> list[Candidate]:
    """The candidates that lie in the space and leave a layer to train, without repetition."""
    found: list[Candidate] = []
    for candidate in candidates:
        problem = space.misfit(candidate.params)
        if problem is None:
            problem = _cannot_be_cut(model, parse_params(candidate.params).num_fixed_layers)
        if problem is not None:
            log.info(
                "parameters of the lineage are passed over", extra={"version": candidate.origin, "problem": problem}
            )
        elif all(candidate.params != other.params for other in found):
            found.append(candidate)
    return found


def _cannot_be_cut(model: Model, depth: int) -> str | None:
    try:
        for tower in model.towers():
            LayerSplit(tower, depth)
    except PlanInvalid as error:
        return error.message
    return None


@dataclass
class _Search:
    task: TrainingTask
    space: Space
    candidates: list[Candidate]
    total: int
    plan: StepPlan
    trials: TrialLog
    progress: ReportProgress
    stop: Event
    workdir: Path
    checkpoint_seconds: float
    finished: list[Trial]
    waiting: dict[int, Trial] = field(default_factory=dict)
    """Trials that wait, as they were at the last rung that they reached."""
    afterwards: float = 0
    """Full trainings that come after the search."""
    _here: int | None = None

    def standings(self) -> dict[int, Standing]:
        """What halving decides by."""
        waiting = {n: Standing(tuple(trial.rungs)) for n, trial in self.waiting.items()}
        ended = {t.trial: Standing(tuple(t.rungs), True, t.quality, t.pruned) for t in self.finished}
        return {**waiting, **ended}

    def make(self, move: Run | Prune) -> None:
        """Do what halving says, and write down what came of it."""
        if isinstance(move, Run):
            self._run(move.trial, move.until)
            return
        for number in move.trials:
            self._prune(self.waiting[number])

    def _run(self, number: int, until: int | None) -> None:
        drawn, indices, origin = self._params(number)
        fields: dict[str, Any] = {"trial": number, "params": drawn, "space": indices, "origin": origin}
        path = self._checkpoint(number)
        begun = self.waiting.get(number)
        seconds = begun.seconds if begun else 0.0

        def on_step(share: float, epoch: int, spent: float) -> None:
            nonlocal seconds
            seconds = spent
            self.report(number, share, epoch, spent)

        try:
            run = run_trial(
                self.task,
                parse_params(drawn),
                number=number,
                plan=self.plan,
                until=until,
                checkpoint=TrialCheckpoint(
                    path, lambda: self.trials.keep_checkpoint(number, path), self.checkpoint_seconds
                ),
                on_step=on_step,
                stop=self.stop,
            )
        except TrialFailed as error:
            rungs = begun.rungs if begun else []
            trial = Trial(**fields, status="fail", rungs=rungs, seconds=round(seconds, 3), message=str(error))
            log.warning("trial failed", extra={"trial": number, "params": drawn, "error": str(error)})
            self._finish(trial, None)
            return
        trial = Trial(
            **fields,
            status="ok",
            quality=run.quality,
            metrics=run.metrics,
            epochs=run.epochs,
            best_epoch=run.best_epoch,
            rungs=run.rungs,
            history=run.history,
            seconds=round(run.seconds, 3),
        )
        if run.paused:
            log.info("trial waits", extra={"trial": number, "rung": until, "quality": trial.quality})
            self.trials.record_rung(trial)
            self.waiting[number] = trial
            self.report()
            return
        log.info("trial ended", extra={"trial": number, "quality": trial.quality})
        self._finish(trial, self._save(number, run.model_state) if self._is_best(trial) else None)

    def _prune(self, waiting: Trial) -> None:
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

    def _params(self, number: int) -> tuple[dict[str, Any], dict[str, list[int]] | None, str | None]:
        """Parameters of a trial, where hyperopt drew them from, and the version whose they are."""
        begun = self.waiting.get(number)
        if begun is not None:
            return begun.params, begun.space, begun.origin
        if self.candidates:
            candidate = self.candidates[number]
            return dict(candidate.params), None, candidate.origin
        known = [*self.finished, *self.waiting.values()]
        point = suggest(self.space, known, number, self.task.settings.seed, self.total)
        return self.space.params(point), self.space.indices(point), None

    def _checkpoint(self, number: int) -> Path:
        """File of a trial's state; from the store if an earlier process wrote it."""
        folder = self.workdir / "checkpoints"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{number}.safetensors"
        if not path.exists():
            self.trials.fetch_checkpoint(number, path)
        return path

    def report(self, number: int | None = None, share: float = 0.0, epoch: int | None = None, spent: float = 0) -> None:
        """Tell how far the search is; of the running trial, `spent` seconds led to `share` of its steps."""
        waiting = self.waiting.values()
        whole = self.plan.epochs
        others = [t for t in (*self.finished, *waiting) if t.trial != number]
        begun = sum(t.epochs / whole for t in waiting if t.trial == number)
        work = Work(
            done=sum(t.epochs / whole for t in others) + (share if number is not None else 0),
            seconds=sum(t.seconds for t in others) + spent,
            left=self.afterwards
            + max(work_left(self.standings(), self.total, self._shares()) - max(share - begun, 0), 0),
        )
        start = self.task.start.known
        baseline = start.metrics[self.task.settings.objective] if start is not None else None
        self.progress(
            search_progress(
                self.finished, list(waiting), self.total, work, trial=number, epoch=epoch, baseline=baseline
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
