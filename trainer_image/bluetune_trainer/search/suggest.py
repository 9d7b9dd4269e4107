"""The next point to try: hyperopt's TPE, rebuilt from the stored trials each time, seeded by (seed, number)."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from hyperopt import JOB_STATE_DONE, STATUS_FAIL, STATUS_OK, Trials, rand, tpe
from hyperopt.base import Domain

from bluetune_api.records import Trial
from bluetune_trainer.search.space import Point, Space

_BY_TPE, _AT_RANDOM = 5, 20
"""Draws by either before a point that was tried already is accepted again."""


def suggest(space: Space, finished: Sequence[Trial], number: int, seed: int, total: int) -> Point:
    """The point of trial `number` of `total`. The same finished trials and seed give the same point."""
    if number == 0 and space.first is not None:
        first = space.point(space.first)
        if first is not None:
            return first
    domain = Domain(lambda point: 0.0, space.expression())
    trials = rebuild(space, finished)
    # hyperopt draws its first 20 points at random; of 8 trials that would leave it none to learn from.
    by_tpe = partial(tpe.suggest, n_startup_jobs=min(20, max(2, total // 3)), verbose=False)
    tried = [trial.params for trial in finished]
    point: Point = {}
    for draw in range(_BY_TPE + _AT_RANDOM):
        algorithm = by_tpe if draw < _BY_TPE else rand.suggest
        sub_seed = int(np.random.default_rng([seed, number, draw]).integers(2**31 - 1))
        document = algorithm([number], domain, trials, sub_seed)[0]
        point = {name: values[0] for name, values in document["misc"]["vals"].items() if values}
        if space.params(point) not in tried:
            break
    return point


def rebuild(space: Space, finished: Sequence[Trial]) -> Trials:
    """hyperopt's history from stored trials. A failed one is STATUS_FAIL and has no loss."""
    trials = Trials()
    documents = []
    for trial in sorted(finished, key=lambda t: t.trial):
        point = space.point(trial.params, trial.space)
        if point is not None:
            documents.append(_document(trial, point))
    trials.insert_trial_docs(documents)
    trials.refresh()
    return trials


def _document(trial: Trial, point: Point) -> dict[str, Any]:
    result: dict[str, Any] = {"status": STATUS_FAIL}
    if trial.status == "ok" and trial.quality is not None:
        result = {"status": STATUS_OK, "loss": -trial.quality}
    return {
        "state": JOB_STATE_DONE,
        "tid": trial.trial,
        "spec": None,
        "result": result,
        "misc": {
            "tid": trial.trial,
            "cmd": ("domain_attachment", "FMinIter_Domain"),
            "workdir": None,
            "idxs": {name: [trial.trial] for name in point},
            "vals": {name: [value] for name, value in point.items()},
        },
        "exp_key": None,
        "owner": None,
        "version": 0,
        "book_time": None,
        "refresh_time": None,
    }
