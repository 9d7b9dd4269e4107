"""A pool of candidates, from harmful to much better: linear maps of the start vectors, learned or spoiled."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from evidence.data import Judged, Matrix
from evidence.simulate import Clicks, Logger, clicked, shown

TEMPERATURE = 0.03


@dataclass(frozen=True)
class Recipe:
    """How a linear map is learned."""

    name: str
    clicks: str = "clicks"
    """clicks, noise (anywhere), inverted, or judgments (of the learning half)."""
    rate: float = 1e-3
    epochs: int = 3
    ways: tuple[float, ...] = (0.5, 1.0)
    """How far along the way from the start."""


RECIPES = (
    Recipe("clicks", rate=5e-4, ways=(0.5, 1.0, 2.0, -0.5)),
    Recipe("cold", rate=1e-4, ways=(1.0,)),
    Recipe("hot", rate=1e-2, ways=(0.5, 1.0)),
    Recipe("long", rate=2e-3, epochs=10, ways=(0.5, 1.0)),
    Recipe("noise", clicks="noise", ways=(0.5, 1.0)),
    Recipe("inverted", clicks="inverted", rate=5e-4, epochs=1, ways=(0.5, 1.0)),
    Recipe("judgments", clicks="judgments", rate=1e-3, epochs=8, ways=(0.5, 1.0)),
)


@dataclass(frozen=True)
class Candidate:
    """A ranker, by its scores of the evaluation half's queries."""

    name: str
    scores: Matrix


def pool(judged: Judged, logger: Logger, clicks: Clicks, sessions: int, seed: int) -> list[Candidate]:
    """Candidates for one log of the learning half, and some that no click made."""
    rows = np.flatnonzero(judged.learn)
    test = judged.queries[~judged.learn]
    cosines = judged.queries[rows] @ judged.items.T
    random = np.random.default_rng([seed, 1])
    query = np.concatenate([random.permutation(len(rows)) for _ in range(-(-sessions // len(rows)))])[:sessions]
    results = shown(cosines, judged.lexical[rows], query, logger, random)
    grades = judged.grades[rows][query[:, None], results]
    where = clicked(grades, clicks, random)
    found = []
    for recipe in RECIPES:
        asked, listed, target = query, results, where
        if recipe.clicks == "noise":
            target = random.permuted(where, axis=1)
        elif recipe.clicks == "inverted":
            target = ~where
        elif recipe.clicks == "judgments":
            target = grades > 0
        keep = target.any(1) & ~target.all(1)
        change = _learn(judged, rows[asked[keep]], listed[keep], target[keep], recipe, seed)
        for way in recipe.ways:
            vectors = _moved(judged.items, change, way)
            found.append(Candidate(f"{recipe.name} {way:g}", _moved(test, change, way) @ vectors.T))
    live = test @ judged.items.T
    lexical = judged.lexical[~judged.learn]
    for weight in (0.05, 0.15, 0.4):  # as a model that imitates keywords would rank
        spread = live.std(1, keepdims=True) / np.maximum(lexical.std(1, keepdims=True), 1e-6)
        found.append(Candidate(f"words {weight:g}", live + weight * spread * lexical))
    for noise in (0.02, 0.05, 0.1):
        shaken = judged.items + random.normal(size=judged.items.shape).astype(np.float32) * noise
        found.append(Candidate(f"shaken {noise:g}", test @ shaken.T))
    cut = (Candidate(f"first {kept}", test[:, :kept] @ judged.items[:, :kept].T) for kept in (96, 192))
    return [*found, *cut]


def _moved(vectors: Matrix, change: Matrix, way: float) -> Matrix:
    moved = vectors + way * (vectors @ change.T)
    return np.asarray(moved / np.linalg.norm(moved, axis=1, keepdims=True), np.float32)


def _learn(
    judged: Judged,
    query: NDArray[np.int64],
    results: NDArray[np.int64],
    target: NDArray[np.bool_],
    recipe: Recipe,
    seed: int,
    batch: int = 32,
) -> Matrix:
    """A change of the vectors, [dimension, dimension], by a softmax over a session's results and those of its batch."""
    random = np.random.default_rng([seed, 5])
    items, queries = torch.from_numpy(judged.items), torch.from_numpy(judged.queries)
    change = torch.zeros(items.shape[1], items.shape[1], requires_grad=True)
    optimizer = torch.optim.AdamW([change], lr=recipe.rate, weight_decay=0.01)
    normalize = torch.nn.functional.normalize
    for _ in range(recipe.epochs):
        order = random.permutation(len(query))
        for begin in range(0, len(order), batch):
            chosen = order[begin : begin + batch]
            unique, at = np.unique(results[chosen], return_inverse=True)
            documents = items[unique]
            documents = normalize(documents + documents @ change.T, dim=1)
            asked = queries[query[chosen]]
            asked = normalize(asked + asked @ change.T, dim=1)
            ranks = asked @ documents.T / TEMPERATURE
            own = torch.zeros_like(ranks, dtype=torch.bool).scatter_(
                1, torch.from_numpy(at.reshape(len(chosen), -1)), True
            )
            liked = torch.from_numpy(target[chosen])
            mine = ranks.gather(1, torch.from_numpy(at.reshape(len(chosen), -1)))
            against = torch.cat([mine.masked_fill(liked, -1e4), ranks.masked_fill(own, -1e4)], 1).logsumexp(1)
            each = torch.where(liked, torch.logaddexp(against[:, None], mine) - mine, 0.0).sum(1) / liked.sum(1)
            optimizer.zero_grad()
            each.mean().backward()
            optimizer.step()
    return np.asarray(change.detach().numpy())
