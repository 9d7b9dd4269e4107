"""From cells to figures: means over queries and seeds, paired intervals, the table, the JSON."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quality.cells import Cell, Column, Measured

COLUMNS: dict[Column, str] = {
    "zero_shot": "zero-shot",
    "bm25": "BM25",
    "st_steps": "sentence-transformers, equal steps",
    "st_time": "sentence-transformers, equal time",
    "document_loss": "bluetune, CosineProbMarginRankingLoss",
    "clicks_only": "bluetune, default without phrases and interpolation",
    "default": "bluetune, default",
    "search": "bluetune, search",
}
RESAMPLES = 10_000
CONFIDENCE = 0.95
GOALS = {"default": 0.485, "search": 0.49}
"""NDCG@10 in the first setting."""

Cells = Mapping[Cell, Measured]


def interval(difference: NDArray[np.float64]) -> tuple[float, float]:
    """95 % percentile interval of the mean of paired differences, one for each query, by resampling the queries."""
    random = np.random.default_rng(0)
    drawn = random.integers(0, len(difference), (RESAMPLES, len(difference)))
    low, high = np.quantile(difference[drawn].mean(1), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def paired(cells: Cells, first: Sequence[Cell], second: Sequence[Cell]) -> dict[str, Any]:
    """`first` minus `second`: mean, interval over queries of the mean over common seeds, and the mean of each seed."""
    others = {cell.seed: cell for cell in second}
    seeds = [cell.seed for cell in first if cell.seed in others]
    by_seed = {s: np.subtract(_of(cells, first, s), cells[others[s]].ndcg) for s in seeds}
    mean = np.mean(list(by_seed.values()), axis=0)
    low, high = interval(mean)
    return {
        "delta": round(float(mean.mean()), 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "seeds": {str(s): round(float(d.mean()), 4) for s, d in by_seed.items()},
    }


def _of(cells: Cells, group: Sequence[Cell], seed: int) -> list[float]:
    return next(cells[cell].ndcg for cell in group if cell.seed == seed)


def rows(cells: Cells) -> list[dict[str, Any]]:
    """One for each setting and column, in the order of the columns."""
    groups: dict[tuple[Any, ...], dict[Column, list[Cell]]] = defaultdict(lambda: defaultdict(list))
    for cell in sorted(cells, key=lambda c: c.seed):
        groups[cell.setting()][cell.column].append(cell)
    made = []
    for setting, columns in groups.items():
        for column in (c for c in COLUMNS if c in columns):
            measured = [cells[cell] for cell in columns[column]]
            row = {
                **dict(zip(("split", "sessions", "logger", "clicks"), setting, strict=True)),
                "column": column,
                "seeds": [cell.seed for cell in columns[column]],
                "queries": len(measured[0].ndcg),
                "ndcg@10": round(float(np.mean([np.mean(m.ndcg) for m in measured])), 4),
                "mrr@10": round(float(np.mean([m.mrr for m in measured])), 4),
                "recall@10": round(float(np.mean([m.recall for m in measured])), 4),
                "processor_seconds": round(float(np.mean([m.processor_seconds for m in measured]))),
                "against": {
                    other: paired(cells, columns[column], columns[other])
                    for other in ("zero_shot", "bm25", "st_steps", "st_time")
                    if other in columns and other != column
                },
                "more": [m.more for m in measured],
            }
            made.append(row)
    return made


def table(made: Sequence[Mapping[str, Any]]) -> str:
    """Markdown, a table for each setting."""
    lines: list[str] = []
    last = None
    for row in made:
        setting = (row["split"], row["sessions"], row["logger"], row["clicks"])
        if setting != last:
            last = setting
            lines += ["", f"## {heading(row)}", ""]
            lines += [
                "| | NDCG@10 | MRR@10 | Recall@10 | against zero-shot | against sentence-transformers, equal time |"
            ]
            lines += ["|---|---|---|---|---|---|"]
        scores = " | ".join(f"{row[name]:.4f}" for name in ("ndcg@10", "mrr@10", "recall@10"))
        against = " | ".join(_said(row["against"].get(other)) for other in ("zero_shot", "st_time"))
        lines.append(f"| {COLUMNS[row['column']]} | {scores} | {against} |")
    return "\n".join(lines).strip()


def page(content: Mapping[str, Any]) -> str:
    """All tables, where they were measured, and what became of the goals and of noise; Markdown."""
    machine, made = content["machine"], content["rows"]
    where = f"{machine['threads']} threads of {machine['cores']} cores, {machine['processor']}, {machine['date']}"
    lines = ["# Quality on Semanlink", "", f"Made by `python benchmarks/quality`: {where}.", "", table(made), ""]
    lines += [line for row in made for line in (_goal(row, content["goals"]), *_gates(row)) if line]
    return "\n".join(lines)


def _goal(row: Mapping[str, Any], goals: Mapping[str, float]) -> str:
    first = Cell(row["column"]).setting()
    if row["column"] not in goals or (row["split"], row["sessions"], row["logger"], row["clicks"]) != first:
        return ""
    over = row["ndcg@10"] - goals[row["column"]]
    said = "met" if over >= 0 else "missed"
    return f"- Goal for “{COLUMNS[row['column']]}”, NDCG@10 of {goals[row['column']]}: {said} by {abs(over):.4f}."


def _gates(row: Mapping[str, Any]) -> list[str]:
    if row["clicks"] != "noise":
        return []
    return [
        f"- Noise, seed {seed}, “{COLUMNS[row['column']]}”, gate {name}: {said['reason']}: {said['message']}"
        for seed, more in zip(row["seeds"], row["more"], strict=True)
        for name, said in ((more or {}).get("decisions") or {}).items()
    ]


def heading(row: Mapping[str, Any]) -> str:
    """A setting in words."""
    split = (
        f"{row['queries']} unseen tags" if row["split"] == "tags" else f"the newest documents, {row['queries']} tags"
    )
    logger = "zero-shot and BM25" if row["logger"] == "both" else row["logger"]
    clicks = "" if row["clicks"] == "model" else ", clicks are pure noise"
    return f"{split}, {row['sessions']:,} sessions logged by {logger}{clicks}"


def _said(difference: Mapping[str, Any] | None) -> str:
    if difference is None:
        return ""
    return f"{difference['delta']:+.4f} [{difference['low']:+.4f}, {difference['high']:+.4f}]"
