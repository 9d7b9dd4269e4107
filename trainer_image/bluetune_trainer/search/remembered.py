"""Which of the evidence that earlier runs kept counts in this one. Pure."""

from collections.abc import Sequence

from bluetune_api.records import JudgeName, KeptEvidence
from bluetune_trainer.evidence.sequence import Run
from bluetune_trainer.search.gate import Earlier, Measured


def earlier_of(kept: Sequence[KeptEvidence], *, candidate: str, batch_id: str | None, metric: str) -> Earlier:
    """What earlier runs against the same live version say to this one.

    Each run that compared another candidate took a part of the risk. Its evidence counts if it is about the same
    metric and of another batch: the same sessions say nothing new. Of several runs on a batch the last one counts.
    """
    others = [one for one in kept if one.candidate != candidate]
    by_batch = {one.batch_id: one for one in others if one.batch_id != batch_id and one.metric == metric}
    runs: dict[JudgeName, list[Run]] = {}
    for one in by_batch.values():
        for name, gain in one.gains.items():
            if name != "People":
                runs.setdefault(name, []).append(Run(gain, one.influence[name]))
    return Earlier(len({one.candidate for one in others}), runs)


def to_keep(measured: Measured, *, candidate: str, batch_id: str | None) -> KeptEvidence:
    """What a later run may know of this one."""
    return KeptEvidence(
        candidate=candidate,
        batch_id=batch_id,
        metric=measured.report.metric,
        gains={name: run.value for name, run in measured.runs.items()},
        influence={name: dict(run.influence) for name, run in measured.runs.items()},
    )
