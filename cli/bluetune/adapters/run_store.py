"""What runs have in their models' stores, opened by the user's own keys, or by the Secret if the user may read it."""

import base64
import binascii
import tempfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from bluetune.adapters.cluster import Cluster
from bluetune.core.errors import CliError
from bluetune.core.kinds import SECRETS, Object, name_of
from bluetune.core.page.runs import Records
from bluetune.core.reports import reached_at, report_place, store_of
from bluetune_api import store_layout
from bluetune_api.credentials import StaticKeys, static_keys
from bluetune_api.objectstore import ObjectNotFound, ObjectStore, StoreError
from bluetune_api.reading import Record, RecordProblem, read_record
from bluetune_api.records import CheckReport, Result, Trial
from bluetune_api.store_location import StoreLocation

R = TypeVar("R", bound=Record)

CONNECT_SECONDS, READ_SECONDS, PATIENT_SECONDS = 3.0, 10.0, 10.0
MAX_RECORD_BYTES, MAX_REPORT_BYTES = 4 << 20, 32 << 20
MAX_TRIALS, MAX_RUNS_KEPT = 300, 16
OWN_KEYS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"


class RunStores:
    """Reads, and never writes. Every method may take seconds. One thread at a time may ask for a run's records."""

    def __init__(self, cluster: Cluster, environment: Mapping[str, str], endpoint: str | None) -> None:
        """
        Args:
            environment: where keys of the user's own may be.
            endpoint: the address of all stores from here, instead of the models'.

        Raises CliError for an endpoint that is none.
        """
        reached_at(StoreLocation(endpoint="any", bucket="any"), endpoint)
        self._cluster, self._environment, self._endpoint = cluster, environment, endpoint
        self._ended: OrderedDict[str, dict[str, Trial]] = OrderedDict()
        """By run and key: the record of a trial never changes."""

    def records(self, task: Object, model: Object) -> Records:
        """All records of a run; `why` says what stood in the way of the rest."""
        uid = str(task["metadata"]["uid"])
        with tempfile.TemporaryDirectory(prefix="bluetune-") as folder:
            try:
                store = self._open(model, Path(folder))
                check = _read(store, store_layout.check(uid), CheckReport)
                result = _read(store, store_layout.result(uid), Result)
                return Records(result, check, self._trials(store, uid), report=_has_report(task, model))
            except (CliError, StoreError, RecordProblem) as error:
                return Records(why=f"What lies in the store is not shown. {error}")

    def _trials(self, store: ObjectStore, uid: str) -> list[Trial]:
        """Those that ended, MAX_TRIALS at most."""
        known = self._ended.setdefault(uid, {})
        self._ended.move_to_end(uid)
        while len(self._ended) > MAX_RUNS_KEPT:
            self._ended.popitem(last=False)
        keys = [found.key for found in store.page(store_layout.trials(uid)).objects][:MAX_TRIALS]
        for key in keys:
            if key not in known and (trial := _read(store, key, Trial)) is not None:
                known[key] = trial
        return [known[key] for key in keys if key in known]

    def report(self, task: Object, model: Object) -> bytes:
        """A run's report. Raises CliError."""
        location, key = report_place(task, model, self._endpoint)
        with tempfile.TemporaryDirectory(prefix="bluetune-") as folder:
            try:
                return self._open(model, Path(folder)).get(key, most=MAX_REPORT_BYTES)
            except StoreError as error:
                raise CliError(f"{location.uri(key)} cannot be read: {error}") from error

    def _open(self, model: Object, folder: Path) -> ObjectStore:
        """The store; the folder holds its certificate authority until it was read."""
        location = reached_at(store_of(model), self._endpoint)
        keys, authority = static_keys(self._environment), self._environment.get("BLUETUNE_CA_FILE") or None
        if keys is None:
            keys = self._secret_keys(model)
        if authority is None:
            authority = self._authority(model, folder)
        from bluetune_api.s3 import S3Store  # brings minio, which takes a moment

        return S3Store(
            location,
            access_key=keys.access_key,
            secret_key=keys.secret_key,
            session_token=keys.session_token,
            ca_file=authority,
            attempts=2,
            patience_seconds=PATIENT_SECONDS,
            connect_seconds=CONNECT_SECONDS,
            read_seconds=READ_SECONDS,
        )

    def _secret_keys(self, model: Object) -> StaticKeys:
        reference = model["spec"]["store"].get("credentialsSecretRef")
        if not reference:
            raise CliError(
                f"Model {name_of(model)} opens its store by workload identity: set {OWN_KEYS} where bluetune ui runs"
            )
        keys = static_keys(self._secret(str(reference["name"]), "keys", OWN_KEYS))
        if keys is None:
            raise CliError(f"Secret {reference['name']} lacks {OWN_KEYS}: write them into it")
        return keys

    def _authority(self, model: Object, folder: Path) -> str | None:
        reference = model["spec"]["store"].get("caSecretRef")
        if not reference:
            return None
        found = self._secret(str(reference["name"]), "certificate authority", "BLUETUNE_CA_FILE").get("ca.crt")
        if not found:
            raise CliError(
                f"Secret {reference['name']} lacks ca.crt: write it into the Secret, or set BLUETUNE_CA_FILE"
            )
        path = folder / "ca.crt"
        path.write_text(found)
        return str(path)

    def _secret(self, name: str, what: str, instead: str) -> dict[str, str]:
        """What a Secret holds; `what` is sought there, and the environment may have it `instead`."""
        try:
            data = self._cluster.get(SECRETS, name).get("data") or {}
            return {key: base64.b64decode(value, validate=True).decode() for key, value in data.items()}
        except CliError as error:
            raise CliError(
                f"The store's {what}: in Secret {name}, and {error}; or set {instead} where bluetune ui runs"
            ) from None
        except (binascii.Error, UnicodeDecodeError):
            raise CliError(f"Secret {name} holds what is no text: write the {what} into it again") from None


def _read(store: ObjectStore, key: str, kind: type[R]) -> R | None:
    try:
        return read_record(kind, store.get(key, most=MAX_RECORD_BYTES), "command line")
    except ObjectNotFound:
        return None


def _has_report(task: Object, model: Object) -> bool:
    """Whether the report is where it can be embedded from."""
    try:
        report_place(task, model, None)
    except CliError:
        return False
    return True
