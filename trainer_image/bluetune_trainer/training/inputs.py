"""Inputs of a model, prepared once and known by number."""

from array import array
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from bluetune_trainer.training.model import Kind, Model, ReadFile, Row, no_files


class InputTable:
    """Different inputs of both towers, by number.

    Prompts are part of a text, so a query and an item never mix up; where the towers share their weights and there are
    no prompts, equal texts are one input. Inputs of two towers never are.
    """

    def __init__(self, model: Model, files: ReadFile = no_files) -> None:
        self.model = model
        self._files = files
        self._rows: list[Row] = []
        self._costs = array("q")
        self._of_query = bytearray()
        """Whether an input belongs to a query tower of its own."""
        self._numbers: tuple[dict[str, int], dict[str, int]] = ({}, {})

    def add(self, inputs: Iterable[str], kind: Kind) -> NDArray[np.int64]:
        """Number of each input; new ones are prepared together."""
        tower = self.model.tower(kind)
        own = kind == "query" and not self.model.shared
        known = self._numbers[own]
        numbers = array("q")
        new: list[str] = []
        for text in tower.prompted(list(inputs), kind):
            number = known.setdefault(text, len(self._rows) + len(new))
            if number == len(self._rows) + len(new):
                new.append(text)
            numbers.append(number)
        for row in tower.prepare(new, self._files) if new else ():
            self._rows.append(row)
            self._costs.append(tower.cost(row))
            self._of_query.append(own)
        return np.array(numbers, np.int64)

    def rows(self, numbers: NDArray[np.int64]) -> list[Row]:
        """The prepared inputs."""
        return [self._rows[number] for number in numbers.tolist()]

    def lengths(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Positions (tokens, patches) that each input takes."""
        return np.frombuffer(self._costs, np.int64)[numbers] if len(self._costs) else np.zeros(0, np.int64)

    def of_query_tower(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of them belong to a query tower of its own; none where the towers share their weights."""
        return np.frombuffer(self._of_query, np.bool_)[numbers]

    def __len__(self) -> int:
        return len(self._rows)
