"""Cross-fitting: the chosen parameters trained again without each fold of the queries, and judged on that fold.

With few queries a hold-out says nothing and takes what little there is to learn from. So every query is judged by a
training that did not see it, and the published version learns from all of them (P. Zivich, A. Breskin, Machine Learning
for Causal Inference: On the Use of Cross-fit Estimators, Epidemiology 2021, on why this is honest). What is judged is
the recipe: the published version is trained like the folds', on more queries than each of them.
"""

import logging
import shutil
from pathlib import Path
from threading import Event

import numpy as np

from bluetune_api.records import Trial
from bluetune_trainer.data.splits import folds_of
from bluetune_trainer.data.types import Sessions
from bluetune_trainer.errors import StoreDamaged
from bluetune_trainer.search.comparison import Comparison, put_together
from bluetune_trainer.search.contract import CrossFit
from bluetune_trainer.training.params import parse_params
from bluetune_trainer.training.ranks import alone
from bluetune_trainer.training.task import Fold, TrainingTask
from bluetune_trainer.training.trial import run_trial, trial_steps

log = logging.getLogger(__name__)


def cross_fit(
    task: TrainingTask, best: Trial, train: Sessions, asked: CrossFit, stop: Event, workdir: Path
) -> Comparison | None:
    """Train and compare every fold that an earlier attempt did not; None if no session says anything.

    `train` are the sessions that the task trains on. Raises Stopped within seconds of `stop` being set.
    """
    found: list[Comparison] = []
    number_of = folds_of(train.queries, asked.folds)
    for number in range(asked.folds):
        kept = asked.log.fetch_fold(number)
        if kept is None:
            held_out = train.subset(np.flatnonzero(number_of == number))
            comparison = _fold(task, best, held_out, asked, number, stop, workdir)
            asked.log.record_fold(number, b"" if comparison is None else comparison.stored())
        else:
            comparison = _read(kept, number) if kept else None
        asked.on_step((number + 1) / asked.folds)
        if comparison is not None:
            found.append(comparison)
    return put_together(found) if found else None


def _fold(
    task: TrainingTask, best: Trial, held_out: Sessions, asked: CrossFit, number: int, stop: Event, workdir: Path
) -> Comparison | None:
    part = task.without(Fold(number, asked.folds))
    if not part.train.with_click().any():
        return None
    run = run_trial(
        part,
        parse_params(best.params),
        number=best.trial,
        plan=trial_steps(part),
        on_step=lambda share, epoch, spent: asked.on_step((number + share) / asked.folds),
        stop=stop,
    )
    model = task.new_model()
    model.load_state_dict(run.model_state, strict=False)
    folder = workdir / "fold"
    shutil.rmtree(folder, ignore_errors=True)
    model.save(folder)
    log.info("fold trained", extra={"fold": number, "quality": run.quality})
    with alone():
        return asked.compare(folder, held_out)


def _read(content: bytes, number: int) -> Comparison:
    try:
        return Comparison.from_stored(content)
    except (ValueError, KeyError, OSError) as error:
        raise StoreDamaged(
            f"what was stored of fold {number} cannot be read ({error}); start a new task", reason="RunDamaged"
        ) from error
