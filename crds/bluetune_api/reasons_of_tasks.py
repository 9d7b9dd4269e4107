"""What the reasons of tasks mean, and what to do."""

from bluetune_api.reasons import Entry, Group

TASK_GROUPS: tuple[Group, ...] = (
    Group(
        "A task that waits for something to be put right",
        "On `Accepted` and `Ready`. The task goes on by itself, within seconds, when what is missing appears. Others"
        " of the model pass it meanwhile, unless the trouble is the model's or its store's.",
        {
            "ModelNotFound": Entry(
                "`spec.modelRef` names no EmbeddingModel of this namespace, or one that is being deleted; the Job of a"
                " task at work is suspended after a minute, and goes on when the model is back",
                "create the model, or delete the task and name another",
            ),
            "MethodNotFound": Entry(
                "neither `spec.methodRef` nor the model's names a FineTuningMethod that exists", "create it"
            ),
            "ModelInvalid": Entry(
                "the model does not fit the types; the message names the field", "correct that field"
            ),
            "MethodInvalid": Entry(
                "the method does not fit the types; the message names the field", "correct that field"
            ),
            "SpecInvalid": Entry(
                "the resource itself does not fit the types, though the API server took it: the definitions in the"
                " cluster are older or newer than the operator",
                "apply the definitions of this release (`helm upgrade` does), or correct the field",
            ),
            "ModelNotReady": Entry(
                "the model has no published version yet, or may not be used",
                "see `kubectl get emodel`: its reason is in the message",
            ),
            "BatchNotFound": Entry(
                "`spec.batchId` names a batch that is not complete: it has no `_SUCCESS`, and the message says why it"
                " is not complete without",
                "write the batch, and `_SUCCESS` last; or set the method's `clickstream.settle`",
            ),
            "VersionNotFound": Entry(
                "a version that is to be started from (`spec.startFrom`), served or read has no `manifest.json` in the"
                " store",
                "name a version that exists (`versions/` in the model's prefix)",
            ),
            "ResumeWaiting": Entry("the task that `spec.resumeFrom` names has not ended", "wait, or cancel that task"),
            "ResumeRefused": Entry(
                "`spec.resumeFrom` names a task that nothing can be taken over from: it does not exist, has succeeded,"
                " is of another model, never trained, or its method, batch, start version or data were others; the"
                " message has both values. A task that holds the lock by then ends as `Failed`",
                "put back what the message names, or apply a task without `resumeFrom`",
            ),
            "NameTaken": Entry(
                "an object of the name that a Job, its plan or a task of `spec.retrain` should have is somebody else's",
                "delete or rename it; the message names it",
            ),
            "JobRefused": Entry(
                "the API server refused the Job: a quota, a policy, or a `podTemplate` that Kubernetes does not take",
                "correct what the message quotes",
            ),
        },
    ),
    Group(
        "Queue, lock, keys and suspension",
        "On `LockAcquired` and `Ready` of a task.",
        {
            "Waiting": Entry(
                "another task holds the model, or is before this one in the queue; `status.queue` has the position,"
                " rounded up behind the tenth",
                "wait, raise `spec.priority`, or cancel the holder",
            ),
            "Busy": Entry("the lock was held when a task came that does not wait", "see `Refused`"),
            "Refused": Entry(
                "the model was busy and `spec.waitOnConflict` is false",
                "apply a new task later, or let it queue (`waitOnConflict: true`)",
            ),
            "Acquired": Entry("the task holds the model's lock", ""),
            "Ended": Entry("the task is over; its lock is freed as soon as none of its pods is left", ""),
            "Duplicate": Entry(
                "another task has the same `idempotencyKey`: while that one works this one waits for its result; at the"
                " end this one has taken it over (`status.duplicateOf`)",
                "for a run of its own, give the task another key",
            ),
            "Suspended": Entry(
                "`spec.suspend` is true (of a model: `spec.retrain.suspend`). Without the lock, the task is out of the"
                " queue; with it, its Job is suspended and the lock is kept",
                "set `spec.suspend` to false",
            ),
            "SuspendedByOthers": Entry(
                "another controller suspends the Job again and again: Kueue with `manageJobsWithoutQueueName` does so"
                " to Jobs without a queue. The operator resumes it five times, later each time",
                "set `spec.queueName` of the model or task; or resume the Job (`kubectl patch job`)",
            ),
            "Queued": Entry(
                "the Job waits to be admitted by Kueue; of a model, its import does. With `kueue.enabled` in the chart,"
                " the message has Kueue's words",
                "see the Workload: `kubectl get workloads`",
            ),
            "KueueOwnsSuspend": Entry(
                "`spec.suspend` is true, but Kueue starts and stops this task's Job (`spec.queueName`)",
                "set `spec.active: false` on the Job's Workload; or cancel the task; or set `spec.suspend` to false",
            ),
            "LockInconsistent": Entry(
                "the Lease and the work that runs contradict each other; nothing is started",
                "read the message: let one of the two tasks be the only one (cancel or delete the other)",
            ),
            "LockLost": Entry(
                "the Lease no longer names the task: a Job or a result waits, a rollout goes back",
                "see who edited the Lease (`kubectl get lease -o yaml`); `LockInconsistent` follows if it stays so",
            ),
            "JobDeleted": Entry(
                "somebody deleted the task's Job; or the operator did, because another container of its pod ran on"
                " after the trainer; it is named in the message",
                "nothing: it is made again when its pods are gone, and resumes",
            ),
            "Cancelling": Entry(
                "`spec.cancel` is true: the trainer saves what it has, or blue goes back to its version before", ""
            ),
        },
    ),
    Group(
        "A task at work",
        "On `DataValid`, `Trained`, `Published`, `PlanCurrent` and `Ready` of a task.",
        {
            "Accepted": Entry("model, method and store can be used", ""),
            "Pending": Entry("nothing has been decided yet", ""),
            "Starting": Entry("a Job was created, or its pod starts", ""),
            "Checking": Entry("the check reads the batch, on a CPU", ""),
            "DataValid": Entry("the batch is worth training on; the message has its counts", ""),
            "Training": Entry("the training Job runs; `status.progress` and `status.best` follow it", ""),
            "Trained": Entry("the search ended", ""),
            "Published": Entry(
                "the version is in the store; of a model: its base is, or a version without `spec.serving`", ""
            ),
            "AsBegun": Entry("method and model are what they were when the run began", ""),
            "EditedSince": Entry(
                "the method, or the model's store or gate, was edited or deleted after the run began; the run keeps its"
                " plan, image and pods",
                "nothing, the next task follows the edit; to follow it now, cancel this one and apply another",
            ),
        },
    ),
    Group(
        "A pod that does not start",
        "On `DataValid` (the check), `Trained` (the training) and `Ready` of a task, and on `Imported` and `Ready` of a"
        " model. They appear within seconds, and the Job goes on when they are mended.",
        {
            "PodRefused": Entry(
                "a Job has been there for some seconds and no pod: a quota or limit of the namespace, its Pod Security"
                " level, or an admission webhook refuses the pod; its words are in the message",
                "raise the quota, or let the namespace take the pod: it is then made within a minute; if the pod is"
                " what is wrong, correct the method's `podTemplate` and apply another task",
            ),
            "Unschedulable": Entry(
                "no node has what the method's `podTemplate` asks for (of a check or an import, `cpuPodTemplate`); the"
                " scheduler's words are in the message",
                "add or free a node, or ask for less",
            ),
            "ImagePullBackOff": Entry(
                "the image cannot be pulled",
                "correct `spec.image` of the method or the operator's, or `imagePullSecrets`",
            ),
            "ErrImageNeverPull": Entry(
                "the pull policy is Never and the image is not on the node", "load the image there"
            ),
            "InvalidImageName": Entry("the image's name is invalid", "correct `spec.image`"),
            "CreateContainerConfigError": Entry(
                "a Secret or ConfigMap that the pod refers to does not exist", "create it; the message names it"
            ),
            "CreateContainerError": Entry("the node cannot create the container", "`kubectl describe pod`"),
            "RunContainerError": Entry("the node cannot start the container", "`kubectl describe pod`"),
            "CrashLoopBackOff": Entry("the container ends again and again", "`kubectl logs --previous`"),
            "ContainerCreating": Entry(
                "the pod has a node, but has not started after 30 seconds",
                "`kubectl describe pod`: an image is loading, or a volume's Secret is missing",
            ),
            "PodStuck": Entry(
                "a pod that is to be stopped is still there a minute after its grace period: its node may not answer."
                " It is the task's own, or that of the one it waits for; nothing is started while it may still run, and"
                " the model is `Stalled`",
                "if the node is gone, delete it (`kubectl delete node`), or taint it with"
                " `node.kubernetes.io/out-of-service`; `kubectl delete pod --force` if the pod surely does not run",
            ),
            "Terminating": Entry("the pod is being stopped", ""),
        },
        warns=True,
    ),
    Group(
        "Data, plan or plugin that cannot be used",
        "On `DataValid` or `Trained`, and `Failed`. Trying again would not help, so the Job fails at once.",
        {
            "DataInvalid": Entry(
                "the batch or the catalogue is broken or too small; counts and first lines are in the message",
                "write a correct batch under another id",
            ),
            "DataChanged": Entry(
                "an object of the batch was changed after the check had read it",
                "start a new task; a batch must not change once its `_SUCCESS` is written",
            ),
            "NoBatch": Entry(
                "`bluetune-trainer run -f`: there is no complete batch",
                "write one, and `_SUCCESS` last; the message names folders with data that are no batch, and why",
            ),
            "ItemFileMissing": Entry(
                "an item of the catalogue names a picture that is not in the store", "upload it, or leave the item out"
            ),
            "PlanInvalid": Entry(
                "a setting or parameter cannot be used; the message names it",
                "correct the method, or the task's `overrides`",
            ),
            "AllTrialsFailed": Entry(
                "every trial diverged or raised; the message has the last one's words",
                "narrow `initialParams`, lower the learning rates",
            ),
            "PluginFailed": Entry("the plugin raised; the message has its text and line", "correct the plugin's image"),
        },
        warns=True,
    ),
    Group(
        "A trainer that ended badly",
        "On `DataValid` or `Trained`, and `Failed`; while it is tried again (`spec.maxRetries`), in their message.",
        {
            "OOMKilled": Entry(
                "the pod used more memory than its limit",
                "raise `podTemplate.resources.limits.memory`, or lower `settings.batchSize`; of a check or an import,"
                " raise it in `cpuPodTemplate`",
            ),
            "OutOfMemory": Entry(
                "the trainer could not get memory", "give its pod more, or lower `settings.batchSize`"
            ),
            "ProcessLost": Entry(
                "one of the `settings.devices` processes was killed, most likely for its memory, or ended without a"
                " word; tried again, the run goes on from its checkpoint",
                "raise `podTemplate.resources.limits.memory`, or lower `settings.batchSize` or `settings.devices`",
            ),
            "DeviceLost": Entry(
                "a GPU failed: an error of its memory, a reset, a link that broke (the node's log has an Xid);"
                " tried again, the run goes on from its checkpoint",
                "look at the node if it comes again: `nvidia-smi -q`, and Xid in the kernel's log",
            ),
            "GpuNotVisible": Entry(
                "the container asks for GPUs, and torch cannot use any; torch's own words and the driver's version are"
                " in the message",
                "a node with a newer driver, `podTemplate.runtimeClassName: nvidia`, or an image that fits the driver",
            ),
            "DiskFull": Entry("no space was left on the pod's disk", "give the node or the pod's `/tmp` more"),
            "TrainerCrashed": Entry(
                "the trainer ended with an exit code that it does not define; the end of its log is in the message",
                "`kubectl logs` of the pod in the message",
            ),
            "DeadlineExceeded": Entry(
                "it ran longer than `spec.activeDeadlineSeconds`; time in the queue or suspended does not count",
                "allow more, or search less (`initialMaxEvals`)",
            ),
            "PendingTimeout": Entry(
                "the task held the lock for `spec.pendingTimeoutSeconds` and its Job got no pod, or the pod could not"
                " start; the message has the last reason",
                "mend what the message says, or allow more, and apply a new task",
            ),
            "Evicted": Entry(
                "the node had to get rid of the pod; it does not count as a retry", "request what the pod really needs"
            ),
            "NoProgress": Entry(
                "ten pods in a row were evicted, preempted or told to stop, and the run came no further from the first"
                " of them to the last",
                "request what the pod really needs (`podTemplate.resources.requests`), or see what takes the pods away,"
                " and apply a new task",
            ),
            "PodFailed": Entry(
                "the pod failed without a container that ended", "read the message, which is Kubernetes'"
            ),
            "JobFailed": Entry("the Job failed; its words are in the message", "`kubectl describe job`"),
            "BackoffLimitExceeded": Entry(
                "it was tried as often as `spec.maxRetries` says, and its pods are gone", "read the operator's log"
            ),
            "Stopped": Entry("the trainer was told to stop and saved its state; it is replaced and resumes", ""),
        },
        warns=True,
    ),
    Group(
        "The store",
        "On `Accepted`, `DataValid`, `Trained`, `Imported`, `Ready`, or as a trainer's end. Tried again for as long as"
        " it takes; a task that holds the lock keeps it. A trainer whose store is away or refuses uses up none of"
        " `spec.maxRetries`: its Job is suspended until the operator can use the store, and the run then goes on where"
        " it was. A model says the same as its task; without a task at work, nobody asks its store.",
        {
            "SecretNotFound": Entry("the Secret that the model's store names does not exist", "create it"),
            "SecretInvalid": Entry(
                "the Secret lacks `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` or `ca.crt`, or a value of it is no text"
                " or has a line break within; white space around a value does no harm",
                "correct it",
            ),
            "WorkloadIdentityUnavailable": Entry(
                "the model has `store.serviceAccountName`, and the operator may not act as that account, or the account"
                " has no role; or the operator may open the store itself and has no identity",
                "do what the message says ([identities](security.md#identities)), or name a `credentialsSecretRef`",
            ),
            "ServiceAccountNotFound": Entry(
                "the ServiceAccount that the model's store names does not exist", "create it"
            ),
            "StoreDenied": Entry(
                "the store refused the keys, or the session token of temporary ones has expired",
                "correct the Secret, or the policy of its user",
            ),
            "StoreUnreachable": Entry(
                "the store did not answer, after retries", "check `store.endpoint`, `secure` and the network"
            ),
            "BucketOrObjectNotFound": Entry(
                "the bucket, or an object that must be there, does not exist", "create it, or correct `spec.store`"
            ),
            "NoConditionalWrites": Entry(
                "the store does not refuse to create an object that exists (`If-None-Match` on PutObject), so two runs"
                " could overwrite each other; also on `StoreUnsafe` of a model",
                "use a store that does, or a newer release of this one",
            ),
            "ObjectTooLarge": Entry(
                "an object that the operator reads is larger than a trainer ever writes it",
                "remove it; see who wrote it",
            ),
            "StoreError": Entry("the store answered something else than it should", "read the message"),
            "StoreFailed": Entry("the trainer could not use the store, after retries", "read the message"),
            "BaseUnreachable": Entry(
                "the model hub that `base.uri` names cannot be reached from the trainer's pods",
                "copy the base into the store and name it as `s3://…`",
            ),
        },
        warns=True,
    ),
    Group(
        "A run or version that is damaged",
        "On `Trained` and `Failed`, or on `Ready` of a model. Somebody else wrote into the model's prefix. Nothing is"
        " published or served.",
        {
            "RunDamaged": Entry("an object of the run cannot be read, or is another's", "start a new task"),
            "CheckMissing": Entry("the check ended well, but left no `check.json`", "start a new task"),
            "CheckInvalid": Entry("`check.json` cannot be read", "start a new task"),
            "ResultMissing": Entry("the Job ended well, but left no `result.json`", "start a new task"),
            "ResultInvalid": Entry("`result.json` cannot be read, or is another run's", "start a new task"),
            "VersionInvalid": Entry("a version's `manifest.json` is not the one that its id is about", "restore it"),
            "DigestMismatch": Entry("a file of a version is not the one that was published", "restore it"),
            "ProbeMismatch": Entry(
                "the stored model encodes the probe differently from the trained one", "report it: this is a defect"
            ),
        },
        warns=True,
    ),
    Group(
        "A task that ended",
        "On `Succeeded` or `Failed`, and `Ready`.",
        {
            "Completed": Entry("the version is published, as asked", ""),
            "NoNewBatch": Entry(
                "there is no complete batch that the start version has not learned from",
                "nothing; or write a batch and apply a new task. The message names folders with data that are no batch,"
                " and why: give each its `_SUCCESS`, or set the method's `clickstream.settle`",
            ),
            "AlreadyTried": Entry(
                "every complete batch that the start version has not learned from was tried from it with this method"
                " and this gate, and gave a version that did not go into production; the message names that run",
                "nothing; or write a batch, change the method, or name the batch in `spec.batchId` to run it again",
            ),
            "TooFewSessions": Entry(
                "the batch has fewer informative sessions than `spec.minSessions`; nothing was trained",
                "nothing; or write larger batches, or ask for fewer",
            ),
            "ListingTooLong": Entry(
                "the batches cannot be found: `clickstream/` holds more objects, in folders without `_SUCCESS`, than"
                " can be listed in two minutes",
                "write `_SUCCESS` into each batch, move old ones away, or name the batch in `spec.batchId`",
            ),
            "Promoted": Entry("blue serves the new version", ""),
            "Cancelled": Entry(
                "`spec.cancel`; the message says where the best finished trial is kept, which is never promoted", ""
            ),
            "RolloutFailed": Entry(
                "blue went back to the version before; the reason of the model's rollout is in the message",
                "look that reason up below, then run again or name the version in the model's `serving.promote`",
            ),
        },
    ),
    Group(
        "Why a version goes into production, or does not",
        "On `Promoted`. A version that does not is kept.",
        {
            "NotRequested": Entry(
                "`spec.deployAsBlue` is false, of the task itself or of the one whose result it took over by its key",
                "to roll that version out, name it in the model's `spec.serving.promote`",
            ),
            "RolloutRequested": Entry("the gate, or a person, lets it pass: the model's rollout is about to begin", ""),
            "GatePassed": Entry("the candidate is better by as much as the gate asks", ""),
            "GateNotPassed": Entry(
                "the candidate was not better by `gate.minDelta`; the numbers are in the message",
                "nothing: this is a result ([the gate](concepts.md#the-gate))",
            ),
            "GateUndecided": Entry(
                "the candidate looks better, and it may be chance; the message says how many different queries decide",
                "nothing: what was found out is kept, and counts in the next run against the same live version. More"
                " different queries, or `gate.judgments`, decide sooner",
            ),
            "GateGuarded": Entry(
                "a guard of the gate failed, however large the gain is: the message names it, its numbers and what to"
                " do",
                "read the report's table of guards ([guards](concepts.md#guards)); train more gently, or change the"
                " guard's field of `serving.gate` if the change is wanted, and run again; or"
                " [promote it by hand](operations.md#promoting-by-hand)",
            ),
            "GateNotMeasured": Entry(
                "there was nothing to compare on: no session with a result that was clicked and one that was not, and"
                " no judgments, or fewer than ten different queries",
                "collect clicks on more different queries, or set `gate.judgments`",
            ),
            "GateStale": Entry(
                "blue serves another version than the one that was compared with, or the gate's metric or confidence"
                " was changed",
                "run again",
            ),
            "Pinned": Entry(
                "`serving.rollbackTo` is set: blue stays with that version", "remove `rollbackTo` to go on from there"
            ),
            "NoServing": Entry("the model has no `spec.serving`", ""),
            "AlreadyCurrent": Entry("blue serves this very version already", ""),
        },
    ),
)
