"""A run that learns from several batches at once, and from a part of those that its start version knows."""

import json
import shutil
from pathlib import Path

import pytest

from bluetune_api.records import CheckReport, Manifest
from trainer.learning_world import write_tiny_encoder
from trainer.shop import Shop
from trainer.small_run import run, small_shop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def split_into_batches(shop: Shop, *names: str) -> None:
    """Deal the sessions of the shop's one batch out."""
    (folder,) = (shop.folder / "clickstream").iterdir()
    lines = [line for path in folder.glob("*.jsonl") for line in path.read_text().splitlines(keepends=True)]
    shutil.rmtree(folder)
    for number, name in enumerate(names):
        batch = shop.folder / "clickstream" / name
        batch.mkdir(parents=True)
        (batch / "sessions.jsonl").write_text("".join(lines[number :: len(names)]))
        (batch / "_SUCCESS").write_text("")


def ask(shop: Shop, task: str, **spec: object) -> None:
    def edit(documents: dict[str, dict]) -> None:
        documents["FineTuningTask"]["metadata"]["name"] = task
        documents["FineTuningTask"]["spec"] = {"modelRef": documents["FineTuningTask"]["spec"]["modelRef"], **spec}

    shop.change(edit)


def only(shop: Shop, pattern: str) -> Path:
    (path,) = shop.folder.glob(pattern)
    return path


def test_new_batches_are_learned_once_and_old_ones_only_again_if_asked_for(
    tmp_path: Path, minilm: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = small_shop(tmp_path / "shop", write_tiny_encoder(tmp_path / "tiny", minilm, layers=1), sessions=180)
    split_into_batches(shop, "day1", "day2", "day3")
    ask(shop, "first", batches={"last": 2})
    ended = run(shop, monkeypatch, capsys)
    assert ended.code == 0, ended.stderr
    assert "batch day3 and 1 more: 120 sessions" in ended.stderr
    manifest = Manifest.model_validate_json((ended.folder / "manifest.json").read_bytes())
    assert manifest.lineage_batches == ["day2", "day3"]

    ask(shop, "second", batches={"last": 9, "replay": 0.5, "halfLife": "7d"}, startFrom=ended.result.version)
    again = run(shop, monkeypatch, capsys)
    assert again.code == 0, again.stderr
    assert "batch day1, 2 old ones again: 60 sessions" in again.stderr
    report = CheckReport.model_validate_json(only(shop, "runs/second-*/check.json").read_bytes())
    assert (report.sessions, len(report.replay or [])) == (60, 2)
    result = json.loads(only(shop, "runs/second-*/result.json").read_text())
    manifest = Manifest.model_validate_json(only(shop, f"versions/{result['version']}/manifest.json").read_bytes())
    assert manifest.lineage_batches == ["day2", "day3", "day1"]

    ask(shop, "third", batches={"since": "1d", "replay": 0.5}, startFrom=result["version"])
    nothing = run(shop, monkeypatch, capsys)
    assert (nothing.code, list(shop.folder.glob("runs/third-*"))) == (0, [])
