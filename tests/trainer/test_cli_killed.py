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
from trainer.small_run import small_shop

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


def test_a_run_killed_while_it_publishes_publishes_one_version(
    tmp_path: Path, minilm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    base = write_tiny_encoder(tmp_path / "tiny", minilm, layers=1)
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole, killed = (small_shop(tmp_path / name, base, sessions=60) for name in ("whole", "killed"))
    code, writes = run_cli(arguments(whole), tmp_path / "whole.txt", within="versions/")
    assert code == 0, (tmp_path / "whole.txt").read_text()
    each = writes // 2  # of the import's version and of the training's, the manifest last
    # The import dies in a file and before its manifest, the training after its first file, in another and before its
    # manifest, and then with a version and no result. Odd numbers die before their write.
    for number, at in enumerate((2, each - each % 2, each | 1, each + 1, 3, each - each % 2, each | 1)):
        code, _ = run_cli(arguments(killed), tmp_path / f"{number}.txt", die_at=at, within="versions/")
        assert code == -9, (tmp_path / f"{number}.txt").read_text()
        assert not list(killed.folder.glob("runs/first-*/result.json"))
    result = f"runs/{run_folder(killed).name}/result.json"
    code, _ = run_cli(arguments(killed), tmp_path / "result.txt", die_at=1, within=result)
    assert code == -9
    assert len(list(killed.folder.glob("versions/*/manifest.json"))) == 2
    assert not (killed.folder / result).exists()
    assert run_cli(arguments(killed), tmp_path / "last.txt")[0] == 0, (tmp_path / "last.txt").read_text()
    one, other = (sorted(shop.folder.glob("versions/*/**/*")) for shop in (whole, killed))
    assert [path.relative_to(whole.folder) for path in one if path.is_file()] == [
        path.relative_to(killed.folder) for path in other if path.is_file() and not path.name.startswith(".tmp-")
    ]
    assert essence(run_folder(whole) / "result.json") == essence(killed.folder / result)
