"""A trial cut into batches, optimizer steps and validations, and the learning rate of each step. No torch here."""

import math
from dataclasses import dataclass

from bluetune_trainer.training.params import TrainingSettings


@dataclass(frozen=True)
class StepPlan:
    """How an epoch is cut."""

    sessions: int
    """Sessions with a click."""
    batch_size: int
    accumulation: int
    """Batches in an optimizer step; the last step of an epoch may have fewer."""
    epochs: int
    batches_between_validations: int
    rungs: tuple[int, ...]
    """Validations (from 1, over the whole trial) at which a bad trial ends early."""

    @property
    def batches_per_epoch(self) -> int:
        """At least one."""
        return max(math.ceil(self.sessions / self.batch_size), 1)

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps."""
        return math.ceil(self.batches_per_epoch / self.accumulation)

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole trial."""
        return self.steps_per_epoch * self.epochs

    def weight(self, batch: int) -> float:
        """Factor on the loss of that batch (from 0, within its epoch).

        A batch's loss is a mean over its sessions, and Lightning divides it by `accumulation`. With this factor the sum
        over a step is the mean over the step's sessions, also where its last batch is smaller or batches are missing.
        """
        first = batch // self.accumulation * self.accumulation
        inside = self._sessions_before(first + self.accumulation) - self._sessions_before(first)
        own = self._sessions_before(batch + 1) - self._sessions_before(batch)
        return self.accumulation * own / inside if inside else 1.0

    def _sessions_before(self, batch: int) -> int:
        return min(batch * self.batch_size, self.sessions)


def plan_steps(sessions: int, settings: TrainingSettings) -> StepPlan:
    """Batches and validations for that many sessions with a click.

    `test_each_n_inputs` counts sessions, or is a share of an epoch when it is below 1. Rungs lie at a quarter and at
    half of the trial's validations, where that is not its end.
    """
    batches = max(math.ceil(sessions / settings.batch_size), 1)
    each = settings.test_each_n_inputs
    between = each * batches if each < 1 else each / settings.batch_size
    interval = min(max(int(between), 1), batches)
    total = batches // interval * settings.num_epochs
    rungs = sorted({max(math.ceil(total * share), 1) for share in (0.25, 0.5)}) if settings.halving else []
    return StepPlan(
        sessions=sessions,
        batch_size=settings.batch_size,
        accumulation=settings.accumulate_batches,
        epochs=settings.num_epochs,
        batches_between_validations=interval,
        rungs=tuple(r for r in rungs if r < total),
    )


def warmup_steps(warmup: float, steps: int) -> int:
    """Optimizer steps of the warmup: a number of them, or a share of the trial's `steps` when it is below 1."""
    return round(warmup * steps) if warmup < 1 else int(warmup)


def rate_factor(step: int, warmup: int, step_size: int, gamma: float) -> float:
    """Factor on the learning rate of that optimizer step (from 0).

    Linear from 1/warmup to 1 over the first `warmup` steps; then times `gamma` every `step_size` steps, as torch's
    StepLR has it.
    """
    if step < warmup:
        return (step + 1) / warmup
    return float(gamma ** ((step - warmup) // step_size))
