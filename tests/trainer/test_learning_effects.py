"""What parameters and settings do to the numbers that a step sees and gives, seen by a loss that writes them down."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch
from torch import Tensor

from bluetune_api.method import Settings
from bluetune_trainer.data.types import Sessions, Split
from bluetune_trainer.plugin import TextFineTuningMethod
from bluetune_trainer.ranking import registry
from bluetune_trainer.ranking.confidences import calculate_confidences
from bluetune_trainer.ranking.features import ExamplesType, RankingFeatures
from bluetune_trainer.ranking.losses import RankingLossInterface
from bluetune_trainer.training.params import TrialParams, resolve_settings
from bluetune_trainer.training.parts import choose_parts
from bluetune_trainer.training.task import TrainingTask, prepare
from bluetune_trainer.training.trial import TrialRun, run_trial, trial_steps
from trainer import ranking_references as by_the_book
from trainer.learning_world import world, write_tiny_encoder
from trainer.ranking_references import Result, Rules
from trainer.ranking_references import Session as Shown

pytestmark = pytest.mark.slow
SILENT = 4
"""Every fourth session has no click."""
STEPS = 6
"""Two epochs of 60 sessions, a quarter of them silent, by 16."""


class Witness(RankingLossInterface):
    """A loss that notes what it was given in training, and what it said."""

    def __init__(self, inner: RankingLossInterface) -> None:
        super().__init__()
        self.inner = inner
        self.seen: list[tuple[RankingFeatures, float]] = []

    def set_margin(self, margin: float) -> None:
        self.inner.set_margin(margin)

    def set_temperature(self, temperature: float) -> None:
        self.inner.set_temperature(temperature)

    def forward(self, features: RankingFeatures) -> Tensor:
        value: Tensor = self.inner(features)
        if features.ranks.requires_grad:
            kept = replace(features, ranks=features.ranks.detach(), truncated=None)
            self.seen.append((kept, float(value.detach())))
        return value


class Watched(TextFineTuningMethod):
    """Puts the witness before the loss that the settings name."""

    def __init__(self) -> None:
        self.witness: Witness

    def loss(self, settings: Settings) -> RankingLossInterface:
        self.witness = Witness(registry.loss(settings.loss or "ListwiseSoftmaxLoss"))
        return self.witness


@dataclass
class Watch:
    """A trial, and what its loss saw."""

    task: TrainingTask
    run: TrialRun
    seen: list[tuple[RankingFeatures, float]]

    @property
    def steps(self) -> list[RankingFeatures]:
        return [features for features, _ in self.seen]


Trial = Callable[..., Watch]


@pytest.fixture(scope="module")
def tiny(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_encoder(tmp_path_factory.mktemp("tiny"), minilm)


def silenced(sessions: Sessions) -> Sessions:
    silent = np.repeat(np.arange(len(sessions)) % SILENT == 0, np.diff(sessions.offsets))
    return replace(sessions, clicked=sessions.clicked & ~silent)


@pytest.fixture
def trial(tiny: Path, tmp_path: Path) -> Trial:
    def run(settings: dict[str, object] | None = None, **params: object) -> Watch:
        catalogue, split = world(sessions=60)
        split = Split(silenced(split.train), split.validation, split.gate)
        chosen = Settings(
            **{
                "precision": "FP32",
                "batch_size": 16,
                "num_epochs": 2,
                "early_stopping": {"patience": 99},
                **(settings or {}),
            }
        )  # type: ignore[arg-type]
        plugin = Watched()
        task = prepare(
            tiny, catalogue, split, resolve_settings(chosen), choose_parts(chosen, plugin), tmp_path, lambda: None
        )
        values = {"num_fixed_layers": 1, "items_lr": 1e-3, "max_abs_difference_threshold": 3.0, **params}
        result = run_trial(
            task,
            TrialParams(**values),  # type: ignore[arg-type]
            number=0,
            plan=trial_steps(task),
            on_step=lambda share, epoch, spent: None,
            stop=Event(),
        )
        return Watch(task, result, plugin.witness.seen)

    return run


def sessions_of(features: RankingFeatures) -> list[Shown]:
    """As plain Python sees them."""
    sessions = []
    assert features.batch_ranks is not None
    assert features.batch_allowed is not None
    for s in range(len(features.ranks)):
        results = [
            Result(
                float(features.ranks[s, r]),
                bool(features.clicked[s, r]),
                float(features.confidences[s, r]),
                float(features.click_weights[s, r]),
                -1 if features.shown_rank is None else int(features.shown_rank[s, r]),
            )
            for r in range(features.ranks.shape[1])
            if features.valid[s, r]
        ]
        sessions.append(Shown(results, features.batch_ranks[s][features.batch_allowed[s]].tolist()))
    return sessions


def rules_of(features: RankingFeatures) -> Rules:
    return Rules(
        features.is_similarity,
        -1.0 if features.min_abs_difference is None else features.min_abs_difference,
        math.inf if features.max_abs_difference is None else features.max_abs_difference,
        features.shown_rank is not None,
    )


@pytest.mark.parametrize("margin", [0.1, 0.5])
@pytest.mark.parametrize("ranker", ["COSINE_SIMILARITY", "COSINE_DISTANCE", "EUCLIDEAN_DISTANCE"])
def test_the_trials_margin_and_the_runs_ranker_are_those_of_the_formula(
    trial: Trial, margin: float, ranker: str
) -> None:
    for loss, scale, shift in (("ProbMarginRankingLoss", 1, 0), ("CosineProbMarginRankingLoss", 12, 3)):
        watch = trial({"loss": loss, "ranker": ranker, "num_epochs": 1}, margin=margin)
        for features, value in watch.seen:
            assert features.is_similarity == (ranker == "COSINE_SIMILARITY")
            expected = by_the_book.margin_loss(
                sessions_of(features), rules_of(features), margin, scale=scale, shift=shift
            )
            assert value == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_the_trials_temperature_is_that_of_the_formula(trial: Trial, temperature: float) -> None:
    for loss, reference in (("ListwiseSoftmaxLoss", by_the_book.listwise_loss), ("InfoNCELoss", by_the_book.info_nce)):
        watch = trial({"loss": loss, "num_epochs": 1}, temperature=temperature)
        for features, value in watch.seen:
            assert value == pytest.approx(reference(sessions_of(features), rules_of(features), temperature), rel=1e-4)


def test_another_loss_trains_other_weights(trial: Trial) -> None:
    runs = [trial({"loss": name, "num_epochs": 1}).run for name in sorted(registry.LOSSES) if name != "InfoNCELoss"]
    first = [next(iter(run.model_state.values())) for run in runs]
    assert all(not torch.equal(first[a], first[b]) for a in range(len(first)) for b in range(a))


def test_distances_rank_the_same_results_the_other_way_round(trial: Trial) -> None:
    cosine = trial({"num_epochs": 1})
    for ranker, of in (
        ("COSINE_DISTANCE", lambda c: 1 - c),
        ("EUCLIDEAN_DISTANCE", lambda c: (2 - 2 * c).clamp(0).sqrt()),
    ):
        distance = trial({"ranker": ranker, "num_epochs": 1})
        assert torch.allclose(distance.steps[0].ranks, of(cosine.steps[0].ranks), atol=1e-4)
        assert distance.steps[0].direction == -cosine.steps[0].direction
        for name in ("ndcg@10", "mrr@10"):
            assert distance.task.baseline[name] == pytest.approx(cosine.task.baseline[name])


@pytest.mark.parametrize("ranker", ["COSINE_DISTANCE", "EUCLIDEAN_DISTANCE"])
@pytest.mark.parametrize("loss", ["ListwiseSoftmaxLoss", "InfoNCELoss", "CosineProbMarginRankingLoss"])
def test_every_loss_learns_from_distances(trial: Trial, ranker: str, loss: str) -> None:
    watch = trial({"ranker": ranker, "loss": loss, "num_epochs": 10}, items_lr=3e-3, temperature=0.1)
    assert watch.run.metrics["ndcg@10"] > watch.task.baseline["ndcg@10"] + 0.08


def test_the_thresholds_drop_exactly_the_pairs_outside(trial: Trial) -> None:
    low, high = 0.02, 0.08
    watch = trial(min_abs_difference_threshold=low, max_abs_difference_threshold=high)
    every = trial()
    kept = dropped = 0
    for features in watch.steps:
        fed = set(zip(*(part.tolist() for part in features.pair_index()), strict=True))
        for s, p in features.positives.nonzero().tolist():
            for n in features.negatives[s].nonzero().flatten().tolist():
                inside = low < abs(float(features.ranks[s, p] - features.ranks[s, n])) < high
                assert ((s, p, n) in fed) == inside
                kept, dropped = kept + inside, dropped + (not inside)
    assert min(kept, dropped) > 50
    assert sum(len(f.pair_index()[0]) for f in every.steps) == kept + dropped


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ((11,), [11] * STEPS),
        ((1, 2, 3), [1, 1, 2, 2, 3, 3]),
        ((10, 11), [10] * 3 + [11] * 3),
        ((1, 4, 7, 11), [1, 1, 4, 7, 7, 11]),
    ],
)
def test_each_kind_of_examples_is_fed_for_an_equal_part_of_the_steps(
    trial: Trial, order: tuple[int, ...], expected: list[int]
) -> None:
    watch = trial(examples_order=order, min_abs_difference_threshold=0.02, max_abs_difference_threshold=0.08)
    assert [int(features.examples) for features in watch.steps] == expected
    fed = 0
    for features in watch.steps:
        s, p, n = features.pair_index()
        gaps = (features.ranks[s, p] - features.ranks[s, n]).abs()
        fed += len(gaps)
        if not len(gaps):
            continue
        if features.examples in (ExamplesType.medium_all, ExamplesType.all_examples, ExamplesType.negative_only):
            assert float(gaps.min()) > 0.02
            assert float(gaps.max()) < 0.08
        elif features.examples == ExamplesType.hard_all:
            assert float(gaps.min()) >= 0.08
        elif features.examples == ExamplesType.soft_all:
            assert float(gaps.max()) <= 0.02
    assert fed > 20


def unclicked(watch: Watch) -> int:
    return sum(int(features.negatives.sum()) for features in watch.steps)


def test_sessions_without_a_click_lend_their_results_only_if_asked_to(trial: Trial) -> None:
    alone, lent = trial(), trial(not_irrelevant_only=False)
    train = alone.task.train
    own = int((~train.clicked[np.repeat(train.with_click(), np.diff(train.offsets))]).sum())
    silent = int(np.diff(train.offsets)[~train.with_click()].sum())
    assert unclicked(alone) == 2 * own
    # A few were shown to, or clicked for the query of, the partner already, and are left out.
    assert 2 * own + 2 * 0.8 * silent < unclicked(lent) <= 2 * own + 2 * silent
    assert sum(int(f.positives.sum()) for f in alone.steps) == sum(int(f.positives.sum()) for f in lent.steps)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_down_sampling_leaves_its_share_of_each_sessions_unclicked_results(trial: Trial, share: float) -> None:
    watch = trial(negative_downsampling=share)
    train = watch.task.train
    counts = [int((~train.clicked[train.span(i)]).sum()) for i in range(len(train)) if train.with_click()[i]]
    expected = sum(max(1, round(share * count)) if count else 0 for count in counts)
    assert unclicked(watch) == 2 * expected
    assert all(bool(features.negatives.any(1).all()) for features in watch.steps) == all(counts)


def test_confidences_are_those_of_the_start_versions_whole_lists(trial: Trial) -> None:
    plain, weighed = trial(), trial({"confidence_calculator": "calculate_confidences"})
    first = plain.steps[0]
    assert torch.equal(first.confidences, first.valid.float())
    # Nothing was trained before the first step, so its ranks are the start version's.
    seen = weighed.steps[0]
    whole = calculate_confidences(seen.ranks, seen.clicked, seen.valid)
    assert torch.allclose(seen.confidences, whole, atol=1e-4)
    assert weighed.seen[0][1] != pytest.approx(plain.seen[0][1], rel=1e-3)


def test_position_bias_is_off_unless_asked_for_and_its_corrections_reach_the_loss(trial: Trial) -> None:
    off = trial()
    assert off.steps[0].shown_rank is None
    assert off.steps[0].weights is None
    skipped = trial({"loss": "ProbMarginRankingLoss", "position_bias": "SkipAbove"}, margin=0.2)
    for features, value in skipped.seen:
        assert value == pytest.approx(
            by_the_book.margin_loss(sessions_of(features), Rules(high=3, skip_above=True), 0.2), rel=1e-4
        )
    assert sum(len(f.pair_index()[0]) for f in skipped.steps) < sum(len(f.pair_index()[0]) for f in off.steps)
    weighed = trial({"position_bias": "IPS", "propensity": {"eta": 1.0, "clip": 0.2}})
    weights = torch.cat([features.click_weights[features.positives] for features in weighed.steps])
    assert float(weights.mean()) == pytest.approx(1.0, rel=1e-4)
    assert float(weights.max() / weights.min()) == pytest.approx(5.0, rel=1e-4)
    for features, value in weighed.seen:
        assert value == pytest.approx(
            by_the_book.listwise_loss(sessions_of(features), rules_of(features), 0.05), rel=1e-4
        )


def test_a_result_shown_twice_keeps_its_best_place(tiny: Path, tmp_path: Path) -> None:
    catalogue, split = world(sessions=60)
    first = split.train.items[: split.train.offsets[1]]
    twice = Sessions(
        queries=["find zip"],
        items=np.concatenate([first[1:3], first[:1], first[1:3]]),
        clicked=np.array([False, True, False, True, False]),
        offsets=np.array([0, 5]),
        shown_rank=np.array([7, 2, 4, 3, 5], np.int32),
    )
    settings = Settings(precision="FP32")
    parts = choose_parts(settings)
    task = prepare(
        tiny,
        catalogue,
        Split(twice, split.validation, split.gate),
        resolve_settings(settings),
        parts,
        tmp_path,
        lambda: None,
    )
    assert task.train.shown_rank.tolist() == [3, 2, 4]
    assert task.train.clicked.tolist() == [True, True, False]


def test_shorter_lengths_are_part_of_the_loss_and_of_the_metrics(trial: Trial) -> None:
    watch = trial({"matryoshka_dims": [16, 8, 8]})
    assert {"ndcg@10_dim8", "ndcg@10_dim16"} <= watch.run.metrics.keys() & watch.task.baseline.keys()
    # Three looks at each batch: whole, 8 and 16 numbers.
    assert len(watch.seen) == 3 * STEPS
    assert len({round(value, 5) for _, value in watch.seen[:3]}) == 3
