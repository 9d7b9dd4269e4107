"""`bluetune-trainer run -f` as a person runs it: a real encoder, a folder as the store, on this processor."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bluetune_api.records import Manifest, Result
from trainer.shop import Shop, write_shop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1100)]


def _result(shop: Shop) -> Result:
    (path,) = shop.folder.glob("runs/first-*/result.json")
    return Result.model_validate_json(path.read_bytes())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, minilm: Path) -> Iterator[tuple[Shop, str, str]]:
    """A shop whose run has ended, and what it said on standard output and standard error."""
    shop = write_shop(tmp_path_factory.mktemp("shop"), minilm)
    done = shop.run()
    assert done.returncode == 0, done.stderr
    yield shop, done.stdout, done.stderr
    shutil.rmtree(shop.folder)


def test_a_run_ends_with_a_better_model_and_says_so(finished: tuple[Shop, str, str]) -> None:
    shop, out, err = finished
    result = _result(shop)
    assert result.candidate["ndcg@10"] > result.baseline["ndcg@10"] + 0.05
    assert result.gate is not None
    assert result.gate.delta > 0.05
    assert result.gate.against == result.parent
    assert {"agreement", "forgetting"} <= {guard.name for guard in result.gate.guards}
    assert [guard for guard in result.gate.guards if guard.passed is False] == []
    assert result.metadata == {"why": "test"}
    assert result.report_url is not None
    report = Path(result.report_url).read_text(encoding="utf-8")
    assert f"{result.gate.candidate['ndcg@10']:.4f}" in report
    assert result.report_url in out
    said = ("before", "after", "GatePassed", "clicks, local judge")
    for part in (result.version, result.digest, *said, str(shop.folder / "versions")):
        assert part in out
    for part in ("importing", "Searching", "trials 1/2", "Publishing", "100%"):
        assert part in err
    assert "Traceback" not in err
    assert shop.termination()["reason"] == "Completed"


def test_the_version_opens_in_sentence_transformers_and_encodes_the_probe(finished: tuple[Shop, str, str]) -> None:
    from huggingface_hub import ModelCard
    from sentence_transformers import SentenceTransformer

    folder = finished[0].folder / "versions" / _result(finished[0]).version
    manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    vectors = SentenceTransformer(str(folder), device="cpu").encode(manifest.probe.texts)
    assert (vectors * np.array(manifest.probe.vectors)).sum(1).min() > 0.9999
    assert manifest.lineage_batches == ["monday"]
    assert "README.md" in [file.path for file in manifest.files]
    assert ModelCard.load(folder / "README.md").data.library_name == "sentence-transformers"
    assert manifest.metrics["ndcg@10"] == _result(finished[0]).candidate["ndcg@10"]
    assert not [file.path for file in manifest.files if file.path.endswith((".bin", ".pt", ".pkl"))]


def test_the_same_command_again_does_no_work(finished: tuple[Shop, str, str]) -> None:
    shop, out, _ = finished
    before = {path: path.stat().st_mtime_ns for path in shop.folder.glob("versions/**/*")}
    again = shop.run()
    assert (again.returncode, again.stdout) == (0, out)
    assert "this run is finished" in again.stderr
    assert {path: path.stat().st_mtime_ns for path in shop.folder.glob("versions/**/*")} == before


def test_stopped_by_sigterm_it_goes_on_and_ends_in_the_same_version(
    finished: tuple[Shop, str, str], shop: Shop
) -> None:
    process = subprocess.Popen(
        shop.run_command(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=shop.environment()
    )
    try:
        first = _wait_for(shop, "runs/first-*/trials/0.json", process)
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        asked = time.monotonic()
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 75, err
    assert time.monotonic() - asked < 20
    assert "stopping" in err
    assert "Traceback" not in err
    assert shop.termination()["reason"] == "Stopped"
    assert not list(shop.folder.glob("runs/first-*/result.json"))
    recorded = first.stat().st_mtime_ns
    done = shop.run()
    assert done.returncode == 0, done.stderr
    assert first.stat().st_mtime_ns == recorded
    assert "trials 0/2" not in done.stderr
    assert _result(shop).digest == _result(finished[0]).digest


def _wait_for(shop: Shop, pattern: str, process: subprocess.Popen[str]) -> Path:
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline:
        found = list(shop.folder.glob(pattern))
        if found:
            return found[0]
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError(f"no {pattern} after 150 s")


def test_a_loss_that_raises_ends_the_run_with_its_own_words(
    finished: tuple[Shop, str, str], shop: Shop, tmp_path: Path
) -> None:
    (tmp_path / "my_losses.py").write_text(
        "from bluetune_trainer.ranking.losses import ListwiseSoftmaxLoss\n"
        "class Mine(ListwiseSoftmaxLoss):\n"
        "    def forward(self, features):\n"
        "        raise RuntimeError('no luck today')\n"
    )
    shutil.copytree(finished[0].folder / "versions", shop.folder / "versions")
    for path in finished[0].folder.glob("runs/shop-*"):
        shutil.copytree(path, shop.folder / "runs" / path.name)
    shop.change(lambda documents: documents["FineTuningMethod"]["spec"]["settings"].update(loss="my_losses:Mine"))
    done = shop.run(PYTHONPATH=f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    assert done.returncode == 12, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert "raised RuntimeError: no luck today (in forward," in last
    assert "my_losses.py:4)" in last
    assert "Traceback" not in done.stderr
    assert json.dumps(shop.termination()).count("no luck today") == 1
