"""What the reasons of models, methods and rollouts mean, and what to do."""

from bluetune_api.reasons import Entry, Group

MODEL_GROUPS: tuple[Group, ...] = (
    Group(
        "A model",
        "On `Imported`, `Ready`, `Reconciling` and `Stalled` of an EmbeddingModel; `Valid` of a FineTuningMethod.",
        {
            "Importing": Entry("the base is being published as the model's first version", ""),
            "InvalidSpec": Entry("the model does not fit the types; the message names the field", "correct that field"),
            "AlreadyClaimed": Entry(
                "another model holds the Deployment, or the store: `owner.json` in the prefix names it, here or in"
                " another cluster; this one writes and deletes nothing there",
                "give this one a prefix or a Deployment of its own; if the other one is gone for good,"
                " [take its store over](operations.md#whose-a-store-is)",
            ),
            "StoreTakenOver": Entry(
                "an Event: the model took its store over from a former owner, one of its own name that is gone, or the"
                " one that its annotation `bluetune.dev/take-over-from` names",
                "",
            ),
            "Adopted": Entry(
                "an Event: the model had no status, and took over the version that is live, as `current.json` or the"
                " Deployment says; nothing was rolled out",
                "",
            ),
            "Available": Entry("the model can be used", ""),
            "Serving": Entry("blue serves the current version", ""),
            "RollingOut": Entry("a version is being rolled out, or blue does not serve what it should yet", ""),
            "BlueNotAvailable": Entry(
                "no pod that serves the current version is ready", "`kubectl get pods` of the Deployment"
            ),
            "ScaledToZero": Entry(
                "the Deployment is scaled to 0 replicas, so nobody serves the model; a rollout waits up to three days"
                " for pods",
                "scale it up",
            ),
            "Valid": Entry("the method can be used", ""),
            "Settled": Entry("nothing is moving (`Reconciling=False`)", ""),
            "NotStalled": Entry("nothing needs a person (`Stalled=False`)", ""),
        },
    ),
    Group(
        "The steps of a rollout",
        "`status.rollout.step` of a model, the reason of a task that follows it, and Events.",
        {
            "RolloutQueued": Entry(
                "as many rollouts run as the operator lets run at a time; this one starts when it is its turn. Going"
                " back, and `rollbackTo`, wait for nobody",
                "if it takes too long: see what the others wait for, or raise the chart's `maxRollouts`",
            ),
            "RolloutStarted": Entry("a rollout begins", ""),
            "Reindex": Entry("a Job encodes the catalogue with the new version; blue is as before", ""),
            "Load": Entry("the vectors are loaded into `serving.index.target`; blue is as before", ""),
            "Patch": Entry("the Deployment is told to serve the version", ""),
            "Wait": Entry("its pods are being replaced", ""),
            "Verify": Entry("the pods are asked which digest they serve, and how they encode the probe", ""),
            "Promote": Entry("the version becomes current", ""),
            "Done": Entry("the rollout is over, the version is current", ""),
            "RolledOut": Entry("blue serves the version", ""),
            "RollingBack": Entry("something failed; blue goes back to the version before", ""),
            "Failed": Entry("the rollout is over, blue serves what it served before", "see `status.rollout.reason`"),
        },
    ),
    Group(
        "A rollout that failed or cannot begin",
        "`status.rollout.reason`, and `Ready` of the model. Until the Deployment is touched nothing changes; after that"
        " blue goes back. A rollout that no task asked for is tried again with exponential backoff, and at once when"
        " the model is edited.",
        {
            "DeploymentNotFound": Entry("`serving.deployment` does not exist", "create it"),
            "ContainerNotFound": Entry("the Deployment has no container `serving.container`", "correct one of them"),
            "DeploymentPaused": Entry("the Deployment is paused", "`kubectl rollout resume`"),
            "FieldConflict": Entry(
                "another manager owns a field that bluetune must set; the message names both",
                "take the field out of that manager's manifest; one that was set by hand (`kubectl set env`,"
                " `kubectl edit`, `kubectl rollout undo`) is freed by the commands in the message",
            ),
            "PatchRefused": Entry(
                "the API server refused to change the Deployment, or an admission webhook did not answer until the"
                " timeout",
                "read the message: a policy, a quota, a webhook",
            ),
            "OverwrittenByOthers": Entry(
                "somebody took the version out of the Deployment again and again; the message names who wrote last",
                "have that writer leave bluetune's fields alone: apply instead of replace"
                " ([operations](operations.md#the-blue-deployment))",
            ),
            "ReindexFailed": Entry(
                "the Job that makes or loads the index failed; its pods are kept for their logs", "`kubectl logs`"
            ),
            "IndexMissing": Entry(
                "the Job that makes the index ended well, and the store has no whole index",
                "it is tried again; see that nobody else writes or removes below `indexes/`",
            ),
            "IndexInvalid": Entry(
                "the version gives an item a vector with a number that is not finite, or too large for"
                " `index.vectors.type`",
                "see what the item is; with bf16, set `settings.precision: FP32`",
            ),
            "DatabaseFailed": Entry(
                "the vectors cannot be loaded into the database, or the OpenSearch, of `index.target`; what it said is"
                " in the message",
                "correct the address, the Secret, the user's rights, or the database",
            ),
            "RecallTooLow": Entry(
                "the HNSW index finds fewer of the nearest items than `minRecall` of `index.target`, or the shorter"
                " vectors than `index.vectors.minRecall`. The message says which",
                "with pgvector, raise `hnsw.ef_search` of the database's user; keep more of the vectors, or lower that"
                " `minRecall`",
            ),
            "ReindexJobDeleted": Entry(
                "somebody deleted the reindex Job before its end was seen, again and again", "see who deletes Jobs"
            ),
            "ReindexTimeout": Entry(
                "the Job took longer than `reindex.timeoutSeconds` or `index.timeoutSeconds`",
                "allow more; with `index`, use more shards: those that are whole are kept",
            ),
            "ReindexRefused": Entry(
                "`reindex.template` is no Job's spec, the API server refused the Job, or an index does not fit the"
                " method",
                "correct the template, `index.podTemplate` or the method, as the message says",
            ),
            "RolloutTimeout": Entry(
                "the pods were not replaced within `serving.rolloutTimeoutSeconds`; why is in the message",
                "correct the server, or allow more",
            ),
            "ProgressDeadlineExceeded": Entry(
                "Kubernetes gave the Deployment's rollout up",
                "see why its new pods do not become ready; where a node must start first, raise the Deployment's"
                " `progressDeadlineSeconds` and `serving.rolloutTimeoutSeconds`, both",
            ),
            "VerifyFailed": Entry(
                "a pod served another digest, or other vectors",
                "see that the server loads `BLUETUNE_URI` and nothing else",
            ),
            "VerifyUnreachable": Entry(
                "a pod could not be asked what it serves: the connection was refused, closed or not answered",
                "correct `verify.port` and `verify.scheme`; let the operator's pod through the namespace's"
                " NetworkPolicy or service mesh",
            ),
            "RollbackVersionNotFound": Entry(
                "`serving.rollbackTo` names a version that is not in the store", "name one that is"
            ),
            "ServingRemoved": Entry(
                "`spec.serving` was removed during the rollout; the Deployment names the version before again", ""
            ),
            "ServingMoved": Entry(
                "`serving.deployment` was changed during the rollout; the old Deployment names the version before"
                " again",
                "",
            ),
            "TaskDeleted": Entry("the task was deleted during its rollout", ""),
            "TaskCancelled": Entry("the task was cancelled during its rollout", ""),
        },
        warns=True,
    ),
    Group(
        "A version that a person promotes",
        "On `Promoted` of an EmbeddingModel with `spec.serving.promote` ([promoting](operations.md#promoting-by-hand)),"
        " beside the reasons of rollouts and stores.",
        {
            "PromoteStale": Entry(
                "another version is current than the one that `promote.replaces` names; nothing is rolled out",
                "compare with the current one, and name it in `replaces`",
            ),
            "PromoteUnknown": Entry(
                "the model had no current version when it first saw the field, as after its status was lost: whether"
                " the version was promoted before is not known, and nothing is rolled out",
                "to promote it, remove the field, wait until `status.promote` is gone, and set it again",
            ),
            "PromoteWithdrawn": Entry(
                "the field was removed or changed during its rollout; blue serves the version before again", ""
            ),
            "VersionIncomplete": Entry("files of the version are missing in the store", "restore them"),
            "VersionOfAnotherModel": Entry(
                "the version descends from another base than the model's", "name a version of this model"
            ),
        },
        warns=True,
    ),
    Group(
        "Warnings about a model",
        "On `ServingUnsafe`, `StoreUnsafe` and `LockInconsistent` of an EmbeddingModel.",
        {
            "ConditionalWrites": Entry("the store refuses to create an object that is there (`StoreUnsafe=False`)", ""),
            "ServingUnsafe": Entry(
                "the Deployment cannot switch versions without dropping requests; bluetune rolls out all the same",
                "change what the message lists: strategy, readiness probe, preStop, grace period"
                " ([operations](operations.md#the-blue-deployment))",
            ),
            "Safe": Entry("the Deployment can switch without dropping requests", ""),
            "WorkWithoutLock": Entry(
                "a Job runs for a task that does not hold the lock; no other starts until it ends",
                "see who changed the Lease or made the Job",
            ),
            "HolderUnknown": Entry(
                "the Lease's holder is not written as bluetune writes it",
                "if no Job of the model runs, delete the Lease",
            ),
            "Consistent": Entry("Lease and work agree again", ""),
        },
        warns=True,
    ),
    Group(
        "Old versions",
        "Events of an EmbeddingModel ([operations](operations.md#old-versions)).",
        {
            "VersionsRemoved": Entry("versions beyond `spec.retention.keepVersions` were removed from the store", ""),
            "RetentionFailed": Entry(
                "the store refuses to list or remove old versions; all are kept",
                "give the keys `s3:ListBucket` and `s3:DeleteObject` below the model's prefix",
            ),
        },
    ),
    Group(
        "A model that trains by itself",
        "On `Retraining` of an EmbeddingModel with `spec.retrain` ([retraining](concepts.md#retraining)). It is Unknown"
        " while the store, the model or its method cannot be used, with the reason of that: runs are postponed.",
        {
            "RetrainStarted": Entry("an Event: a task was made", ""),
            "RunInProgress": Entry("a task is at work, its own or another one; the next run waits for its end", ""),
            "Scheduled": Entry("the next time of a schedule is waited for; `nextRunTime` says when it is", ""),
            "WaitingForBatch": Entry(
                "there is no complete batch that nothing has learned from; the message names folders that are passed"
                " over, and why",
                "",
            ),
            "CoolingDown": Entry("the last run began less than `brakes.cooldown` ago", ""),
            "BudgetSpent": Entry(
                "the runs of the last seven days reach `brakes.maxRunsPerWeek` or `brakes.gpuHoursPerWeek`", ""
            ),
        },
    ),
    Group(
        "A model that no longer trains by itself",
        "On `Retraining=False` of an EmbeddingModel, and as an Event. Also `Suspended`, with `spec.retrain.suspend`.",
        {
            "PausedAfterRefusals": Entry(
                "the gate refused `brakes.pauseAfterRefusals` runs in a row; an undecided one does not count",
                "see the reports of these runs; then change `spec.retrain.resume`",
            ),
            "PausedAfterFailures": Entry(
                "`brakes.pauseAfterFailures` runs in a row failed",
                "see what their tasks say and mend it; then change `spec.retrain.resume`. To learn from a batch whose"
                " run failed, apply a task that names it",
            ),
            "ScheduleInvalid": Entry(
                "a schedule of `spec.retrain.triggers` has no times, or its zone does not exist",
                "correct the field that the message names",
            ),
            "TaskRefused": Entry(
                "the API server refused the task: a quota, a policy, or an older definition of the resource",
                "correct what the message quotes; it is tried again every minute",
            ),
        },
        warns=True,
    ),
    Group(
        "Notifications",
        "Events of an EmbeddingModel with `spec.notify` ([notifications](concepts.md#notifications)).",
        {
            "NotifyFailed": Entry(
                "a webhook did not take a notice after 12 attempts in about four hours; it is given up",
                "read the message and `status.notify.lastError`; correct the address, its Secret, or the webhook",
            ),
        },
        warns=True,
    ),
)
