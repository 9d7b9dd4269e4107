"""The process: everything put together, started in order, and stopped when one part ends."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Coroutine
from datetime import UTC, datetime

import kopf

from bluetune_operator.adapters.cache import ObjectCache
from bluetune_operator.adapters.cluster import Cluster
from bluetune_operator.adapters.events import Events
from bluetune_operator.adapters.faults import CrashPoint
from bluetune_operator.adapters.fence import Fence
from bluetune_operator.adapters.job_events import JobEvents
from bluetune_operator.adapters.kube import KubeApi, load_configuration
from bluetune_operator.adapters.store import Stores
from bluetune_operator.adapters.webhooks import Webhooks
from bluetune_operator.core.config import Config
from bluetune_operator.core.errors import ApiError, ApiUnavailable
from bluetune_operator.core.kinds import LOCK, METHODS, MODELS, NOTIFY, RETRAIN, TASKS
from bluetune_operator.handlers.dispatch import Dispatcher
from bluetune_operator.handlers.guard import Guard, LeaseLost
from bluetune_operator.handlers.health import Health
from bluetune_operator.handlers.informer import Informer, registry_for, settings
from bluetune_operator.handlers.metrics import Metrics
from bluetune_operator.handlers.queue import WorkQueue
from bluetune_operator.handlers.servers import Servers
from bluetune_operator.handlers.state_metrics import StateMetrics
from bluetune_operator.reconciler.base import Context, Reconciler
from bluetune_operator.reconciler.lock import LockReconciler
from bluetune_operator.reconciler.method import MethodReconciler
from bluetune_operator.reconciler.models.reconcile import ModelReconciler
from bluetune_operator.reconciler.models.retention import RETENTION, RetentionReconciler
from bluetune_operator.reconciler.notify import NotifyReconciler
from bluetune_operator.reconciler.retrain.reconcile import RetrainReconciler
from bluetune_operator.reconciler.tasks.reconcile import TaskReconciler

logger = logging.getLogger(__name__)

STOP_SECONDS = 10.0


async def run(config: Config) -> int:
    """Run until a signal (0) or until a part of it cannot go on (1); says why, for people."""
    _stop_on_signals()
    try:
        return await _run(config)
    except asyncio.CancelledError:
        return 0
    except ApiError as error:
        logger.error("%s", _advice(error))
    except ApiUnavailable as error:
        logger.error("the API server cannot be used: %s", error)
    except OSError as error:
        logger.error("a port cannot be listened on: %s", error)
    return 1


def _stop_on_signals() -> None:
    """Until kopf takes the signals over: the first process of a container dies of none that it does not handle."""
    loop, main = asyncio.get_running_loop(), asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: main.cancel() if main else None)


async def _run(config: Config) -> int:
    crash_point = CrashPoint.from_environment()
    queue = WorkQueue()
    health = Health(config.resync_seconds)
    metrics = Metrics(queue)
    configuration = load_configuration()
    fence = Fence()
    kube = KubeApi(configuration, fence=fence, crash_point=crash_point, on_request=metrics.request)
    # with connections and threads of its own, so that no load delays a renewal
    lease_kube = KubeApi(load_configuration(), threads=2, on_request=metrics.request)
    identity = config.pod_name or f"{socket.gethostname()}-{os.getpid()}"
    cache = ObjectCache()
    metrics.registry.register(StateMetrics(cache))
    context = Context(
        kube=kube,
        cache=cache,
        stores=Stores(kube, identity=config.identity, fence=fence, crash_point=crash_point),
        events=Events(kube, instance=identity),
        job_events=JobEvents(kube),
        cluster=Cluster(kube),
        config=config,
        enqueue=queue.add,
        clock=lambda: datetime.now(UTC),
        observer=metrics,
    )
    webhooks = Webhooks()
    reconcilers: dict[str, Reconciler] = {
        TASKS.name: TaskReconciler(context),
        MODELS.name: ModelReconciler(context),
        METHODS.name: MethodReconciler(context),
        LOCK: LockReconciler(context),
        RETENTION: RetentionReconciler(context),
        RETRAIN: RetrainReconciler(context),
        NOTIFY: NotifyReconciler(context, webhooks),
    }
    informer = Informer(kube, cache, config, health, queue.add)
    guard = Guard(lease_kube, config.pod_namespace, identity, fence)
    servers = Servers(health, metrics)
    try:
        await servers.start(config.health_port, config.metrics_port)
        await guard.acquire(health.stand_by)
        health.lead()
        metrics.leader.set(1)
        await informer.resync()
        metrics.lost_namespaces(informer.lost)
        dispatcher = Dispatcher(queue, reconcilers, health, metrics)
        parts = [
            asyncio.create_task(guard.keep(), name="lease"),
            asyncio.create_task(_resync(informer, metrics, config.resync_seconds), name="resync"),
            *(asyncio.create_task(dispatcher.work(), name=f"worker-{n}") for n in range(config.workers)),
        ]
        logger.info("started; serving %s", ", ".join(config.namespaces) or "the whole cluster")
        code = await _until_one_ends(parts, _watch(informer, config))
        await guard.release()
        return code
    finally:
        await servers.stop()
        await webhooks.close()
        context.stores.close()
        kube.close()
        lease_kube.close()


async def _watch(informer: Informer, config: Config) -> None:
    """kopf's part: watch, until a signal comes. It must start last: it ends all tasks that are newer than itself."""
    await kopf.operator(
        registry=registry_for(informer),
        settings=settings(config),
        standalone=True,
        clusterwide=not config.namespaces,
        namespaces=list(config.namespaces),
    )


async def _until_one_ends(parts: list[asyncio.Task[None]], watching: Coroutine[None, None, None]) -> int:
    watch = asyncio.create_task(watching, name="watch")
    done, _ = await asyncio.wait([watch, *parts], return_when=asyncio.FIRST_COMPLETED)
    code = 0
    for task in done:
        if task.cancelled():
            continue
        error = task.exception()
        if isinstance(error, LeaseLost):
            logger.error("%s", error)
            code = 1
        elif error is not None:
            logger.error("%s ended: %s", task.get_name(), error, exc_info=error)
            code = 1
        elif task is not watch:
            code = 1
    for task in (watch, *parts):
        task.cancel()
    await asyncio.wait([watch, *parts], timeout=STOP_SECONDS)
    return code


async def _resync(informer: Informer, metrics: Metrics, period: float) -> None:
    while True:
        await informer.until_list_is_due(period)
        try:
            await informer.resync()
            metrics.lost_namespaces(informer.lost)
        except (ApiError, ApiUnavailable) as error:
            logger.warning("the full list failed: %s", error)  # liveness fails after three of them


def _advice(error: ApiError) -> str:
    if error.status == 404:
        return f"{error}; are the custom resources installed? kubectl get crd | grep bluetune.dev"
    if error.status in (401, 403):
        return f"{error}; the operator's Role or ClusterRole lacks this right"
    return str(error)
