"""Finished runs, made up: what a report is made of."""

from typing import Any

import numpy as np

from bluetune_api.model import Gate
from bluetune_api.records import (
    CheckReport,
    EventCount,
    GateJudge,
    GateReport,
    Manifest,
    ManifestFile,
    MethodPlan,
    Offence,
    Plan,
    Probe,
    RunOwner,
    Trial,
    TrialPoint,
)
from bluetune_api.store_location import StoreLocation
from bluetune_trainer.report.content import Positions, RunFacts, Stage
from bluetune_trainer.search.evidence import Evidence, Floats, Ranking
from bluetune_trainer.training.cutting import CutTexts


def facts(trials: int = 5, *, gate: GateReport | bool = True, word: str = "lamp", **changes: Any) -> RunFacts:
    """Facts of a run with that many trials; `word` is part of every text, and every fact can be replaced."""
    random = np.random.default_rng(7)
    done = [_trial(number, random, word) for number in range(trials)]
    best = max((t for t in done if t.quality is not None), key=lambda t: t.quality or 0)
    evidence = _evidence(random, word)
    given: dict[str, Any] = {
        "plan": _plan(trials, word),
        "check": _check(word),
        "objective": "ndcg@10",
        "trials": done,
        "best": best,
        "baseline": {"ndcg@10": 0.41239, "mrr@10": 0.5, "recall@10": 1.0, "irrelevant_dist_shift": 0.0},
        "gate": _gate(evidence) if gate is True else gate or None,
        "evidence": evidence,
        "texts": [
            f"{word} number {i}, with a description that goes on for longer than a line has room" for i in range(40)
        ],
        "positions": Positions(np.arange(200, 190, -1), np.array([90, 60, 44, 30, 21, 12, 8, 5, 3, 1]), 5, 1),
        "split_sizes": (900, 100, 0),
        "cut": CutTexts(texts=40, looked_at=40, cut=3, window=256),
        "informative": (95, 0),
        "version": "v0123456789ab",
        "uri": "s3://bucket/shop/versions/v0123456789ab/",
        "digest": "sha256:" + "0123456789ab" + "0" * 52,
        "manifest": Manifest(
            files=[ManifestFile(path="model.safetensors", size=90_000_000, sha256="0" * 64)],
            dimension=384,
            probe=Probe(texts=["a", "b"], vectors=[[0.125] * 384] * 2),
            params=best.params,
        ),
        "stages": [Stage("Loading", 3.2), Stage("Searching", 421.0), Stage("Evaluating", 20.4)],
    }
    return RunFacts(**(given | changes))


def _trial(number: int, random: np.random.Generator, word: str) -> Trial:
    params = {
        "items_lr": float(10 ** random.uniform(-5, -3)),
        "num_fixed_layers": int(random.choice([0, 3, 5])),
        "temperature": float(random.choice([0.02, 0.05, 0.1])),
        "not_irrelevant_only": bool(random.integers(2)),
        "margin": 0.2,
    }
    if number % 7 == 3:
        return Trial(trial=number, status="fail", params=params, seconds=4.5, message=f"the loss became nan; {word}")
    pruned = number % 3 == 2
    top = 0.45 + 0.06 * random.random()
    count = 2 if pruned else 8
    history = [
        TrialPoint(
            epoch=(i + 1) / 4,
            quality=round(0.4124 + (top - 0.4124) * (1 - 0.6**i) / (1 - 0.6 ** (count - 1)), 6),
            val_loss=round(2.0 * 0.9**i + 0.1 * random.random(), 6),
            train_loss=round(2.1 * 0.85**i, 6),
        )
        for i in range(count)
    ]
    best = max(history, key=lambda point: point.quality)
    return Trial(
        trial=number,
        status="ok",
        params=params,
        quality=best.quality,
        metrics={
            "ndcg@10": best.quality,
            "mrr@10": 0.61,
            "recall@10": 1.0,
            "irrelevant_dist_shift": 0.01,
            "val_loss": 1.0,
        },
        epochs=history[-1].epoch,
        best_epoch=best.epoch,
        pruned=pruned,
        seconds=61.3 + number,
        history=history,
    )


def _evidence(random: np.random.Generator, word: str, queries: int = 60) -> Evidence:
    before = np.clip(random.normal(0.4, 0.1, queries), 0, 1)
    # a third of the queries have the same ten best
    gains = np.where(random.random(queries) < 0.33, 0.0, random.normal(0.06, 0.1, queries))

    clicked = random.random((queries, 40)) < 0.2

    def ranking(values: Floats) -> Ranking:
        items = np.stack([random.permutation(40)[:10] for _ in range(queries)])
        return Ranking(items, np.take_along_axis(clicked, items, 1), {"ndcg@10": values})

    return Evidence([f"{word} {i}" for i in range(queries)], ranking(before), ranking(before + gains))


def _gate(evidence: Evidence) -> GateReport:
    before, after = (float(side.metrics["ndcg@10"].mean()) for side in (evidence.before, evidence.after))
    delta = after - before
    return GateReport(
        metric="ndcg@10",
        against="v000000000002",
        baseline={"ndcg@10": before},
        candidate={"ndcg@10": after},
        delta=delta,
        own_delta=delta,
        low=delta - 0.031,
        high=delta + 0.052,
        confidence=0.9,
        risk=0.07,
        judges=[
            GateJudge(name="Local", delta=delta - 0.01, low=delta - 0.031, high=delta + 0.011),
            GateJudge(name="Symmetric", delta=delta + 0.01, low=delta - 0.021, high=delta + 0.052),
        ],
        sessions=940,
        queries=len(evidence.queries),
        queries_needed=190,
        folds=5,
        examination=[1.0, 0.71, 0.6, 0.45, 0.36, 0.3, 0.22, 0.19, 0.16, 0.11],
    )


def _plan(trials: int, word: str) -> Plan:
    return Plan(
        kind="Train",
        owner=RunOwner(kind="FineTuningTask", name="nightly", namespace="default", uid="uid-1"),
        model="shop",
        store=StoreLocation(endpoint="store:9000", bucket="bucket", prefix="shop", secure=False),
        batch_id="2026-03-02",
        start_version="v000000000001",
        method=MethodPlan(initial_max_evals=trials),
        gate=Gate(min_delta=0.01, confidence=0.9),
        metadata={"why": word},
    )


def _check(word: str) -> CheckReport:
    return CheckReport(
        valid=True,
        batch_id="2026-03-02",
        batch=[],
        items=[],
        sessions=1234,
        sessions_with_clicks=987,
        positives=1411,
        results=12_340,
        coverage=0.9871,
        informative_sessions=940,
        queries=67,
        largest_query_share=0.061,
        event_types=[EventCount(type=f"view of {word}", events=40, gain=0)],
        notes=[f"events that do not count as clicks: view of {word} (40); clickstream.eventTypes says which count"],
        duplicates=4,
        broken_lines=2,
        offences=[Offence(key="clickstream/2026-03-02/a.jsonl", line=17, problem=f"not JSON: {word}")],
        unknown_items=[f"sku-{word}"],
        catalogue_size=40,
        first="2026-03-01T00:00:04Z",
        last="2026-03-02T23:58:01Z",
    )
