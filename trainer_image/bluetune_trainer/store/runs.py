"""A run's records: written once, so that two pods of one run cannot disagree, and read again by the next attempt."""

import json
import logging
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from bluetune_api import store_layout
from bluetune_api.base import ApiModel
from bluetune_api.objectstore import ObjectNotFound, ObjectStore
from bluetune_api.reading import FormatTooNew, Record, RecordInvalid, read_record
from bluetune_api.records import CheckReport, Lineage, ManifestFile, Plan, Result, RunPrecision, Trial
from bluetune_trainer.errors import PlanInvalid, StoreDamaged, in_words
from bluetune_trainer.store.lineage import lineage_params
from bluetune_trainer.store.versions import files_of, safe

log = logging.getLogger(__name__)

R = TypeVar("R", bound=Record)
_FILES = TypeAdapter(list[ManifestFile])
FILES = "files.json"
"""Written last into a stored model: a model without it is not complete."""


def encode(record: ApiModel) -> bytes:
    """A record as it is stored."""
    return json.dumps(record.wire(), ensure_ascii=False, indent=2, sort_keys=True).encode()


def read(store: ObjectStore, key: str, kind: type[R]) -> R | None:
    """A record, or None if there is none.

    Raises:
        PlanInvalid: it is of a newer trainer.
        StoreDamaged: what is there is no such record.
    """
    try:
        data = store.get(key)
    except ObjectNotFound:
        return None
    try:
        return read_record(kind, data, "trainer")
    except FormatTooNew as error:
        raise PlanInvalid(f"{store.uri(key)} cannot be read: {error}", reason="FormatTooNew") from error
    except RecordInvalid as error:
        raise StoreDamaged(
            f"{store.uri(key)} is no {kind.__name__} that this trainer can read: {in_words(error.found)}; it was"
            " changed: start a new task",
            reason="RunDamaged",
        ) from error


def create(store: ObjectStore, key: str, record: R) -> R:
    """Write a record once. Returns the one that is stored: this one, or the one that another attempt wrote before."""
    if store.create(key, encode(record)):
        return record
    stored = read(store, key, type(record))
    if stored is None:
        raise StoreDamaged(f"{store.uri(key)} was removed while it was written")
    return stored


def read_check(store: ObjectStore, uid: str) -> CheckReport | None:
    """What the run's check found, or None if there was none."""
    return read(store, store_layout.check(uid), CheckReport)


def read_result(store: ObjectStore, uid: str) -> Result | None:
    """The run's result, or None if it has none yet."""
    return read(store, store_layout.result(uid), Result)


def keep_plan(store: ObjectStore, plan: Plan) -> None:
    """Store the plan that a run follows, so that a later attempt cannot mix its trials with those of another plan.

    Raises:
        PlanInvalid: the run was begun with another method, batch or start version.
    """
    stored = create(store, store_layout.plan(plan.owner.uid), plan)
    differing = [
        name
        for name in ("kind", "base_uri", "batch_id", "batches", "start_version", "method")
        if getattr(stored, name) != getattr(plan, name)
    ]
    if differing:
        raise PlanInvalid(
            f"run {plan.owner.uid} was begun with another {' and '.join(differing)}; start a new task for the new plan"
        )


def keep_lineage(store: ObjectStore, plan: Plan) -> Lineage:
    """The parameters of the start version and its ancestors, as the run's first attempt found them: ancestors may be
    removed meanwhile, and trials are numbered by this list."""
    key = store_layout.lineage(plan.owner.uid)
    stored = read(store, key, Lineage)
    if stored is not None:
        return stored
    return create(store, key, Lineage(candidates=lineage_params(store, plan.start_version)))


def keep_precision(store: ObjectStore, uid: str, chosen: RunPrecision) -> RunPrecision:
    """The precision of the run's first attempt: this one, or what is stored. A resumed trial whose arithmetic changed
    would be another trial, and the gate would compare what no trial measured."""
    return create(store, store_layout.precision(uid), chosen)


class StoredTrials:
    """The trials of a run, and the model of the best of them.

    A trial's model is stored complete before its record, the record is created once, and models that are no longer
    the best are removed after that, by the attempt that created it: one that lags behind another would remove what
    that one needs. Trial n gives the same model in every attempt, so attempts cannot spoil each other's.
    """

    def __init__(self, store: ObjectStore, uid: str) -> None:
        self._store = store
        self._uid = uid

    def finished(self) -> list[Trial]:
        """All trials that ended, by number."""
        found = []
        for info in self._store.list(store_layout.trials(self._uid)):
            trial = read(self._store, info.key, Trial)
            if trial is None:
                continue
            if info.key != store_layout.trial(self._uid, trial.trial):
                raise StoreDamaged(
                    f"{self._store.uri(info.key)} says it is trial {trial.trial}: it was changed; start a new task",
                    reason="RunDamaged",
                )
            found.append(trial)
        return sorted(found, key=lambda trial: trial.trial)

    def record(self, trial: Trial, model: Path | None) -> None:
        """Write a finished trial down, once; with its model if it is the best so far."""
        if model is not None:
            self._upload(trial.trial, model)
        stored = create(self._store, store_layout.trial(self._uid, trial.trial), trial)
        if stored != trial:  # that attempt is ahead: its best model may be a later one
            log.warning("the trial was recorded by another attempt before", extra={"trial": trial.trial})
        elif model is not None:
            self._remove_all_but(trial.trial)
        self._store.delete(store_layout.checkpoint(self._uid, trial.trial))

    def fetch_best(self, trial: int, into: Path) -> None:
        """Put the stored model of a trial into a folder.

        Raises:
            StoreDamaged: it is not there, or not complete.
        """
        folder = self._folder(trial)
        try:
            files = _FILES.validate_json(self._store.get(folder + FILES), extra="ignore")
        except (ObjectNotFound, ValidationError) as error:
            raise StoreDamaged(
                f"the model of trial {trial} is not in {self._store.uri(folder)}; start a new task", reason="RunDamaged"
            ) from error
        for file in files:
            path = safe(file.path, self._store.uri(folder + FILES))
            try:
                self._store.download(folder + file.path, into / path)
            except ObjectNotFound as error:
                raise StoreDamaged(
                    f"{self._store.uri(folder + file.path)} is missing, though it is listed; start a new task",
                    reason="RunDamaged",
                ) from error
        if files_of(into) != files:
            raise StoreDamaged(
                f"the model in {self._store.uri(folder)} is damaged; start a new task", reason="RunDamaged"
            )

    def waiting(self) -> list[Trial]:
        """Trials that did not end, as they were at the last rung they reached."""
        ended = {trial.trial for trial in self.finished()}
        last: dict[int, Trial] = {}
        for info in self._store.list(store_layout.rungs(self._uid)):
            trial = read(self._store, info.key, Trial)
            if trial is None or trial.trial in ended:
                continue
            if trial.trial not in last or len(trial.rungs) > len(last[trial.trial].rungs):
                last[trial.trial] = trial
        return [last[number] for number in sorted(last)]

    def record_rung(self, trial: Trial) -> None:
        """Write down, once, how a trial stood at the last of its rungs."""
        create(self._store, store_layout.rung(self._uid, trial.trial, len(trial.rungs) - 1), trial)

    def keep_checkpoint(self, trial: int, path: Path) -> None:
        """Store the state of a running trial: one object, which takes the place of the one before at once."""
        self._store.upload(store_layout.checkpoint(self._uid, trial), path)

    def fetch_checkpoint(self, trial: int, path: Path) -> None:
        """Put the stored state of a trial into a file; no file if there is none."""
        with suppress(ObjectNotFound):
            self._store.download(store_layout.checkpoint(self._uid, trial), path)

    def fetch_fold(self, number: int) -> bytes | None:
        """How a fold was ranked; None if nothing was stored."""
        with suppress(ObjectNotFound):
            return self._store.get(store_layout.fold(self._uid, number))
        return None

    def record_fold(self, number: int, content: bytes) -> None:
        """Store how a fold was ranked; what another attempt stored before stays."""
        self._store.create(store_layout.fold(self._uid, number), content, content_type="application/octet-stream")

    def remove_checkpoints(self) -> None:
        """Remove what trials left that ended while nobody could remove it."""
        for info in list(self._store.list(store_layout.checkpoints(self._uid))):
            self._store.delete(info.key)

    def _folder(self, trial: int) -> str:
        return f"{store_layout.best(self._uid)}{trial}/"

    def _upload(self, trial: int, model: Path) -> None:
        folder, files = self._folder(trial), files_of(model)
        for file in files:
            self._store.upload(folder + file.path, model / file.path)
        self._store.put(folder + FILES, _FILES.dump_json(files, by_alias=True))

    def _remove_all_but(self, trial: int) -> None:
        for name in self._store.folders(store_layout.best(self._uid)):
            folder = f"{store_layout.best(self._uid)}{name}/"
            if folder == self._folder(trial):
                continue
            self._store.delete(folder + FILES)
            for info in list(self._store.list(folder)):
                self._store.delete(info.key)
