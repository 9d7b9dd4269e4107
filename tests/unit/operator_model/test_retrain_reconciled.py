"""spec.retrain on an API server in memory: tasks come by themselves, and each batch once, whenever operators die."""

import random
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from bluetune_api import store_layout
from bluetune_api.objectstore import Page, StoreUnreachable
from bluetune_api.records import CheckReport, Manifest, Probe, RetrainedBatch, digest_of, version_of
from bluetune_operator.adapters.cache import ObjectCache
from bluetune_operator.adapters.cluster import Cluster
from bluetune_operator.adapters.events import Events
from bluetune_operator.adapters.job_events import JobEvents
from bluetune_operator.adapters.store import Stores
from bluetune_operator.core.config import Config
from bluetune_operator.core.errors import ApiError, Conflict
from bluetune_operator.core.kinds import METHODS, MODELS, TASKS, Object, name_of
from bluetune_operator.core.models.store_owner import owner_from
from bluetune_operator.core.retrain.decide import batch_digest
from bluetune_operator.core.times import stamp
from bluetune_operator.handlers.metrics import Metrics
from bluetune_operator.handlers.queue import WorkQueue
from bluetune_operator.reconciler.base import Context
from bluetune_operator.reconciler.retrain.reconcile import RetrainReconciler
from unit.operator_lock_model.apiserver import Answer, ApiServer, Change, Kube, Request, copied
from unit.operator_lock_model.store import MemoryStore

BEGUN = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
LINEAGE = Manifest(files=[], dimension=2, probe=Probe(texts=["a"], vectors=[[1.0, 0.0]]), lineage_batches=["learned"])
VERSION, DIGEST = version_of(digest_of(LINEAGE.encode())), digest_of(LINEAGE.encode())


class Store(MemoryStore):
    """Counts listings of batches, and can be away for all that is asked."""

    listings = 0

    async def page(self, prefix: str, after: str = "") -> Page:
        self._answer()
        self.listings += prefix == store_layout.CLICKSTREAM
        return await super().page(prefix, after)

    async def put(self, key: str, data: bytes) -> None:
        self._answer()
        await super().put(key, data)


class Told(Events):
    """Events are kept."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    async def emit(self, about: Object, reason: str, message: str, *, level: str) -> None:
        self.told.append((level, reason))


class Scene:
    """A model with spec.retrain, its store, and an operator that may die."""

    def __init__(self, *, gpus: int = 2, **retrain: Any) -> None:
        self.now = BEGUN
        self.server = ApiServer("ns", lambda: stamp(self.now))
        self.created: list[str] = []
        """Names of the tasks that were made, each time that one was."""
        self.server.on_change = self._changed
        self.store = Store()
        self.events = Told()
        self.metrics = Metrics(WorkQueue())
        retrain = {"triggers": [{"newBatch": {}}], **retrain}
        self.server.create("setup", METHODS, _method(gpus))
        self.server.create("setup", MODELS, _model(retrain))
        self.store.kept[store_layout.manifest(VERSION)] = LINEAGE.encode()
        self.store.kept[store_layout.OWNER] = owner_from(self.model, None).encode()
        self.restart()

    def _changed(self, change: Change) -> None:
        if change.kind == TASKS.plural and change.before is None:
            self.created.append(change.name)

    def restart(self) -> None:
        """A new life of the operator."""
        self.reconciler = self.operator()

    def operator(self) -> RetrainReconciler:
        """An operator that has seen all that is there."""
        quiet: Any = object()
        self.cache = ObjectCache()
        context = Context(
            kube=Kube(),
            cache=self.cache,
            stores=cast("Stores", self),
            events=self.events,
            job_events=cast("JobEvents", quiet),
            cluster=cast("Cluster", quiet),
            config=Config(),
            enqueue=lambda key, delay, urgent=True: None,
            clock=lambda: self.now,
            observer=self.metrics,
        )
        self.see(self.cache)
        return RetrainReconciler(context)

    async def open(self, model: Object) -> Store:
        """The model's store."""
        return self.store

    def see(self, cache: ObjectCache) -> None:
        """The watches deliver all there is."""
        for kind in (MODELS, METHODS, TASKS):
            names = {name_of(thing) for thing in self.server.all(kind)}
            for gone in [thing for thing in cache.all(kind) if name_of(thing) not in names]:
                cache.remove(kind, gone)
            for thing in self.server.all(kind):
                cache.put(kind, copied(thing))

    def look(self, *, dies_after: int | None = None) -> float | None:
        """Reconcile until there is nothing to do at once; seconds until the next look."""
        while True:
            self.see(self.cache)
            after = self.run(self.reconciler.reconcile("ns", "shop"), dies_after)
            if after != 0.0:
                return after

    def run(self, coroutine: Coroutine[Any, Any, float | None], dies_after: int | None = None) -> float | None:
        """Carry a reconcile out, or as many of its writes as it lives."""
        running, writes = cast("Coroutine[Request, Answer, float | None]", coroutine), 0
        try:
            request = running.send(cast("Answer", None))
            while True:
                answer = self.server.handle("operator", request)
                writes += request.writes
                if writes == dies_after:
                    running.close()
                    raise Died
                request = running.send(answer)
        except StopIteration as end:
            return cast("float | None", end.value)

    def batch(self, name: str) -> None:
        """A batch is complete."""
        self.store.kept[store_layout.batch(name) + "part.jsonl"] = b"{}"
        self.store.kept[store_layout.batch_marker(name)] = b""

    def end(self, name: str, reason: str, *, good: bool = True, training: timedelta = timedelta(hours=1)) -> None:
        """A task ends."""
        task = copied(self.server.get(TASKS, name))
        kinds = {"DataValid": "True", "Trained": "True" if good else "False", "Succeeded" if good else "Failed": "True"}
        times = {"DataValid": stamp(self.now), "Trained": stamp(self.now + training)}
        self.now += training
        task["status"] = {
            "completionTime": stamp(self.now),
            "conditions": [
                {
                    "type": kind,
                    "status": status,
                    "reason": reason,
                    "lastTransitionTime": times.get(kind, stamp(self.now)),
                }
                for kind, status in kinds.items()
            ],
        }
        self.server.put("trainer", TASKS, task)

    def edit(self, **retrain: Any) -> None:
        """Change spec.retrain."""
        model = copied(self.model)
        model["spec"]["retrain"] |= retrain
        self.server.put("people", MODELS, model)

    def later(self, **by: float) -> None:
        """Time passes."""
        self.now += timedelta(**by)

    @property
    def model(self) -> Object:
        found = self.server.get(MODELS, "shop")
        assert found is not None
        return found

    @property
    def tasks(self) -> list[Object]:
        return self.server.all(TASKS)

    @property
    def status(self) -> Object:
        found: Object = self.model["status"]["retrain"]
        return found

    @property
    def said(self) -> tuple[str, str]:
        """Status and reason of Retraining."""
        found = next(c for c in self.model["status"]["conditions"] if c["type"] == "Retraining")
        return found["status"], found["reason"]

    @property
    def message(self) -> str:
        return str(next(c["message"] for c in self.model["status"]["conditions"] if c["type"] == "Retraining"))


class Died(Exception):
    """The operator was killed."""


def _method(gpus: int) -> Object:
    spec: Object = {"podTemplate": {"resources": {"limits": {"nvidia.com/gpu": str(gpus)}}}}
    return {"apiVersion": METHODS.api_version, "kind": METHODS.name, "metadata": {"name": "text"}, "spec": spec}


def _model(retrain: Object) -> Object:
    current = {"version": VERSION, "uri": "s3://b/x", "digest": DIGEST, "promotedAt": stamp(BEGUN)}
    return {
        "apiVersion": MODELS.api_version,
        "kind": MODELS.name,
        "metadata": {"name": "shop"},
        "spec": {
            "base": {"uri": "/models/base"},
            "methodRef": {"name": "text"},
            "store": {"endpoint": "s:9000", "bucket": "bucket", "credentialsSecretRef": {"name": "keys"}},
            "retrain": retrain,
        },
        "status": {"baseVersion": VERSION, "baseDigest": DIGEST, "current": current},
    }


def test_a_batch_arrives_and_its_task_is_made_once() -> None:
    scene = Scene(template={"deployAsBlue": True, "priority": -5}, minSessions=100)
    assert scene.look() is not None
    assert scene.said == ("True", "WaitingForBatch")
    scene.batch("b1")
    scene.later(minutes=1)
    scene.look()
    (task,) = scene.tasks
    assert task["spec"] == {
        "modelRef": {"name": "shop"},
        "batchId": "b1",
        "deployAsBlue": True,
        "priority": -5,
        "maxRetries": 3,
        "minSessions": 100,
    }
    assert task["metadata"]["labels"]["bluetune.dev/made-by"] == "retrain"
    (owner,) = task["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("EmbeddingModel", "shop", scene.model["metadata"]["uid"])
    assert scene.said == ("True", "RunInProgress")
    assert scene.status["runs"][0]["uid"] == task["metadata"]["uid"]
    assert ("Normal", "RetrainStarted") in scene.events.told
    for _ in range(3):
        scene.later(minutes=2)
        scene.look()
    assert len(scene.created) == 1


def test_each_batch_is_taken_once_the_newest_first_and_none_that_was_learned_from() -> None:
    scene = Scene()
    for name in ("b1", "b2", "learned"):
        scene.batch(name)
    took = []
    for reason, good in (("GateNotPassed", True), ("TrainerCrashed", False), ("Promoted", True)):
        scene.look()
        running = [task for task in scene.tasks if not task.get("status")]
        took += [task["spec"]["batchId"] for task in running]
        for task in running:
            scene.end(name_of(task), reason, good=good)
        scene.later(minutes=2)
    assert took == ["b2", "b1"]
    assert scene.said == ("True", "WaitingForBatch")
    records = {key: data for key, data in scene.store.kept.items() if key.startswith(store_layout.RETRAINED)}
    assert sorted(RetrainedBatch.model_validate_json(data).batch_id for data in records.values()) == ["b1", "b2"]
    scene.restart()
    scene.look()
    assert len(scene.created) == 2, "also in another life of the operator"


def test_hours_of_gpus_are_counted_and_hold_the_next_run_back_though_its_task_is_gone() -> None:
    scene = Scene(gpus=4, brakes={"gpuHoursPerWeek": 8}, history={"succeeded": 0})
    scene.batch("b1")
    scene.look()
    scene.end(scene.created[0], "Promoted", training=timedelta(hours=2))
    scene.batch("b2")
    scene.later(minutes=2)
    scene.look()
    scene.look()
    assert scene.tasks == []
    assert scene.said == ("True", "BudgetSpent")
    assert (scene.status["runsThisWeek"], scene.status["gpuHoursThisWeek"]) == (1, 8.0)
    scene.later(days=7)
    scene.look()
    assert [task["spec"]["batchId"] for task in scene.tasks] == ["b2"]


@pytest.mark.parametrize("dies_after", [1, 2])
def test_an_operator_that_dies_after_each_of_its_writes_makes_none_twice(dies_after: int) -> None:
    scene = Scene(history={"succeeded": 1})
    ended: list[str] = []
    for number in range(4):
        scene.batch(f"b{number}")
        scene.later(minutes=2)
        for _ in range(20):
            try:
                scene.look(dies_after=dies_after)
                break
            except Died:
                scene.restart()
        else:
            raise AssertionError("it comes no further")
        running = [name_of(task) for task in scene.tasks if not task.get("status")]
        assert len(running) == 1, scene.said
        scene.end(running[0], "GateNotPassed")
        ended += running
    assert scene.created == ended
    assert len(set(ended)) == 4
    assert len(scene.status["runs"]) == 4


@pytest.mark.parametrize("seed", [*range(10), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(10, 30))])
def test_two_operators_at_once_make_none_twice(seed: int) -> None:
    """One slept when the other took over: each sees the model as it was at some time."""
    chance, scene = random.Random(seed), Scene()
    operators = [(scene.operator(), scene.cache) for _ in range(2)]
    running: dict[int, tuple[Coroutine[Any, Any, Any], Request]] = {}

    def push(which: int, step: Callable[[], Request]) -> None:
        try:
            running[which] = running[which][0], step()
        except (StopIteration, ApiError):
            del running[which]

    for turn in range(800):
        if turn % 200 == 0:
            scene.batch(f"b{turn}")
        scene.later(seconds=20)
        which = chance.randrange(2)
        if which in running:
            coroutine, request = running[which]
            answer = scene.server.handle("operator", request)
            push(which, lambda c=coroutine, a=answer: c.send(a))  # type: ignore[misc]
            continue
        reconciler, cache = operators[which]
        if chance.random() < 0.5:
            scene.see(cache)
        coroutine = reconciler.reconcile("ns", "shop")
        running[which] = coroutine, cast("Request", None)
        push(which, lambda c=coroutine: c.send(None))  # type: ignore[misc]
        at_work = [name_of(task) for task in scene.tasks if not task.get("status")]
        assert len(at_work) <= 1, "one at a time"
        if at_work and chance.random() < 0.3:
            scene.end(at_work[0], "Promoted", training=timedelta())
    for coroutine, _ in running.values():
        coroutine.close()
    assert len(scene.created) == len(set(scene.created)) >= 3


def test_what_another_operator_did_meanwhile_is_looked_up_before_a_run_is_decided_on() -> None:
    scene = Scene(history={"succeeded": 0})
    scene.look()
    slept, cache = scene.reconciler, scene.cache
    scene.batch("b1")
    scene.restart()
    scene.later(minutes=2)
    scene.look()
    scene.end(scene.created[0], "GateNotPassed")
    scene.look()
    scene.look()
    assert scene.tasks == []
    scene.reconciler, scene.cache = slept, cache
    scene.later(minutes=2)
    with pytest.raises(Conflict):
        scene.look()
    scene.look()
    assert scene.said == ("True", "WaitingForBatch")
    assert len(scene.created) == 1


def test_an_outage_of_the_store_postpones_and_is_said() -> None:
    scene = Scene()
    scene.store.away = StoreUnreachable("no answer")
    scene.batch("b1")
    scene.look()
    assert scene.said == ("Unknown", "StoreUnreachable")
    assert "postponed" in scene.message
    assert scene.tasks == []
    scene.store.away = None
    scene.later(minutes=2)
    scene.look()
    assert len(scene.tasks) == 1
    scene.end(scene.created[0], "Promoted")
    scene.store.away = StoreUnreachable("no answer")
    scene.look()
    assert scene.said == ("Unknown", "StoreUnreachable")
    assert "outcome" not in scene.status["runs"][0], "not before it is known what became of the batch"
    scene.store.away = None
    scene.later(minutes=2)
    scene.look()
    assert scene.status["runs"][0]["outcome"] == "Promoted"


def test_a_store_of_another_model_is_neither_listed_nor_written() -> None:
    scene = Scene()
    other = copied(scene.model)
    other["metadata"] |= {"name": "other", "uid": "other"}
    scene.store.kept[store_layout.OWNER] = owner_from(other, None).encode()
    scene.batch("b1")
    before = dict(scene.store.kept)
    scene.look()
    assert scene.said == ("Unknown", "AlreadyClaimed")
    assert (scene.store.listings, scene.tasks) == (0, [])
    assert scene.store.kept == before


def test_waiting_lists_the_store_once_a_minute_however_often_it_is_woken() -> None:
    scene = Scene()
    for _ in range(60):
        scene.look()
        scene.later(seconds=5)
    assert scene.store.listings <= 6
    scene = Scene(brakes={"cooldown": "1d"})
    scene.batch("b1")
    scene.look()
    scene.end(scene.created[0], "Promoted")
    listed = scene.store.listings
    for _ in range(60):
        scene.look()
        scene.later(minutes=5)
    assert scene.store.listings == listed, "what cannot be run need not be looked for"


def test_a_schedule_runs_at_its_time_if_there_is_a_batch_and_else_not() -> None:
    scene = Scene(triggers=[{"schedule": "0 3 * * *", "timeZone": "Europe/Berlin"}])
    scene.batch("b1")
    scene.look()
    assert scene.said == ("True", "Scheduled")
    assert scene.status["nextRunTime"] == "2026-03-05T02:00:00Z"
    assert (scene.tasks, scene.store.listings) == ([], 0)
    scene.now = datetime(2026, 3, 5, 2, 0, 1, tzinfo=UTC)
    scene.look()
    assert [task["spec"]["batchId"] for task in scene.tasks] == ["b1"]
    scene.end(scene.created[0], "Promoted")
    scene.later(days=1)
    scene.look()
    scene.batch("b2")
    scene.later(minutes=5)
    scene.look()
    assert scene.said == ("True", "Scheduled"), "that night had no batch; this one is for the next"
    assert len(scene.created) == 1


def test_a_batch_that_is_too_small_costs_no_run_and_stays_open_for_a_smaller_minimum() -> None:
    scene = Scene(minSessions=1000, brakes={"maxRunsPerWeek": 1, "cooldown": "1d"})
    scene.batch("b1")
    scene.look()
    uid = scene.tasks[0]["metadata"]["uid"]
    counts: Any = {"sessions": 9, "sessions_with_clicks": 9, "positives": 9, "results": 9, "duplicates": 0}
    report = CheckReport(
        valid=True, batch_id="b1", batch=[], items=[], coverage=1.0, broken_lines=0, catalogue_size=9, **counts
    ).model_copy(update={"informative_sessions": 600})
    scene.store.kept[store_layout.check(uid)] = report.model_dump_json(by_alias=True).encode()
    scene.end(scene.created[0], "TooFewSessions")
    scene.later(minutes=2)
    scene.look()
    assert scene.said == ("True", "WaitingForBatch")
    assert store_layout.too_small(batch_digest("b1"), 600) in scene.store.kept
    assert scene.status["runsThisWeek"] == 0
    scene.edit(minSessions=601)
    scene.later(minutes=2)
    scene.look()
    assert len(scene.created) == 1
    scene.edit(minSessions=600)
    scene.restart()
    scene.later(minutes=2)
    scene.look()
    assert len(set(scene.created)) == 2


def test_a_task_that_a_person_deletes_counts_and_its_batch_is_not_taken_again() -> None:
    scene = Scene(brakes={"maxRunsPerWeek": 2})
    scene.batch("b1")
    scene.look()
    scene.server.remove("people", TASKS, scene.created[0])
    scene.later(hours=1)
    scene.look()
    assert scene.said == ("True", "WaitingForBatch")
    (run,) = scene.status["runs"]
    assert (run["outcome"], run["gpuHours"]) == ("Deleted", 2.0)


def test_a_task_that_no_watch_has_shown_yet_is_not_taken_for_deleted() -> None:
    scene = Scene()
    scene.batch("b1")
    scene.look()
    for task in scene.cache.all(TASKS):
        scene.cache.drop(TASKS, "ns")
        assert name_of(task)
    scene.run(scene.reconciler.reconcile("ns", "shop"))
    assert scene.said == ("True", "RunInProgress")


def test_only_tasks_that_retrain_made_are_removed() -> None:
    scene = Scene(history={"succeeded": 1, "failed": 0})
    mine: Object = {"apiVersion": TASKS.api_version, "kind": TASKS.name, "metadata": {"name": "mine"}}
    scene.server.create("people", TASKS, mine | {"spec": {"modelRef": {"name": "shop"}, "batchId": "b0"}})
    scene.end("mine", "TrainerCrashed", good=False)
    for number, (reason, good) in enumerate([("Promoted", True), ("Failed", False), ("Promoted", True)]):
        scene.batch(f"b{number + 1}")
        scene.later(minutes=2)
        scene.look()
        scene.end(scene.created[-1], reason, good=good)
    scene.look()
    scene.look()
    assert [name_of(task) for task in scene.tasks] == sorted(["mine", scene.created[-1]])


def test_a_task_is_removed_only_when_its_end_is_in_the_status() -> None:
    scene = Scene(history={"succeeded": 0})
    scene.batch("b1")
    scene.look()
    scene.end(scene.created[0], "GateNotPassed")
    with pytest.raises(Died):
        scene.look(dies_after=1)
    scene.restart()
    scene.look()
    assert scene.status["runs"][0]["outcome"] == "Refused"
    scene.look()
    assert scene.tasks == []


def test_a_batch_that_a_person_learns_from_is_left_to_them_unless_that_fails() -> None:
    scene = Scene()
    mine: Object = {"apiVersion": TASKS.api_version, "kind": TASKS.name, "metadata": {"name": "mine"}}
    scene.server.create("people", TASKS, mine | {"spec": {"modelRef": {"name": "shop"}, "batchId": "b1"}})
    scene.batch("b1")
    scene.look()
    assert scene.said == ("True", "WaitingForBatch")
    task = copied(scene.server.get(TASKS, "mine"))
    task["status"] = {"conditions": [{"type": "LockAcquired", "status": "True", "reason": "Acquired"}]}
    scene.server.put("operator", TASKS, task)
    scene.batch("b2")
    scene.later(minutes=2)
    scene.look()
    assert (scene.said, scene.created) == (("True", "RunInProgress"), ["mine"]), "it holds the model"
    del scene.store.kept[store_layout.batch_marker("b2")]
    scene.end("mine", "TrainerCrashed", good=False)
    scene.later(minutes=2)
    scene.look()
    assert scene.said == ("True", "RunInProgress")


def test_after_failures_it_pauses_says_so_and_goes_on_when_resume_is_changed() -> None:
    scene = Scene(brakes={"pauseAfterFailures": 2})
    for number in range(3):
        scene.batch(f"b{number}")
        scene.later(minutes=2)
        scene.look()
        if number < 2:
            scene.end(scene.created[-1], "TrainerCrashed", good=False)
    assert len(scene.created) == 2
    assert scene.said == ("False", "PausedAfterFailures")
    assert scene.events.told.count(("Warning", "PausedAfterFailures")) == 1
    text, model = scene.metrics.text().decode(), 'model="shop",namespace="ns"'
    assert f'bluetune_retrain_held_back_total{{{model},reason="PausedAfterFailures"}} 1.0' in text
    assert f"bluetune_retrain_runs_total{{{model}}} {len(scene.created)}.0" in text
    assert scene.look() is None
    scene.edit(resume="2026-03-05: more memory")
    scene.look()
    assert len(scene.created) == 3


def test_suspended_between_the_decision_and_its_task_it_makes_none() -> None:
    scene = Scene()
    scene.batch("b1")
    with pytest.raises(Died):
        scene.look(dies_after=1)
    assert scene.status["runs"][0]["batchId"] == "b1"
    scene.edit(suspend=True)
    scene.restart()
    scene.look()
    assert (scene.tasks, scene.said) == ([], ("False", "Suspended"))
    assert "runs" not in scene.status
    scene.edit(suspend=False)
    scene.later(minutes=2)
    scene.look()
    assert len(scene.tasks) == 1


def test_a_status_that_was_lost_is_made_from_the_tasks_again() -> None:
    scene = Scene()
    scene.batch("b1")
    scene.look()
    scene.end(scene.created[0], "Promoted")
    scene.batch("b2")
    scene.later(minutes=2)
    scene.look()
    model = copied(scene.model)
    del model["status"]["retrain"]
    scene.server.put("people", MODELS, model)
    scene.look()
    assert scene.said == ("True", "RunInProgress")
    assert [run.get("outcome") for run in scene.status["runs"]] == ["Promoted", None]
    assert len(scene.created) == 2


def test_a_name_that_is_somebody_elses_is_said() -> None:
    scene = Scene()
    scene.batch("b1")
    with pytest.raises(Died):
        scene.look(dies_after=1)
    taken: Object = {"apiVersion": TASKS.api_version, "kind": TASKS.name}
    taken |= {"metadata": {"name": scene.status["runs"][0]["task"]}, "spec": {"modelRef": {"name": "other"}}}
    scene.server.create("people", TASKS, taken)
    scene.restart()
    scene.look()
    assert scene.said == ("False", "NameTaken")


def test_while_blue_is_pinned_nothing_is_trained_that_could_not_go_into_production() -> None:
    scene = Scene(template={"deployAsBlue": True})
    model = copied(scene.model)
    model["spec"]["serving"] = {"deployment": "blue", "container": "server", "rollbackTo": VERSION}
    scene.server.put("people", MODELS, model)
    scene.batch("b1")
    scene.look()
    assert (scene.said, scene.tasks) == (("True", "Pinned"), [])


def test_a_method_that_is_missing_is_waited_for() -> None:
    scene = Scene()
    scene.batch("b1")
    scene.server.remove("people", METHODS, "text")
    scene.look()
    assert scene.said == ("Unknown", "MethodNotFound")
    scene.server.create("people", METHODS, _method(1))
    scene.later(minutes=1)
    scene.look()
    assert scene.said == ("True", "RunInProgress")


def test_a_model_that_no_longer_retrains_says_nothing_of_it_and_its_runs_still_count() -> None:
    scene = Scene()
    scene.batch("b1")
    scene.look()
    model = copied(scene.model)
    del model["spec"]["retrain"]
    scene.server.put("people", MODELS, model)
    assert scene.look() is None
    assert all(c["type"] != "Retraining" for c in scene.model["status"]["conditions"])
    assert len(scene.status["runs"]) == 1


def test_small_batches_are_learned_from_together_once_they_are_enough() -> None:
    scene = Scene(minSessions=1000, template={"batches": {"last": 200}})
    scene.batch("b1")
    scene.look()
    assert scene.tasks[0]["spec"]["batches"] == {"last": 200}

    def too_few(name: str, batches: list[str], sessions: int) -> None:
        task = next(task for task in scene.tasks if name_of(task) == name)
        counts: Any = {"sessions": 9, "sessions_with_clicks": 9, "positives": 9, "results": 9, "duplicates": 0}
        report = CheckReport(
            valid=True, batch_id="b1", batch=[], items=[], coverage=1.0, broken_lines=0, catalogue_size=9, **counts
        ).model_copy(update={"informative_sessions": sessions})
        key = store_layout.check(task["metadata"]["uid"])
        scene.store.kept[key] = report.model_dump_json(by_alias=True).encode()
        scene.end(name, "TooFewSessions")
        ended = copied(scene.server.get(TASKS, name))
        ended["status"]["batches"] = {"learn": batches}
        scene.server.put("trainer", TASKS, ended)
        scene.later(minutes=2)
        scene.look()

    too_few(scene.created[0], ["b1"], 600)
    assert scene.said == ("True", "WaitingForBatch")
    scene.batch("b2")
    scene.later(minutes=2)
    scene.look()
    assert [task["spec"]["batchId"] for task in scene.tasks if name_of(task) == scene.created[1]] == ["b2"]
    too_few(scene.created[1], ["b2", "b1"], 900)
    assert store_layout.too_small(batch_digest("b1"), 900) in scene.store.kept
    assert len(scene.created) == 2, "nothing new came"
    scene.batch("b3")
    scene.later(minutes=2)
    scene.look()
    third = copied(scene.server.get(TASKS, scene.created[2]))
    scene.end(scene.created[2], "Promoted")
    ended = copied(scene.server.get(TASKS, scene.created[2]))
    ended["status"]["batches"] = {"learn": ["b3", "b2", "b1"]}
    scene.server.put("trainer", TASKS, ended)
    scene.later(minutes=2)
    scene.look()
    assert third["spec"]["batchId"] == "b3"
    assert {store_layout.retrained(batch_digest(name)) for name in ("b1", "b2", "b3")} <= scene.store.kept.keys()
    assert scene.said == ("True", "WaitingForBatch")
