"""Carrying a rollout out: what is observed for the step that the status names, and the effect of its next move."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from bluetune_api import store_layout
from bluetune_api.model import EmbeddingModelSpec, EmbeddingModelStatus, Rollout, ServedBy, Serving
from bluetune_api.objectstore import StoreError
from bluetune_api.reading import FormatTooNew, RecordInvalid, read_record
from bluetune_api.records import Manifest, Probe, digest_of
from bluetune_operator.adapters.serving import PodServers
from bluetune_operator.adapters.store import AsyncStore, problem_of
from bluetune_operator.core.errors import ApiError, Conflict, ForeignObject, Leftover, WebhookFailed
from bluetune_operator.core.jobs.workloads import pods_of
from bluetune_operator.core.kinds import DEPLOYMENTS, JOBS, PODS, Object, is_owned_by, name_of, namespace_of, uid_of
from bluetune_operator.core.models.base_import import manifest_problem
from bluetune_operator.core.rollout.choice import active, promoted
from bluetune_operator.core.rollout.index import index_view, work_name, work_of
from bluetune_operator.core.rollout.manifest_look import look_verdict
from bluetune_operator.core.rollout.moves import (
    SOON,
    WATCHING,
    WORKS,
    Action,
    Answers,
    Failure,
    JobView,
    Move,
    Observed,
    advance,
    answered,
    done,
    failed,
    hindered,
    refused,
)
from bluetune_operator.core.rollout.record import index_asked
from bluetune_operator.core.rollout.reindex import job_view, reindex_job, reindex_name, template_problem
from bluetune_operator.core.rollout.serving_answers import as_sent
from bluetune_operator.core.rollout.serving_fields import field_conflict
from bluetune_operator.core.rollout.serving_patch import (
    FIELD_MANAGER,
    cannot_patch,
    fetcher_of,
    index_env_of,
    serving_patch,
    unsafe,
)
from bluetune_operator.core.rollout.serving_pods import blue_view, label_selector, own_pods, serving_pods
from bluetune_operator.core.rollout.serving_record import Wanted, asked_by, told_before, told_now, wanted_of
from bluetune_operator.core.rollout.turns import queued
from bluetune_operator.reconciler.base import Context
from bluetune_operator.reconciler.rollout.index_work import IndexWork
from bluetune_operator.reconciler.rollout.turns import RolloutTurns
from bluetune_operator.reconciler.rollout.watch import RolloutWatch

PROBES = 32
"""Manifests' probes that are kept in memory."""


@dataclass(frozen=True)
class Blue:
    """The Deployment as read live, with the pods of its selector."""

    deployment: Object | None
    pods: Sequence[Object]
    blocked: Failure | None
    """Why it must not be patched as it is."""
    unsafe: Failure | None


@dataclass(frozen=True)
class Subject:
    """The model that is rolled out."""

    model: Object
    spec: EmbeddingModelSpec
    status: EmbeddingModelStatus
    now: datetime
    store: AsyncStore | None
    """None while it cannot be opened."""

    @property
    def serving(self) -> Serving:
        assert self.spec.serving is not None  # noqa: S101 - only asked for where serving is declared
        return self.spec.serving


@dataclass(frozen=True)
class Progress:
    """What a move came to."""

    status: EmbeddingModelStatus
    after: float | None


class Rollouts:
    """Observes and acts for the model's reconciler."""

    def __init__(self, context: Context, turns: RolloutTurns) -> None:
        self._context = context
        self._turns = turns
        self._servers = PodServers()
        self._watch = RolloutWatch()
        self._index_work = IndexWork(context)
        self._probes: OrderedDict[tuple[str, str], Probe] = OrderedDict()

    async def blue(self, subject: Subject) -> Blue:
        """Read the Deployment and its pods, live."""
        kube, serving, namespace = self._context.kube, subject.serving, namespace_of(subject.model)
        deployment = await kube.get(DEPLOYMENTS, namespace, serving.deployment)
        if deployment is None:
            return Blue(None, (), cannot_patch(None, serving), None)
        selector = label_selector(deployment["spec"].get("selector") or {})
        pods = own_pods(deployment, await kube.list(PODS, namespace, labels=selector))
        return Blue(deployment, pods, cannot_patch(deployment, serving), unsafe(deployment, serving))

    def wanted(self, subject: Subject, version: str, digest: str) -> Wanted:
        """The Deployment's fields for a version: as they were written, if they were."""
        fetcher = fetcher_of(self._context.config)
        serving, store, namespace = subject.serving, subject.spec.store, namespace_of(subject.model)
        patch = serving_patch(serving, store, namespace, version, digest, fetcher)
        told = subject.status.blue.told if subject.status.blue is not None else None
        return wanted_of(version, digest, asked_by(serving, store), patch, told)

    def wanted_back(self, subject: Subject, version: str, digest: str) -> Wanted:
        """The fields for the version that a rollout goes back to: its index is where it was, also if `serving.index`
        was edited since, as there need not be one of it as that is now."""
        wanted, blue = self.wanted(subject, version, digest), subject.status.blue
        before = blue.told_before if blue is not None else None
        if before is None or (before.version, before.digest) != (version, digest) or before.asked == wanted.asked:
            return wanted
        serving, store, namespace = subject.serving, subject.spec.store, namespace_of(subject.model)
        if (env := index_env_of(before.template, store, version)) is None:
            return wanted
        patch = serving_patch(serving, store, namespace, version, digest, fetcher_of(self._context.config), env)
        return Wanted(version, digest, before.asked, patch, before)

    def served(self, subject: Subject, blue: Blue) -> ServedBy:
        """The Deployment and what it is told, as the status keeps it."""
        serving, status, versions = subject.serving, subject.status, dict[str, str]()
        if status.rollout is not None and active(status.rollout):
            target = target_of(status.rollout, status)
            versions |= dict([target]) if target is not None else {}
        if status.current is not None:
            versions.setdefault(status.current.version, status.current.digest)
        candidates = [self.wanted(subject, version, digest) for version, digest in versions.items()]
        before = status.blue or ServedBy(deployment=serving.deployment, container=serving.container)
        if (last := before.told_before) is not None:
            candidates.append(self.wanted_back(subject, last.version, last.digest))
        told = told_now(blue.deployment, before.told, candidates)
        kept = told_before(status.rollout, before, told)
        return before.model_copy(update={"container": serving.container, "told": told, "told_before": kept})

    def forget(self, model: Object) -> None:
        """No rollout of the model is under way."""
        self._watch.forget((namespace_of(model), name_of(model)))

    async def move(self, subject: Subject, blue: Blue | None, abort: Failure | None) -> Progress:
        """Make the next move of the rollout that the status, as read live, names."""
        rollout = subject.status.rollout
        assert rollout is not None  # noqa: S101 - the caller looked
        watched = self._watch.look((namespace_of(subject.model), name_of(subject.model)), rollout)
        if rollout.queued_since is not None:
            waits = Observed(subject.now, subject.spec.serving, watched, abort, turn=self._has_turn(subject, rollout))
            return _progress(subject, advance(rollout, waits))
        if subject.spec.serving is None or blue is None:
            return _progress(subject, advance(rollout, Observed(subject.now, None, watched)))
        target = target_of(rollout, subject.status)
        if target is None:
            return _progress(subject, advance(rollout, Observed(subject.now, subject.serving, watched)))
        version, digest = target
        wanted = (self.wanted_back if rollout.step == "RollingBack" else self.wanted)(subject, version, digest)
        job = await self._job(subject, rollout) if rollout.step in WORKS else None
        seen = Observed(
            now=subject.now,
            serving=subject.serving,
            watched=watched,
            abort=abort,
            job=await self._job_view(subject, rollout, job) if job is not None else None,
            blue=blue_view(blue.deployment, blue.pods, wanted.patch, blue.blocked, subject.now),
        )
        if wanted.is_told(blue.deployment):  # in the words of another release, too
            seen = replace(seen, blue=replace(seen.blue, matches=True))
        move = advance(rollout, seen)
        match move.action:
            case None:
                return _progress(subject, move)
            case Action.CREATE_REINDEX:
                return _progress(subject, await self._create_job(subject, move))
            case Action.DELETE_REINDEX:
                if job is not None and is_owned_by(job, uid_of(subject.model)):
                    namespace, uid = namespace_of(subject.model), uid_of(job)
                    await self._context.kube.delete(JOBS, namespace, name_of(job), uid=uid, propagation="Foreground")
                return _progress(subject, move)
            case Action.APPLY:
                problem = await self.cannot_serve(subject, version, digest)
                if (instead := look_verdict(rollout, problem, subject.now)) is not None:
                    return _progress(subject, instead)
                return _progress(subject, await self._apply(subject, blue, wanted.patch, move))
            case Action.ASK:
                answers = await self._ask(subject, blue, version, digest)
                return _progress(subject, answered(move.rollout, answers, seen))
            case Action.PROMOTE:
                return _promote(subject, rollout)

    def _has_turn(self, subject: Subject, rollout: Rollout) -> bool:
        pinned = subject.spec.serving.rollback_to if subject.spec.serving else None
        return pinned == rollout.to or self._turns.take(subject.model)

    def with_turn(self, subject: Subject, rollout: Rollout) -> Rollout:
        """A rollout that is about to begin; or the same, waiting for its turn."""
        if self._has_turn(subject, rollout):
            return rollout
        return queued(rollout, self._context.config.max_rollouts, subject.now)

    async def manifest(self, store: AsyncStore, version: str) -> bytes | None:
        """A version's manifest, or None. Raises StoreError."""
        return await store.get_or_none(store_layout.manifest(version))

    async def cannot_serve(self, subject: Subject, version: str, digest: str) -> Failure | None:
        """Why pods must not be told a version; a reason in `manifest_look.AWAY` is worth another try."""
        if subject.store is None:
            return Failure("StoreUnreachable", "the store cannot be opened")
        try:
            return manifest_problem(await self.manifest(subject.store, version), version, digest)
        except StoreError as error:
            problem = problem_of(error)
            return Failure(problem.reason, str(problem))

    async def _job(self, subject: Subject, rollout: Rollout) -> Object | None:
        name = reindex_name(name_of(subject.model), rollout.to)
        if subject.serving.index is not None:
            name = work_name(name_of(subject.model), work_of(rollout), rollout.to)
        return await self._context.kube.get(JOBS, namespace_of(subject.model), name)

    async def _job_view(self, subject: Subject, rollout: Rollout, job: Object) -> JobView | None:
        namespace, model, index = namespace_of(subject.model), name_of(subject.model), subject.serving.index
        label = "reindex" if index is None else work_of(rollout)
        pods = pods_of(job, label, self._context.cache.of_model(PODS, namespace, model))
        refused = await self._context.job_events.why_no_pod(job, pods, subject.now)
        if index is None:
            return job_view(job, pods, rollout, refused, subject.model)
        asked = index_asked(subject.serving)
        view = index_view(job, pods, rollout, refused, subject.model, subject.now, asked)
        if view is None:
            return None
        return await self._index_work.judged(view, job, rollout, subject.serving, subject.store, subject.now)

    async def _create_job(self, subject: Subject, move: Move) -> Move:
        reindex, index, rollout = subject.serving.reindex, subject.serving.index, subject.status.rollout
        assert rollout is not None  # noqa: S101 - the move says so
        if index is not None:
            job = await self._index_work.job(subject.model, subject.spec, index, rollout)
            if isinstance(job, Failure):
                return failed(rollout, job, subject.now) if job.reason == "ReindexRefused" else hindered(rollout, job)
            declared = "serving.index"
        else:
            assert reindex is not None  # noqa: S101 - the move says so
            if (problem := template_problem(reindex.template)) is not None:
                return failed(rollout, Failure("ReindexRefused", problem), subject.now)
            queue = subject.spec.queue_name
            job = reindex_job(subject.model, reindex, subject.spec.store, move.rollout, queue_name=queue)
            declared = "serving.reindex.template"
        try:
            await self._context.kube.create_owned(JOBS, job, uid_of(subject.model), strict=True)
        except Leftover as error:
            return hindered(rollout, Failure("Terminating", str(error)))
        except ForeignObject as error:
            return failed(rollout, Failure("NameTaken", str(error)), subject.now)
        except Conflict:
            raise
        except ApiError as error:
            text = f"the API server refused the Job of {declared}: {error.message}"
            failure = Failure("ReindexRefused", text)
            if isinstance(error, WebhookFailed):
                return hindered(rollout, failure)
            return failed(rollout, failure, subject.now)
        return move

    async def _apply(self, subject: Subject, blue: Blue, patch: Object, move: Move) -> Move:
        rollout = subject.status.rollout
        assert blue.deployment is not None  # noqa: S101 - the move says so
        assert rollout is not None  # noqa: S101
        if rollout.step == "Patch" and rollout.source != rollout.to:
            # what the pods will be asked for is fetched before the switch: a store that is away harms nobody then
            probe = await self._probe_to_ask(subject, rollout.to, rollout.digest)
            if isinstance(probe, Failure):
                return hindered(rollout, probe)
        version = blue.deployment["metadata"]["resourceVersion"]
        body = {**patch, "metadata": {**patch["metadata"], "resourceVersion": version}}
        try:
            await self._context.kube.apply(DEPLOYMENTS, body, field_manager=FIELD_MANAGER)
        except Conflict as error:
            if (failure := field_conflict(subject.serving, error.message)) is None:
                return Move(rollout, None, WATCHING)  # it changed since it was read: look again
            return refused(rollout, failure, subject.now)
        except ApiError as error:
            text = f"the API server refused to change Deployment {subject.serving.deployment}: {error.message}"
            failure = Failure("PatchRefused", text)
            if isinstance(error, WebhookFailed):
                return hindered(rollout, failure)
            return refused(rollout, failure, subject.now)
        return move

    async def _ask(self, subject: Subject, blue: Blue, version: str, digest: str) -> Answers:
        verify = subject.serving.verify
        assert verify is not None  # noqa: S101 - the move says so
        probe = await self._probe_to_ask(subject, version, digest)
        if isinstance(probe, Failure):
            return Answers(False, probe.message, probe.reason)
        return await self._servers.ask(serving_pods(blue.pods, version), verify, digest, probe)

    async def _probe_to_ask(self, subject: Subject, version: str, digest: str) -> Probe | Failure | None:
        """The probe of a version; None if pods are not asked for vectors; or why it cannot be had."""
        verify, store = subject.serving.verify, subject.store
        if verify is None or verify.vectors_path is None:
            return None
        if (digest, verify.api) in self._probes:
            return self._probes[digest, verify.api]
        if store is None:
            return Failure("StoreUnreachable", "the store that holds the version's probe cannot be opened")
        try:
            data = await self.manifest(store, version)
        except StoreError as error:
            problem = problem_of(error)
            return Failure(problem.reason, f"the version's probe cannot be read: {problem}")
        if data is None:
            return Failure("VersionNotFound", f"version {version} has no manifest.json")
        if (failure := manifest_problem(data, version, digest)) is not None:
            return failure
        try:
            manifest = read_record(Manifest, data, "operator")
        except FormatTooNew as error:
            return Failure("FormatTooNew", f"manifest.json of version {version} cannot be read: {error}")
        except RecordInvalid as error:
            return Failure("VersionInvalid", f"manifest.json of version {version} cannot be read: {error}")
        probe = as_sent(manifest.probe, manifest.query_prompt, verify)
        self._probes[digest, verify.api] = probe
        while len(self._probes) > PROBES:
            self._probes.popitem(last=False)
        return probe


def target_of(rollout: Rollout, status: EmbeddingModelStatus) -> tuple[str, str] | None:
    """Version and digest that the Deployment should be told: on the way back those of `from`, if they are known."""
    if rollout.step != "RollingBack":
        return rollout.to, rollout.digest
    digest = digest_of_version(rollout.source, status)
    return (rollout.source, digest) if rollout.source and digest else None


def digest_of_version(version: str | None, status: EmbeddingModelStatus) -> str | None:
    """Digest of a version that the model served once."""
    known = [c for c in (status.current, *(status.history or ())) if c is not None]
    return next((c.digest for c in known if c.version == version), None)


def missing_version(version: str, manifest: bytes | None) -> Failure | str:
    """The digest of a version that exists, or why it does not."""
    if manifest is None:
        return Failure("VersionNotFound", f"version {version} does not exist in the store: it has no manifest.json")
    digest = digest_of(manifest)
    return manifest_problem(manifest, version, digest) or digest


def _promote(subject: Subject, rollout: Rollout) -> Progress:
    uri = subject.spec.store.uri(store_layout.version(rollout.to))
    current, history = promoted(subject.status, rollout, uri, subject.now)
    update = {"current": current, "history": history, "rollout": done(rollout, subject.now)}
    return Progress(subject.status.model_copy(update=update), SOON)


def _progress(subject: Subject, move: Move) -> Progress:
    return Progress(subject.status.model_copy(update={"rollout": move.rollout}), move.after)
