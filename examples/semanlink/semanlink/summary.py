"""What the demo ends with: quality before and after, three queries, times, addresses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bluetune.adapters import display
from bluetune_trainer.report.decision import Decision
from semanlink import metrics
from semanlink.bm25 import BM25
from semanlink.dataset import Document, Judgments

SHOWN = 5
RESAMPLES = 10_000


@dataclass(frozen=True)
class Answers:
    """What the blue service answered to each judged query, and how good that is."""

    results: list[list[dict[str, Any]]]
    scores: metrics.Scores


def judged(results: list[list[dict[str, Any]]], documents: Sequence[Document], judgments: Judgments) -> Answers:
    """Score the service's answers."""
    ids = [[hit["object_id"] for hit in hits] for hits in results]
    relevant = [{documents[position].item_id for position in positions} for positions in judgments.relevant]
    return Answers(results, metrics.score(ids, relevant))


def keyword_scores(documents: Sequence[Document], judgments: Judgments) -> metrics.Scores:
    """BM25 on the same queries."""
    bm25 = BM25([document.text for document in documents])
    return metrics.score([bm25.top(query, metrics.DEPTH) for query in judgments.queries], judgments.relevant)


def interval(before: Sequence[float], after: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean gain, by a paired bootstrap over queries."""
    gains = np.asarray(after) - np.asarray(before)
    drawn = np.random.default_rng(seed).integers(0, len(gains), (RESAMPLES, len(gains)))
    low, high = np.percentile(gains[drawn].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def telling(before: Sequence[float], after: Sequence[float]) -> tuple[int, int, int]:
    """Three queries: the one that gained most, a typical one (the median change), and the one that lost most."""
    order = np.argsort(np.asarray(after) - np.asarray(before), kind="stable")
    return int(order[-1]), int(order[len(order) // 2]), int(order[0])


def print_quality(
    console: Console, before: metrics.Scores, bm25: metrics.Scores, after: metrics.Scores, where: str
) -> None:
    """NDCG@10, MRR@10 and Recall@10. `where` says what serves the new version."""
    rows = [
        [name, f"{scores.ndcg:.4f}", f"{scores.mrr:.4f}", f"{scores.recall:.4f}"]
        for name, scores in (("before (zero-shot)", before), ("BM25", bm25), (f"after ({where})", after))
    ]
    rows.append(["gain", *(f"{a - b:+.4f}" for a, b in zip(_three(after), _three(before), strict=True))])
    console.print(display.table(["", "NDCG@10", "MRR@10", "Recall@10"], rows, best=2))


def print_decision(
    console: Console, decided: Decision, promoted: bool, before: metrics.Scores, after: metrics.Scores
) -> None:
    """What the gate decided by clicks, and what people's judgments say of that."""
    low, high = interval(before.ndcg_by_query, after.ndcg_by_query)
    style = {"good": "bold green", "bad": "bold red", "open": "bold yellow"}[decided.tone]
    console.print(Text.assemble("The gate, by clicks: ", (decided.title, style), f". {decided.verdict.message}."))
    console.print(
        f"The judgments of {len(before.ndcg_by_query)} unseen tags: NDCG@10 {after.ndcg - before.ndcg:+.4f}"
        f" ({low:+.4f} to {high:+.4f}). {agreement(promoted, low, high)}"
    )


def agreement(promoted: bool, low: float, high: float) -> str:
    """Whether the gate was right, by the interval of what people judged."""
    if low > 0:
        return "It was right: the new version is better." if promoted else "It was too careful: the new one is better."
    if high < 0:
        return "It was wrong: the new version is worse." if promoted else "It was right: the new version is worse."
    return "They cannot tell the two versions apart."


def _three(scores: metrics.Scores) -> tuple[float, float, float]:
    return scores.ndcg, scores.mrr, scores.recall


def print_queries(
    console: Console, before: Answers, after: Answers, documents: Sequence[Document], judgments: Judgments
) -> None:
    """Three queries with their first results before and after; a tick is a human judgment."""
    ndcg_before, ndcg_after = before.scores.ndcg_by_query, after.scores.ndcg_by_query
    for why, query in zip(("gained most", "a typical one", "lost most"), telling(ndcg_before, ndcg_after), strict=True):
        relevant = {documents[position].item_id for position in judgments.relevant[query]}
        both = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", width=min(console.width, 110))
        for name, value in (("before", ndcg_before[query]), ("after", ndcg_after[query])):
            both.add_column(f"{name}  {value:.2f}", ratio=1, no_wrap=True, overflow="ellipsis")
        for old, new in zip(before.results[query][:SHOWN], after.results[query][:SHOWN], strict=False):
            both.add_row(_result(old, relevant), _result(new, relevant))
        console.print()
        console.print(Text.assemble((f"“{judgments.queries[query]}”", "bold"), (f"  {why}", "dim")))
        console.print(both)


def _result(hit: Mapping[str, Any], relevant: set[str]) -> Text:
    found = hit["object_id"] in relevant
    return Text.assemble(("✓ " if found else "· ", "green" if found else "dim"), (hit["title"], "" if found else "dim"))


def print_times(console: Console, times: Mapping[str, float], total: float) -> None:
    """Where the time went; what took less than a second is left out."""
    rows = [[title, f"{seconds:.0f} s"] for title, seconds in times.items() if seconds >= 1]
    console.print(display.table(["time", ""], [*rows, ["all", f"{total:.0f} s"]], best=len(rows)))
