"""What the chart's alerts mean, and what to do: their sections in the runbook."""

from bluetune_api.reasons import Entry

ALERTS: dict[str, Entry] = {
    "BluetuneNoOperator": Entry(
        "Prometheus sees no replica of the operator that works: the operator does not run, waits for its Lease,"
        " or is not scraped.",
        "`kubectl get pods` and `kubectl logs` in the operator's namespace; its log says what it waits for. If"
        " the operator is well, see that Prometheus selects its ServiceMonitor.",
    ),
    "BluetuneOperatorRestarts": Entry(
        "A pod of the operator has restarted more than three times within an hour.",
        "`kubectl logs --previous` says why the operator ended, and `kubectl describe pod` whether its memory"
        " (`resources` of the chart) was too small or a probe failed.",
    ),
    "BluetuneNothingReconciled": Entry(
        "Keys wait for a worker of the operator, and no reconcile has ended for ten minutes.",
        "Read the operator's log, and see whether its pod has the CPU that it needs and reaches the API server;"
        " delete the pod if the log says nothing. Nothing is lost by that.",
    ),
    "BluetuneReconcilesFail": Entry(
        "The last reconcile of at least one key has failed for 30 minutes. The operator tries again with backoff.",
        "The operator's log names the resource and the failure: a right that is missing, an API server or a store"
        " that does not answer.",
    ),
    "BluetuneNamespaceLost": Entry(
        "The operator may not list one of `watchNamespaces`, or that namespace is gone.",
        "Take it out of `watchNamespaces`; or, once the namespace exists again, `helm upgrade` makes its Role"
        " ([operations](operations.md#one-operator-for-some-namespaces)).",
    ),
    "BluetuneModelStalled": Entry(
        "`Stalled`, `LockInconsistent` or `StatusUnreadable` of a model has been True for 15 minutes.",
        "`kubectl describe emodel` has the condition's message; look the alert's reason up on this page.",
    ),
    "BluetuneModelNotReady": Entry(
        "`Ready` of a model has not been True for two hours, and the model is not `Stalled`: its base is still"
        " being imported, its first version is still being rolled out, no pod of its Deployment is ready, or its"
        " store does not answer. A Deployment that is scaled to 0 does not count.",
        "`kubectl get emodel` has the reason; look it up on this page.",
    ),
    "BluetuneRolloutFailed": Entry(
        "A rollout of a model failed within the last six hours. One that a person ended (`Pinned`,"
        " `PromoteWithdrawn`, `ServingMoved`, `ServingRemoved`, `TaskCancelled`, `TaskDeleted`) does not count.",
        "`status.rollout` of the model has reason and message; look the reason up under [a rollout that"
        " failed](#a-rollout-that-failed-or-cannot-begin).",
    ),
    "BluetuneTasksFail": Entry(
        "At least three tasks of a model failed within six hours.",
        "`kubectl get ftt -o wide` has reasons and messages; look the reason up on this page.",
    ),
    "BluetuneLockWithoutProgress": Entry(
        "The task that holds a model's lock has shown no progress for two hours: no condition changed, and its"
        " trainer wrote none. A task that is being rolled out does not count: a rollout has timeouts of its own.",
        "`kubectl describe ftt` of the model's holder (`status.lock.holder`) says whether the task is suspended,"
        " waits for a queue or a node, or trains; `kubectl logs` of its pod says where the trainer is."
        " `spec.cancel` frees the lock, and `spec.pendingTimeoutSeconds` does so where no pod starts.",
    ),
    "BluetuneRetrainingPaused": Entry(
        "`Retraining` of a model has been False for 15 minutes: after too many failures or refusals in a row, or"
        " because no task can be made. `spec.retrain.suspend` does not count.",
        "Look the alert's reason up under [a model that no longer trains by"
        " itself](#a-model-that-no-longer-trains-by-itself).",
    ),
    "BluetuneNoticesLost": Entry(
        "A webhook of `spec.notify` did not take notices, and they were given up within the last six hours.",
        "`status.notify.lastError` of the model says why; see [notifications](#notifications).",
    ),
}
"""The alerts by name, in the order of helm/bluetune/monitoring/alerts.yaml. Each is a section, to which its alert
points."""
