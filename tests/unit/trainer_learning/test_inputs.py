"""The table of inputs: equal ones once, large ones on disk."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bluetune_trainer.errors import PluginFailed
from bluetune_trainer.training.inputs import LARGE, InputTable
from bluetune_trainer.training.model import Kind, Model, ReadFile, Row, Tower


class Blocks(Tower):
    """An input is the name of a number; its row that many bytes."""

    dimension = 1

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def prepare(self, inputs: Sequence[str], files: ReadFile) -> list[Row]:
        self.asked.extend(inputs)
        return [np.arange(int(text), dtype=np.uint16).reshape(2, -1) for text in inputs]

    def cost(self, row: Row) -> int:
        return row.size

    def cut(self, row: Row) -> bool:
        return row.size > 10

    def collate(self, rows: Sequence[Row]) -> tuple[Tensor, ...]:
        return (torch.tensor([[float(row.sum())] for row in rows]),)

    def hidden(self, *batch: Tensor) -> Tensor:
        return batch[0]

    def pool(self, hidden: Tensor, *batch: Tensor) -> Tensor:
        return hidden


class Pair(Model):
    def __init__(self, *, shared: bool) -> None:
        super().__init__()
        self.of_items = Blocks()
        self.of_queries = self.of_items if shared else Blocks()

    def tower(self, kind: Kind) -> Blocks:
        return self.of_queries if kind == "query" else self.of_items

    def save(self, folder: Path | str) -> None:
        raise NotImplementedError


def test_rows_come_back_as_they_were_from_memory_and_from_disk() -> None:
    table = InputTable(Pair(shared=True))
    sizes = [4, LARGE, 6, LARGE + 2, 2 * LARGE]
    numbers = table.add([str(size) for size in sizes], "item")
    for _ in range(2):
        for size, row in zip(sizes, table.rows(numbers), strict=True):
            assert row.dtype == np.uint16
            assert np.array_equal(row, np.arange(size, dtype=np.uint16).reshape(2, -1))
    assert table.lengths(numbers).tolist() == sizes


def test_equal_inputs_of_shared_towers_are_one_and_of_two_towers_are_two() -> None:
    shared, separate = Pair(shared=True), Pair(shared=False)
    for model, expected in ((shared, [[0, 1, 0], [1, 2]]), (separate, [[0, 1, 0], [2, 3]])):
        table = InputTable(model)
        assert [table.add(["2", "4", "2"], "item").tolist(), table.add(["4", "6"], "query").tolist()] == expected
        assert table.of_query_tower(np.arange(len(table))).any() == (model is separate)
    assert shared.of_items.asked == ["2", "4", "6"]
    assert (separate.of_items.asked, separate.of_queries.asked) == (["2", "4"], ["4", "6"])


def test_only_items_beyond_the_window_are_split_and_their_parts_lie_side_by_side() -> None:
    table = InputTable(Pair(shared=False), split=lambda text, fits: ["2", "4"] if not fits(text) else [text])
    items, queries = table.add(["6", "20", "8"], "item"), table.add(["20"], "query")
    rows, counts = table.rows_of(np.array([items[1], queries[0], items[0]]))
    assert (rows.tolist(), counts) == ([1, 2, 4, 0], [2, 1, 1])
    assert table.lengths(rows).tolist() == [2, 4, 20, 6]
    assert table.rows_of(items[[0, 2]])[1] is None


class Tokens(Blocks):
    """An input's row is its number so many times, ready only when asked for."""

    on_demand = True

    def prepare(self, inputs: Sequence[str], files: ReadFile) -> list[Row]:
        self.asked.extend(inputs)
        return [np.full(int(text), int(text), np.int32) for text in inputs]


def test_inputs_of_a_tower_on_demand_are_prepared_once_when_they_are_needed() -> None:
    model = Pair(shared=False)
    model.of_items, model.of_queries = Tokens(), Tokens()
    table = InputTable(model)
    items, queries = table.add(["3", "1", "2", "1"], "item"), table.add(["5", "1"], "query")
    assert (model.of_items.asked, model.of_queries.asked) == ([], [])
    assert table.lengths(np.array([items[2], queries[0], items[2]])).tolist() == [2, 5, 2]
    assert (model.of_items.asked, model.of_queries.asked) == (["2"], ["5"])
    rows = table.rows(np.concatenate([queries, items]))
    assert [row.tolist() for row in rows] == [[5] * 5, [1], [3] * 3, [1], [2, 2], [1]]
    assert all(row.dtype == np.int32 for row in rows)
    assert (model.of_items.asked, model.of_queries.asked) == (["2", "3", "1"], ["5", "1"])


def test_where_items_may_be_split_nothing_waits() -> None:
    model = Pair(shared=True)
    model.of_items = model.of_queries = Tokens()
    table = InputTable(model, split=lambda text, fits: ["2", "4"])
    assert table.rows_of(table.add(["20", "3"], "item"))[1] == [2, 1]
    assert model.of_items.asked[:2] == ["20", "3"]


@pytest.mark.parametrize("parts", [[], 7, "text", [1]])
def test_a_split_that_is_no_list_of_texts_is_the_plugins_fault(parts: object) -> None:
    table = InputTable(Pair(shared=True), split=lambda text, fits: parts)  # type: ignore[arg-type, return-value]
    with pytest.raises(PluginFailed, match="split_item must return a list of texts"):
        table.add(["20"], "item")
