"""Which evidence of earlier runs counts: that of sessions which say something new."""

from bluetune_api.records import KeptEvidence
from bluetune_trainer.search.remembered import earlier_of


def kept(letter: str, *batches: str, gain: float = 0.0, metric: str = "ndcg@10") -> KeptEvidence:
    return KeptEvidence(
        candidate="sha256:" + 64 * letter,
        batch_id=batches[0],
        batches=list(batches) if len(batches) > 1 else None,
        metric=metric,
        gains={"Local": gain},
        influence={"Local": {"q": 0.1}},
    )


def gains(earlier: list[KeptEvidence], *batches: str) -> list[float]:
    found = earlier_of(earlier, candidate="sha256:" + 64 * "0", batches=batches, metric="ndcg@10")
    return [run.value for runs in found.runs.values() for run in runs]


def test_evidence_of_the_same_batch_does_not_count_again() -> None:
    assert gains([kept("1", "b1", gain=1), kept("2", "b2", gain=2)], "b2") == [1]


def test_evidence_that_shares_one_of_several_batches_does_not_count() -> None:
    assert gains([kept("1", "b2", "b1", gain=1), kept("2", "b3", gain=2)], "b4", "b1") == [2]


def test_of_earlier_runs_that_share_a_batch_the_one_with_the_most_batches_counts() -> None:
    assert gains([kept("1", "b1", gain=1), kept("2", "b2", "b1", gain=2), kept("3", "b2", gain=3)], "b9") == [2]
    assert gains([kept("1", "b1", gain=1), kept("2", "b1", gain=2)], "b9") == [2]


def test_every_other_candidate_takes_a_part_of_the_risk_whatever_its_batches() -> None:
    earlier = [kept("1", "b1"), kept("2", "b1", metric="mrr@10"), kept("0", "b2")]
    assert earlier_of(earlier, candidate="sha256:" + 64 * "0", batches=["b1"], metric="ndcg@10").attempts == 2
