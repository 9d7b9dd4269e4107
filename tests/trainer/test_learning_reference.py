"""The loss of every step is that of a loop without any of the trainer's shortcuts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bluetune_trainer.training.encoder import Encoder
from bluetune_trainer.training.params import TrialParams
from bluetune_trainer.training.task import TrainingTask
from trainer.learning_runs import prepared, train
from trainer.learning_world import write_tiny_encoder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
RATE, TEMPERATURE, STEPS = 1e-3, 0.1, 20


def reference_losses(task: TrainingTask, start: Path, depth: int) -> list[float]:
    """The listwise loss of each step, written plainly: each query and result encoded by itself, however often."""
    model = Encoder.load(start)
    tokens: dict[int, Any] = {}

    def encode(number: int) -> Tensor:
        ids = torch.as_tensor(
            np.asarray(tokens.setdefault(number, task.table.rows(np.asarray([number]))[0])).astype(int)
        )
        states = model.backbone(input_ids=ids[None], attention_mask=torch.ones_like(ids)[None]).last_hidden_state[0]
        mean = states.mean(0)
        return mean / mean.norm()

    trained = [
        parameter
        for name, parameter in model.backbone.named_parameters()
        if (depth == 0 or any(f".layer.{i}." in name for i in range(depth, 2))) and not name.startswith("pooler")
    ]
    matrices, vectors = [p for p in trained if p.dim() > 1], [p for p in trained if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=RATE, foreach=False)
    batcher = task.batcher(TrialParams())
    shown_for: dict[int, set[int]] = {}
    for i in range(len(task.train)):
        shown_for.setdefault(int(task.train.queries[i]), set()).update(task.train.items[task.train.span(i)].tolist())
    losses = []
    for epoch in range(task.settings.num_epochs):
        for batch in batcher.epoch(task.settings.batch_size, np.random.default_rng([task.settings.seed, 0, epoch])):
            sessions = []
            for row, query in enumerate(batch.texts[batch.query_at].tolist()):
                numbers = batch.texts[batch.item_at[batch.result_at[row]]]
                shown = [
                    (int(n), bool(c))
                    for n, c, v in zip(numbers, batch.clicked[row], batch.valid[row], strict=True)
                    if v
                ]
                sessions.append((query, shown))
            each = [[encode(number) for number, _ in shown] for _, shown in sessions]
            in_batch = {
                n: v
                for (_, shown), own in zip(sessions, each, strict=True)
                for (n, _), v in zip(shown, own, strict=True)
            }
            per_session = []
            for (query, shown), vectors in zip(sessions, each, strict=True):
                vector = encode(query)
                own = {number for number, _ in shown}
                others = [n for n in in_batch if n not in own and n not in shown_for[query]]
                negatives = [v for v, (_, click) in zip(vectors, shown, strict=True) if not click]
                against = [vector @ v / TEMPERATURE for v in [*negatives, *(in_batch[n] for n in others)]]
                terms = []
                for result, (_, click) in zip(vectors, shown, strict=True):
                    if click:
                        positive = vector @ result / TEMPERATURE
                        terms.append(torch.logsumexp(torch.stack([positive, *against]), 0) - positive)
                per_session.append(torch.stack(terms).mean())
            loss = torch.stack(per_session).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize("depth", [0, 1])
def test_the_loss_curve_is_that_of_one_text_at_a_time(
    minilm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, depth: int
) -> None:
    monkeypatch.setattr("bluetune_trainer.training.model.TOKENS_PER_CHUNK_CPU", 64)  # many chunks a step
    start = write_tiny_encoder(tmp_path / "start", minilm, layers=2)
    task = prepared(
        start, tmp_path, sessions=20, batch_size=4, num_epochs=4, test_each_n_inputs=4.0, gamma=1.0, warmup=0.0
    )
    run = train(task, num_fixed_layers=depth, items_lr=RATE, temperature=TEMPERATURE)
    found = [point.train_loss for point in run.history]
    expected = reference_losses(task, start, depth)
    assert len(found) == len(expected) == STEPS
    assert found == pytest.approx(expected, abs=1e-5, rel=0)
    assert sum(expected[-5:]) < sum(expected[:5]) - 0.1  # the last epoch against the first: the weights did move
