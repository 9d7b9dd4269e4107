"""The same plan, data and seed give the same trials and the same version, in whichever process."""

import json
from pathlib import Path

import pytest

from bluetune_api.records import Result
from trainer.learning_world import write_tiny_encoder
from trainer.shop import write_shop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def outcome(root: Path, base: Path, hash_seed: str) -> tuple[list[dict], Result]:
    """Records of the trials, but for the time they took, and the result of a run in a process of its own."""
    root.mkdir()
    shop = write_shop(root, base, sessions=200)

    def edit(documents: dict[str, dict]) -> None:
        spec = documents["FineTuningMethod"]["spec"]
        # 64 sessions have over 300 texts of 128 numbers: enough for the backward of a gather to use both threads
        spec["settings"] = {
            **spec["settings"],
            "batchSize": 64,
            "numEpochs": 2,
            "hardNegatives": {"count": 2, "margin": 0.0},
            "lora": {"rank": 4},
        }
        spec["initialParams"] = {
            "num_fixed_layers": {"choice": [0, 1]},
            "items_lr": {"logUniform": {"low": 1e-3, "high": 1e-2}},
            "not_irrelevant_only": {"choice": [True, False]},
        }
        spec["initialMaxEvals"] = 3

    shop.change(edit)
    done = shop.run(PYTHONHASHSEED=hash_seed, OMP_NUM_THREADS="2")
    assert done.returncode == 0, done.stderr
    trials = [json.loads(path.read_text()) for path in sorted(shop.folder.glob("runs/first-*/trials/*.json"))]
    (path,) = shop.folder.glob("runs/first-*/result.json")
    return [{**trial, "seconds": 0} for trial in trials], Result.model_validate_json(path.read_bytes())


def test_two_processes_come_to_the_same_trials_and_the_same_digest(tmp_path: Path, minilm: Path) -> None:
    base = write_tiny_encoder(tmp_path / "base", minilm, layers=2, width=128)
    trials, result = outcome(tmp_path / "one", base, "1")
    again, second = outcome(tmp_path / "two", base, "2")
    assert len(trials) == 3
    assert again == trials
    assert second.digest == result.digest
