"""What must hold whatever happens, judged from the API server's objects and from every write that it took."""

from bluetune_operator.core.jobs.workloads import is_active_pod, is_finished_job
from bluetune_operator.core.kinds import (
    JOBS,
    LEASES,
    PODS,
    TASK_UID_LABEL,
    TASKS,
    Object,
    condition_status,
    labels_of,
    lease_name,
    uid_of,
)
from bluetune_operator.core.lock.rules import has_ended
from unit.operator_lock_model.apiserver import Change
from unit.operator_lock_model.operators import Defect, Operator
from unit.operator_lock_model.world import GARBAGE, MODEL, Move, World


class Invariants:
    """Safety at every step and every write; liveness once nothing moves any more."""

    def __init__(self, world: World, operators: list[Operator]) -> None:
        self._world = world
        self._operators = operators
        self._broken: list[str] = []
        self._published: set[str] = set()
        self._keyed: set[str] = set()
        self._holders: list[tuple[int, str | None]] = []
        """Whom the Lease named, from which version of the server on."""
        world.server.on_change = self._judge

    def check(self) -> None:
        """After every step."""
        at_work = self._at_work()
        if len(set(at_work.values())) > 1:
            self._broken.append(f"two tasks of one model are at work: {at_work}")
        if self._broken:
            raise Defect("; ".join(self._broken))

    def _at_work(self) -> dict[str, str]:
        """Jobs that may run and pods that do, and whose they are."""
        server = self._world.server
        found = {
            f"Job {job['metadata']['name']}": labels_of(job)[TASK_UID_LABEL]
            for job in server.all(JOBS)
            if TASK_UID_LABEL in labels_of(job) and not is_finished_job(job) and not job["spec"].get("suspend")
        }
        return found | {
            f"Pod {pod['metadata']['name']}": labels_of(pod)[TASK_UID_LABEL]
            for pod in server.all(PODS)
            if TASK_UID_LABEL in labels_of(pod) and is_active_pod(pod)
        }

    def _judge(self, change: Change) -> None:
        if change.kind == LEASES.plural and change.name == lease_name(MODEL):
            self._holders.append((self._world.server.version, _holder(change.after)))
        if not change.actor.startswith("operator"):
            return
        if change.before is not None and change.before == change.after:
            self._broken.append(f"{change.actor} wrote {change.kind} {change.name} without a change")
        if change.kind == LEASES.plural and change.name == lease_name(MODEL):
            self._judge_lease(change)
        if change.kind == TASKS.plural and change.before is not None and change.after is not None:
            self._judge_task(change.actor, change.before, change.after)

    def _judge_lease(self, change: Change) -> None:
        before, after = _holder(change.before), _holder(change.after)
        if before is None or before == after:
            return
        if after is not None:
            self._broken.append(f"the lock went from {before} to {after} without being free")
        task = next((t for t in self._world.server.all(TASKS) if uid_of(t) == before), None)
        if task is not None and not has_ended(task) and condition_status(task, "LockAcquired") == "True":
            self._broken.append(f"the lock of {before} was freed before its end")
        if before in self._at_work().values():
            self._broken.append(f"the lock of {before} was freed while it works: {self._at_work()}")

    def _judge_task(self, actor: str, before: Object, after: Object) -> None:
        uid = uid_of(after)
        if has_ended(before) and before.get("status") != after.get("status"):
            self._broken.append(f"the record of {uid} was changed after its end")
        for kind in ("Published", "Promoted"):
            if condition_status(before, kind) != "True" and condition_status(after, kind) == "True":
                self._judge_right(actor, uid, kind)
                self._published.add(uid)
                if "idempotencyKey" in after["spec"]:
                    self._keyed.add(uid)
        left = after["spec"].get("suspend") or after["spec"].get("cancel")
        if left and _position(after) is not None and _position(before) is None:
            self._broken.append(f"{uid} was put into the queue, which it has left")

    def _judge_right(self, actor: str, uid: str, kind: str) -> None:
        """Only the holder publishes and is promoted. Who edits the Lease by hand may do so right before the write; then
        the Lease must have named the task while the reconcile ran that writes."""
        holder = _holder(self._world.server.get(LEASES, lease_name(MODEL)))
        if holder == uid:
            return
        began = next(o.began for o in self._operators if o.name == actor)
        since = [holder for version, holder in self._holders if version > began]
        before = [holder for version, holder in self._holders if version <= began][-1:]
        if not self._world.lease_touched or uid not in before + since:
            self._broken.append(f"{uid} {kind} while {holder} held the lock")

    def remedy(self) -> Move | None:
        """What a person does who reads why nothing goes on, after the Lease was edited by hand; None: nothing."""
        server = self._world.server
        lease = server.get(LEASES, lease_name(MODEL))
        stopped = [t["metadata"]["name"] for t in server.all(TASKS) if _reason(t) == "LockInconsistent"]
        if not self._world.lease_touched or not stopped:
            return None
        if lease is None:
            return "cancel", stopped[0]  # "cancel or delete one of the two"
        if lease["spec"]["holderIdentity"] == GARBAGE:
            return ("delete-lease",)  # "if no Job of the model runs, delete the Lease"
        other = lease["spec"]["holderIdentity"].partition("/")[0]
        return "cancel", other or stopped[0]  # "cancel or delete the other", or "one of the two"

    def check_settled(self) -> None:
        """When nothing can move any more."""
        server = self._world.server
        tasks = {uid_of(task): task for task in server.all(TASKS)}
        keyed = {uid for uid in self._published if uid in self._keyed}
        if len(keyed) > 1 and not self._world.lease_touched:
            self._broken.append(f"{keyed} did the work of one key")
        self._check_progress(tasks, _holder(server.get(LEASES, lease_name(MODEL))))
        for job in server.all(JOBS):
            uid = labels_of(job).get(TASK_UID_LABEL)
            if uid is not None and not is_finished_job(job) and (uid not in tasks or has_ended(tasks[uid])):
                self._broken.append(f"Job {job['metadata']['name']} of {uid}, which has ended, is left")
        if self._broken:
            raise Defect("; ".join(self._broken))

    def _check_progress(self, tasks: dict[str, Object], holder: str | None) -> None:
        going = {uid: task for uid, task in tasks.items() if not has_ended(task)}
        paused = {uid for uid, task in going.items() if task["spec"].get("suspend")}
        holding = {uid for uid in paused if condition_status(going[uid], "LockAcquired") == "True"}
        if holder is not None and holder not in holding:
            self._broken.append(f"the Lease names {holder}, which is no suspended holder")
        waiting = [uid for uid in going if uid not in paused]
        # who has the key of a task that is suspended waits for that one's result
        waiting = [uid for uid in waiting if not (paused and _reason(going[uid]) == "Duplicate")]
        if waiting and not holding:
            self._broken.append(f"{waiting} wait for ever: {[_reason(going[uid]) for uid in waiting]}")
        order = sorted(waiting, key=lambda uid: _order(going[uid]))
        for position, uid in enumerate(order, 1):
            if len(holding) == 1 and holder in holding and _position(going[uid]) != position:
                self._broken.append(f"{uid} is number {position}, but says {_position(going[uid])}")
        for uid in set(tasks) - set(waiting):
            if _position(tasks[uid]) is not None:
                self._broken.append(f"{uid} does not wait, but says that it is number {_position(tasks[uid])}")


def _holder(lease: Object | None) -> str | None:
    """uid of the holder that an operator wrote."""
    identity = ((lease or {}).get("spec") or {}).get("holderIdentity") or ""
    return identity.partition("/")[2] or None


def _position(task: Object) -> int | None:
    queue = (task.get("status") or {}).get("queue")
    return int(queue["position"]) if queue else None


def _reason(task: Object) -> str | None:
    conditions = (task.get("status") or {}).get("conditions") or ()
    return next((str(c["reason"]) for c in conditions if c["type"] == "Ready"), None)


def _order(task: Object) -> tuple[int, str, str]:
    return -(task["spec"].get("priority") or 0), task["metadata"]["creationTimestamp"], uid_of(task)
