"""What people use instead: sentence-transformers at its best, and a loop that takes one session a step."""

from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.losses import MultipleNegativesRankingLoss
from torch import Tensor
from transformers import AutoModel, AutoTokenizer

from bluetune_trainer.ranking.features import RankingFeatures
from bluetune_trainer.ranking.losses import ProbMarginRankingLoss
from speed.ours import LEARNING_RATE, Side
from speed.worlds import MODEL, RESULTS, World

WINDOW = 512


def sentence_transformers(world: World, batch: int, *, bf16: bool, attention: str) -> Side:
    """MultipleNegativesRankingLoss on n-tuples: each session gives (query, first click, its unclicked results).

    `attention` is the transformer's: the library's default, sdpa, or eager, which is faster in bfloat16.
    """
    model = SentenceTransformer(str(MODEL), device="cpu", model_kwargs={"attn_implementation": attention})
    model.train()
    loss = MultipleNegativesRankingLoss(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, fused=True)
    columns = RESULTS - 3  # unclicked results that every session has
    rows = []
    for query, items, clicked in _sessions(world):
        rows.append([query, *(t for t, c in zip(items, clicked, strict=True) if c)][:2])
        rows[-1] += [t for t, c in zip(items, clicked, strict=True) if not c][:columns]
    features = [
        [model.preprocess(list(column)) for column in zip(*rows[i : i + batch], strict=True)]
        for i in range(0, len(rows), batch)
    ]

    def step(i: int) -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            value = loss([dict(column) for column in features[i]], None)
        value.backward()
        optimizer.step()

    name = f"sentence-transformers MNRL, {attention}, {'bf16' if bf16 else 'fp32'}"
    return Side(name, batch, step, f"{columns + 1} of the {RESULTS} results")


def one_session_a_step(world: World, *, padded: bool) -> Side:
    """The shape of Embedding Studio 1.0: one session a step, metrics each step by the start version's pass.

    `padded`: every text to the model's window, as it does; otherwise to the longest text of the session, and without
    the metrics of each step.
    """
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    model, start = (AutoModel.from_pretrained(MODEL, local_files_only=True).eval() for _ in range(2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, fused=True)
    loss = ProbMarginRankingLoss()
    sessions = list(_sessions(world))

    def ranks(of: Any, query: str, items: list[str]) -> Tensor:
        options: dict[str, Any] = {"padding": "max_length", "max_length": WINDOW} if padded else {"padding": True}
        vectors = []
        for texts in ([query], items):
            batch = tokenizer(texts, truncation=True, return_tensors="pt", **options)
            states, mask = of(**batch).last_hidden_state, batch["attention_mask"].unsqueeze(-1)
            vectors.append(torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1))
        return vectors[0] @ vectors[1].T

    def step(i: int) -> None:
        query, items, clicked = sessions[i]
        optimizer.zero_grad()
        found = ranks(model, query, items)
        marks = torch.tensor([clicked])
        known = torch.ones_like(marks)
        loss(RankingFeatures(ranks=found, clicked=marks, valid=known, confidences=known.float())).backward()
        optimizer.step()
        if padded:
            with torch.no_grad():
                (found.detach() - ranks(start, query, items))[marks].mean()

    how = f"padded to {WINDOW}, metrics each step" if padded else "dynamic padding, no metrics"
    return Side(f"one session a step, {how}, fp32", 1, step)


def _sessions(world: World) -> Any:
    catalogue, sessions = world
    for i in range(len(sessions)):
        span = slice(int(sessions.offsets[i]), int(sessions.offsets[i + 1]))
        yield sessions.queries[i], [catalogue.texts[k] for k in sessions.items[span]], sessions.clicked[span].tolist()
