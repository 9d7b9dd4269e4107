"""`bluetune` as a library: cheap to import, and refusals that say what to do."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import bluetune
from bluetune import FineTuneError, fine_tune


def test_importing_it_brings_no_torch_and_no_kubernetes() -> None:
    heavy = {"torch", "transformers", "bluetune_trainer", "kubernetes", "rich", "typer", "pyarrow"}
    code = f"import bluetune, sys; bluetune.fine_tune; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_each_name_is_there_and_no_other() -> None:
    assert [name for name in bluetune.__all__ if not hasattr(bluetune, name)] == []
    with pytest.raises(AttributeError, match="no attribute 'finetune'"):
        _ = bluetune.finetune


def test_without_the_trainers_libraries_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(
        FineTuneError, match=r"^TrainerMissing: fine_tune needs torch: pip install 'bluetune\[trainer\]'$"
    ):
        fine_tune("m", sessions="s", items="i", out="o")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"base": "./nowhere"}, "PlanInvalid: base: there is no folder './nowhere'"),
        ({"base": "s3://b/m"}, "PlanInvalid: base: s3://b/m is in a store"),
        ({"method": {"setings": {}}}, "PlanInvalid: FineTuningMethod: spec.setings: there is no such field"),
        ({"method": {"items": {"path": "x/"}}}, "PlanInvalid: method.items.path: 'x/' is not used"),
        ({"method": {"clickstream": {}}, "clickstream": {}}, "PlanInvalid: clickstream: it is given twice"),
        ({"clickstream": {"format": "Events"}}, "PlanInvalid: FineTuningMethod: spec.clickstream"),
        ({"gate": {"confidence": 7}}, "PlanInvalid: EmbeddingModel: spec.serving.gate.confidence"),
        ({"sessions": 7}, "PlanInvalid: sessions: a table is expected, this is builtins's int"),
        ({"out": "."}, "PlanInvalid: out: "),
    ],
)
def test_an_argument_that_cannot_be_used_is_named(
    changed: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FineTuneError) as raised:
        fine_tune(**({"base": "m", "sessions": "s", "items": "i", "out": "o"} | changed))
    assert str(raised.value).startswith(said)
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
