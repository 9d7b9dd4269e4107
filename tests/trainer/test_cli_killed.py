"""A run that is killed again and again ends as one that nobody touched."""

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from trainer.learning_world import write_tiny_encoder
from trainer.processes import run_cli
from trainer.shop import Shop, write_shop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
KILLS = 20


def prepared(root: Path, base: Path) -> Shop:
    root.mkdir()
    shop = write_shop(root, base)

    def edit(documents: dict[str, dict[str, Any]]) -> None:
        spec = documents["FineTuningMethod"]["spec"]
        spec["settings"].update(batchSize=24, testEachNInputs=0.5)
        spec["initialParams"] = {
            "num_fixed_layers": {"choice": [1]},
            "items_lr": {"logUniform": {"low": 1e-4, "high": 1e-2}},
        }
        spec["initialMaxEvals"] = 4

    shop.change(edit)
    return shop


def arguments(shop: Shop) -> list[str]:
    return ["run", "-f", str(shop.manifests), "--store", str(shop.folder)]


def run_folder(shop: Shop) -> Path:
    (found,) = shop.folder.glob("runs/first-*")
    return found


def essence(path: Path) -> Any:
    """A record without what depends on the clock and the folder."""
    text = re.sub(r'"(seconds|uri|reportUrl)": [^\n]*', "", path.read_text())
    return re.sub(r",?\s*\n", "\n", text)


def test_a_run_killed_at_twenty_random_writes_ends_as_one_that_was_not(
    tmp_path: Path, minilm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLUETUNE_CHECKPOINT_SECONDS", "0")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    base = write_tiny_encoder(tmp_path / "tiny", minilm)  # its path is part of the base version's manifest
    whole, killed = prepared(tmp_path / "whole", base), prepared(tmp_path / "killed", base)
    code, writes = run_cli(arguments(whole), tmp_path / "whole.txt")
    assert code == 0, (tmp_path / "whole.txt").read_text()
    rng = random.Random(11)
    finished: dict[str, int] = {}
    for number in range(KILLS):
        output = tmp_path / f"{number}.txt"
        code, _ = run_cli(arguments(killed), output, die_at=rng.randint(1, writes // 12))
        assert code == -9, output.read_text()
        for name, written in finished.items():
            assert (run_folder(killed) / "trials" / name).stat().st_mtime_ns == written
        for path in killed.folder.glob("runs/first-*/trials/*.json"):
            finished.setdefault(path.name, path.stat().st_mtime_ns)
    code, left = run_cli(arguments(killed), tmp_path / "last.txt")
    assert code == 0, (tmp_path / "last.txt").read_text()
    assert left < writes, "the last attempt did everything anew"
    one, other = run_folder(whole), run_folder(killed)
    names = sorted(path.name for path in one.glob("trials/*.json"))
    assert names == sorted(path.name for path in other.glob("trials/*.json")) == [f"{n}.json" for n in range(4)]
    for name in names:
        assert essence(one / "trials" / name) == essence(other / "trials" / name)
    assert essence(one / "result.json") == essence(other / "result.json")
    assert json.loads((one / "result.json").read_text())["digest"] in (other / "result.json").read_text()
    assert not list(other.glob("checkpoints/*"))
    assert not [path for path in killed.folder.rglob("*") if path.suffix in (".pt", ".ckpt", ".pkl", ".bin")]
