"""The search: trials as halving orders them, each written down when it ended, and none run twice."""

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event

from bluetune_api.method import PRESET_EVALS
from bluetune_api.records import MethodPlan
from bluetune_trainer.data.types import Catalogue, Split
from bluetune_trainer.errors import PlanInvalid, raise_if
from bluetune_trainer.search.contract import Candidate, CrossFit, ReportProgress, SearchOutcome, TrialLog
from bluetune_trainer.search.folds import cross_fit
from bluetune_trainer.search.halving import RUNGS
from bluetune_trainer.search.place import Here, Place
from bluetune_trainer.search.progress import by_quality
from bluetune_trainer.search.ray_place import ray_place
from bluetune_trainer.search.searching import Search
from bluetune_trainer.search.space import Space, check_space, complete_space
from bluetune_trainer.training.companions import Preparation, follow
from bluetune_trainer.training.freezing import LayerSplit
from bluetune_trainer.training.launch import Abandon, together
from bluetune_trainer.training.model import Model
from bluetune_trainer.training.params import parse_params, resolve_settings
from bluetune_trainer.training.parts import Parts, choose_parts
from bluetune_trainer.training.preset import preset
from bluetune_trainer.training.task import TrainingTask, prepare
from bluetune_trainer.training.trial import trial_steps

log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 60.0
"""Least time between two checkpoints within a trial."""


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
    workers: int = 1,
) -> SearchOutcome:
    """Search `method.initial_max_evals` trials, going on where `trials` says that an earlier process was.

    With candidates that fit the space and the model, those are the trials, in their order, and nothing is searched.
    With `cross`, what was chosen is then trained once more for each fold of the training queries, without it.

    `parts` are what the settings name, if they are not given. `workdir` is scratch space; the outcome's model
    folder lies in it. With `workers` above 1, trials of a rung run at the same time, in processes that Ray starts; how
    many there are does not change what comes of them. `abandon` ends this process at once: with `settings.devices`
    above 1, if a process is lost while this one cannot leave. Raises Stopped within seconds of `stop` being set,
    PlanInvalid for settings or parameters that cannot be used, when no trial came to an end, or when Ray cannot be
    started, DataInvalid when there is nothing to learn from.
    """
    settings = resolve_settings(method.settings)
    check_space(method.initial_params, settings.loss)
    parts = parts or choose_parts(method.settings)
    begin = Preparation(start_folder, catalogue, split, settings, parts, workdir, method.plugin)
    with together(settings.devices, follow, begin, abandon):
        with ray_place(workers, begin, checkpoint_seconds, stop) if workers > 1 else nullcontext() as elsewhere:
            task = prepare(start_folder, catalogue, split, settings, parts, workdir, partial(raise_if, stop))
            space = complete_space(method.initial_params, preset(task.subject))
            _tell_of_preset(space, method)
            place = elsewhere or Here(task, checkpoint_seconds, stop)
            outcome = _search(task, place, space, method, trials, progress, stop, workdir, candidates, cross)
        if cross is None:
            return outcome
        return replace(outcome, comparison=cross_fit(task, outcome.best, split.train, cross, stop, workdir))


def _search(
    task: TrainingTask,
    place: Place,
    space: Space,
    method: MethodPlan,
    trials: TrialLog,
    progress: ReportProgress,
    stop: Event,
    workdir: Path,
    candidates: Sequence[Candidate],
    cross: CrossFit | None,
) -> SearchOutcome:
    log.info("task prepared", extra={"bf16": task.bf16, "train_sessions": len(task.train)})
    usable = _usable(candidates, space, task.model)
    total = len(usable) or method.initial_max_evals or PRESET_EVALS
    rungs = RUNGS if task.settings.halving and total > 1 else ()
    search = Search(
        task,
        place,
        space,
        usable,
        total,
        trial_steps(task, rungs),
        trials,
        progress,
        stop,
        workdir,
        sorted(trials.finished(), key=lambda t: t.trial),
        {trial.trial: trial for trial in trials.waiting()},
        afterwards=0 if cross is None else cross.trainings,
    )
    search.report()
    search.run()
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
    """Those that lie in the space and leave a layer to train, each parameters once."""
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
