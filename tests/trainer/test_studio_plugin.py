"""A plugin as the reference document writes it, from `bluetune-trainer run -f` to a published version."""

import os
from pathlib import Path

import pytest

from bluetune_api.records import Manifest, Result, Trial
from trainer.learning_world import write_tiny_encoder
from trainer.shop import Shop, write_shop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PLUGIN = Path(__file__).parents[2] / "examples" / "plugin-embedding-studio"


@pytest.fixture
def studio(tmp_path: Path, minilm: Path) -> Shop:
    """A shop whose method names the plugin, and says nothing else of the training."""
    shop = write_shop(tmp_path, write_tiny_encoder(tmp_path / "base", minilm, layers=2), sessions=120)

    def plugged(documents: dict[str, dict]) -> None:
        documents["FineTuningMethod"]["spec"] = {
            "plugin": "studio_plugin:StudioFineTuningMethod",
            "items": {"textFields": ["title"]},
        }

        documents["EmbeddingModel"]["spec"]["base"]["uri"] = "plugin://initial"

    shop.change(plugged)
    return shop


def _environment(shop: Shop, *folders: Path) -> dict[str, str]:
    path = os.pathsep.join([*map(str, folders), str(PLUGIN), os.environ.get("PYTHONPATH", "")])
    return {"STUDIO_MODEL": str(shop.base), "PYTHONPATH": path}


def test_the_documents_plugin_publishes_a_better_version(studio: Shop) -> None:
    done = studio.run(**_environment(studio))
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    (path,) = studio.folder.glob("runs/first-*/result.json")
    result = Result.model_validate_json(path.read_bytes())
    manifest = Manifest.model_validate_json(
        (studio.folder / "versions" / result.version / "manifest.json").read_bytes()
    )
    assert result.gate is not None
    assert result.gate.candidate["ndcg@10"] > result.gate.baseline["ndcg@10"]
    trials = [Trial.model_validate_json(p.read_bytes()) for p in sorted(path.parent.glob("trials/*.json"))]
    assert len(trials) == 2
    for trial in trials:
        assert set(trial.params) == {
            *("num_fixed_layers", "query_lr", "items_lr", "query_weight_decay", "items_weight_decay", "margin"),
            *("not_irrelevant_only", "negative_downsampling", "examples_order"),
            *("phrases_per_session", "interpolation", "unclicked_weight"),
        }
        assert trial.params["examples_order"] == [11]
        assert (trial.params["phrases_per_session"], trial.params["interpolation"]) == (0.0, 1.0)
        assert trial.params["margin"] in (0.2, 0.5)
        followed = {"train_loss", "mean_train_loss", "sliding_train_loss", "min_train_loss", "max_train_loss"}
        assert followed | {"test_loss", "max_test_not_irrelevant_dist_shift"} <= set(trial.metrics)
    best = next(trial for trial in trials if trial.trial == result.best.trial)
    assert {0.5, 1.0} <= {point.epoch for point in best.history}, "validation every half epoch"
    assert manifest.params == best.params
    assert manifest.base_uri == "plugin://initial"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (
            "def __init__(self):\n        open('vocabulary.txt')",
            "No such file or directory: 'vocabulary.txt' (in __init__,",
        ),
        (
            "def get_fine_tuning_builder(self, clickstream):\n        return 5",
            "get_fine_tuning_builder must return a FineTuningBuilder, it returned int (in get_fine_tuning_builder,",
        ),
        (
            "def get_fine_tuning_builder(self, clickstream):\n        clickstream[10**9]",
            "raised IndexError: range object index out of range (in get_fine_tuning_builder,",
        ),
    ],
)
def test_a_plugin_that_fails_ends_with_exit_code_12_its_words_and_its_line(
    studio: Shop, tmp_path: Path, body: str, says: str
) -> None:
    (tmp_path / "mine.py").write_text(
        f"from studio_plugin import StudioFineTuningMethod\nclass Mine(StudioFineTuningMethod):\n    {body}\n"
    )
    studio.change(lambda documents: documents["FineTuningMethod"]["spec"].update(plugin="mine:Mine"))
    done = studio.run(**_environment(studio, tmp_path))
    assert done.returncode == 12, done.stderr
    message = studio.termination()["message"]
    assert says in message
    assert f"{tmp_path / 'mine.py'}:" in message
    assert "Traceback" not in done.stderr
    assert not list(studio.folder.glob("versions/*/manifest.json"))
