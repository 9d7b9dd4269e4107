"""A trial cut into batches, optimizer steps and validations, and the learning rate of each step. No torch here."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bluetune_trainer.training.params import TrainingSettings

MIN_STEPS = 100
"""Optimizer steps of a trial, at least, unless `numEpochs` is set: chosen by benchmarks/README.md."""
EPOCHS = 2
"""Epochs of a trial, unless `numEpochs` is set."""
STEP_SIZE, GAMMA = 500, 0.9
"""The one, where only the other is set."""


@dataclass(frozen=True)
class StepPlan:
    """How an epoch is cut."""

    sessions: int
    """Sessions with a click."""
    batch_size: int
    """Sessions of a batch, at most."""
    accumulation: int
    """Batches in an optimizer step; the last step of an epoch may have fewer."""
    epochs: int
    batches_between_validations: int
    rungs: tuple[int, ...] = ()
    """Batches, over the whole trial, after which it is judged against others; each of them is `pausable`."""
    passes: int = 1
    """How often an epoch goes through the sessions: more than once where there are few."""

    @property
    def batches_per_pass(self) -> int:
        """At least one."""
        return batches_of(self.sessions, self.batch_size)

    @property
    def batches_per_epoch(self) -> int:
        """At least one."""
        return self.batches_per_pass * self.passes

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps."""
        return math.ceil(self.batches_per_epoch / self.accumulation)

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole trial."""
        return self.steps_per_epoch * self.epochs

    @property
    def batches(self) -> int:
        """Number of batches of the whole trial."""
        return self.batches_per_epoch * self.epochs

    def validates_after(self, batch: int) -> bool:
        """Whether a validation follows when that many batches of an epoch were fed."""
        return batch % self.batches_between_validations == 0

    def pausable(self, batches: int) -> bool:
        """Whether a trial can be left after that many batches, to go on from there exactly.

        A checkpoint holds no gradients that wait for more batches. Lightning counts the end of an epoch without a
        validation as part of both epochs. The last batch is the trial's end.
        """
        inside = batches % self.batches_per_epoch
        if inside == 0 and not self.validates_after(self.batches_per_epoch):
            return False
        return inside % self.accumulation == 0 and batches < self.batches

    def weight(self, batch: int) -> float:
        """Factor on the loss of that batch (from 0, within its epoch).

        A batch's loss is a mean over its sessions, and Lightning divides it by `accumulation`. With this factor the sum
        over a step is the mean over the step's sessions, also where batches are smaller or missing.
        """
        first = batch // self.accumulation * self.accumulation
        inside = self._sessions_before(first + self.accumulation) - self._sessions_before(first)
        own = self._sessions_before(batch + 1) - self._sessions_before(batch)
        return self.accumulation * own / inside if inside else 1.0

    def _sessions_before(self, batch: int) -> int:
        whole, rest = divmod(min(batch, self.batches_per_epoch), self.batches_per_pass)
        size, larger = divmod(self.sessions, self.batches_per_pass)
        return whole * self.sessions + rest * size + min(rest, larger)


def batches_of(sessions: int, batch_size: int) -> int:
    """Batches that these sessions are dealt into, as evenly as can be, the larger ones first; at least one."""
    return max(math.ceil(sessions / batch_size), 1)


def plan_steps(sessions: int, settings: TrainingSettings, rungs: Sequence[float] = ()) -> StepPlan:
    """Batches and validations for that many sessions with a click.

    `test_each_n_inputs` counts sessions, or is a share of an epoch when it is below 1. A rung at a share of the trial
    lies at the first batch from there on that is `pausable`; rungs that would be the trial's end, or the rung before,
    fall away.
    """
    batches = batches_of(sessions, settings.batch_size)
    epochs, passes = settings.num_epochs or EPOCHS, 1
    if settings.num_epochs is None:
        passes = max(math.ceil(MIN_STEPS * settings.accumulate_batches / (EPOCHS * batches)), 1)
    batches *= passes
    each = settings.test_each_n_inputs
    between = each * batches if each < 1 else each / settings.batch_size
    plan = StepPlan(
        sessions=sessions,
        batch_size=settings.batch_size,
        accumulation=settings.accumulate_batches,
        epochs=epochs,
        batches_between_validations=min(max(int(between), 1), batches),
        passes=passes,
    )
    placed: list[int] = []
    for share in rungs:
        batch = max(math.ceil(share * plan.batches), 1)
        while batch < plan.batches and not plan.pausable(batch):
            batch += 1
        if batch < plan.batches and batch not in placed:
            placed.append(batch)
    return replace(plan, rungs=tuple(placed))


def warmup_steps(warmup: float, steps: int) -> int:
    """Optimizer steps of the warmup: a number of them, or a share of the trial's `steps` when it is below 1."""
    return round(warmup * steps) if warmup < 1 else int(warmup)


def rate_of(settings: TrainingSettings, steps: int) -> Callable[[int], float]:
    """Optimizer step (from 0) → factor on the learning rate, in a trial of so many steps."""
    warmup = warmup_steps(settings.warmup, steps)
    if settings.step_size is None and settings.gamma is None:
        return lambda step: rate_factor(step, warmup, steps)
    size, gamma = settings.step_size or STEP_SIZE, settings.gamma or GAMMA
    return lambda step: stepped_rate_factor(step, warmup, size, gamma)


def rate_factor(step: int, warmup: int, steps: int) -> float:
    """Factor on the learning rate of that optimizer step (from 0) of a trial of `steps`.

    Linear from 1/warmup to 1 over the first `warmup` steps, and then linearly down, to 0 where the trial has ended.
    """
    if step < warmup:
        return (step + 1) / warmup
    return max(steps - step, 0) / max(steps - warmup, 1)


def stepped_rate_factor(step: int, warmup: int, step_size: int, gamma: float) -> float:
    """The same with a fall by steps: times `gamma` every `step_size` steps, as torch's StepLR has it."""
    if step < warmup:
        return (step + 1) / warmup
    return float(gamma ** ((step - warmup) // step_size))
