"""A task with minSessions trains nothing on a batch that is too small, and gives the lock back."""

import pytest

from bluetune_api import store_layout
from bluetune_api.records import CheckReport
from bluetune_operator.core.kinds import LEASES, TASKS, lease_name
from bluetune_operator.core.lock.rules import is_held
from unit.operator_lock_model.apiserver import copied
from unit.operator_lock_model.one_task import job, kubernetes_works, operator_works, said
from unit.operator_lock_model.system import System
from unit.operator_lock_model.world import MODEL, NAMESPACE


@pytest.mark.parametrize(("informative", "ends", "trains"), [(99, "TooFewSessions", False), (100, "Completed", True)])
def test_a_batch_with_fewer_informative_sessions_is_not_trained_on(informative: int, ends: str, trains: bool) -> None:
    system = System(1)
    system.world.add("a")
    task = copied(system.world.server.get(TASKS, "a"))
    task["spec"]["minSessions"] = 100
    system.world.server.put("people", TASKS, task)
    for _ in range(20):
        operator_works(system)
        kubernetes_works(system, succeed=False)
        key = store_layout.check(task["metadata"]["uid"])
        kubernetes_works(system, succeed=True)
        if key in system.world.store.kept:
            report = CheckReport.model_validate_json(system.world.store.kept[key])
            report = report.model_copy(update={"informative_sessions": informative})
            system.world.store.kept[key] = report.model_dump_json(by_alias=True).encode()
    assert said(system)[0] == ends
    assert (job(system, "a-train") is not None) is trains
    lease = system.world.server.get(LEASES, lease_name(MODEL))
    assert lease is not None
    assert not is_held(lease)
    text = system.operators[0].metrics.text().decode()
    assert f'bluetune_tasks_ended_total{{model="{MODEL}",namespace="{NAMESPACE}",phase="Succeeded"}} 1.0' in text
    assert f'bluetune_task_run_seconds_count{{model="{MODEL}",namespace="{NAMESPACE}"}} 1.0' in text
