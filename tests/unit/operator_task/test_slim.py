"""What is kept of an object holds all that is read, and words only once."""

import copy
import json

from bluetune_operator.adapters.slim import slim
from bluetune_operator.core.kinds import JOBS, PODS, TASKS

METADATA = {"name": "t", "namespace": "n", "uid": "u", "resourceVersion": "1", "labels": {"a": "b"}}


def test_a_task_is_kept_whole_but_for_its_managed_fields() -> None:
    task = {
        "metadata": {**METADATA, "managedFields": [{"manager": "kubectl"}]},
        "spec": {"metadata": {"managedFields": "the user's own"}},
        "status": {"conditions": [{"type": "Ready", "message": "4 of 5"}], "attempt": 1, "best": None},
    }
    before = copy.deepcopy(task)
    assert slim(TASKS, task) == {**task, "metadata": METADATA}
    assert task == before


def test_a_job_loses_its_template_and_a_pod_all_but_its_node_and_its_containers_names_and_resources() -> None:
    job = {"metadata": METADATA, "spec": {"suspend": False, "template": {"spec": {}}}, "status": {"active": 1}}
    assert slim(JOBS, job) == {**job, "spec": {"suspend": False}}
    limits = {"limits": {"memory": "1Gi"}}
    containers = [{"name": "trainer", "image": "i", "env": [{}], "resources": limits}]
    pod = {
        "metadata": METADATA,
        "spec": {"containers": containers, "volumes": [{}], "nodeName": "n1"},
        "status": {"phase": "Running"},
    }
    assert slim(PODS, pod) == {
        **pod,
        "spec": {"containers": [{"name": "trainer", "resources": limits}], "nodeName": "n1"},
    }
    assert slim(PODS, slim(PODS, pod)) == slim(PODS, pod)


def test_names_and_words_of_many_objects_are_one_text() -> None:
    texts = [json.dumps({"metadata": {"name": name}, "status": {"phase": "Succeeded"}}) for name in "ab"]
    first, second = (slim(TASKS, json.loads(text)) for text in texts)
    assert first["status"]["phase"] is second["status"]["phase"]
    assert [id(name) for name in first] == [id(name) for name in second]
