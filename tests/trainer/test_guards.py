"""A candidate that forgets words, or loses a guarded query, is refused by name; one that changes little is not."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bluetune_api.gate_verdict import gate_verdict
from bluetune_api.model import Gate, GuardedQuery
from bluetune_api.records import GateGuard, MethodPlan
from bluetune_trainer.data.types import Catalogue, Split
from bluetune_trainer.search.gate import Measured, measure_gate
from bluetune_trainer.search.guarding import guarded
from bluetune_trainer.search.judged import Judgment
from bluetune_trainer.search.version import Version
from bluetune_trainer.training.encoder import Encoder
from bluetune_trainer.training.params import resolve_settings
from bluetune_trainer.training.parts import choose_parts
from trainer.learning_world import CODES, TOPICS, world, write_tiny_encoder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def live(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_encoder(tmp_path_factory.mktemp("live"), minilm)


@pytest.fixture(scope="module")
def shop() -> tuple[Catalogue, Split]:
    """600 items, most of which no session shows."""
    catalogue, split = world(items=600)
    few = np.arange(14)
    return catalogue, Split(split.train.subset(few[:0]), split.validation.subset(few[:0]), split.gate.subset(few))


def shaken(live: Path, folder: Path) -> Path:
    """A candidate with slightly other weights."""
    encoder = Encoder.load(live)
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in encoder.parameters():
            weight.add_(torch.randn_like(weight) * 0.002)
    encoder.save(folder)
    return folder


def forgetful(live: Path, folder: Path) -> Path:
    """A candidate to which all words are the same but those of the topics and codes."""
    encoder = Encoder.load(live)
    (words,) = (w for name, w in encoder.named_parameters() if name.endswith("word_embeddings.weight"))
    known = {token for word in (*TOPICS, *CODES) for token in encoder.tokenizer(word)["input_ids"]}
    with torch.no_grad():
        others = [token for token in range(len(words)) if token not in known]
        words[others] = words[others[0]].clone()
    encoder.save(folder)
    return folder


def measured(
    live: Path,
    candidate: Path,
    shop: tuple[Catalogue, Split],
    gate: Gate,
    judgments: list[Judgment] | None = None,
) -> Measured:
    catalogue, split = shop
    plan = MethodPlan()
    settings, parts = resolve_settings(plan.settings), choose_parts(plan.settings)
    before, after = Version(live, settings, parts), Version(candidate, settings, parts)
    found = measure_gate(before, after, catalogue, split.gate, gate, against="v000000000000", judgments=judgments)
    assert found is not None
    return guarded(found, before, after, catalogue, split, gate)


def by_name(found: Measured) -> dict[str, GateGuard]:
    return {guard.name: guard for guard in found.report.guards}


def test_a_candidate_that_forgets_is_refused_by_name_however_large_its_gain(
    live: Path, tmp_path: Path, shop: tuple[Catalogue, Split]
) -> None:
    catalogue, split = shop
    unshown = sorted(set(range(600)) - set(split.gate.items.tolist()))[-50:]
    number = {i: catalogue.texts[i].split()[-1] for i in unshown}
    own = [GuardedQuery(query=number[i], expect=[catalogue.ids[i], "discontinued"]) for i in unshown]
    gate = Gate(guards=own)
    found = measured(live, forgetful(live, tmp_path), shop, gate)
    assert by_name(found)["forgetting"].passed is False
    lost = [guard for guard in found.report.guards if guard.kind == "Query" and guard.passed is False]
    assert lost
    assert "'discontinued' are no ids of the catalogue" in lost[0].detail
    better = found.report.model_copy(update={"queries": 20, "delta": 0.2, "own_delta": 0.2, "low": 0.1, "high": 0.3})
    verdict = gate_verdict(better, gate)
    assert verdict.reason == "GateGuarded"
    for word in ("forgetting", "mean reciprocal rank", lost[0].name, "spec.serving.gate.maxForgetting"):
        assert word in verdict.message
    nothing_guarded = better.model_copy(update={"guards": []})
    assert gate_verdict(nothing_guarded, gate).reason == "GatePassed"


def test_a_candidate_that_changes_little_hits_no_guard(
    live: Path, tmp_path: Path, shop: tuple[Catalogue, Split]
) -> None:
    catalogue, _ = shop
    gate = Gate(guards=[GuardedQuery(query=catalogue.texts[0], expect=[catalogue.ids[0]]), GuardedQuery(query="apple")])
    guards = by_name(measured(live, shaken(live, tmp_path), shop, gate))
    assert all(guards[name].passed for name in ("agreement", "forgetting", "query 'apple'"))
    assert all(guard.passed is not False for guard in guards.values())


def test_another_ranker_is_refused(live: Path, minilm: Path, tmp_path: Path, shop: tuple[Catalogue, Split]) -> None:
    other = write_tiny_encoder(tmp_path, minilm, seed=5)
    found = by_name(measured(live, other, shop, Gate(min_agreement=0.9)))
    assert found["agreement"].passed is False
    assert by_name(measured(live, live, shop, Gate(min_agreement=1)))["agreement"].passed


def test_where_people_judge_a_kind_of_queries_that_lost_is_refused_too(
    live: Path, tmp_path: Path, shop: tuple[Catalogue, Split]
) -> None:
    catalogue, _ = shop
    short = [Judgment(text.split()[-1], i, 1.0) for i, text in enumerate(catalogue.texts[:100])]
    long = [Judgment(f"{text} or a thing like it", i, 1.0) for i, text in enumerate(catalogue.texts[:20])]
    found = measured(live, forgetful(live, tmp_path), shop, Gate(), [*short, *long])
    lost = by_name(found)["slice short"]
    assert found.report.source == "Judgments"
    assert lost.passed is False
    assert "on 100 queries" in lost.detail
    assert lost.name in gate_verdict(found.report, Gate()).message
