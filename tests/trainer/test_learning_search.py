"""The search from end to end on a small random encoder: resume, failures, halving, the gate."""

import json
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from bluetune_api.method import SearchDimension, Settings
from bluetune_api.model import Gate
from bluetune_api.records import MethodPlan, Progress
from bluetune_trainer.data.types import Sessions
from bluetune_trainer.errors import DataInvalid, PlanInvalid, Stopped
from bluetune_trainer.search.contract import SearchOutcome
from bluetune_trainer.search.gate import measure_gate
from bluetune_trainer.search.judged import Judgment
from bluetune_trainer.search.run import run_search
from bluetune_trainer.search.version import Version
from bluetune_trainer.training.encoder import Encoder
from bluetune_trainer.training.params import resolve_settings
from bluetune_trainer.training.parts import choose_parts
from trainer.learning_world import FolderTrials, world, write_tiny_encoder

pytestmark = pytest.mark.slow
TRIALS = 4


@pytest.fixture(scope="module")
def tiny(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_encoder(tmp_path_factory.mktemp("tiny"), minilm)


def method(trials: int = TRIALS, rates: list[float] | None = None, **settings: object) -> MethodPlan:
    fixed = {"precision": "FP32", "batch_size": 20, "num_epochs": 3, **settings}
    return MethodPlan(
        settings=Settings.model_validate(fixed),
        initial_params={
            "num_fixed_layers": SearchDimension(choice=[1, 2]),
            "items_lr": SearchDimension(choice=rates or [1e-4, 1e-3, 3e-3]),
            "temperature": SearchDimension(choice=[0.05, 0.1]),
            # a model of random weights has to learn all from the clicks
            "interpolation": SearchDimension(choice=[1.0]),
            "phrases_per_session": SearchDimension(choice=[0.0]),
            "unclicked_weight": SearchDimension(choice=[1.0]),
        },
        initial_max_evals=trials,
    )


def search(
    tiny: Path, folder: Path, plan: MethodPlan, stop: Event | None = None, stop_at: int | None = None
) -> SearchOutcome:
    """Run, or go on with, the search kept in `folder`; stop it when `stop_at` trials are done and one more began."""
    catalogue, split = world()
    stop = stop or Event()

    def progress(told: Progress) -> None:
        (folder / "progress.json").write_text(json.dumps(told.wire()))
        if stop_at is not None and told.trials_done >= stop_at and told.trial is not None:
            stop.set()

    (folder / "trials").mkdir(parents=True, exist_ok=True)
    return run_search(
        tiny, catalogue, split, plan, FolderTrials(folder / "trials"), progress, stop, folder / f"work-{stop_at}"
    )


@pytest.fixture(scope="module")
def undisturbed(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> SearchOutcome:
    return search(tiny, tmp_path_factory.mktemp("undisturbed"), method())


def test_a_search_finds_something_better_than_the_start_version(undisturbed: SearchOutcome) -> None:
    assert [t.trial for t in undisturbed.trials] == list(range(TRIALS))
    assert undisturbed.best.quality == max(t.quality or 0 for t in undisturbed.trials)
    assert undisturbed.best.metrics["ndcg@10"] > undisturbed.baseline["ndcg@10"] + 0.1
    assert undisturbed.dimension == 32
    assert Encoder.load(undisturbed.model_folder).encode(["a"]).shape == (1, 32)


def test_only_the_best_validation_is_published_and_no_pickle_is_left(undisturbed: SearchOutcome) -> None:
    files = [p for p in undisturbed.model_folder.parent.rglob("*") if p.is_file()]
    assert not [p for p in files if p.suffix in (".ckpt", ".pt", ".pth", ".pkl")]


@pytest.mark.parametrize("stop_at", [0, 2])
def test_a_search_that_was_stopped_goes_on_without_repeating_a_trial_and_ends_the_same(
    tiny: Path, tmp_path: Path, undisturbed: SearchOutcome, stop_at: int
) -> None:
    with pytest.raises(Stopped):
        search(tiny, tmp_path, method(), stop_at=stop_at)
    resumed = search(tiny, tmp_path, method())

    def essence(outcome: SearchOutcome) -> list[tuple[object, ...]]:
        return [(t.trial, t.status, t.params, t.quality, t.rungs, t.pruned) for t in outcome.trials]

    assert essence(resumed) == essence(undisturbed)
    weights = "model.safetensors"
    assert (resumed.model_folder / weights).read_bytes() == (undisturbed.model_folder / weights).read_bytes()


def test_a_finished_search_only_fetches_its_model(tiny: Path, tmp_path: Path) -> None:
    first = search(tiny, tmp_path, method(trials=1))
    again = search(tiny, tmp_path, method(trials=1), stop_at=-1)
    assert again.trials == first.trials
    assert (again.model_folder / "model.safetensors").is_file()


def test_failed_trials_have_no_quality_and_do_not_end_the_search(tiny: Path, tmp_path: Path) -> None:
    outcome = search(tiny, tmp_path, method(trials=6, rates=[1e-3, 1.0], num_epochs=2, gamma=1.0))
    failed = [t for t in outcome.trials if t.status == "fail"]
    assert all(t.quality is None and t.message for t in failed)
    assert outcome.best.status == "ok"


def test_halving_stops_the_worst_trials_early(tiny: Path, tmp_path: Path) -> None:
    outcome = search(tiny, tmp_path, method(trials=6, rates=[1e-6, 3e-3], num_epochs=4))
    pruned = [t for t in outcome.trials if t.pruned]
    assert pruned
    assert all(t.epochs < 4 and t.status == "ok" and t.quality is not None for t in pruned)
    assert not outcome.best.pruned
    progress = json.loads((tmp_path / "progress.json").read_text())
    assert (progress["percent"], progress["trialsDone"]) == (100, 6)


def test_parameters_that_freeze_everything_are_refused(tiny: Path, tmp_path: Path) -> None:
    plan = method().model_copy(update={"initial_params": {"num_fixed_layers": SearchDimension(choice=[3])}})
    with pytest.raises(PlanInvalid, match="num_fixed_layers"):
        search(tiny, tmp_path, plan)


def test_sessions_without_a_click_are_nothing_to_learn_from(tiny: Path, tmp_path: Path) -> None:
    catalogue, split = world()
    split.train.clicked[:] = False
    with pytest.raises(DataInvalid, match="training"):
        run_search(tiny, catalogue, split, method(), FolderTrials(tmp_path), lambda p: None, Event(), tmp_path)


def version(folder: Path) -> Version:
    settings = method().settings
    return Version(folder, resolve_settings(settings), choose_parts(settings))


def test_the_gate_measures_the_candidate_on_queries_that_no_trial_saw(tiny: Path, undisturbed: SearchOutcome) -> None:
    catalogue, split = world()
    before, after = version(tiny), version(undisturbed.model_folder)
    measured = measure_gate(before, after, catalogue, split.gate, Gate(), against="v000000000000")
    assert measured is not None
    report, seen = measured.report, measured.evidence
    assert report.source == "Clicks"
    assert report.sessions == 60
    assert report.low is not None
    assert report.high is not None
    assert report.low < report.delta < report.high
    assert report.delta > 0
    assert report.delta == pytest.approx(report.candidate["ndcg@10"] - report.baseline["ndcg@10"])
    same = measure_gate(before, version(tiny), catalogue, split.gate, Gate(), against="v000000000000")
    assert same is not None
    assert (same.report.delta, same.report.low, same.report.high) == (0, 0, 0)
    assert seen.queries == list(dict.fromkeys(split.gate.queries))
    for name, ranking in (("baseline", seen.before), ("candidate", seen.after)):
        assert ranking.metrics["ndcg@10"].mean() == pytest.approx(getattr(report, name)["ndcg@10"])
    first = seen.queries.index(split.gate.queries[0])
    asked = [i for i, query in enumerate(split.gate.queries) if query == seen.queries[first]]
    clicked = {item for i in asked for item in _clicked_items(split.gate, i)}
    assert [item in clicked for item in seen.after.items[first]] == seen.after.relevant[first].tolist()
    encoder = Encoder.load(undisturbed.model_folder)
    shown = np.unique(split.gate.items)
    scores = encoder.encode([catalogue.texts[i] for i in shown]) @ encoder.encode([seen.queries[first]], "query")[0]
    best = [catalogue.texts[i] for i in seen.after.items[first]]
    assert best == [catalogue.texts[shown[i]] for i in np.argsort(-scores)[:10]]


def _clicked_items(sessions: Sessions, i: int) -> list[int]:
    span = slice(sessions.offsets[i], sessions.offsets[i + 1])
    return sessions.items[span][sessions.clicked[span]].tolist()


def test_the_gate_ranks_the_whole_catalogue_against_judgments(tiny: Path) -> None:
    catalogue, split = world()
    judgments = [Judgment("find dax", 3, 2.0), Judgment("find dax", 5, 1.0), Judgment("want mog", 7, 1.0)]
    measured = measure_gate(
        version(tiny), version(tiny), catalogue, split.gate, Gate(), against="v000000000000", judgments=judgments
    )
    report = measured.report
    assert (report.source, report.sessions) == ("Judgments", 2)
    encoder = Encoder.load(tiny)
    scores = encoder.encode(["find dax", "want mog"], "query") @ encoder.encode(catalogue.texts).T
    places = [np.argsort(-row, kind="stable")[:10].tolist() for row in scores]

    def gain(place: list[int], grades: dict[int, float]) -> float:
        found = sum(g / np.log2(place.index(i) + 2) for i, g in grades.items() if i in place)
        ideal = sum(g / np.log2(n + 2) for n, g in enumerate(sorted(grades.values(), reverse=True)))
        return float(found / ideal)

    assert measured.evidence.before.items.tolist() == places
    assert measured.evidence.before.relevant.tolist() == [
        [i in grades for i in place] for place, grades in zip(places, ({3, 5}, {7}), strict=True)
    ]
    expected = (gain(places[0], {3: 2.0, 5: 1.0}) + gain(places[1], {7: 1.0})) / 2
    assert report.baseline["ndcg@10"] == pytest.approx(expected, abs=1e-6)
