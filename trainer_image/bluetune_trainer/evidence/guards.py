"""What clicks cannot see, and must not get worse: each guard is one pure function of what both versions found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from bluetune_api.records import GateGuard
from bluetune_trainer.evidence.observations import DEPTH, Floats, Ints, Scores

MIN_DOCUMENTS = 100
"""Below that a page of ten is a large part of all, and two rankers agree by chance."""
MIN_UNSHOWN = 30
LARGEST_LOSS = 0.01
"""Maximum loss of a slice, in the gate's metric."""
KEPT_WITHOUT_IDS = 3
"""How many of the live version's results count for a guarded query that names none."""


@dataclass(frozen=True)
class SliceGain:
    """What the judges say of some queries."""

    before: float
    after: float
    queries: int
    error: float
    """Standard error of after minus before, queries as clusters."""


def best_of(scores: Scores) -> Ints:
    """[Q, P] scores to [Q, at most 10] positions of the best, best first; equal scores by position."""
    depth = min(DEPTH, scores.shape[1])
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.asarray(order[:, :depth], np.int64)


def agreement(live: Ints, candidate: Ints, documents: int, least: float) -> GateGuard:
    """Two rankers of a catalogue have results in common. Both [Q, 10], of the same `documents` texts."""
    name = "agreement"
    if documents < MIN_DOCUMENTS:
        why = f"not measured: {documents} different texts, and at least {MIN_DOCUMENTS} are needed"
        return GateGuard(kind="Agreement", name=name, limit=least, detail=why)
    common = (live[:, :, None] == candidate[:, None, :]).any(2)
    share = float(common.sum() / common.size)
    return GateGuard(
        kind="Agreement",
        name=name,
        after=share,
        limit=least,
        passed=share >= least,
        detail=(
            f"{share:.3f} of the live version's ten best of {documents:,} documents are among the candidate's ten, as"
            f" the mean of {len(live)} queries; at least {least:g} is asked for"
        ),
    )


def reciprocal_ranks(scores: Scores, own: Ints, others: NDArray[np.bool_]) -> Floats:
    """[N] reciprocal rank of a document of each row among the others that count in it; equal scores share their ranks.

    Args:
        scores: [N, P].
        own: N positions of documents.
        others: [N, P] documents that a row's one is ranked among.
    """
    mine = np.take_along_axis(scores, own[:, None], 1)
    counted = others.copy()
    np.put_along_axis(counted, own[:, None], False, 1)
    ahead = ((scores > mine) & counted).sum(1) + ((scores == mine) & counted).sum(1) / 2
    return np.asarray(1 / (1 + ahead), np.float64)


def forgetting(before: Floats, after: Floats, documents: int, most: float, confidence: float) -> GateGuard:
    """Documents that nobody was shown are found by their own words. Both N reciprocal ranks, of the same documents.

    It fails when the one-sided interval of the paired drop lies above `most`.
    """
    n, name = len(before), "forgetting"
    if n < MIN_UNSHOWN:
        why = f"not measured: {n} documents have a phrase and were shown to nobody; {MIN_UNSHOWN} are needed"
        return GateGuard(kind="Forgetting", name=name, limit=most, detail=why)
    drop = before - after
    low = float(drop.mean() - t.ppf(confidence, n - 1) * drop.std(ddof=1) / np.sqrt(n))
    return GateGuard(
        kind="Forgetting",
        name=name,
        before=float(before.mean()),
        after=float(after.mean()),
        limit=most,
        passed=low <= most,
        detail=(
            f"mean reciprocal rank {before.mean():.4f} before and {after.mean():.4f} after, of {n} documents that"
            f" nobody was shown, searched among {documents:,} by words of their own; the drop is at least {low:+.4f} at"
            f" confidence {confidence:g}, and {most:g} is allowed"
        ),
    )


def slices(gains: Mapping[str, SliceGain], confidence: float) -> list[GateGuard]:
    """Kinds of queries that lose nothing; together they refuse by chance at most in a share of 1 - confidence."""
    risk = (1 - confidence) / max(len(gains), 1)
    return [_slice(name, gain, risk) for name, gain in gains.items()]


def _slice(name: str, found: SliceGain, risk: float) -> GateGuard:
    gain = found.after - found.before
    high = float(gain + t.ppf(1 - risk, found.queries - 1) * found.error)
    return GateGuard(
        kind="Slice",
        name=f"slice {name}",
        before=found.before,
        after=found.after,
        limit=LARGEST_LOSS,
        passed=high >= -LARGEST_LOSS,
        detail=f"{gain:+.4f} on {found.queries} queries, {high:+.4f} at most; a loss of {LARGEST_LOSS:g} is allowed",
    )


def guarded_query(
    query: str, expected: Mapping[str, int], unknown: Sequence[str], live: Scores, candidate: Scores, ids: Sequence[str]
) -> GateGuard:
    """What the live version finds for a query, the candidate finds.

    Args:
        query: as the gate names it.
        expected: position of each id that must stay where the live version has it; none: its three best.
        unknown: ids that the gate names, too, and no document has.
        live: [P] its scores.
        candidate: [P] its scores.
        ids: P ids of the documents.
    """
    if expected or unknown:
        kept = {name: at for name, at in expected.items() if _rank(live, at) <= DEPTH}
    else:
        kept = {ids[at]: at for at in best_of(live[None])[0, :KEPT_WITHOUT_IDS].tolist()}
    lost = {name: at for name, at in kept.items() if _rank(candidate, at) > DEPTH}
    said = [f"{name!r} is at rank {_rank(candidate, at)} now, it was at {_rank(live, at)}" for name, at in lost.items()]
    missed = [name for name in expected if name not in kept]
    if not said:
        said.append(f"{', '.join(map(repr, kept))} stay among the ten best" if kept else "nothing to lose")
    if missed:
        said.append(f"{', '.join(map(repr, missed))} are not among the live version's ten best")
    if unknown:
        said.append(f"{', '.join(map(repr, unknown))} are no ids of the catalogue")
    return GateGuard(
        kind="Query",
        name=f"query {query!r}",
        before=float(len(kept)),
        after=float(len(kept) - len(lost)),
        passed=None if unknown and not expected else not lost,
        detail=", ".join(said),
    )


def _rank(scores: Scores, at: int) -> int:
    """From 1; equal scores share their ranks, rounded down."""
    return int((scores > scores[at]).sum()) + (int((scores == scores[at]).sum()) + 1) // 2
