"""A run of two processes: it comes to its end, goes on where it was, and ends within seconds when one is lost."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bluetune_api.records import Result
from trainer.learning_world import write_tiny_encoder
from trainer.shop import Shop
from trainer.small_run import small_shop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

SECONDS = 400
PLUGIN = """
import multiprocessing
from bluetune_trainer.plugin.method import TextFineTuningMethod

class Plugin(TextFineTuningMethod):
    def item_variants(self, item):
        if multiprocessing.parent_process() is not None:
            raise ValueError("not in this process")
        return [item]
"""


def shop_of_two(root: Path, base: Path, **spec: Any) -> Shop:
    root.mkdir()
    shop = small_shop(root, base)

    def edit(documents: dict[str, dict[str, Any]]) -> None:
        method = documents["FineTuningMethod"]["spec"]
        method["settings"].update(devices=2, numEpochs=4, testEachNInputs=0.5)
        method.update(spec)

    shop.change(edit)
    return shop


def result(shop: Shop) -> Result:
    (path,) = shop.folder.glob("runs/first-*/result.json")
    return Result.model_validate_json(path.read_bytes())


def interrupted(shop: Shop, interrupt: Callable[[subprocess.Popen[str]], None]) -> tuple[int, str]:
    """Run it until a trial has a checkpoint, interrupt it, and see how it ends."""
    environment = shop.environment(BLUETUNE_CHECKPOINT_SECONDS="0")
    for path in shop.folder.glob("runs/first-*/checkpoints/*"):
        path.unlink()
    with subprocess.Popen(shop.run_command(), stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            deadline = time.monotonic() + SECONDS
            while not list(shop.folder.glob("runs/first-*/checkpoints/*")):
                assert process.poll() is None, process.stderr and process.stderr.read()
                assert time.monotonic() < deadline, "no checkpoint"
                time.sleep(0.02)
            others = companions(process.pid)
            interrupt(process)
            code = process.wait(SECONDS)
            assert process.stderr is not None
            stderr = process.stderr.read()
        finally:
            process.kill()
    assert len(others) == 1
    assert not [pid for pid in others if Path(f"/proc/{pid}").exists()]
    return code, stderr


def companions(pid: int) -> list[int]:
    """Processes beside a run's first one."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and b"spawn_main" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:  # it ended meanwhile
            continue
    return found


def test_a_run_of_two_processes_ends_as_one_that_lost_one_and_was_stopped(tmp_path: Path, minilm: Path) -> None:
    base = write_tiny_encoder(tmp_path / "tiny", minilm, layers=1)
    whole, broken = shop_of_two(tmp_path / "whole", base), shop_of_two(tmp_path / "broken", base)
    done = whole.run()
    assert done.returncode == 0, done.stderr

    def kill_companion(process: subprocess.Popen[str]) -> None:
        for pid in companions(process.pid):
            os.kill(pid, signal.SIGKILL)

    code, stderr = interrupted(broken, kill_companion)
    assert (code, broken.termination()["reason"]) == (1, "ProcessLost"), stderr
    assert "process 2 of 2 (settings.devices) was killed" in broken.termination()["message"]
    code, stderr = interrupted(broken, lambda process: process.send_signal(signal.SIGTERM))
    assert (code, broken.termination()["reason"]) == (75, "Stopped"), stderr
    done = broken.run()
    assert done.returncode == 0, done.stderr
    assert result(broken).digest == result(whole).digest


def test_a_plugin_that_raises_in_another_process_is_to_blame(
    tmp_path: Path, minilm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = write_tiny_encoder(tmp_path / "tiny", minilm, layers=1)
    (tmp_path / "uneven_plugin.py").write_text(PLUGIN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    shop = shop_of_two(tmp_path / "shop", base, plugin="uneven_plugin:Plugin")
    done = shop.run()
    assert (done.returncode, shop.termination()["reason"]) == (12, "PluginFailed"), done.stderr
    assert "raised ValueError: not in this process (in item_variants, " in shop.termination()["message"]
    assert not list(shop.folder.glob("runs/first-*/result.json"))
