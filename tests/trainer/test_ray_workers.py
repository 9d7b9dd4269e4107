"""Trials in workers that Ray starts: the same trials and the same version, whoever dies."""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from bluetune_api.records import Result
from trainer.learning_world import write_tiny_encoder
from trainer.shop import CLICKS_ALONE, Shop, write_shop
from trainer.test_cli_killed import essence, run_folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
TRIALS = 4


def prepared(root: Path, base: Path) -> Shop:
    root.mkdir()
    shop = write_shop(root, base, sessions=120)

    def edit(documents: dict[str, dict[str, Any]]) -> None:
        spec = documents["FineTuningMethod"]["spec"]
        spec["settings"].update(batchSize=24, testEachNInputs=0.5)
        spec["initialParams"] = {
            "num_fixed_layers": {"choice": [0]},
            "items_lr": {"logUniform": {"low": 1e-4, "high": 1e-2}},
            **CLICKS_ALONE,
        }
        spec["initialMaxEvals"] = TRIALS

    shop.change(edit)
    return shop


@pytest.fixture(scope="module")
def base(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_encoder(tmp_path_factory.mktemp("base") / "tiny", minilm, layers=1)


@pytest.fixture(scope="module")
def alone(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """What one process comes to."""
    shop = prepared(tmp_path_factory.mktemp("alone") / "shop", base)
    done = shop.run()
    assert done.returncode == 0, done.stderr
    return shop


def begin(shop: Shop, output: Path) -> subprocess.Popen[bytes]:
    with output.open("wb") as file:
        return subprocess.Popen(
            [*shop.run_command(), "--workers", "2"],
            stdout=file,
            stderr=subprocess.STDOUT,
            env=shop.environment(BLUETUNE_CHECKPOINT_SECONDS="0"),
        )


def digest(shop: Shop) -> str:
    return str(Result.model_validate_json((run_folder(shop) / "result.json").read_bytes()).digest)


def trials(shop: Shop) -> list[Any]:
    return [essence(run_folder(shop) / "trials" / f"{number}.json") for number in range(TRIALS)]


def descendants(pid: int) -> dict[int, str]:
    """Command lines of the processes that this one started, by their ids."""
    found: dict[int, str] = {}
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            found[int(child)] = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            found |= descendants(int(child))
    return found


def test_two_workers_come_to_the_trials_and_the_digest_of_one_process(alone: Shop, base: Path, tmp_path: Path) -> None:
    shop = prepared(tmp_path / "shop", base)
    process = begin(shop, tmp_path / "out.txt")
    assert process.wait(600) == 0, (tmp_path / "out.txt").read_text()
    assert "workers: 2, each with 1 thread" in (tmp_path / "out.txt").read_text()
    assert trials(shop) == trials(alone)
    assert digest(shop) == digest(alone)


def test_a_worker_that_is_killed_in_a_trial_changes_nothing(alone: Shop, base: Path, tmp_path: Path) -> None:
    shop = prepared(tmp_path / "shop", base)
    process = begin(shop, tmp_path / "out.txt")
    killed = None
    deadline = time.monotonic() + 500
    while killed is None and process.poll() is None and time.monotonic() < deadline:
        busy = [pid for pid, line in descendants(process.pid).items() if line.startswith("ray::TrialWorker.run")]
        if busy and list(shop.folder.glob("runs/first-*/checkpoints/*")):
            killed = busy[0]
            os.kill(killed, signal.SIGKILL)
        time.sleep(0.05)
    assert process.wait(600) == 0, (tmp_path / "out.txt").read_text()
    assert killed is not None
    assert "a worker is lost" in (tmp_path / "out.txt").read_text()
    assert trials(shop) == trials(alone)
    assert digest(shop) == digest(alone)
