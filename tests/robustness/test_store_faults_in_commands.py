"""Import, check and training against an S3 server that fails now and then, or from some request on."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bluetune_api.objectstore import ObjectStore, StoreError
from bluetune_api.records import ApiModel
from bluetune_trainer.errors import StoreFailed, as_trainer_error
from bluetune_trainer.store.versions import download_version
from robustness.conftest import Bucket
from robustness.faults import PASSING, Relay
from robustness.small_world import fill, plan

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
STAYING = ("busy", "reset", "lost", "truncated", "html", "garbage", "full", "expired", "skewed")
POINTS = {"Import": 12, "Check": 9, "Train": 18}
"""At how many seeded requests of a command the store breaks, one after the other, if it makes that many."""


@dataclass(frozen=True)
class Command:
    """One of the three, and a world in front of it that was made without a fault."""

    name: str
    bucket: Bucket
    base: Path
    start: str

    def run(self, store: ObjectStore, uid: str) -> ApiModel:
        """The command as `bluetune-trainer` runs it."""
        from bluetune_trainer.cli.checking import run_check
        from bluetune_trainer.cli.importing import run_import
        from bluetune_trainer.cli.training import run_train

        if self.name == "Import":
            return run_import(
                store, plan("Import", uid, baseUri=str(self.base)), lambda _location: store, stop=threading.Event()
            )
        if self.name == "Check":
            return run_check(store, plan("Check", uid), stop=threading.Event())
        made = plan("Train", uid, startVersion=self.start)
        return run_train(store, made, stop=threading.Event(), report=lambda _progress: None)

    def record(self, uid: str) -> str:
        """Key of what it writes last."""
        return f"runs/{uid}/{'check' if self.name == 'Check' else 'result'}.json"


@pytest.fixture(params=list(POINTS))
def command(request: pytest.FixtureRequest, s3_bucket: Bucket, tmp_path: Path, minilm: Path) -> Command:
    from bluetune_trainer.cli.importing import run_import
    from trainer.learning_world import write_tiny_encoder

    store = s3_bucket.store()
    fill(store)
    base = write_tiny_encoder(tmp_path / "base", minilm, layers=1)
    start = "v000000000000"
    if request.param == "Train":
        first = run_import(
            store, plan("Import", "base", baseUri=str(base)), lambda _location: store, stop=threading.Event()
        )
        start = first.version
    return Command(request.param, s3_bucket, base, start)


def essence(result: ApiModel) -> dict[str, object]:
    """What a result says of the work, and not of the run and its clock."""
    found = result.wire()
    return {key: value for key, value in found.items() if key not in ("owner", "reportUrl", "seconds")}


def whole_versions(store: ObjectStore, into: Path) -> list[str]:
    """Versions that exist; each is whole, or this fails."""
    names = [name for name in store.folders("versions/") if store.stat(f"versions/{name}/manifest.json") is not None]
    for name in names:
        download_version(store, name, into / name)
    return names


def after(number: int, fault: str) -> Callable[[int, str, str], str | None]:
    """Every request after this one fails."""
    return lambda n, _method, _path: fault if n > number else None


def test_a_fault_every_few_requests_is_got_over(command: Command, relay: Relay, tmp_path: Path) -> None:
    expected = essence(command.run(command.bucket.store(relay.address), "expected"))
    for fault in PASSING:
        step = 9 if fault == "slow" else 2
        relay.requests.clear()
        relay.choose = lambda n, _method, _path, step=step, fault=fault: fault if n % step == 1 else None
        result = command.run(command.bucket.store(relay.address, read_seconds=1.0), fault)
        assert essence(result) == expected, fault
        assert any(request[2] == fault for request in relay.requests)
    assert (
        len(whole_versions(command.bucket.store(), tmp_path / "back"))
        == {"Check": 0, "Import": 1, "Train": 2}[command.name]
    )


def test_a_store_that_breaks_at_any_point_ends_with_13_and_the_next_attempt_completes(
    command: Command, relay: Relay, tmp_path: Path
) -> None:
    direct = command.bucket.store()
    before = whole_versions(direct, tmp_path / "before")
    expected = essence(command.run(command.bucket.store(relay.address), "expected"))
    requests, rng = len(relay.requests), random.Random(3)
    points = min(POINTS[command.name], requests)
    new = [name for name in whole_versions(direct, tmp_path / "new") if name not in before]
    for number in range(points):
        for info in [info for name in new for info in direct.list(f"versions/{name}/")]:
            direct.delete(info.key)
        fault, uid = STAYING[number % len(STAYING)], f"u{number}"
        at = rng.randrange(requests * number // points, requests * (number + 1) // points)
        relay.requests.clear()
        relay.choose = after(at, fault)
        with pytest.raises((StoreError, StoreFailed)) as caught:
            command.run(command.bucket.store(relay.address, attempts=2), uid)
        ending, where = as_trainer_error(caught.value), f"{fault} after request {at}: {caught.value}"
        assert ending.exit_code == 13, where
        assert command.bucket.name in ending.message, where
        assert "Traceback" not in ending.message, where
        assert direct.stat(command.record(uid)) is None or fault == "lost", where
        assert whole_versions(direct, tmp_path / uid) in (before, sorted([*before, *new])), where
        relay.choose = lambda _n, _method, _path: None
        assert essence(command.run(command.bucket.store(relay.address), uid)) == expected, where
        assert whole_versions(direct, tmp_path / f"{uid}-again") == sorted([*before, *new]), where
