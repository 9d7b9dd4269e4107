"""When spec.retrain makes a run, and what holds it back."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluetune_api.plans import CompleteBatch
from bluetune_api.retrain import Retrain, RetrainRun, RetrainStatus
from bluetune_operator.core.retrain.decide import (
    WEEK,
    Ask,
    Due,
    Ended,
    Handled,
    Paused,
    Wait,
    batch_digest,
    begun,
    decide,
    open_batches,
    settled,
    shown,
    task_name,
    with_run,
    with_uid,
)
from bluetune_operator.core.retrain.slots import ScheduleInvalid, check_schedules, last_slot, next_slot
from bluetune_operator.core.times import moment_of, stamp

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
NEW_BATCH: dict[str, Any] = {"newBatch": {}}


def spec(*triggers: dict[str, Any], **fields: Any) -> Retrain:
    return Retrain.model_validate({"triggers": list(triggers) or [NEW_BATCH], **fields})


def nightly(schedule: str = "0 3 * * *", zone: str | None = None) -> dict[str, Any]:
    return {"schedule": schedule} | ({"timeZone": zone} if zone else {})


def run(name: str, ago: timedelta, outcome: str | None = "Promoted", hours: float = 0.0) -> RetrainRun:
    at = stamp(NOW - ago)
    said = {"outcome": outcome, "endedAt": at, "gpuHours": hours} if outcome else {}
    return RetrainRun.model_validate(
        {"task": name, "uid": name, "batchId": name, "trigger": "NewBatch", "createdAt": at, "gpus": 1, **said}
    )


def state(*runs: RetrainRun, judged: datetime = NOW - timedelta(days=1), **fields: Any) -> RetrainStatus:
    return RetrainStatus(runs=list(runs) or None, judged=stamp(judged), **fields)


def batches(*ids: str) -> list[CompleteBatch]:
    return [CompleteBatch(name, float(number)) for number, name in enumerate(ids)]


H, D = timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("declared", "before", "found", "expected"),
    [
        (spec(), state(), None, Ask()),
        (spec(), state(), ["b2", "b1"], Due("b1", "NewBatch")),
        (spec(), state(), [], "WaitingForBatch"),
        (spec(suspend=True), state(), ["b"], "Suspended"),
        (spec(), state(run("a", H, None)), ["b"], "RunInProgress"),
        (spec(brakes={"cooldown": "2h"}), state(run("a", H)), ["b"], "CoolingDown"),
        (spec(brakes={"cooldown": "2h"}), state(run("a", 2 * H)), ["b"], Due("b", "NewBatch")),
        (spec(brakes={"maxRunsPerWeek": 2}), state(run("a", 6 * D), run("b", D)), ["c"], "BudgetSpent"),
        (spec(brakes={"maxRunsPerWeek": 2}), state(run("a", 7 * D), run("b", D)), ["c"], Due("c", "NewBatch")),
        (spec(brakes={"gpuHoursPerWeek": 4}), state(run("a", D, hours=4.0)), ["c"], "BudgetSpent"),
        (spec(brakes={"gpuHoursPerWeek": 4}), state(run("a", D, hours=3.9)), ["c"], Due("c", "NewBatch")),
        (spec(brakes={"gpuHoursPerWeek": 4}), state(run("a", 7 * D, hours=9.0)), ["c"], Due("c", "NewBatch")),
        (spec(brakes={"pauseAfterRefusals": 2}), state(refusals=2), ["b"], "PausedAfterRefusals"),
        (spec(brakes={"pauseAfterRefusals": 3}), state(refusals=2), ["b"], Due("b", "NewBatch")),
        (spec(), state(refusals=99), ["b"], Due("b", "NewBatch")),
        (spec(), state(failures=3), ["b"], "PausedAfterFailures"),
        (spec(nightly()), state(), None, Ask()),
        (spec(nightly()), state(), ["b"], Due("b", "Schedule", NOW.replace(hour=3))),
        (spec(nightly()), state(), [], "Scheduled"),
        (spec(nightly()), state(judged=NOW.replace(hour=3)), ["b"], "Scheduled"),
        (spec(nightly(), NEW_BATCH), state(judged=NOW.replace(hour=3)), ["b"], Due("b", "NewBatch")),
        (spec(nightly("0 0 30 2 *")), state(), ["b"], "ScheduleInvalid"),
        (spec(nightly("9-3 0 * * *")), state(), ["b"], "ScheduleInvalid"),
        (spec(nightly(zone="Europe/Berlim")), state(), ["b"], "ScheduleInvalid"),
        (spec(nightly(zone="Europe")), state(), ["b"], "ScheduleInvalid"),
    ],
)
def test_whether_a_run_is_due(
    declared: Retrain, before: RetrainStatus, found: list[str] | None, expected: Due | Ask | str
) -> None:
    decision = decide(declared, before, NOW, batches(*found) if found is not None else None)
    if isinstance(expected, str):
        assert isinstance(decision, Wait | Paused)
        assert decision.reason == expected
    else:
        assert decision == expected


@pytest.mark.parametrize(
    ("declared", "before", "until"),
    [
        (spec(brakes={"cooldown": "2h"}), state(run("a", H)), NOW + H),
        (spec(brakes={"maxRunsPerWeek": 2}), state(run("a", 6 * D), run("b", D)), NOW + D),
        (spec(brakes={"maxRunsPerWeek": 1}), state(run("a", 6 * D), run("b", D)), NOW + 6 * D),
        (spec(brakes={"gpuHoursPerWeek": 4}), state(run("a", 6 * D, hours=1), run("b", D, hours=4)), NOW + 6 * D),
        (spec(brakes={"gpuHoursPerWeek": 4}), state(run("a", 6 * D, hours=2), run("b", D, hours=3)), NOW + D),
        (spec(brakes={"cooldown": "9h", "maxRunsPerWeek": 1}), state(run("a", H)), NOW + 7 * D - H),
        # a brake that ends between two times of the schedule: the later one
        (spec(nightly(), brakes={"cooldown": "2h"}), state(run("a", H)), NOW.replace(hour=3) + D),
        (spec(nightly("0 13 * * *"), brakes={"cooldown": "2h"}), state(run("a", H)), NOW + H),
        (spec(nightly(), NEW_BATCH, brakes={"cooldown": "2h"}), state(run("a", H)), NOW + H),
        (spec(nightly("0 5 * * *", "America/New_York")), state(judged=NOW), NOW.replace(day=5, hour=10)),
    ],
)
def test_until_when_it_waits(declared: Retrain, before: RetrainStatus, until: datetime) -> None:
    decision = decide(declared, before, NOW)
    assert isinstance(decision, Wait)
    assert decision.until == until
    assert shown(before, decision, NOW).next_run_time == stamp(until)


def test_a_time_that_falls_into_a_brake_passes_and_one_that_a_run_takes_the_place_of_does_not() -> None:
    declared = spec(nightly(), brakes={"cooldown": "12h"})
    slot = NOW.replace(hour=3)
    braked = decide(declared, state(run("a", 10 * H)), NOW)
    assert isinstance(braked, Wait)
    assert braked.slot == slot
    assert shown(state(), braked, NOW).judged == stamp(slot)
    busy = decide(declared, state(run("a", 10 * H, None)), NOW)
    assert isinstance(busy, Wait)
    assert busy.slot is None, "it is judged when that run has ended"
    nothing = decide(declared, state(), NOW, [])
    assert isinstance(nothing, Wait)
    assert nothing.slot == slot, "no batch at that time: it is over"


def test_a_run_waits_for_the_end_of_somebody_elses() -> None:
    decision = decide(spec(nightly()), state(), NOW, batches("b"), busy="mine")
    assert isinstance(decision, Wait)
    assert (decision.reason, decision.slot) == ("RunInProgress", None)
    assert "mine" in decision.message


def test_a_held_run_is_not_made() -> None:
    held = Wait("Pinned", "rollbackTo is set")
    assert decide(spec(), state(), NOW, batches("b"), held=held) == held


@pytest.mark.parametrize(
    ("outcomes", "refusals", "failures"),
    [
        (["Refused", "Refused"], 2, 0),
        (["Refused", "Undecided", "Refused"], 2, 0),
        (["Refused", "Promoted"], 0, 0),
        (["Refused", "Published"], 0, 0),
        (["Failed", "Failed"], 0, 2),
        (["Failed", "Refused"], 1, 0),
        (["Failed", "Undecided"], 0, 0),
        (["Refused", "Failed"], 1, 1),
        (["Failed", "Cancelled", "Deleted", "TooFewSessions"], 0, 1),
    ],
)
def test_what_counts_in_a_row(outcomes: list[Any], refusals: int, failures: int) -> None:
    found = state()
    for number, outcome in enumerate(outcomes):
        name = f"t{number}"
        found = with_run(found, Due(name, "NewBatch"), task=name, gpus=1, now=NOW)
        found = settled(found, name, Ended(outcome, NOW))
    assert (found.refusals, found.failures) == (refusals, failures)


def test_a_run_without_enough_sessions_is_no_run() -> None:
    found = with_run(state(), Due("b", "NewBatch"), task="t", gpus=8, now=NOW)
    assert settled(found, "t", Ended("TooFewSessions", NOW)).runs is None


def test_hours_are_those_of_the_training_times_the_gpus_asked_for() -> None:
    found = with_run(state(), Due("b", "NewBatch"), task="t", gpus=8, now=NOW)
    found = settled(found, "t", Ended("Failed", NOW, training_seconds=1800))
    assert shown(found, Wait("Scheduled", ""), NOW).gpu_hours_this_week == 4.0
    assert shown(found, Wait("Scheduled", ""), NOW + WEEK).gpu_hours_this_week == 0.0


def test_a_pause_ends_when_resume_is_changed_and_what_passed_meanwhile_is_not_made_up_for() -> None:
    declared = spec(nightly(), resume="Monday", brakes={"pauseAfterRefusals": 2})
    paused = begun(declared, state(refusals=2, judged=NOW - 3 * D, resume="Monday"), NOW - 2 * D, "Scheduled")
    assert isinstance(decide(declared, paused, NOW), Paused)
    assert begun(declared, paused, NOW, "PausedAfterRefusals") == paused, "nothing is written while it lasts"
    resumed = begun(declared.model_copy(update={"resume": "Tuesday"}), paused, NOW, "PausedAfterRefusals")
    decision = decide(declared, resumed, NOW)
    assert isinstance(decision, Wait)
    assert (decision.reason, decision.until) == ("Scheduled", NOW.replace(hour=3) + D)


def test_a_new_schedule_and_one_that_was_suspended_begin_now() -> None:
    first = begun(spec(nightly()), None, NOW, None)
    assert first.judged == stamp(NOW)
    assert begun(spec(nightly("0 5 * * *")), first, NOW + D, "Scheduled").judged == stamp(NOW + D)
    assert begun(spec(nightly()), first, NOW + D, "Scheduled").judged == stamp(NOW)
    assert begun(spec(nightly()), first, NOW + D, "Suspended").judged == stamp(NOW + D)
    assert begun(spec(nightly(), suspend=True), first, NOW + D, "Suspended").judged == stamp(NOW)


def test_runs_are_forgotten_after_a_week_but_for_the_last_one() -> None:
    old = [run("a", 20 * D), run("b", 9 * D), run("c", 20 * D, None)]
    kept = begun(spec(), state(*old), NOW, None).runs or []
    assert sorted(one.task for one in kept) == ["b", "c"], "one is at work, one may still cool down"
    assert (begun(spec(brakes={"cooldown": "10d"}), state(run("b", 9 * D)), NOW, None).runs or [])[0].task == "b"


def test_an_open_batch_is_one_that_nobody_has_taken() -> None:
    found = batches("learned", "done", "small", "smaller", "people", "open")
    handled = Handled(frozenset({batch_digest("done")}), {batch_digest("small"): 500, batch_digest("smaller"): 100})

    def names(minimum: int | None) -> list[str]:
        opened = open_batches(found, frozenset({"learned"}), handled, frozenset({"people"}), minimum)
        return [batch.batch_id for batch in opened]

    assert names(1000) == ["open"]
    assert names(500) == ["small", "open"]
    assert names(None) == ["small", "smaller", "open"]


def test_a_task_has_one_name_for_a_model_a_batch_and_a_minimum() -> None:
    name = task_name("m" * 40, "uid", "2026-01-31", None)
    assert len(name) == 50
    assert name == task_name("m" * 40, "uid", "2026-01-31", None)
    others = [("uid2", "2026-01-31", None), ("uid", "2026-02-01", None), ("uid", "2026-01-31", 7)]
    assert len({name, *(task_name("m" * 40, *other) for other in others)}) == 4


BERLIN = "Europe/Berlin"


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        # the clock goes from 2:00 to 3:00 on 29 March, and back from 3:00 to 2:00 on 25 October
        ("30 2 * * *", "2026-03-28T12:00", ["2026-03-29T01:00", "2026-03-30T00:30"]),
        ("30 2 * * *", "2026-10-24T12:00", ["2026-10-25T00:30", "2026-10-26T01:30"]),
        ("30 2 * * *", "2026-10-25T01:15", ["2026-10-26T01:30"]),
        ("0 3 * * *", "2026-03-28T12:00", ["2026-03-29T01:00", "2026-03-30T01:00"]),
        ("0 2,3 * * *", "2026-03-28T12:00", ["2026-03-29T01:00", "2026-03-30T00:00"]),
        ("*/30 * * * *", "2026-03-29T00:30", ["2026-03-29T01:00", "2026-03-29T01:30"]),
        ("0 0 29 2 *", "2026-03-01T00:00", ["2028-02-28T23:00"]),
    ],
)
def test_times_of_a_schedule_in_a_zone_with_daylight_saving(schedule: str, after: str, expected: list[str]) -> None:
    triggers, moment = spec(nightly(schedule, BERLIN)).triggers, datetime.fromisoformat(after + "+00:00")
    found = []
    for _ in expected:
        slot = next_slot(triggers, moment)
        assert slot is not None
        assert last_slot(triggers, moment, slot) == slot
        found.append(slot.strftime("%Y-%m-%dT%H:%M"))
        moment = slot
    assert found == expected


def test_the_last_of_many_times_counts_and_one_of_long_ago_is_found() -> None:
    minutely = spec(nightly("* * * * *")).triggers
    assert last_slot(minutely, NOW - 300 * D, NOW + timedelta(seconds=5)) == NOW
    leap = spec(nightly("0 0 29 2 *")).triggers
    assert last_slot(leap, datetime(2020, 1, 1, tzinfo=UTC), NOW) == datetime(2024, 2, 29, tzinfo=UTC)
    assert last_slot(leap, datetime(2025, 1, 1, tzinfo=UTC), NOW) is None
    assert last_slot(spec().triggers, NOW - D, NOW) is None


def test_a_schedule_that_cannot_be_is_named() -> None:
    with pytest.raises(ScheduleInvalid, match=r"triggers\[1\]\.timeZone: there is no zone 'Mars/Base'"):
        check_schedules(spec(NEW_BATCH, nightly(zone="Mars/Base")).triggers, NOW)
    with pytest.raises(ScheduleInvalid, match=r"triggers\[0\]\.schedule: '0 0 31 2 \*'"):
        check_schedules(spec(nightly("0 0 31 2 *")).triggers, NOW)


OUTCOMES: tuple[Any, ...] = (
    "Promoted",
    "Published",
    "Refused",
    "Undecided",
    "TooFewSessions",
    "Failed",
    "Cancelled",
    "Deleted",
)
GPUS = 4


class Year:
    """A model for a year: batches arrive, tasks end somehow, the store is away now and then, and people resume."""

    def __init__(self, declared: Retrain, chance: random.Random, hours_between_batches: float) -> None:
        self.declared, self.chance, self.every = declared, chance, hours_between_batches
        self.began = self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.state, self.reason = RetrainStatus(), "Unknown"
        self.done: set[str] = set()
        self.made: list[tuple[datetime, Due]] = []
        """Runs that count."""
        self.slots: list[datetime] = []
        self.spent: list[tuple[datetime, float]] = []

    def live(self) -> None:
        """Look now and then until the year is over."""
        while self.now < self.began + timedelta(days=365):
            self.state = begun(self.declared, self.state, self.now, self.reason)
            self._end_runs()
            self._decide()
            self.state = RetrainStatus.model_validate(self.state.wire())  # the operator may have died meanwhile
            self.now += timedelta(minutes=self.chance.choice([1, 60, 60, 240, 1440]))

    def _end_runs(self) -> None:
        for run in list(self.state.runs or ()):
            if run.outcome is not None or self.now - moment_of(run.created_at) < timedelta(hours=2):
                continue
            end = Ended(self.chance.choice(OUTCOMES), self.now, self.chance.uniform(0, 7200))
            self.state = settled(self.state, run.task, end)
            self.done.add(run.batch_id)
            if end.outcome == "TooFewSessions":
                self.made.pop()
            else:
                self.spent.append((self.now, end.training_seconds / 3600 * GPUS))

    def _decide(self) -> None:
        decision = decide(self.declared, self.state, self.now)
        if isinstance(decision, Ask):
            if self.chance.random() < 0.05:
                self.reason = "StoreUnreachable"
                return
            arrived = int((self.now - self.began) / timedelta(hours=self.every))
            known = [CompleteBatch(f"b{number}", number * self.every) for number in range(arrived)]
            handled = Handled(frozenset(map(batch_digest, self.done)))
            found = open_batches(known, frozenset(), handled, frozenset(), None)
            decision = decide(self.declared, self.state, self.now, found)
        if isinstance(decision, Due):
            self._run(decision)
            return
        assert isinstance(decision, Wait | Paused)
        self.state, self.reason = shown(self.state, decision, self.now), decision.reason
        if isinstance(decision, Paused) and self.chance.random() < 0.5:
            self.declared = self.declared.model_copy(update={"resume": str(self.now)})

    def _run(self, due: Due) -> None:
        brakes = self.declared.brakes
        assert sum(moment > self.now - WEEK for moment, _ in self.made) < brakes.max_runs_per_week
        if brakes.gpu_hours_per_week is not None:
            spent = sum(hours for moment, hours in self.spent if moment > self.now - WEEK)
            assert spent < brakes.gpu_hours_per_week + 0.1, "but for what rounding does to it"
        assert due.batch_id not in self.done
        assert all(due.batch_id != before.batch_id for _, before in self.made)
        if due.slot is not None:
            assert all(slot < due.slot for slot in self.slots)
            self.slots.append(due.slot)
        self.made.append((self.now, due))
        name = task_name("m", "uid", due.batch_id, None)
        self.state = with_uid(with_run(self.state, due, task=name, gpus=GPUS, now=self.now), name, "uid")
        self.reason = "RunInProgress"


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]),
    schedule=st.sampled_from(["30 2 * * *", "0 */6 * * *", "15 1 * * MON,THU", "0 0 1 * *"]),
    on=st.sampled_from(["batch", "time", "both"]),
    most=st.integers(1, 20),
    hours=st.sampled_from([None, 5.0, 40.0]),
    cooldown=st.sampled_from(["1h", "2d"]),
    every=st.sampled_from([9.0, 24.0, 60.0]),
)
def test_in_a_year_no_budget_is_passed_no_time_used_twice_and_no_batch_taken_twice(
    seed: int, zone: str, schedule: str, on: str, most: int, hours: float | None, cooldown: str, every: float
) -> None:
    triggers = {"batch": [NEW_BATCH], "time": [nightly(schedule, zone)], "both": [NEW_BATCH, nightly(schedule, zone)]}
    brakes: dict[str, Any] = {"maxRunsPerWeek": most, "cooldown": cooldown}
    if hours is not None:
        brakes["gpuHoursPerWeek"] = hours
    year = Year(spec(*triggers[on], brakes=brakes), random.Random(seed), every)
    year.live()
    assert year.made, "in a year something is due"


def test_where_the_brakes_allow_it_each_batch_is_learned_from_once() -> None:
    year = Year(spec(brakes={"maxRunsPerWeek": 168, "pauseAfterFailures": 100}), random.Random(1), 24.0)
    year.live()
    assert len(year.done) >= 363
