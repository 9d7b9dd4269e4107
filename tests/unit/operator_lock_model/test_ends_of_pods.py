"""What a task says between the end of its pod and that of its Job."""

import pytest

from unit.operator_lock_model.one_task import active_pod, at_work, operator_works, said


@pytest.mark.parametrize(("stage", "doing"), [("check", "Checking"), ("train", "Training")])
def test_a_task_keeps_its_reason_when_its_pod_has_ended_and_its_job_has_not(stage: str, doing: str) -> None:
    system = at_work(stage)
    assert said(system)[0] == doing
    pod = active_pod(system)
    assert pod is not None
    system.apply(("world", "succeed", pod["metadata"]["name"]))
    operator_works(system)
    assert said(system)[0] == doing
