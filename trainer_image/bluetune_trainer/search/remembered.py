"""Which of the evidence that earlier runs kept counts in this one. Pure."""

from collections.abc import Collection, Sequence

from bluetune_api.records import JudgeName, KeptEvidence
from bluetune_trainer.evidence.sequence import Run
from bluetune_trainer.search.gate import Earlier, Measured


def earlier_of(kept: Sequence[KeptEvidence], *, candidate: str, batches: Collection[str], metric: str) -> Earlier:
    """What earlier runs against the same live version say to this one.

    Each run that compared another candidate took a part of the risk. Its evidence counts if it is about the same
    metric and of other batches: the same sessions say nothing new. Of several runs that share a batch one counts: the
    one with the most batches, and of these the last.
    """
    others = [one for one in kept if one.candidate != candidate]
    used = set(batches)
    runs: dict[JudgeName, list[Run]] = {}
    newest_first = others[::-1]
    for one in sorted(newest_first, key=lambda one: -len(_batches(one))):
        if one.metric != metric or used & _batches(one):
            continue
        used |= _batches(one)
        for name, gain in one.gains.items():
            if name != "People":
                runs.setdefault(name, []).append(Run(gain, one.influence[name]))
    return Earlier(len({one.candidate for one in others}), runs)


def _batches(one: KeptEvidence) -> set[str]:
    return set(one.batches or ([one.batch_id] if one.batch_id else []))


def to_keep(measured: Measured, *, candidate: str, batches: Sequence[str]) -> KeptEvidence:
    """What a later run may know of this one. `batches` are newest first."""
    return KeptEvidence(
        candidate=candidate,
        batch_id=batches[0] if batches else None,
        batches=list(batches) if len(batches) > 1 else None,
        metric=measured.report.metric,
        gains={name: run.value for name, run in measured.runs.items()},
        influence={name: dict(run.influence) for name, run in measured.runs.items()},
    )
