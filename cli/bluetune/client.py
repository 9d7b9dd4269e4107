"""bluetune's operator from Python: what the commands do, as values and typed errors.

`AsyncClient` runs the requests of a `Client` in threads, and waits between them without one. Each request has a
timeout, reads are tried again, and a write is sent once.
"""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, TypedDict, TypeVar, Unpack

from bluetune import actions
from bluetune.adapters.cluster import Cluster
from bluetune.adapters.following import states
from bluetune.core import tasks, versions
from bluetune.core.errors import BluetuneError, CliError
from bluetune.core.kinds import MODELS, TASKS, Object
from bluetune.core.results import Asked, Task, TaskFailed, task_of, typed
from bluetune.core.waiting import POLL_SECONDS, Waiting

DAY = 86_400.0
"""How long a task is waited for where nobody says otherwise, in seconds."""
P = ParamSpec("P")
T = TypeVar("T")
Version = versions.Version


class Submission(TypedDict, total=False):
    """What a new task may be told beside its model; each as `bluetune submit` has it."""

    batch: str
    """Batch of clicks. Absent: the newest one that is new."""
    parameters: Mapping[str, Sequence[Any]]
    """Values that the search may give a parameter: `{"query_lr": [1e-5, 2e-5]}`."""
    method: str
    """FineTuningMethod. Absent: the model's."""
    start_from: str
    """Version to start from. Absent: the current one."""
    deploy: bool
    """Roll the version out if the gate lets it pass."""
    key: str
    """Idempotency key: a second task with it takes over the first one's result."""
    name: str
    """Name of the task. Absent: the model's and five letters."""


class Client:
    """A namespace of a cluster, by the caller's own kubeconfig and rights, or by those of the pod it runs in.

    Every method may raise Unreachable, Forbidden, NotFound, Invalid and Refused, all of them BluetuneErrors.
    """

    def __init__(self, *, namespace: str | None = None, context: str | None = None) -> None:
        """Load the kubeconfig; the namespace is the context's where none is given."""
        with _typed():
            self._cluster = Cluster(context, namespace)

    @property
    def namespace(self) -> str:
        """Where tasks and models are looked for."""
        return self._cluster.namespace

    def submit(self, model: str, **options: Unpack[Submission]) -> Task:
        """Make a task. It is sent once: after Unreachable, look for it by its name, or submit again with the same key.

        Raises:
            Conflict: there is a task of this name.
        """
        given: dict[str, Any] = dict(options)
        name = given.pop("name", None) or actions.new_name(model)
        space = {parameter: {"choice": list(values)} for parameter, values in given.pop("parameters", {}).items()}
        with _typed():
            manifest = tasks.submitted(model, name=name, space=space, **given)
            return task_of(actions.submit(self._cluster, manifest))

    def task(self, name: str) -> Task:
        """A task as it is now."""
        with _typed():
            return task_of(self._cluster.get(TASKS, name))

    def progress(self, name: str, *, timeout: float = DAY) -> Iterator[Task]:
        """A task every two seconds; the last one has ended, well or not.

        Raises:
            TimedOut: the time is over; the task goes on.
        """
        with _typed():
            for found in states(self._cluster, name, timeout, named="timeout"):
                yield task_of(found)

    def wait(self, name: str, *, timeout: float = DAY) -> Task:
        """The task when it has Succeeded.

        Raises:
            TaskFailed: it failed; the error has the task.
            TimedOut: the time is over; the task goes on.
        """
        return _succeeded(deque(self.progress(name, timeout=timeout), maxlen=1).pop())

    def cancel(self, name: str) -> Task:
        """Ask a task to end; its record and its best finished trial are kept, and nothing is rolled out."""
        with _typed():
            found = self._cluster.get(TASKS, name)
            return task_of(actions.change(self._cluster, found, "cancel", True) or found)

    def versions(self, model: str) -> list[Version]:
        """A model's versions as its status and its tasks name them, oldest first."""
        with _typed():
            return list(actions.known_versions(self._cluster, model)[1].values())

    def promote(self, model: str, version: str) -> Asked:
        """Roll a kept version out once, without the gate. Later tasks are promoted as ever."""
        return self._serve(model, version, versions.promotion)

    def rollback(self, model: str, version: str) -> Asked:
        """Serve a version, and stay with it."""
        return self._serve(model, version, versions.rollback)

    def _serve(self, model: str, version: str, patch_of: Callable[[Object, str], Object | None]) -> Asked:
        with _typed():
            found = self._cluster.get(MODELS, model)
            patch = patch_of(found, version)
            if patch is not None:
                self._cluster.patch(MODELS, model, patch)
        current = ((found.get("status") or {}).get("current") or {}).get("version")
        return Asked(model, version, current, patch is not None)

    def _look(self, name: str, *, patient: bool) -> Object:
        """A task as the API server has it."""
        return self._cluster.get(TASKS, name, patient=patient)


class AsyncClient:
    """A `Client` for asyncio, with the same methods.

    A call that is cancelled returns at once; its request goes on in its thread until it is answered or its time is
    over, which takes seconds.
    """

    def __init__(self, *, namespace: str | None = None, context: str | None = None) -> None:
        """Nothing is loaded before the first call, which may raise what `Client` raises."""
        self._namespace, self._context = namespace, context
        self._client: Client | None = None
        self._lock = threading.Lock()

    async def submit(self, model: str, **options: Unpack[Submission]) -> Task:
        """See `Client.submit`."""
        return await self._run(Client.submit, model, **options)

    async def task(self, name: str) -> Task:
        """See `Client.task`."""
        return await self._run(Client.task, name)

    async def progress(self, name: str, *, timeout: float = DAY) -> AsyncIterator[Task]:  # noqa: ASYNC109
        """See `Client.progress`."""
        with _typed():
            waiting = Waiting(await self._run(Client._look, name, patient=False), timeout, named="timeout")
            while True:
                yield task_of(waiting.task)
                if waiting.over():
                    return
                await asyncio.sleep(POLL_SECONDS)
                waiting.see(await self._run(Client._look, name, patient=True))

    async def wait(self, name: str, *, timeout: float = DAY) -> Task:  # noqa: ASYNC109
        """See `Client.wait`."""
        async for task in self.progress(name, timeout=timeout):
            last = task
        return _succeeded(last)

    async def cancel(self, name: str) -> Task:
        """See `Client.cancel`."""
        return await self._run(Client.cancel, name)

    async def versions(self, model: str) -> list[Version]:
        """See `Client.versions`."""
        return await self._run(Client.versions, model)

    async def promote(self, model: str, version: str) -> Asked:
        """See `Client.promote`."""
        return await self._run(Client.promote, model, version)

    async def rollback(self, model: str, version: str) -> Asked:
        """See `Client.rollback`."""
        return await self._run(Client.rollback, model, version)

    async def _run(self, method: Callable[Concatenate[Client, P], T], /, *args: P.args, **options: P.kwargs) -> T:
        return await asyncio.to_thread(lambda: method(self._made(), *args, **options))

    def _made(self) -> Client:
        with self._lock:
            if self._client is None:
                self._client = Client(namespace=self._namespace, context=self._context)
            return self._client


@contextmanager
def _typed() -> Iterator[None]:
    """Raise a command's error as programs catch it."""
    try:
        yield
    except CliError as error:
        raised: BluetuneError = typed(error)
    else:
        return
    raise raised


def _succeeded(task: Task) -> Task:
    if task.ended == "Failed":
        raise TaskFailed(task)
    return task
