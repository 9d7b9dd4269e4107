"""The search: trials one after the other, each written down when it ended, and none run twice."""

import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from bluetune_api.method import PRESET_EVALS
from bluetune_api.records import MethodPlan, Trial
from bluetune_trainer.data.types import Catalogue, Split
from bluetune_trainer.errors import PlanInvalid, Stopped
from bluetune_trainer.search.contract import ReportProgress, SearchOutcome, TrialLog
from bluetune_trainer.search.halving import should_stop
from bluetune_trainer.search.progress import by_quality, search_progress
from bluetune_trainer.search.space import Space, build_space
from bluetune_trainer.search.suggest import suggest
from bluetune_trainer.training.params import parse_params, resolve_settings
from bluetune_trainer.training.parts import Parts, choose_parts
from bluetune_trainer.training.task import TrainingTask, prepare
from bluetune_trainer.training.trial import TrialFailed, TrialRun, run_trial

log = logging.getLogger(__name__)


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
) -> SearchOutcome:
    """Search `method.initial_max_evals` trials, going on after those that `trials` already has.

    `parts` are what the settings name, if they are not given. `workdir` is scratch space; the outcome's model
    folder lies in it. Raises Stopped within seconds of `stop` being set, PlanInvalid for settings or parameters
    that cannot be used or when no trial came to an end, DataInvalid when there is nothing to learn from.
    """
    settings = resolve_settings(method.settings)
    space = build_space(method.initial_params)
    parts = parts or choose_parts(method.settings)
    task = prepare(start_folder, catalogue, split, settings, parts, workdir, _raise_if(stop))
    log.info("baseline scored", extra={"metrics": task.baseline, "bf16": task.bf16, "train_sessions": len(task.train)})
    finished = sorted(trials.finished(), key=lambda t: t.trial)
    total = method.initial_max_evals or PRESET_EVALS
    search = _Search(task, space, finished, total, trials, progress, stop, workdir / "best")
    search.report(None, 0.0, None, 0.0)
    numbers = {trial.trial for trial in finished}
    for number in range(total):
        if number not in numbers:
            search.run(number)
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
    )


@dataclass
class _Search:
    task: TrainingTask
    space: Space
    finished: list[Trial]
    total: int
    trials: TrialLog
    progress: ReportProgress
    stop: Event
    folder: Path
    """Model of the best trial that this process ran."""
    _here: int | None = None

    def run(self, number: int) -> None:
        """Run a trial, store its model if it is the best so far, then its record."""
        point = suggest(self.space, self.finished, number, self.task.settings.seed, self.total)
        drawn = self.space.params(point)
        indices = self.space.indices(point)
        begin = time.perf_counter()
        try:
            run = run_trial(
                self.task,
                parse_params(drawn),
                number=number,
                prune=lambda rung, value: should_stop(self._reached(rung), value),
                on_step=lambda share, epoch: self.report(number, share, epoch, time.perf_counter() - begin),
                stop=self.stop,
            )
        except TrialFailed as error:
            trial = Trial(
                trial=number,
                status="fail",
                params=drawn,
                seconds=round(time.perf_counter() - begin, 3),
                message=str(error),
                space=indices,
            )
            log.warning("trial failed", extra={"trial": number, "params": drawn, "error": str(error)})
            self._finish(trial, None)
            return
        trial = _record(number, drawn, indices, run)
        ranked = by_quality([*self.finished, trial])
        model = self._save(number, run) if ranked[0].trial == number else None
        log.info("trial ended", extra={"trial": number, "quality": trial.quality, "pruned": trial.pruned})
        self._finish(trial, model)

    def report(self, trial: int | None, share: float, epoch: int | None, elapsed: float) -> None:
        """Tell how far the search is."""
        self.progress(
            search_progress(
                self.finished,
                self.total,
                trial=trial,
                share=share,
                epoch=epoch,
                elapsed=elapsed,
                baseline=self.task.baseline[self.task.settings.objective],
            )
        )

    def model_of(self, best: Trial) -> Path:
        """Folder of the best trial's model; from the store if an earlier process ran it."""
        if self._here != best.trial:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            self.trials.fetch_best(best.trial, self.folder)
        return self.folder

    def _reached(self, rung: int) -> list[float]:
        return [trial.rungs[rung] for trial in self.finished if len(trial.rungs) > rung]

    def _save(self, number: int, run: TrialRun) -> Path:
        shutil.rmtree(self.folder, ignore_errors=True)
        self._here = None
        model = self.task.new_model()
        model.load_state_dict(run.model_state, strict=False)
        model.save(self.folder)
        self._here = number
        return self.folder

    def _finish(self, trial: Trial, model: Path | None) -> None:
        self.trials.record(trial, model)
        self.finished.append(trial)
        self.report(None, 0.0, None, 0.0)


def _record(number: int, params: dict[str, object], indices: dict[str, list[int]], run: TrialRun) -> Trial:
    return Trial(
        trial=number,
        status="ok",
        params=params,
        quality=run.quality,
        metrics=run.metrics,
        epochs=run.epochs,
        best_epoch=run.best_epoch,
        pruned=run.pruned,
        rungs=run.rungs,
        history=run.history,
        seconds=round(run.seconds, 3),
        space=indices,
    )


def _raise_if(stop: Event) -> Callable[[], None]:
    def check() -> None:
        if stop.is_set():
            raise Stopped

    return check
