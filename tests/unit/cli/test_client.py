"""What Python programs get of a cluster: values, typed errors, and waits that end."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from bluetune import (
    AsyncClient,
    BluetuneError,
    Client,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    Refused,
    TaskFailed,
    TimedOut,
    Unreachable,
)
from bluetune.core.errors import CliError, Exit
from bluetune.core.kinds import TASKS
from bluetune.core.refusals import refusal
from bluetune.core.results import task_of, typed
from bluetune.core.waiting import Waiting


def task(uid: str = "u", **conditions: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "t", "namespace": "n", "uid": uid},
        "spec": {"modelRef": {"name": "m"}},
        "status": {
            "conditions": [{"type": kind, "status": said, "reason": f"{kind}Why"} for kind, said in conditions.items()],
            "progress": {"percent": 40, "trialsDone": 3, "trialsTotal": 8, "etaSeconds": 60},
            "best": {"quality": 0.02},
            "bestModelId": "v0123456789ab",
        },
    }


def test_a_task_is_a_value_at_each_of_its_stages() -> None:
    going = task_of(task(LockAcquired="True", DataValid="True"))
    assert (going.ended, going.stage, going.percent, going.eta_seconds) == (None, "training", 40, 60)
    assert (going.trials_done, going.trials_total, going.best, going.reason) == (3, 8, 0.02, "")
    done = task_of(task(Succeeded="True", Promoted="False"))
    assert (done.ended, done.version, done.promoted, done.reason) == (
        "Succeeded",
        "v0123456789ab",
        False,
        "SucceededWhy",
    )
    fresh = task_of({"metadata": {"name": "t"}, "spec": {"modelRef": {"name": "m"}}})
    assert (fresh.ended, fresh.trials_total, fresh.best, fresh.promoted) == (None, 0, None, None)


def refused(status: int) -> CliError:
    return refusal(status, "", verb="get", kind=TASKS, namespace="n", name="t")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (CliError("x", Exit.USAGE), Invalid),
        (CliError("x", Exit.UNREACHABLE), Unreachable),
        (CliError("x", Exit.TIMEOUT), TimedOut),
        (CliError("x"), Refused),
        (refused(401), Forbidden),
        (refused(403), Forbidden),
        (refused(404), NotFound),
        (refused(409), Conflict),
        (refused(422), Refused),
        (refused(503), Unreachable),
    ],
)
def test_what_a_command_ends_with_has_a_type(error: CliError, kind: type[BluetuneError]) -> None:
    assert (type(typed(error)), str(typed(error))) == (kind, str(error))


def test_a_wait_ends_with_its_task_or_its_time_and_tells_tasks_of_one_name_apart() -> None:
    times: Iterator[float] = iter([0.0, 5.0, 10.0])
    waiting = Waiting(task(), 10, lambda: next(times), named="timeout")
    assert not waiting.over()
    with pytest.raises(CliError, match=r"^timeout is over, and task t goes on") as late:
        waiting.over()
    assert late.value.code == Exit.TIMEOUT
    waiting.see(task(Failed="True"))
    assert waiting.over()
    with pytest.raises(CliError, match="another one of that name"):
        waiting.see(task("other"))


class Answering:
    """A cluster whose task is, look by look, what the test says."""

    namespace = "n"

    def __init__(self, *looks: dict[str, Any]) -> None:
        self.looks = list(looks)

    def get(self, kind: object, name: str, *, patient: bool = False) -> dict[str, Any]:
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]


def client_of(*looks: dict[str, Any]) -> Client:
    made = Client.__new__(Client)
    made._cluster = Answering(*looks)  # type: ignore[assignment]
    return made


def async_of(*looks: dict[str, Any]) -> AsyncClient:
    made = AsyncClient()
    made._client = client_of(*looks)
    return made


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bluetune.adapters.following.POLL_SECONDS", 0.001)
    monkeypatch.setattr("bluetune.client.POLL_SECONDS", 0.001)


def test_both_clients_follow_a_task_to_its_end() -> None:
    looks = (task(), task(DataValid="True"), task(Succeeded="True"))

    async def stages() -> list[str]:
        return [seen.stage async for seen in async_of(*looks).progress("t")]

    seen = [seen.stage for seen in client_of(*looks).progress("t")]
    assert seen == asyncio.run(stages()) == ["waiting for the model's lock", "training", "done"]
    assert client_of(*looks).wait("t") == asyncio.run(async_of(*looks).wait("t"))


def test_both_clients_raise_for_a_task_that_failed_and_for_a_time_that_is_over() -> None:
    failed = task(Failed="True")
    with pytest.raises(TaskFailed) as sync:
        client_of(task(), failed).wait("t")
    with pytest.raises(TaskFailed) as other:
        asyncio.run(async_of(task(), failed).wait("t"))
    assert sync.value.task == other.value.task == task_of(failed)
    for wait in (client_of(task()).wait, lambda *a, **k: asyncio.run(async_of(task()).wait(*a, **k))):
        with pytest.raises(TimedOut, match="timeout is over"):
            wait("t", timeout=0)


def test_both_clients_have_the_same_methods_with_the_same_arguments() -> None:
    import inspect

    def methods(kind: type) -> dict[str, list[str]]:
        found = inspect.getmembers(kind, inspect.isfunction)
        return {name: list(inspect.signature(f).parameters) for name, f in found if not name.startswith("_")}

    assert methods(Client) == methods(AsyncClient)


def test_without_a_kubeconfig_the_first_call_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere/config")
    with pytest.raises(Unreachable, match="kubeconfig"):
        Client()
    with pytest.raises(Unreachable, match="kubeconfig"):
        asyncio.run(AsyncClient().task("t"))


def test_a_submission_that_the_api_would_refuse_is_invalid_before_anything_is_sent() -> None:
    with pytest.raises(Invalid, match=r"spec\.startFrom"):
        client_of().submit("m", start_from="latest")
