"""Whatever others do, a rollout ends: in bounded time, after a bounded number of writes, with a reason.

An adversary chooses all that is seen: the Deployment, its pods, the reindex Job, the pods' answers, what the API server
says to a write, when the process is restarted, and whose clock stamps are written by.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bluetune_api.model import Reindex, Rollout, Serving
from bluetune_api.verify import Verify
from bluetune_operator.core.rollout.limits import (
    CLOCKS_DIFFER,
    FIGHTS,
    MAX_UNDONE,
    MIN_WATCHED,
    SCALED_DOWN_SECONDS,
    Watched,
    elapsed,
)
from bluetune_operator.core.rollout.moves import (
    SOON,
    Action,
    Answers,
    BlueView,
    Failure,
    JobView,
    Move,
    Observed,
    advance,
    answered,
    failed,
    hindered,
    refused,
)
from bluetune_operator.core.times import stamp

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
OLD, NEW, DIGEST = "v000000000001", "v000000000002", "sha256:" + "2" * 64
REINDEX, REPLACE, VERIFY = 100, 200, 50
SERVING = Serving(
    deployment="blue",
    container="server",
    reindex=Reindex(template={}, timeout_seconds=REINDEX),
    verify=Verify(port=80, timeout_seconds=VERIFY),
    rollout_timeout_seconds=REPLACE,
)
DATABASE = {"type": "Pgvector", "pgvector": {"connectionSecretRef": {"name": "db", "key": "uri"}}}
INDEXED = Serving.model_validate(
    SERVING.model_copy(update={"reindex": None}).wire() | {"index": {"target": DATABASE, "timeoutSeconds": REINDEX}}
)
"""With two Jobs before the switch: one that encodes, one that loads."""
FORWARD = REINDEX + FIGHTS * REPLACE + VERIFY
BACK = REPLACE + VERIFY
LOOKS = 2 * 15.0
"""Seconds that the last look of each way may come late: the longest pause between two."""
WRITER = "'kubectl-replace' (Update at 2026-01-01T00:00:00Z)"


def begun(source: str | None = OLD, step: str = "Reindex") -> Rollout:
    times = {"startedAt": stamp(BEGUN), "stepStartedAt": stamp(BEGUN)}
    return Rollout.model_validate({"from": source, "to": NEW, "digest": DIGEST, "step": step, **times})


@dataclass
class Look:
    """What the adversary shows, and what becomes of what is done."""

    job: JobView | None
    blue: BlueView
    answers: Answers
    write: str
    """What the API server says to a write: done, or why not."""
    slow: float
    """Seconds that it comes later than asked for."""


@dataclass
class Story:
    """A rollout, and what it did."""

    rollout: Rollout
    seconds: float = 0.0
    applies: int = 0
    jobs: int = 0
    at_once: int = 0
    steps: list[str] = field(default_factory=list)
    serving: Serving = field(default_factory=lambda: SERVING)
    _step: tuple[str, str] = ("", "")
    _step_since: float = 0.0

    def look(self, shown: Look) -> None:
        now = BEGUN + timedelta(seconds=self.seconds)
        step = (self.rollout.step, self.rollout.step_started_at)
        if step != self._step:
            self._step, self._step_since = step, self.seconds
        watched = Watched(self.seconds, self.seconds - self._step_since)
        seen = Observed(now=now, serving=self.serving, watched=watched, job=shown.job, blue=shown.blue)
        move = advance(self.rollout, seen)
        move = self._done(move, shown, seen)
        self.steps.append(move.rollout.step)
        self.rollout = move.rollout
        after = move.after if move.after is not None else 0.0
        self.at_once = self.at_once + 1 if after + shown.slow == SOON else 0
        self.seconds += after + shown.slow

    def _done(self, move: Move, shown: Look, seen: Observed) -> Move:
        before = self.rollout
        if move.action is Action.ASK:
            return answered(move.rollout, shown.answers, seen)
        if move.action is Action.PROMOTE:
            return Move(move.rollout.model_copy(update={"step": "Done"}), None, None)
        if move.action not in (Action.APPLY, Action.CREATE_REINDEX):
            return move
        if shown.write == "conflict":  # it changed since it was read
            return Move(before, None, 2.0)
        if shown.write == "webhook":
            return hindered(before, Failure("PatchRefused", "failed calling webhook"))
        if shown.write == "refused":
            failure = Failure("FieldConflict", "belongs to others")
            return (
                refused(before, failure, seen.now) if move.action is Action.APPLY else failed(before, failure, seen.now)
            )
        self.applies += move.action is Action.APPLY
        self.jobs += move.action is Action.CREATE_REINDEX
        return move

    @property
    def over(self) -> bool:
        return self.rollout.step in ("Done", "Failed")


failures = st.sampled_from([None, None, None, Failure("ProgressDeadlineExceeded", "late")])
blocks = st.sampled_from([None, None, Failure("ContainerNotFound", "no"), Failure("DeploymentPaused", "paused")])
jobs = st.none() | st.builds(
    JobView,
    state=st.sampled_from(["Running", "Running", "Complete", "Failed"]),
    of_this_rollout=st.booleans(),
    owner=st.sampled_from(["Model", "Model", "Gone", "Other"]),
)


def blues(*, scaled_down: bool) -> st.SearchStrategy[BlueView]:
    return st.builds(
        BlueView,
        found=st.sampled_from([True, True, True, False]),
        matches=st.booleans(),
        settled=st.booleans(),
        failed=failures,
        blocked=blocks,
        message=st.just("1 of 2 pods are new"),
        scaled_down=st.booleans() if scaled_down else st.just(False),
        changed_by=st.just(WRITER),
    )


answers = st.sampled_from(
    [Answers(False, "wrong"), Answers(False, "none", "VerifyUnreachable"), Answers(False, "x", "StoreUnreachable")]
)


def looks(*, scaled_down: bool = False) -> st.SearchStrategy[list[Look]]:
    """A pattern that the adversary repeats for ever; random sequences alone hardly ever fight for long."""
    writes = st.sampled_from(["done", "done", "done", "conflict", "webhook", "refused"])
    look = st.builds(Look, jobs, blues(scaled_down=scaled_down), answers, writes, st.sampled_from([0.0, 0.0, 1.0, 7.0]))
    return st.lists(look, min_size=1, max_size=6)


def told(story: Story, pattern: list[Look], limit: float) -> None:
    for number in range(100_000):
        if story.over:
            return
        story.look(pattern[number % len(pattern)])
        assert story.seconds <= limit, (story.rollout, story.steps[-20:])
        assert story.at_once <= 60, "a loop without a pause"
    raise AssertionError(f"it does not end: {story.rollout}, {story.steps[-20:]}")


@settings(max_examples=200, deadline=None)
@given(looks(), st.sampled_from([OLD, NEW, None]), st.sampled_from(["Reindex", "Patch"]))
def test_a_rollout_ends_in_bounded_time_and_after_a_bounded_number_of_writes(
    pattern: list[Look], source: str | None, step: str
) -> None:
    story = Story(begun(source, step))
    told(story, pattern, FORWARD + BACK + LOOKS + 300)
    assert story.applies <= 2 * (MAX_UNDONE + 1)
    assert story.jobs <= MAX_UNDONE + 1
    assert story.rollout.step == "Done" or story.rollout.reason


@settings(max_examples=200, deadline=None)
@given(looks(), st.sampled_from([OLD, NEW, None]), st.sampled_from(["Reindex", "Load", "Patch"]))
def test_also_with_an_index_that_is_encoded_and_loaded(pattern: list[Look], source: str | None, step: str) -> None:
    story = Story(begun(source, step), serving=INDEXED)
    told(story, pattern, REINDEX + FORWARD + BACK + LOOKS + 300)
    assert story.applies <= 2 * (MAX_UNDONE + 1)
    assert story.jobs <= 2 * (MAX_UNDONE + 1)
    assert story.rollout.step == "Done" or story.rollout.reason


def seen_at_0(scaled_down: bool) -> Look:
    blue = BlueView(found=True, matches=True, settled=not scaled_down, scaled_down=scaled_down)
    return Look(JobView("Complete", True), blue, Answers(False, "wrong"), "done", 0.0)


@settings(max_examples=100, deadline=None)
@given(looks(scaled_down=True))
@example([seen_at_0(False), seen_at_0(True)])
def test_also_beside_one_who_scales_the_deployment_to_nothing_and_back(pattern: list[Look]) -> None:
    story = Story(begun())
    told(story, pattern, FORWARD + BACK + LOOKS + 300 + SCALED_DOWN_SECONDS)
    assert story.applies <= 2 * (MAX_UNDONE + 1)


GOOD = BlueView(found=True, matches=True, settled=True, changed_by=WRITER)
STRIPPED = BlueView(found=True, matches=False, changed_by=WRITER)
STARTING = BlueView(found=True, matches=True, message="0 of 2 pods are new", changed_by=WRITER)
WRONG = Answers(False, "wrong")


def shown(blue: BlueView = STRIPPED, job: JobView | None = None, write: str = "done") -> Look:
    return Look(job, blue, WRONG, write, 0.0)


@pytest.mark.parametrize(
    ("case", "pattern"),
    [
        ("never kept, as a webhook that strips the fields", [shown()]),
        ("kept for a moment, as beside an operator that replaces", [shown(), shown(STARTING), shown(STARTING)]),
        ("put back by those who took it out", [shown(STARTING), shown()]),
    ],
)
def test_a_fight_is_given_up_and_names_who_wrote_last(case: str, pattern: list[Look]) -> None:
    story = Story(begun(NEW, "Patch"))
    told(story, pattern, FORWARD)
    assert story.rollout.reason == "OverwrittenByOthers", case
    assert WRITER in (story.rollout.message or ""), case
    assert story.applies <= MAX_UNDONE + 1
    assert story.seconds >= 5 or story.applies == 0, "each time later"


def test_a_fight_on_the_way_back_is_given_up_too_and_keeps_the_first_reason() -> None:
    story = Story(begun(OLD, "Patch").model_copy(update={"step": "RollingBack", "reason": "VerifyFailed"}))
    told(story, [shown()], BACK)
    assert (story.rollout.step, story.rollout.reason) == ("Failed", "VerifyFailed")
    assert WRITER in (story.rollout.message or "")
    assert story.applies == MAX_UNDONE + 1


def test_a_reindex_job_that_somebody_deletes_again_and_again_is_given_up() -> None:
    story = Story(begun())
    told(story, [shown()], REINDEX + LOOKS)
    assert story.rollout.reason == "ReindexTimeout"
    patient = SERVING.model_copy(update={"reindex": Reindex(template={}, timeout_seconds=100_000)})
    rollout, seconds, made = begun(), 0.0, 0
    while rollout.step == "Reindex":
        now = BEGUN + timedelta(seconds=seconds)
        move = advance(rollout, Observed(now=now, serving=patient, watched=Watched(seconds, seconds)))
        made += move.action is Action.CREATE_REINDEX
        rollout, seconds = move.rollout, seconds + (move.after or 0.1)
    assert (rollout.step, rollout.reason, made) == ("Failed", "ReindexJobDeleted", MAX_UNDONE + 1)


def test_a_webhook_that_never_answers_ends_the_rollout_with_its_words_and_blue_untouched() -> None:
    story = Story(begun(OLD, "Patch"))
    told(story, [shown(write="webhook")], REPLACE + LOOKS)
    assert (story.rollout.step, story.rollout.reason) == ("Failed", "PatchRefused")
    assert "failed calling webhook" in (story.rollout.message or "")
    assert "RollingBack" not in story.steps


def test_a_deployment_at_0_replicas_is_waited_for_and_the_timeout_begins_when_it_has_pods() -> None:
    asleep = replace(GOOD, matches=False, settled=False, scaled_down=True, message="scaled to 0 replicas")
    story = Story(begun(OLD, "Patch"))
    while story.seconds < 40_000:
        story.look(shown(asleep))
    assert (story.rollout.step, story.rollout.reason, story.applies) == ("Patch", "ScaledToZero", 0)
    for blue in (replace(asleep, scaled_down=False), replace(asleep, scaled_down=False), STARTING, STARTING):
        story.look(shown(blue))
    assert (story.rollout.step, story.applies) == ("Wait", 1)
    story.look(shown(replace(STARTING, scaled_down=True)))
    assert story.rollout.reason == "ScaledToZero"
    story.seconds += 10_000
    for blue in (STARTING, STARTING, GOOD):
        story.look(shown(blue))
    assert story.rollout.step == "Verify"


def test_a_base_or_a_current_version_is_told_at_0_replicas_too_for_pods_that_start_without_it_are_wrong() -> None:
    asleep = replace(STRIPPED, scaled_down=True)
    for source in (None, NEW):
        story = Story(begun(source, "Patch"))
        story.look(shown(asleep))
        assert story.applies == 1


def test_nobody_waits_longer_than_three_days_for_pods() -> None:
    story = Story(begun(OLD, "Patch"))
    asleep = replace(STRIPPED, scaled_down=True, message="scaled to 0 replicas")
    told(story, [shown(asleep)], SCALED_DOWN_SECONDS + FORWARD + LOOKS + BACK)
    assert (story.rollout.step, story.rollout.reason) == ("Failed", "ScaledToZero")


@pytest.mark.parametrize(
    ("case", "stamped", "watched", "expected"),
    [
        ("its own clock", 10, 10, 10),
        ("the clock that stamped is behind by 15 minutes", 910, 10, 10),
        ("by an hour", 3610, 10, 10),
        ("the clock that stamped is ahead", -3590, 10, 10),
        ("watched for longer than a restart: the stamp counts, less what clocks differ by", 3610, 100, 2710),
        ("what was watched counts in full", 100, 500, 500),
    ],
)
def test_a_clock_that_differs_fails_nothing_at_once(case: str, stamped: float, watched: float, expected: float) -> None:
    assert elapsed(stamp(BEGUN), BEGUN + timedelta(seconds=stamped), watched) == expected, case


def test_a_process_that_is_restarted_again_and_again_ends_a_rollout() -> None:
    rollout, seconds, watched = begun(OLD, "Wait"), 0.0, 0.0
    while rollout.step == "Wait":
        seen = Observed(BEGUN + timedelta(seconds=seconds), SERVING, Watched(watched, watched), blue=STARTING)
        rollout, seconds = advance(rollout, seen).rollout, seconds + 10
        watched = watched + 10 if watched < MIN_WATCHED + 10 else 0.0
        assert seconds < REPLACE + CLOCKS_DIFFER + 2 * MIN_WATCHED
    assert rollout.reason == "RolloutTimeout"
