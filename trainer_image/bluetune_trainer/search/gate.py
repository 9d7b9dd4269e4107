"""What the gate decides by: candidate and live version on the same held-out queries, and how sure the difference is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bluetune_api.model import Gate
from bluetune_api.records import GateReport, MethodPlan
from bluetune_trainer.data.types import Catalogue, Sessions
from bluetune_trainer.errors import DataInvalid
from bluetune_trainer.ranking.metrics import RankedSessions, per_session, summarize
from bluetune_trainer.search.evidence import (
    DEFAULT_CONFIDENCE,
    Evidence,
    Ranking,
    bootstrap_interval,
    different_queries,
    first_results,
)
from bluetune_trainer.search.judged import Judgment, by_query, judged
from bluetune_trainer.training.batches import number_sessions
from bluetune_trainer.training.embedder import Embedder
from bluetune_trainer.training.evaluation import PaddedSessions, embed_all, pad_sessions, rank_embedded
from bluetune_trainer.training.inputs import InputTable
from bluetune_trainer.training.params import TrainingSettings, resolve_settings
from bluetune_trainer.training.parts import Parts, choose_parts
from bluetune_trainer.training.precision import use_bf16
from bluetune_trainer.training.threads import fit_threads


@dataclass(frozen=True)
class Measured:
    """What the gate decides by, and what it is made of."""

    report: GateReport
    evidence: Evidence


def measure_gate(
    live_folder: Path,
    candidate_folder: Path,
    catalogue: Catalogue,
    held_out: Sessions,
    method: MethodPlan,
    gate: Gate,
    *,
    against: str,
    judgments: Sequence[Judgment] | None = None,
    parts: Parts | None = None,
    on_step: Callable[[], None] | None = None,
) -> Measured:
    """Compare two versions, on the judgments if there are any, else on the held-out sessions.

    `against` is the live version's id. `on_step` is called between forward passes, and may raise to stop. Raises
    DataInvalid when there are judgments, but none of them says that an item is relevant.
    """
    fit_threads()
    settings = resolve_settings(method.settings)
    parts = parts or choose_parts(method.settings)
    if judgments:
        grades = by_query(judgments)
        if not grades:
            raise DataInvalid(
                f"gate.judgments: none of {len(judgments)} judgments has a grade above 0 for an item of the catalogue"
            )
        live, candidate = (
            judged(
                _open(folder, settings, parts),
                catalogue,
                grades,
                parts.ranker,
                is_similarity=settings.is_similarity,
                on_step=on_step,
            )
            for folder in (live_folder, candidate_folder)
        )
        evidence = Evidence(list(grades), live, candidate)
        summaries = [
            {name: float(values.mean()) for name, values in side.metrics.items()} for side in (live, candidate)
        ]
    else:
        evidence, summaries = _clicked(live_folder, candidate_folder, catalogue, held_out, settings, parts, on_step)
    difference = evidence.after.metrics[gate.metric] - evidence.before.metrics[gate.metric]
    confidence = gate.confidence or DEFAULT_CONFIDENCE
    low = high = None
    if len(difference):
        low, high = bootstrap_interval(difference, evidence.queries, confidence, settings.seed)
    report = GateReport(
        metric=gate.metric,
        against=against,
        baseline=summaries[0],
        candidate=summaries[1],
        delta=float(difference.mean()) if len(difference) else 0.0,
        low=low,
        high=high,
        confidence=confidence,
        sessions=len(difference),
        queries=different_queries(evidence.queries),
        source="Judgments" if judgments else "Clicks",
    )
    return Measured(report, evidence)


def _open(folder: Path, settings: TrainingSettings, parts: Parts) -> Embedder:
    """A version as a server of it would open it, over an empty table."""
    model = parts.load_served(folder).to("cuda" if torch.cuda.is_available() else "cpu")
    table = InputTable(model, parts.files, parts.split_item)
    return Embedder(table, bf16=use_bf16(settings.precision, model.device.type))


def _clicked(
    live_folder: Path,
    candidate_folder: Path,
    catalogue: Catalogue,
    held_out: Sessions,
    settings: TrainingSettings,
    parts: Parts,
    on_step: Callable[[], None] | None,
) -> tuple[Evidence, list[dict[str, float]]]:
    """Both versions on sessions with clicks, and their summaries."""
    ranks: list[torch.Tensor] = []
    padded: PaddedSessions | None = None
    queries: list[str] = []
    items = np.zeros((0, 0), np.int64)
    for folder in (live_folder, candidate_folder):
        embedder = _open(folder, settings, parts)
        sessions = number_sessions(held_out, catalogue, embedder.table)
        padded = pad_sessions(sessions, np.arange(len(sessions)))
        ranks.append(rank_embedded(embed_all(embedder, padded.texts, on_step), padded, parts.ranker))
        queries = [held_out.queries[i] for i in np.flatnonzero(np.diff(held_out.offsets)).tolist()]
        items = _positions(padded, held_out, catalogue, embedder.table)
    assert padded is not None  # noqa: S101 - two folders were walked
    sides = [RankedSessions(r, ranks[0], padded.clicked, padded.valid, settings.is_similarity) for r in ranks]
    keep = sides[0].informative.numpy()
    clicked, valid = padded.clicked.numpy()[keep], padded.valid.numpy()[keep]
    rankings = []
    for side in sides:
        first, relevant = first_results(
            side.ranks.numpy()[keep], items[keep], clicked, valid, is_similarity=settings.is_similarity
        )
        values = {name: value.numpy() for name, value in per_session(side).items()}
        rankings.append(Ranking(first, relevant, values))
    names = [queries[i] for i in np.flatnonzero(keep).tolist()]
    return Evidence(names, *rankings), [summarize(side) for side in sides]


def _positions(
    padded: PaddedSessions, held_out: Sessions, catalogue: Catalogue, table: InputTable
) -> NDArray[np.int64]:
    """[S, R] positions in the catalogue of the sessions' results; of items with the same text, the first."""
    shown = np.unique(held_out.items)[::-1]
    numbers = table.add([catalogue.texts[i] for i in shown], "item")
    position = dict(zip(numbers.tolist(), shown.tolist(), strict=True))
    by_text = np.array([position.get(number, -1) for number in padded.texts.tolist()], np.int64)
    return np.asarray(by_text[padded.result_at]) if len(by_text) else np.zeros(padded.result_at.shape, np.int64)
