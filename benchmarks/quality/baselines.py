"""The columns to beat that learn: sentence-transformers' MultipleNegativesRankingLoss on the same clicks."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from semanlink.base import base_folder
from semanlink.dataset import Document
from sentence_transformers import SentenceTransformer
from sentence_transformers.losses import MultipleNegativesRankingLoss

LEARNING_RATE = 5e-5
"""The default of the library's trainer; no other was tried."""
WARMUP = 0.1


@dataclass(frozen=True)
class Budget:
    """When the training ends: after so many optimizer steps, or so much processor time, whichever is set."""

    steps: int | None = None
    processor_seconds: float | None = None

    def spent(self, steps: int, processor_seconds: float) -> float:
        """The share that is used up, from 0."""
        if self.steps is not None:
            return steps / self.steps
        assert self.processor_seconds is not None
        return processor_seconds / self.processor_seconds


@dataclass(frozen=True)
class Tuned:
    """A model, and what it took."""

    model: SentenceTransformer
    steps: int
    seconds: float
    processor_seconds: float


def tune(
    documents: tuple[Document, ...],
    sessions: list[dict[str, Any]],
    budget: Budget,
    *,
    seed: int,
    batch_size: int,
    max_tokens: int,
    bf16: bool,
) -> Tuned:
    """Each click is a row (query, clicked document, a logged one without a click), in batches of different queries.

    A batch holds as many clicks as the preset's holds sessions. AdamW with the library's schedule: linear warmup over a
    tenth of the budget, then linearly to zero.
    """
    torch.manual_seed(seed)
    model = SentenceTransformer(str(base_folder()), device="cpu")
    model.max_seq_length = max_tokens
    loss = MultipleNegativesRankingLoss(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, fused=True)
    random = np.random.default_rng([seed, 5])
    texts = {document.item_id: document.text for document in documents}
    steps, began, busy = 0, time.monotonic(), time.process_time()
    while True:
        for rows in batches(sessions, random, batch_size):
            share = budget.spent(steps, time.process_time() - busy)
            if share >= 1:
                return Tuned(model.eval(), steps, time.monotonic() - began, time.process_time() - busy)
            for group in optimizer.param_groups:
                group["lr"] = LEARNING_RATE * min((share + 0.01) / WARMUP, (1 - share) / (1 - WARMUP))
            columns = [[row[0] for row in rows], *([texts[row[i]] for row in rows] for i in (1, 2))]
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                value = loss([model.preprocess(column) for column in columns], None)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            steps += 1


def batches(sessions: list[dict[str, Any]], random: np.random.Generator, size: int) -> list[list[tuple[str, str, str]]]:
    """An epoch of (query, clicked, not clicked), no query and no clicked document twice in a batch."""
    rows = []
    for session in sessions:
        clicked = {event["object_id"] for event in session["events"]}
        shown = [result["object_id"] for result in session["search_results"]]
        others = [one for one in shown if one not in clicked]
        if others:
            rows += [
                (session["search_query"], one, others[random.integers(len(others))]) for one in shown if one in clicked
            ]
    open_batches: list[list[tuple[str, str, str]]] = []
    full: list[list[tuple[str, str, str]]] = []
    for i in random.permutation(len(rows)):
        row = rows[i]
        free = (b for b in open_batches if all(row[0] != other[0] and row[1] != other[1] for other in b))
        chosen = next(free, None)
        if chosen is None:
            open_batches.append(chosen := [])
        chosen.append(row)
        if len(chosen) == size:
            open_batches.remove(chosen)
            full.append(chosen)
    return full or open_batches
