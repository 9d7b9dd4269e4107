"""Doing what a schedule says, and knowing whether it really hit."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bluetune_operator.core.jobs.workloads import is_active_pod, is_finished_job
from bluetune_operator.core.kinds import (
    JOBS,
    LEASES,
    PODS,
    TASK_UID_LABEL,
    TASKS,
    Kind,
    Object,
    labels_of,
    lease_name,
    name_of,
)
from chaos.api import Api, Refused
from chaos.operators import Operators
from chaos.relay import Relay
from chaos.schedule import BLOWS, MACHINE, OUTAGES, Action, Fault
from cluster import processes
from cluster.lifecycle import Cluster

EVICTIONS = Kind("", "v1", "pods", "Eviction")
PROGRAMS = {"api-restart": "kube-apiserver", "etcd-restart": "etcd", "kubelet-stop": "kubelet"}


@dataclass
class Faults:
    """Injects faults into one namespace. `hit` says of each kind that it did something."""

    api: Api
    cluster: Cluster
    namespace: str
    model: str
    operators: Operators
    relays: dict[str, Relay]
    """By the first word of the faults that they make: api and watch, s3."""
    hit: dict[str, bool] = field(default_factory=dict)
    deleted_by_hand: dict[str, int] = field(default_factory=dict)
    _mending: dict[str, Callable[[], None]] = field(default_factory=dict)

    def begin(self, fault: Fault) -> None:
        """Begin it; what `end` must do is kept."""
        self.hit.setdefault(fault.kind, False)
        if fault.kind in OUTAGES:
            self._relay(fault.kind).begin(fault.kind, fault.strength)
        elif fault.kind in MACHINE:
            self._machine(fault.kind, fault.seconds)
        elif fault.kind.startswith("operator"):
            self._operator(fault)
        elif fault.kind in BLOWS:
            self._blow(fault.kind)

    def end(self, fault: Fault) -> None:
        """End it, and say whether it hit."""
        if fault.kind in OUTAGES:
            relay = self._relay(fault.kind)
            relay.end(fault.kind)
            self._hits(fault.kind, relay.hits[fault.kind] > 0)
        elif fault.kind == "operator-crash":
            self._hits(fault.kind, self.operators.crashes > 0)
        elif mend := self._mending.pop(fault.kind, None):
            mend()

    def retry(self, fault: Fault) -> None:
        """A blow that has found nothing to hit yet tries again."""
        if fault.kind in BLOWS and not fault.kind.startswith("operator") and not self.hit[fault.kind]:
            self._blow(fault.kind)

    def act(self, action: Action) -> bool:
        """What a person does; whether there was a task to do it to."""
        task = self.api.get(TASKS, self.namespace, action.task)
        if task is None:
            return False
        if action.kind == "delete":
            return self.api.delete(TASKS, self.namespace, action.task)
        change = {
            "cancel": {"cancel": True},
            "suspend": {"suspend": True},
            "resume": {"suspend": False},
            "priority": {"priority": 7},
        }[action.kind]
        return self.api.patch(TASKS, self.namespace, action.task, {"spec": change})

    def observed(self, pods: list[Object]) -> None:
        """Faults that the trainer makes itself are known by its pods."""
        for kind, reason in (("pod-oom", "OOMKilled"), ("pod-crash", "Error")):
            if kind in self.hit and any(_ended_by(pod) == reason for pod in pods):
                self.hit[kind] = True

    def _hits(self, kind: str, hit: bool) -> None:
        self.hit[kind] = self.hit.get(kind, False) or hit

    def _relay(self, kind: str) -> Relay:
        return self.relays["s3" if kind.startswith("s3") else "api"]

    def _operator(self, fault: Fault) -> None:
        operators, kind = self.operators, fault.kind
        if kind == "operator-stop":
            self._hits(kind, operators.stop())
            self._mending[kind] = operators.go_on
            return
        if kind == "operator-twin":
            operators.start("twin")
            time.sleep(2.0)
        killed = operators.kill()
        if kind == "operator-crash":
            operators.start(BLUETUNE_CRASH_AFTER=str(int(fault.strength)))
            return
        self._hits(kind, killed)
        if kind == "operator-clock":
            operators.start(CHAOS_CLOCK=str(3600 if fault.strength > 0.3 else -3600))
            self._mending[kind] = operators.restart
        else:
            self._mending[kind] = operators.start

    def _blow(self, kind: str) -> None:
        namespace = self.namespace
        if kind == "lease-delete":
            lease = self.api.get(LEASES, namespace, lease_name(self.model))
            if lease is not None and lease["spec"].get("holderIdentity"):
                self._hits(kind, self.api.delete(LEASES, namespace, name_of(lease)))
        elif kind == "job-delete":
            for job in self._of_tasks(JOBS):
                if not is_finished_job(job) and self.api.delete(JOBS, namespace, name_of(job)):
                    owner = labels_of(job)[TASK_UID_LABEL]
                    self.deleted_by_hand[owner] = self.deleted_by_hand.get(owner, 0) + 1
                    self._hits(kind, True)
        elif kind in ("pod-kill", "pod-evict"):
            for pod in self._of_tasks(PODS):
                if (pod.get("status") or {}).get("phase") == "Running" and is_active_pod(pod):
                    self._hits(kind, self._remove_pod(kind, name_of(pod)))

    def _remove_pod(self, kind: str, name: str) -> bool:
        if kind == "pod-kill":
            return self.api.delete(PODS, self.namespace, name, gracePeriodSeconds=0)
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": self.namespace}}
        body["deleteOptions"] = {"gracePeriodSeconds": 1}
        try:
            self.api.call("POST", EVICTIONS.path(self.namespace, name, "eviction"), body)
        except Refused:
            return False
        return True

    def _of_tasks(self, kind: Kind) -> list[Object]:
        return self.api.list(kind, self.namespace, TASK_UID_LABEL)

    def _machine(self, kind: str, seconds: float) -> None:
        name = PROGRAMS[kind]
        pid = next(p for p in processes.marked(self.cluster.state) if processes.command_name(p) == name)
        if kind == "kubelet-stop":
            os.kill(pid, signal.SIGSTOP)
            self._hits(kind, True)
            self._mending[kind] = lambda: os.kill(pid, signal.SIGCONT)
            return
        line = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]
        pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
        environment = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        os.kill(pid, signal.SIGKILL)
        self._hits(kind, True)
        inside = ["nsenter", "-t", str(self.cluster.node_pid()), "--mount", "--net", "--pid", "--"]

        def start() -> None:
            with (self.cluster.state.logs / f"{name}.log").open("ab") as log:
                subprocess.Popen(
                    [*inside, *line], env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                    start_new_session=True, cwd="/",
                )  # fmt: skip

        # not by `end`: what waits for the API server meanwhile must not keep it from being started
        threading.Timer(seconds, start).start()


def _ended_by(pod: Object) -> str | None:
    for container in (pod.get("status") or {}).get("containerStatuses") or []:
        for state in (container.get("state") or {}, container.get("lastState") or {}):
            if state.get("terminated"):
                return str(state["terminated"].get("reason"))
    return None
