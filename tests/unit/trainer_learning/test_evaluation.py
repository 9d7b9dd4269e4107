"""Sessions as padded arrays: one long session does not widen the others, and validation takes what can tell."""

import numpy as np
import pytest

from bluetune_trainer.training import evaluation
from bluetune_trainer.training.batches import Ints, NumberedSessions
from bluetune_trainer.training.evaluation import fixed_subset, padded_in_blocks


def sessions(lengths: list[int], clicks: list[int] | None = None) -> NumberedSessions:
    """Of these lengths, the first results clicked (one each unless said otherwise)."""
    offsets = np.cumsum([0, *lengths])
    clicked = np.zeros(offsets[-1], np.bool_)
    for begin, count in zip(offsets, clicks or [1] * len(lengths), strict=False):
        clicked[begin : begin + count] = True
    items: Ints = np.arange(offsets[-1])
    return NumberedSessions(
        1_000_000 + np.arange(len(lengths)), items, clicked, offsets, np.zeros(len(items), np.int32)
    )


def test_blocks_hold_each_session_once_and_few_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "CELLS_IN_BLOCK", 100)
    lengths = [3, 3000, 10, 1, 40, 10, 10, 99, 2]
    all_sessions = sessions(lengths)
    seen, cells = [], []
    for at, block in padded_in_blocks(all_sessions, np.arange(len(lengths))):
        seen += at.tolist()
        cells.append(block.valid.numel())
        for row, session in enumerate(at.tolist()):
            shown = block.texts[block.result_at[row][block.valid[row].numpy()]]
            assert shown.tolist() == all_sessions.items[all_sessions.span(session)].tolist()
            assert int(block.clicked[row].sum()) == 1
    assert sorted(seen) == list(range(len(lengths)))
    assert sorted(cells)[-1] == 3000, "which has a block of its own"
    assert sorted(cells)[-2] <= 100


def test_validation_takes_sessions_that_can_tell_rankings_apart_first() -> None:
    # clicked throughout, without a click, or informative
    clicks = [2, 0, 1] * 20
    some = sessions([2] * 60, clicks)
    assert some.informative().tolist() == [count == 1 for count in clicks]
    chosen = fixed_subset(some, 30, seed=0)
    assert len(chosen) == 30
    assert set(chosen.tolist()) >= set(range(2, 60, 3))
    assert chosen.tolist() == fixed_subset(some, 30, seed=0).tolist() == sorted(chosen.tolist())
    assert chosen.tolist() != fixed_subset(some, 30, seed=1).tolist()
