"""The model's reconcile: what it claims, its base, its lock, and what blue serves. One status write at the end."""

import logging
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from bluetune_api import store_layout
from bluetune_api.model import CurrentVersion, EmbeddingModelSpec, EmbeddingModelStatus
from bluetune_api.objectstore import StoreError
from bluetune_api.reading import first_problem, read_spec
from bluetune_operator.adapters.leases import read_lease
from bluetune_operator.adapters.store import AsyncStore, StoreProblem, problem_of
from bluetune_operator.core.conditions import find, shortened
from bluetune_operator.core.errors import ApiError
from bluetune_operator.core.figures import rollout_end
from bluetune_operator.core.kinds import (
    DEPLOYMENTS,
    JOBS,
    LEASES,
    MODELS,
    NOTIFY,
    PODS,
    RETRAIN,
    TASKS,
    Key,
    Object,
    child_labels,
    condition,
    is_deleting,
    lease_name,
    name_of,
    namespace_of,
)
from bluetune_operator.core.lock.of_model import held_by, is_settled, lock_view, pods_that_block
from bluetune_operator.core.lock.rules import has_ended
from bluetune_operator.core.models.adoption import Candidate
from bluetune_operator.core.models.base_import import import_name
from bluetune_operator.core.models.claims import claimed_by_another
from bluetune_operator.core.models.promote import due, recorded, said_of, settled, started
from bluetune_operator.core.models.retention import is_due
from bluetune_operator.core.models.verdict import (
    ServingFacts,
    Verdict,
    asks_store,
    news,
    serving_verdict,
    with_verdict,
)
from bluetune_operator.core.references import unreadable
from bluetune_operator.core.rollout.choice import (
    Situation,
    Target,
    active,
    choose,
    compared_with_another,
    lost_right,
    request_of,
    unread,
)
from bluetune_operator.core.rollout.manifest_look import AWAY
from bluetune_operator.core.rollout.moves import Failure, abandoned
from bluetune_operator.core.rollout.serving_fields import last_writer
from bluetune_operator.core.rollout.serving_pods import scaled_down, serving_pods
from bluetune_operator.core.rollout.turns import takes_a_turn
from bluetune_operator.core.times import stamp
from bluetune_operator.reconciler.base import Context
from bluetune_operator.reconciler.models.base_import import NotYet, end_outlived_import, published_base
from bluetune_operator.reconciler.models.live_version import LiveVersions, adopted, with_current
from bluetune_operator.reconciler.models.promote import promoted_version
from bluetune_operator.reconciler.models.retention import RETENTION
from bluetune_operator.reconciler.models.store_claim import Hold, StoreClaims
from bluetune_operator.reconciler.rollout.reconcile import Blue, Rollouts, Subject, missing_version
from bluetune_operator.reconciler.rollout.serving_return import has_moved, release_container, return_fields
from bluetune_operator.reconciler.rollout.turns import RolloutTurns
from bluetune_operator.reconciler.unreadable import leave_as_it_is

logger = logging.getLogger(__name__)

RETRY_SECONDS, DEPLOYMENT_SECONDS, REFUSED_SECONDS = 30.0, 5.0, 300.0
"""Until the next look at something that sends no event: a store, a Secret; the Deployment; a version that must not be
promoted, which may be restored."""
UNUSABLE = frozenset({"VersionNotFound", "FormatTooNew"})
"""What a look at owner.json came to, with which nothing of the model goes on."""
RETENTION_SECONDS, FIRST_RETENTION_SECONDS = 2.0, (30.0, 120.0)
"""Until old versions are looked for: after a change that may leave one too many, and once after a start."""


@dataclass(frozen=True)
class Outcome:
    """What a look came to."""

    status: EmbeddingModelStatus
    verdict: Verdict
    after: float | None = None


class ModelReconciler:
    """Reconciles EmbeddingModels. The only writer of their status."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._turns = RolloutTurns(context)
        self._rollouts = Rollouts(context, self._turns)
        self._claims = StoreClaims(context)
        self._live = LiveVersions()
        self._seen: set[tuple[str, str]] = set()

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """Bring the model closer to what it declares; seconds until the next look, or None."""
        try:
            return await self._reconcile(namespace, name)
        finally:
            self._turns.release(namespace, name)

    async def _reconcile(self, namespace: str, name: str) -> float | None:
        model, lease = await self._read(namespace, name)
        if model is None or is_deleting(model):
            self._seen.discard((namespace, name))
            self._claims.forget(namespace, name)
            self._context.observer.model_gone(namespace, name)
            self._wake_claimants(namespace, name)
            self._turns.wake_next()
            return None
        if (namespace, name) not in self._seen:
            self._seen.add((namespace, name))
            self._context.enqueue(Key(RETENTION, namespace, name), random.uniform(*FIRST_RETENTION_SECONDS))
        try:
            old = EmbeddingModelStatus.model_validate(model.get("status") or {})
        except ValidationError as error:
            text = f"EmbeddingModel {name!r}: {unreadable(error)}"
            return await leave_as_it_is(self._context, MODELS, model, text)
        try:
            spec = read_spec(EmbeddingModelSpec, model["spec"])
        except ValidationError as error:
            problem = Failure("InvalidSpec", f"spec.{first_problem(error)}")
            outcome = Outcome(old, Verdict(problem=problem, imported=None if old.base_version else problem))
        else:
            outcome = await self._look(model, spec, old, lease)
        await self._write(model, old, outcome)
        return outcome.after

    async def _read(self, namespace: str, name: str) -> tuple[Object | None, Object | None]:
        """The model and its Lease: live, or as seen last where that is enough.

        It is while nothing is under way: then its status is all that is written, with the resourceVersion as its
        precondition, and a rollout that begins is only written down, to be looked at live before anything is done.
        """
        cache, kube = self._context.cache, self._context.kube
        seen = cache.get(MODELS, namespace, name)
        if seen is not None and is_settled(seen):
            return seen, cache.get(LEASES, namespace, lease_name(name))
        model = await kube.get(MODELS, namespace, name)
        return model, await read_lease(kube, namespace, name) if model is not None else None

    async def _look(
        self, model: Object, spec: EmbeddingModelSpec, old: EmbeddingModelStatus, lease: Object | None
    ) -> Outcome:
        status, lock = await self._locked(model, old, lease)
        now = self._context.clock()
        found = await self._judged(model, spec, recorded(status, spec.serving, now))
        status, verdict = settled(found.status, now), found.verdict
        said_of_promote = said_of(status, spec.serving, verdict.refused, verdict.problem)
        pods = self._context.cache.of_model(PODS, namespace_of(model), name_of(model))
        blocking = pods_that_block(pods, self._context.clock())  # the lock's reconciler looks whether there are others
        text = "the lock is not freed: " + "; ".join(trouble.message for trouble in blocking)
        stuck = Failure("PodStuck", shortened(text)) if blocking else None
        return replace(found, status=status, verdict=replace(verdict, lock=lock, stuck=stuck, promoted=said_of_promote))

    async def _judged(self, model: Object, spec: EmbeddingModelSpec, status: EmbeddingModelStatus) -> Outcome:
        """What is this model's, and what blue serves: nothing that is another's is used."""
        if (claim := await self._claim(model, status)) is not None:
            return self._claimed(status, claim)
        status = status.model_copy(update={"deployment": spec.serving.deployment if spec.serving else None})
        store, problem = await self._open(model)
        hold = await self._claims.hold(model, spec, status, store) if store is not None else Hold()
        if hold.refused is not None:
            return self._claimed(status, hold.refused)
        problem = problem or hold.problem
        if problem is not None and (status.base_version is None or problem.reason in UNUSABLE):
            found = Outcome(
                status, Verdict(problem=problem, imported=None if status.base_version else problem), RETRY_SECONDS
            )
        else:
            found = await self._used(Subject(model, spec, status, self._context.clock(), store), problem)
            was_recorded = store is None or not hold.held or await self._live.record(model, store, found.status)
            if not was_recorded or (store is not None and not hold.held):
                found = replace(found, after=min(RETRY_SECONDS if found.after is None else found.after, RETRY_SECONDS))
        return replace(found, verdict=replace(found.verdict, store_judged=hold.judged, store_unsafe=hold.unsafe))

    async def _used(self, subject: Subject, store_problem: Failure | None) -> Outcome:
        """The base, once the store is held; then what blue serves."""
        status = subject.status
        if status.base_version is None:
            assert subject.store is not None  # noqa: S101 - or there is a problem
            base = await published_base(self._context, subject.model, subject.spec, subject.store)
            if isinstance(base, NotYet):
                return Outcome(status, Verdict(problem=base.why, imported=base.why), base.after)
            status = status.model_copy(update={"base_version": base.version, "base_digest": base.digest})
            subject = replace(subject, status=status)
        else:
            await end_outlived_import(self._context, subject.model)
            if subject.store is not None:
                store_problem = store_problem or await self._unreachable(subject.model, subject.status, subject.store)
        if subject.spec.serving is None:
            return await self._unserved(subject, store_problem)
        return await self._served(subject, store_problem)

    def _claimed(self, status: EmbeddingModelStatus, claim: Failure) -> Outcome:
        update: dict[str, Any] = {"deployment": None}
        if status.rollout is not None and active(status.rollout):
            update["rollout"] = abandoned(status.rollout, claim, self._context.clock())
        imported = None if status.base_version else claim
        return Outcome(status.model_copy(update=update), Verdict(problem=claim, imported=imported), RETRY_SECONDS)

    async def _locked(
        self, model: Object, old: EmbeddingModelStatus, lease: Object | None
    ) -> tuple[EmbeddingModelStatus, Failure | None]:
        namespace, name = namespace_of(model), name_of(model)
        tasks = self._context.cache.of_model(TASKS, namespace, name)
        jobs = self._context.cache.of_model(JOBS, namespace, name)
        view, waiting, problem = lock_view(name, lease, tasks, jobs)
        if problem is not None and problem.reason == "WorkWithoutLock":
            # the cache may lag behind: say so only after a live look
            labels = {key: value for key, value in child_labels(model=name, job="").items() if value}
            jobs = await self._context.kube.list(JOBS, namespace, labels=labels)
            lease = await read_lease(self._context.kube, namespace, name)
            view, waiting, problem = lock_view(name, lease, tasks, jobs)
        update = {
            "lock": view,
            "waiting": waiting,
            "job_name": import_name(name),
            "observed_generation": model["metadata"].get("generation", 0),
        }
        return old.model_copy(update=update), problem

    async def _claim(self, model: Object, status: EmbeddingModelStatus) -> Failure | None:
        """Whether another model has what this one claims; asked live before the first Job is made."""
        serving = model["spec"].get("serving") or {}
        blue = self._context.cache.get(DEPLOYMENTS, namespace_of(model), serving.get("deployment", ""))
        cache, job = self._context.cache, import_name(name_of(model))
        if status.base_version is not None or cache.get(JOBS, namespace_of(model), job) is not None:
            return claimed_by_another(model, cache.all(MODELS), blue)
        return claimed_by_another(model, await self._all_models(), blue)

    async def _all_models(self) -> list[Object]:
        """Live, but for namespaces that are lost: the informer says which."""
        found: list[Object] = []
        for scope in self._context.config.scopes:
            try:
                found += await self._context.kube.list(MODELS, scope)
            except ApiError as error:
                if scope is None or error.status not in (403, 404):
                    raise
        return found

    async def _open(self, model: Object) -> tuple[AsyncStore | None, Failure | None]:
        try:
            return await self._context.stores.open(model), None
        except (StoreProblem, StoreError) as error:
            problem = problem_of(error)
            return None, Failure(problem.reason, str(problem))

    async def _unreachable(self, model: Object, old: EmbeddingModelStatus, store: AsyncStore) -> Failure | None:
        """Why the store cannot be used just now, where there is cause to ask: by a look at what must be there."""
        if not asks_store(old, self._context.cache.of_model(TASKS, namespace_of(model), name_of(model))):
            return None
        try:
            await store.get_or_none(store_layout.manifest(old.base_version or ""))
        except (StoreProblem, StoreError) as error:
            problem = problem_of(error)
            return Failure(problem.reason, str(problem))
        return None

    async def _unserved(self, subject: Subject, store_problem: Failure | None) -> Outcome:
        subject = await self._moved(subject)
        status = subject.status
        if active(status.rollout):
            progress = await self._rollouts.move(subject, None, None)
            return Outcome(progress.status, Verdict(problem=store_problem), progress.after)
        self._rollouts.forget(subject.model)
        if status.current is None:
            found = await adopted(subject, None)
            if isinstance(found, Failure):
                return Outcome(status, Verdict(problem=found), RETRY_SECONDS)
            if found is None:
                status = status.model_copy(update={"current": _base_as_current(subject)})
            else:
                status = with_current(status, found)
        current = status.current.version if status.current else ""
        ready = Failure("Published", f"version {current} is current; spec.serving is not set, so nothing is rolled out")
        return Outcome(status, Verdict(problem=store_problem, ready=ready), RETRY_SECONDS if store_problem else None)

    async def _served(self, subject: Subject, store_problem: Failure | None) -> Outcome:
        subject = await self._moved(subject)
        blue, serving = await self._rollouts.blue(subject), subject.serving
        if blue.blocked is not None and blue.blocked.reason == "ContainerNotFound":
            await release_container(self._context, subject, blue.deployment)
        live = await adopted(subject, blue.deployment)
        if isinstance(live, Failure) and serving.rollback_to is None:
            verdict = Verdict(problem=live, unsafe=blue.unsafe, deployment_seen=blue.deployment is not None)
            return Outcome(subject.status, verdict, RETRY_SECONDS)
        if isinstance(live, Candidate):
            subject = replace(subject, status=with_current(subject.status, live))
        status, pin_problem, refused = subject.status, None, None
        if active(status.rollout):
            progress = await self._rollouts.move(subject, blue, await self._lost_right(subject))
            status, after = progress.status, progress.after
        else:
            self._rollouts.forget(subject.model)
            pinned = await self._pinned(subject)
            pin_problem = pinned if isinstance(pinned, Failure) else None
            target = pinned if isinstance(pinned, Target) else None
            if blue.blocked is not None and due(status, serving) is not None:
                after = None  # it goes before any task, and its version is looked for once it can begin
            else:
                found = await promoted_version(subject)
                refused = found if isinstance(found, Failure) else None
                to_promote = found if isinstance(found, Target) else None
                status, after, away = await self._begin(subject, blue, target, to_promote)
                store_problem = store_problem or away
        served = self._rollouts.served(replace(subject, status=status), blue)
        status = status.model_copy(update={"blue": served})
        facts = ServingFacts(
            blocked=blue.blocked,
            unsafe=blue.unsafe,
            drifted=self._drifted(replace(subject, status=status), blue),
            ready=_ready_versions(status, blue),
            scaled_down=blue.deployment is not None and scaled_down(blue.deployment),
            changed_by=last_writer(blue.deployment) if blue.deployment is not None else "others",
            pin=serving.rollback_to,
            pin_problem=pin_problem,
            store_problem=store_problem,
        )
        verdict = replace(serving_verdict(status, facts), refused=refused)
        if after is None and refused is not None:
            after = RETRY_SECONDS if refused.reason in AWAY else REFUSED_SECONDS
        if after is None and (verdict.problem is not None or blue.deployment is None):
            after = DEPLOYMENT_SECONDS if blue.blocked else RETRY_SECONDS
        return Outcome(status, verdict, after)

    async def _moved(self, subject: Subject) -> Subject:
        """Give back what bluetune owned in another Deployment, if spec.serving no longer names that one."""
        if not has_moved(subject.status, subject.spec.serving):
            return subject
        return replace(subject, status=await return_fields(self._context, subject, self._context.cache.all(MODELS)))

    async def _begin(
        self, subject: Subject, blue: Blue, pinned: Target | None, to_promote: Target | None
    ) -> tuple[EmbeddingModelStatus, float | None, Failure | None]:
        """Begin a rollout if one is due: it is only written down now, and carried out from the next look on.

        Returns:
            The status, seconds until the next look, and why the store cannot tell whether the version exists.
        """
        status, namespace = subject.status, namespace_of(subject.model)
        tasks = self._context.cache.of_model(TASKS, namespace, name_of(subject.model))
        if unread(status.rollout, tasks):
            return status, None, None
        assert status.base_version is not None  # noqa: S101 - published, or this is not reached
        assert status.base_digest is not None  # noqa: S101
        request = request_of(tasks, status.lock.holder_uid if status.lock else None)
        if request is not None and request.task is not None:
            live = await self._context.kube.get(TASKS, namespace, request.task)
            holder = held_by(await read_lease(self._context.kube, namespace, name_of(subject.model)))
            stale = live is None or compared_with_another(live, status.current)
            request = request_of([live] if live is not None and not stale else [], holder)
        choice = choose(
            Situation(
                status=status,
                serving=subject.serving,
                generation=subject.model["metadata"].get("generation", 0),
                now=subject.now,
                base=Target(status.base_version, status.base_digest),
                request=request,
                pinned=pinned,
                promote=to_promote,
                drifted=self._drifted(subject, blue),
            )
        )
        rollout = choice.rollout
        if rollout is None or (blue.blocked is not None and rollout.task_uid is None):
            return status, choice.retry_after, None
        if problem := await self._rollouts.cannot_serve(subject, rollout.to, rollout.digest):
            if problem.reason in AWAY:
                return status, RETRY_SECONDS, None if rollout.task_uid is not None else problem
            rollout = rollout.model_copy(
                update={"step": "Failed", "reason": problem.reason, "message": problem.message}
            )
        else:
            rollout = self._rollouts.with_turn(subject, rollout)
        if to_promote is not None and (promote := subject.serving.promote) is not None:
            return started(status, promote, rollout, subject.now), 0.0, None
        return status.model_copy(update={"rollout": rollout}), 0.0, None

    async def _pinned(self, subject: Subject) -> Target | Failure | None:
        """What rollbackTo names, if it is not current yet."""
        version, current = subject.serving.rollback_to, subject.status.current
        if version is None or (current is not None and current.version == version):
            return None
        try:
            if subject.store is None:
                return Failure("StoreUnreachable", f"serving.rollbackTo={version}: the store cannot be opened")
            manifest = await self._rollouts.manifest(subject.store, version)
        except StoreError as error:
            problem = problem_of(error)
            return Failure(problem.reason, f"serving.rollbackTo={version}: {problem}")
        digest = missing_version(version, manifest)
        if isinstance(digest, Failure):
            return Failure(
                "RollbackVersionNotFound", f"serving.rollbackTo: {digest.message}; name a version that exists"
            )
        return Target(version, digest)

    async def _lost_right(self, subject: Subject) -> Failure | None:
        """Why the rollout under way must not go on: its task is read live."""
        rollout, status = subject.status.rollout, subject.status
        tasks: list[Object] = []
        if rollout is not None and rollout.task is not None:
            live = await self._context.kube.get(TASKS, namespace_of(subject.model), rollout.task)
            tasks = [live] if live else []
        assert rollout is not None  # noqa: S101 - it is active
        holder = status.lock.holder_uid if status.lock else None
        return lost_right(rollout, tasks, holder, subject.spec.serving, status.promote)

    def _drifted(self, subject: Subject, blue: Blue) -> bool:
        current = subject.status.current
        if current is None or blue.deployment is None:
            return False
        return not self._rollouts.wanted(subject, current.version, current.digest).is_told(blue.deployment)

    async def _write(self, model: Object, old: EmbeddingModelStatus, outcome: Outcome) -> None:
        generation = model["metadata"].get("generation", 0)
        new = with_verdict(outcome.status, outcome.verdict, generation=generation, now=self._context.clock())
        wire = new.wire()
        if wire == (model.get("status") or {}):
            return
        written = await self._context.kube.replace_status(MODELS, model, wire)
        self._context.cache.put(MODELS, written)
        self._wake_tasks(model, old, new)
        if "retrain" in model["spec"] and _seen_by_tasks(old) != _seen_by_tasks(new):
            self._context.enqueue(Key(RETRAIN, namespace_of(model), name_of(model)), 0.0)
        if "notify" in model["spec"] and old.rollout != new.rollout:
            self._context.enqueue(Key(NOTIFY, namespace_of(model), name_of(model)), 0.0)
        if takes_a_turn(model) and not takes_a_turn(written):
            self._turns.wake_next()
        if is_due(old, new):
            self._context.enqueue(Key(RETENTION, namespace_of(model), name_of(model)), RETENTION_SECONDS)
        if (end := rollout_end(old, new)) is not None:
            self._context.observer.rollout_ended(namespace_of(model), name_of(model), end)
        for item in news(old, new):
            await self._context.events.emit(model, item.reason, item.message, level=item.level)

    def _wake_tasks(self, model: Object, old: EmbeddingModelStatus, new: EmbeddingModelStatus) -> None:
        """Its own write brings no news from the watch, so whom it concerns is told here: the rollout's task of its
        progress, and all of them of a version, or of what became of the model."""
        namespace, names = namespace_of(model), set[str]()
        if new.rollout is not None and new.rollout.task is not None and new.rollout != old.rollout:
            names.add(new.rollout.task)
        if _seen_by_tasks(old) != _seen_by_tasks(new):
            found = self._context.cache.of_model(TASKS, namespace, name_of(model))
            names |= {name_of(task) for task in found if not has_ended(task)}
        for name in names:
            self._context.enqueue(Key(TASKS.name, namespace, name), 0.0)

    def _wake_claimants(self, namespace: str, name: str) -> None:
        """A model is gone: what it claimed is free."""
        for other in self._context.cache.all(MODELS):
            if (namespace_of(other), name_of(other)) != (namespace, name) and _waits_for_claim(other):
                self._context.enqueue(Key(MODELS.name, namespace_of(other), name_of(other)), 0.0)


def _seen_by_tasks(status: EmbeddingModelStatus) -> tuple[object, ...]:
    """What tasks that are not being rolled out look at."""
    ready = find(status.conditions, "Ready")
    return status.base_version, status.current, (ready.status, ready.reason) if ready else None


def _waits_for_claim(model: Mapping[str, Any]) -> bool:
    ready = condition(model, "Ready")
    return ready is not None and bool(ready["reason"] == "AlreadyClaimed")


def _base_as_current(subject: Subject) -> CurrentVersion:
    status = subject.status
    assert status.base_version is not None  # noqa: S101 - published, or this is not reached
    assert status.base_digest is not None  # noqa: S101
    uri = subject.spec.store.uri(store_layout.version(status.base_version))
    return CurrentVersion(
        version=status.base_version, uri=uri, digest=status.base_digest, promoted_at=stamp(subject.now)
    )


def _ready_versions(status: EmbeddingModelStatus, blue: Blue) -> list[str]:
    """Those of the current version and the one that is rolled out that a ready pod serves."""
    rolled = [status.rollout.to] if status.rollout is not None and active(status.rollout) else []
    current = [status.current.version] if status.current is not None else []
    return [version for version in dict.fromkeys(current + rolled) if serving_pods(blue.pods, version)]
