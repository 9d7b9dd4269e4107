"""Which cells there are, the most telling first: a run that is cut short leaves the best of tables."""

from collections.abc import Sequence

from quality.cells import Cell


def plan(seeds: Sequence[int]) -> list[Cell]:
    """All cells, in the order in which they are measured. What needs no training has one seed's clicks for all."""
    cells: list[Cell] = []
    for seed in seeds:
        cells += [Cell(column, seed=seed) for column in ("zero_shot", "bm25", "default", "st_time")]
    cells += [Cell("default", clicks="noise", seed=seed) for seed in seeds[:3]]
    for seed in seeds[:1]:
        cells += [Cell(column, seed=seed) for column in ("document_loss", "clicks_only", "st_steps", "search")]
        for split, sessions, logger in (
            ("tags", 100, "both"),
            ("time", 1257, "both"),
            ("tags", 1257, "zero-shot"),
            ("tags", 1257, "bm25"),
            ("tags", 10_000, "both"),
        ):
            for column in ("zero_shot", "bm25", "default", "st_time"):
                cells.append(Cell(column, split=split, sessions=sessions, logger=logger, seed=seed))
    for seed in seeds[1:]:
        cells += [Cell(column, seed=seed) for column in ("document_loss", "clicks_only", "st_steps", "search")]
    return cells
