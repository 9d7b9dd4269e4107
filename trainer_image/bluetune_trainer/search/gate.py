"""What the gate decides by: candidate and live version on the same held-out queries, and how sure the difference is."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bluetune_api.model import Gate
from bluetune_api.records import GateJudge, GateReport, JudgeName
from bluetune_trainer.data.splits import normalised
from bluetune_trainer.data.types import Catalogue, Sessions
from bluetune_trainer.errors import DataInvalid
from bluetune_trainer.evidence.examination import examination
from bluetune_trainer.evidence.judges import CLICK_JUDGES, DISCOUNTS, Moments, estimate, moments
from bluetune_trainer.evidence.power import queries_for
from bluetune_trainer.evidence.risk import risk_of
from bluetune_trainer.evidence.sequence import Run, together
from bluetune_trainer.search.comparing import compare
from bluetune_trainer.search.comparison import Comparison
from bluetune_trainer.search.evidence import DEFAULT_CONFIDENCE, Evidence, Ranking
from bluetune_trainer.search.judged import Judgment, by_query, judged
from bluetune_trainer.search.version import Version
from bluetune_trainer.training.threads import fit_threads


@dataclass(frozen=True)
class Earlier:
    """What earlier runs against the same live version found out."""

    attempts: int = 0
    """How many runs were compared with it."""
    runs: Mapping[JudgeName, Sequence[Run]] = field(default_factory=dict)
    """The evidence of those whose sessions were others than this run's."""


@dataclass(frozen=True)
class Measured:
    """What the gate decides by, and what it is made of."""

    report: GateReport
    evidence: Evidence
    runs: Mapping[JudgeName, Run]
    """What a later run against the same live version may add to its own."""
    moments: Sequence[Moments] = ()
    """What the click judges estimate from; their queries are those of the evidence."""


def measure_gate(
    live: Version,
    candidate: Version,
    catalogue: Catalogue,
    held_out: Sessions,
    gate: Gate,
    *,
    against: str,
    judgments: Sequence[Judgment] | None = None,
    earlier: Earlier | None = None,
    on_step: Callable[[], None] | None = None,
) -> Measured | None:
    """Compare two versions, on the judgments if there are any, else on the held-out sessions.

    `against` is the live version's id. `on_step` is called between forward passes, and may raise to stop. None if no
    held-out session has both a result that was clicked and one that was not. Raises DataInvalid when there are
    judgments, but none of them says that an item is relevant.
    """
    fit_threads()
    if not judgments:
        found = compare(live, candidate, catalogue, held_out, on_step)
        return None if found is None else by_clicks(found, gate, against=against, earlier=earlier)
    grades = by_query(judgments)
    if not grades:
        raise DataInvalid(
            f"gate.judgments: none of {len(judgments)} judgments has a grade above 0 for an item of the catalogue"
        )
    before, after = (
        judged(
            version.embedder,
            catalogue,
            grades,
            version.parts.ranker,
            is_similarity=version.settings.is_similarity,
            on_step=on_step,
        )
        for version in (live, candidate)
    )
    return by_people(Evidence(list(grades), before, after), gate, against=against, earlier=earlier)


def by_people(evidence: Evidence, gate: Gate, *, against: str, earlier: Earlier | None = None) -> Measured:
    """What judgments say. Earlier runs had the same judgments, so they add no evidence, but take their risk."""
    before, after = evidence.before.metrics, evidence.after.metrics
    gains = after[gate.metric] - before[gate.metric]
    run = Run(float(gains.mean()), _by_name(evidence.queries, (gains - gains.mean()) / len(gains)))
    report = _report(
        gate,
        against,
        {"People": run},
        Earlier((earlier or Earlier()).attempts),
        baseline={name: float(values.mean()) for name, values in before.items()},
        candidate={name: float(values.mean()) for name, values in after.items()},
        sessions=len(gains),
        source="Judgments",
    )
    return Measured(report, evidence, {"People": run})


def by_clicks(
    found: Comparison, gate: Gate, *, against: str, earlier: Earlier | None = None, folds: int | None = None
) -> Measured:
    """What clicks say. `folds`: of how many trainings, none of which saw the queries that it is compared on."""
    examined = examination(found.compared)
    known = {judge: moments(judge, found.compared, examined, DISCOUNTS[gate.metric]) for judge in CLICK_JUDGES}
    seen = {judge: estimate(of) for judge, of in known.items()}
    before = np.mean([one.before for one in seen.values()], axis=0)
    after = np.mean([one.after for one in seen.values()], axis=0)
    runs: dict[JudgeName, Run] = {
        judge: Run(one.gain, _by_name(found.queries, one.influence)) for judge, one in seen.items()
    }
    report = _report(
        gate,
        against,
        runs,
        earlier or Earlier(),
        baseline={gate.metric: float(before.mean())},
        candidate={gate.metric: float(after.mean())},
        sessions=found.sessions,
        examination=[round(float(value), 4) for value in examined.looked],
        folds=folds,
    )
    evidence = Evidence(
        list(found.queries),
        Ranking(found.live_best, _clicked(found.live_best, found.clicked), {gate.metric: before}),
        Ranking(found.candidate_best, _clicked(found.candidate_best, found.clicked), {gate.metric: after}),
    )
    return Measured(report, evidence, runs, list(known.values()))


def _report(gate: Gate, against: str, runs: Mapping[JudgeName, Run], earlier: Earlier, **facts: object) -> GateReport:
    """What the gate reads. All judges must agree, so the interval reaches from the lowest low to the highest high."""
    confidence = gate.confidence or DEFAULT_CONFIDENCE
    attempt = earlier.attempts + 1
    risk = risk_of(attempt, 1 - confidence)
    judges, needed = [], 0
    for name, run in runs.items():
        past = earlier.runs.get(name, ())
        total = together([*past, run])
        reach = total.reach(risk)
        judges.append(GateJudge(name=name, delta=total.value, low=total.value - reach, high=total.value + reach))
        missing = total.value - gate.min_delta
        if missing > 0:
            needed = max(needed, queries_for(missing, total.error, total.queries, confidence))
    queries = {query for run in runs.values() for query in run.influence}
    return GateReport(
        metric=gate.metric,
        against=against,
        delta=float(np.mean([judge.delta for judge in judges])),
        own_delta=float(np.mean([run.value for run in runs.values()])),
        low=min(judge.low for judge in judges),
        high=max(judge.high for judge in judges),
        confidence=confidence,
        risk=risk,
        attempt=attempt,
        judges=judges,
        earlier_runs=max((len(past) for past in earlier.runs.values()), default=0),
        queries=len(queries),
        queries_needed=needed or None,
        **facts,  # type: ignore[arg-type]
    )


def query_name(query: str) -> str:
    """What a query is called in evidence that is kept: the same for each way of writing it, and no text."""
    return hashlib.blake2b(normalised(query).encode(), digest_size=8).hexdigest()


def _by_name(queries: Sequence[str], influence: NDArray[np.float64]) -> Mapping[str, float]:
    total: dict[str, float] = {}
    for query, value in zip(queries, influence.tolist(), strict=True):
        name = query_name(query)
        total[name] = total.get(name, 0.0) + value
    return total


def _clicked(best: NDArray[np.int64], clicked: Sequence[frozenset[int]]) -> NDArray[np.bool_]:
    """[Q, 10] whether each of these documents was clicked in any session of its query."""
    rows = zip(best.tolist(), clicked, strict=True)
    return np.array([[item in mine for item in row] for row, mine in rows], np.bool_).reshape(best.shape)
