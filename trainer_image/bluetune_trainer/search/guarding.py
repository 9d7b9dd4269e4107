"""Lets both versions rank a part of the catalogue, and asks the guards what came of it."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bluetune_api.model import Gate, GuardedQuery
from bluetune_api.records import GateGuard
from bluetune_trainer.data.splits import normalised
from bluetune_trainer.data.types import Catalogue, Split
from bluetune_trainer.evidence import guards
from bluetune_trainer.evidence.guards import SliceGain
from bluetune_trainer.evidence.judges import gain_of
from bluetune_trainer.evidence.observations import Scores
from bluetune_trainer.evidence.slices import slices_of
from bluetune_trainer.search.gate import Measured
from bluetune_trainer.search.sample import MAX_PHRASES, PhrasesOfUnshown, Sample, phrases_of_unshown, sample_of
from bluetune_trainer.search.version import Step, Version
from bluetune_trainer.training.encoder import Encoder

log = logging.getLogger(__name__)

MAX_QUERIES = 500
"""Maximum number of the evidence's queries for the agreement."""


@dataclass(frozen=True)
class _Asked:
    """What both versions rank."""

    sample: Sample
    evidence: Sequence[str]
    """Queries that the versions were compared on."""
    phrases: PhrasesOfUnshown
    guarded: Sequence[GuardedQuery]


@dataclass(frozen=True)
class _Ranked:
    """What a version makes of it: scores of the sample's P documents, larger is better."""

    evidence: Scores
    phrases: Scores
    guarded: Scores


def guarded(
    measured: Measured,
    live: Version,
    candidate: Version,
    catalogue: Catalogue,
    split: Split,
    gate: Gate,
    on_step: Step = None,
) -> Measured:
    """What was measured, with guards. `on_step` may raise to stop."""
    of_texts = all(isinstance(tower, Encoder) for tower in live.model.towers())
    asked = _asked(measured.evidence.queries, catalogue, split, gate, live.settings.seed, phrases=of_texts)
    before, after = _ranked(live, asked, on_step), _ranked(candidate, asked, on_step)
    documents, confidence = len(asked.sample.texts), measured.report.confidence
    own, others = asked.phrases.own, asked.phrases.others
    found = [
        guards.agreement(
            guards.best_of(before.evidence), guards.best_of(after.evidence), documents, gate.min_agreement
        ),
        guards.forgetting(
            guards.reciprocal_ranks(before.phrases, own, others),
            guards.reciprocal_ranks(after.phrases, own, others),
            documents,
            gate.max_forgetting,
            confidence,
        ),
        *guards.slices(slice_gains(measured, split), confidence),
        *_queries(asked, catalogue, before.guarded, after.guarded),
    ]
    for guard in found:
        log.info("guard", extra={"guard": guard.name, "passed": guard.passed, "detail": guard.detail})
    return replace(measured, report=measured.report.model_copy(update={"guards": found}))


def _ranked(version: Version, asked: _Asked, on_step: Step) -> _Ranked:
    queries = [*asked.evidence, *asked.phrases.queries, *(guarded.query for guarded in asked.guarded)]
    ranks = version.scores(queries, asked.sample.texts, on_step)
    return _Ranked(*np.split(ranks, np.cumsum([len(asked.evidence), len(asked.phrases.queries)])))


def slice_gains(measured: Measured, split: Split) -> dict[str, SliceGain]:
    """What the judges say of each kind of queries."""
    evidence, metric = measured.evidence, measured.report.metric
    before, after = evidence.before.metrics[metric], evidence.after.metrics[metric]
    sessions = Counter(normalised(q) for part in (split.train, split.validation, split.gate) for q in part.queries)
    asked = np.array([sessions[normalised(query)] for query in evidence.queries], np.int64)
    return {
        name: SliceGain(
            float(before[chosen].mean()),
            float(after[chosen].mean()),
            int(chosen.sum()),
            _error(measured, after - before, chosen),
        )
        for name, chosen in slices_of(evidence.queries, asked).items()
    }


def _error(measured: Measured, gains: NDArray[np.float64], chosen: NDArray[np.bool_]) -> float:
    """Standard error of the mean gain of the chosen queries: with that of the judges' regressions, if clicks decide."""
    n = int(chosen.sum())
    if measured.moments:
        influence = np.mean([gain_of(moments, chosen)[1] for moments in measured.moments], axis=0)
        n = len(influence)
    else:
        influence = (gains[chosen] - gains[chosen].mean()) / n
    return float(np.sqrt((influence**2).sum() * n / max(n - 1, 1)))


def _asked(
    queries: Sequence[str], catalogue: Catalogue, split: Split, gate: Gate, seed: int, *, phrases: bool
) -> _Asked:
    random = np.random.default_rng([seed, 10])
    drawn = np.sort(random.permutation(len(queries))[:MAX_QUERIES])
    evidence = [queries[i] for i in drawn.tolist()]
    names = {normalised(query) for query in evidence}
    shown = [np.zeros(0, np.int64)]
    for part in (split.train, split.validation, split.gate):
        asks = np.array([normalised(query) in names for query in part.queries], np.bool_)
        shown.append(part.subset(np.flatnonzero(asks)).items.astype(np.int64))
    needed = [catalogue.position[i] for g in gate.guards for i in g.expect if i in catalogue.position]
    sample = sample_of(catalogue, needed, np.unique(np.concatenate(shown)), seed)
    most = MAX_PHRASES if phrases else 0
    return _Asked(sample, evidence, phrases_of_unshown(sample, catalogue, split, seed, most), gate.guards)


def _queries(asked: _Asked, catalogue: Catalogue, live: Scores, candidate: Scores) -> list[GateGuard]:
    sample = asked.sample
    ids = [catalogue.ids[position] for position in sample.documents.tolist()]
    found = []
    for row, guarded in enumerate(asked.guarded):
        places = {name: catalogue.position.get(name) for name in guarded.expect}
        unknown = [name for name, place in places.items() if place is None]
        expected = {name: sample.at[catalogue.texts[place]] for name, place in places.items() if place is not None}
        found.append(guards.guarded_query(guarded.query, expected, unknown, live[row], candidate[row], ids))
    return found
