"""Good and bad manifests: one table for pydantic and for the real API server, which must give the same verdict."""

import copy
from dataclasses import dataclass, field
from typing import Any

Manifest = dict[str, Any]

MODEL: Manifest = {
    "apiVersion": "bluetune.dev/v1alpha1",
    "kind": "EmbeddingModel",
    "metadata": {"name": "case"},
    "spec": {
        "base": {"uri": "s3://models/base"},
        "methodRef": {"name": "text"},
        "store": {
            "endpoint": "minio:9000",
            "bucket": "models",
            "prefix": "search/en",
            "secure": False,
            "credentialsSecretRef": {"name": "keys"},
        },
        "serving": {"deployment": "search", "container": "server", "verify": {"port": 8080}},
    },
}
METHOD: Manifest = {
    "apiVersion": "bluetune.dev/v1alpha1",
    "kind": "FineTuningMethod",
    "metadata": {"name": "case"},
    "spec": {
        "settings": {"numEpochs": 2, "testEachNInputs": 0.5},
        "initialParams": {
            "query_lr": {"logUniform": {"low": 1e-5, "high": 1e-3}},
            "num_fixed_layers": {"choice": [0, 3]},
            "examples_order": {"choice": [[11]]},
            "not_irrelevant_only": {"choice": [True, False]},
        },
        "podTemplate": {"resources": {"limits": {"nvidia.com/gpu": "1"}}},
    },
}
TASK: Manifest = {
    "apiVersion": "bluetune.dev/v1alpha1",
    "kind": "FineTuningTask",
    "metadata": {"name": "case"},
    "spec": {"modelRef": {"name": "search"}, "deployAsBlue": True, "metadata": {"team": "search"}},
}
ABSENT = object()
PARQUET: Manifest = {"type": "Parquet"}
PGVECTOR: Manifest = {
    "type": "Pgvector",
    "pgvector": {"connectionSecretRef": {"name": "db", "key": "uri"}, "table": "items", "schema": "search"},
}
SEARCH = {
    "url": "https://search.example:9200",
    "credentialsSecretRef": {"name": "search"},
    "caSecretRef": {"name": "search"},
    "index": "docs",
}
OPENSEARCH: Manifest = {"type": "OpenSearch", "opensearch": SEARCH}
REINDEX: Manifest = {"template": {"template": {"spec": {"containers": []}}}}


@dataclass(frozen=True)
class Case:
    """`base` with `changes` (dotted path → value, or ABSENT). `field` is what a rejection names; None is a good one."""

    name: str
    base: Manifest
    changes: dict[str, Any] = field(default_factory=dict)
    field: str | None = None

    def manifest(self) -> Manifest:
        return changed(self.base, self.changes)


@dataclass(frozen=True)
class Update:
    """A good object, then a change to it."""

    name: str
    base: Manifest
    before: dict[str, Any]
    after: dict[str, Any]
    field: str | None = None

    def manifests(self) -> tuple[Manifest, Manifest]:
        return changed(self.base, self.before), changed(self.base, self.after)


def changed(base: Manifest, changes: dict[str, Any]) -> Manifest:
    """A copy with the values at dotted paths set or removed; a `/` in a path stands for a dot in a key."""
    manifest = copy.deepcopy(base)
    for path, value in changes.items():
        *parents, last = (step.replace("/", ".") for step in path.split("."))
        node = manifest
        for step in parents:
            node = node.setdefault(step, {})
        if value is ABSENT:
            node.pop(last, None)
        else:
            node[last] = value
    return manifest


S, T = "spec.store", "spec.serving"
HOOK = {
    "name": "team",
    "url": "https://hooks.example.com/T1/x?y=1",
    "format": "Slack",
    "events": ["Promoted", "Refused", "Failed", "RolledBack", "Paused"],
    "signingSecretRef": {"name": "hooks", "key": "hmac"},
}
PROMOTE = {"version": "v0123456789ab", "replaces": "v00000000000a"}
R = "spec.retrain"
RETRAIN = {
    "triggers": [{"newBatch": {}}, {"schedule": "0 3 * * *", "timeZone": "Europe/Berlin"}],
    "minSessions": 5000,
    "resume": "2026-01-31",
    "brakes": {
        "cooldown": "12h",
        "maxRunsPerWeek": 7,
        "gpuHoursPerWeek": 40,
        "pauseAfterRefusals": 3,
        "pauseAfterFailures": 2,
    },
    "template": {"deployAsBlue": True, "priority": -10, "metadata": {"team": "search"}},
    "history": {"succeeded": 5, "failed": 0},
}
GUARDS = [{"query": "red shoes", "expect": ["sku-1"]}, {"query": "lamp"}]
PHRASES = "spec.initialParams.phrases_per_session"
CASES = [
    # --- EmbeddingModel
    Case("model", MODEL),
    Case("model without serving", MODEL, {T: ABSENT}),
    Case("model without method", MODEL, {"spec.methodRef": ABSENT}),
    Case("model with workload identity", MODEL, {f"{S}.credentialsSecretRef": ABSENT, f"{S}.serviceAccountName": "sa"}),
    Case("model from a hub", MODEL, {"spec.base.uri": "hf://org/name@abc"}),
    Case("model from the plugin", MODEL, {"spec.base.uri": "plugin://initial"}),
    Case("base of another plugin", MODEL, {"spec.base.uri": "plugin://other"}, "spec.base.uri"),
    Case("model from a path", MODEL, {"spec.base.uri": "/models/base"}),
    Case("model with init container", MODEL, {f"{T}.delivery": "InitContainer", f"{T}.mountPath": "/model"}),
    Case("model pinned", MODEL, {f"{T}.rollbackTo": "v0123456789ab"}),
    Case("model that promotes", MODEL, {f"{T}.promote": PROMOTE}),
    Case("model that promotes while pinned", MODEL, {f"{T}.promote": PROMOTE, f"{T}.rollbackTo": "v0123456789ab"}),
    Case("promote in place of nothing", MODEL, {f"{T}.promote": {"version": "v0123456789ab"}}, "replaces"),
    Case("promote a tag", MODEL, {f"{T}.promote": {**PROMOTE, "version": "latest"}}, "spec.serving.promote.version"),
    Case(
        "promote in place of itself",
        MODEL,
        {f"{T}.promote": {"version": "v0123456789ab", "replaces": "v0123456789ab"}},
        "spec.serving.promote.replaces",
    ),
    Case("model with a gate", MODEL, {f"{T}.gate": {"metric": "mrr@10", "minDelta": -0.01, "confidence": 0.95}}),
    Case("model with guards", MODEL, {f"{T}.gate": {"minAgreement": 0, "maxForgetting": 1, "guards": GUARDS}}),
    Case("model with reindex", MODEL, {f"{T}.reindex": {"template": {"template": {"spec": {"containers": []}}}}}),
    Case("model that is not deleted while it is held", MODEL, {"spec.deletionPolicy": "RefuseWhileBusy"}),
    Case("deletion policy of another tool", MODEL, {"spec.deletionPolicy": "Orphan"}, "spec.deletionPolicy"),
    Case("model that retrains", MODEL, {R: RETRAIN}),
    Case("retrain by a schedule", MODEL, {R: {"triggers": [{"schedule": "*/15 0-6,22 1,15 JAN-MAR MON-FRI/2"}]}}),
    Case("retrain without triggers", MODEL, {R: {}}, "triggers"),
    Case("retrain with no trigger", MODEL, {R: {"triggers": []}}, "spec.retrain.triggers"),
    Case("trigger of both", MODEL, {R: {"triggers": [{"newBatch": {}, "schedule": "0 3 * * *"}]}}, "triggers"),
    Case("trigger of neither", MODEL, {R: {"triggers": [{}]}}, "triggers"),
    Case("zone without schedule", MODEL, {R: {"triggers": [{"newBatch": {}, "timeZone": "UTC"}]}}, "timeZone"),
    Case("schedule of an hour 24", MODEL, {R: {"triggers": [{"schedule": "0 24 * * *"}]}}, "schedule"),
    Case("schedule of four fields", MODEL, {R: {"triggers": [{"schedule": "0 3 * *"}]}}, "schedule"),
    Case("schedule with seconds", MODEL, {R: {"triggers": [{"schedule": "0 0 3 * * *"}]}}, "schedule"),
    Case("schedule by name", MODEL, {R: {"triggers": [{"schedule": "@daily"}]}}, "schedule"),
    Case("schedule in no step", MODEL, {R: {"triggers": [{"schedule": "*/0 * * * *"}]}}, "schedule"),
    Case("zone that climbs", MODEL, {R: {"triggers": [{"schedule": "0 3 * * *", "timeZone": "../etc"}]}}, "timeZone"),
    Case("169 runs a week", MODEL, {R: {**RETRAIN, "brakes": {"maxRunsPerWeek": 169}}}, "maxRunsPerWeek"),
    Case("no hours a week", MODEL, {R: {**RETRAIN, "brakes": {"gpuHoursPerWeek": 0}}}, "gpuHoursPerWeek"),
    Case("half an hour a week", MODEL, {R: {**RETRAIN, "brakes": {"gpuHoursPerWeek": 0.5}}}),
    Case("cooldown in words", MODEL, {R: {**RETRAIN, "brakes": {"cooldown": "a day"}}}, "cooldown"),
    Case("retrain on YAML's true", MODEL, {R: {"true": [{"newBatch": {}}]}}, "spec.retrain"),
    Case("model with an index", MODEL, {f"{T}.index": {"target": {"type": "Parquet"}, "shards": 8}}),
    Case("model with an index in a database", MODEL, {f"{T}.index": {"target": PGVECTOR}}),
    Case("model with an index in OpenSearch", MODEL, {f"{T}.index": {"target": OPENSEARCH}}),
    Case(
        "password over http that is asked for",
        MODEL,
        {
            f"{T}.index": {
                "target": {
                    "type": "OpenSearch",
                    "opensearch": {
                        "url": "http://search/os",
                        "credentialsSecretRef": {"name": "s"},
                        "passwordOverHttp": True,
                    },
                }
            }
        },
    ),
    Case("index of bytes", MODEL, {f"{T}.index": {"target": OPENSEARCH, "vectors": {"type": "Int8"}}}),
    Case("index of half vectors", MODEL, {f"{T}.index": {"target": PGVECTOR, "vectors": {"type": "Float16"}}}),
    Case("index of bytes", MODEL, {f"{T}.index": {"target": PARQUET, "vectors": {"dimensions": 9, "type": "Int8"}}}),
    Case("model that notifies", MODEL, {"spec.notify": [HOOK, {**HOOK, "name": "b", "events": ["Paused"]}]}),
    Case("webhook by a secret", MODEL, {"spec.notify": [{"name": "a", "urlSecretRef": {"name": "s", "key": "url"}}]}),
    Case("webhook without an address", MODEL, {"spec.notify": [{"name": "a"}]}, "spec.notify"),
    Case(
        "webhook with two addresses",
        MODEL,
        {"spec.notify": [{**HOOK, "urlSecretRef": {"name": "s", "key": "url"}}]},
        "spec.notify",
    ),
    Case("webhook without a name", MODEL, {"spec.notify": [{"url": "https://hooks.example.com/"}]}, "name"),
    Case("two webhooks of a name", MODEL, {"spec.notify": [HOOK, HOOK]}, "spec.notify"),
    Case("webhook with a password", MODEL, {"spec.notify": [{**HOOK, "url": "https://me:pass@h.example.com/"}]}, "url"),
    Case("webhook of another scheme", MODEL, {"spec.notify": [{**HOOK, "url": "ftp://h.example.com/"}]}, "url"),
    Case("webhook of no events", MODEL, {"spec.notify": [{**HOOK, "events": []}]}, "events"),
    Case("webhook of an unknown event", MODEL, {"spec.notify": [{**HOOK, "events": ["Born"]}]}, "events"),
    Case("webhook in another form", MODEL, {"spec.notify": [{**HOOK, "format": "Teams"}]}, "format"),
    Case("model, empty prefix", MODEL, {f"{S}.prefix": ""}),
    Case("model name of 40", MODEL, {"metadata.name": "m" * 40}),
    Case("model name of 41", MODEL, {"metadata.name": "m" * 41}, "metadata.name"),
    Case("model name with a dot", MODEL, {"metadata.name": "a.b"}, "metadata.name"),
    Case("model without spec", MODEL, {"spec": ABSENT}, "spec"),
    Case("model without base", MODEL, {"spec.base": ABSENT}, "base"),
    Case("model without base uri", MODEL, {"spec.base.uri": ABSENT}, "uri"),
    Case("base of another scheme", MODEL, {"spec.base.uri": "ftp://x/y"}, "spec.base.uri"),
    Case("base uri too long", MODEL, {"spec.base.uri": "s3://b/" + "x" * 1100}, "spec.base.uri"),
    Case("base uri a number", MODEL, {"spec.base.uri": 7}, "spec.base.uri"),
    Case("store without endpoint", MODEL, {f"{S}.endpoint": ABSENT}, "endpoint"),
    Case("endpoint with a scheme", MODEL, {f"{S}.endpoint": "http://minio:9000"}, "without http://"),
    Case("endpoint with a path", MODEL, {f"{S}.endpoint": "minio:9000/models"}, "spec.store.endpoint"),
    Case("endpoint with a line break", MODEL, {f"{S}.endpoint": "minio:9000\n"}, "spec.store.endpoint"),
    Case("endpoint with a long port", MODEL, {f"{S}.endpoint": "minio:900000"}, "spec.store.endpoint"),
    Case("bucket with capitals", MODEL, {f"{S}.bucket": "Models"}, "spec.store.bucket"),
    Case("bucket with two dots", MODEL, {f"{S}.bucket": "a..b"}, "spec.store.bucket"),
    Case("bucket with a dash before a dot", MODEL, {f"{S}.bucket": "a-.b"}, "spec.store.bucket"),
    Case("region that ends with a dash", MODEL, {f"{S}.region": "eu-"}, "spec.store.region"),
    Case("region too long", MODEL, {f"{S}.region": "z" * 64}, "spec.store.region"),
    Case("bucket too short", MODEL, {f"{S}.bucket": "ab"}, "spec.store.bucket"),
    Case("prefix with a slash at its end", MODEL, {f"{S}.prefix": "a/"}, "spec.store.prefix"),
    Case("prefix that climbs", MODEL, {f"{S}.prefix": "a/../b"}, "spec.store.prefix"),
    Case("secure as text", MODEL, {f"{S}.secure": "false"}, "spec.store.secure"),
    Case("both keys and identity", MODEL, {f"{S}.serviceAccountName": "sa"}, "spec.store"),
    Case("neither keys nor identity", MODEL, {f"{S}.credentialsSecretRef": ABSENT}, "spec.store"),
    Case("secret without name", MODEL, {f"{S}.credentialsSecretRef": {}}, "name"),
    Case("keep one version", MODEL, {"spec.retention": {"keepVersions": 1}}, "spec.retention.keepVersions"),
    Case("unknown delivery", MODEL, {f"{T}.delivery": "Volume"}, "spec.serving.delivery"),
    Case(
        "init container with a size",
        MODEL,
        {
            f"{T}.delivery": "InitContainer",
            f"{T}.mountPath": "/model",
            f"{T}.fetcher": {"resources": {"limits": {"memory": "1Gi"}}},
        },
    ),
    Case("size of no init container", MODEL, {f"{T}.fetcher": {"resources": {}}}, "spec.serving.fetcher"),
    Case("init container without path", MODEL, {f"{T}.delivery": "InitContainer"}, "spec.serving.mountPath"),
    Case("path without init container", MODEL, {f"{T}.mountPath": "/model"}, "spec.serving.mountPath"),
    Case(
        "index and reindex", MODEL, {f"{T}.index": {"target": PARQUET}, f"{T}.reindex": REINDEX}, "spec.serving.index"
    ),
    Case(
        "bytes in pgvector", MODEL, {f"{T}.index": {"target": PGVECTOR, "vectors": {"type": "Int8"}}}, "index.vectors"
    ),
    Case(
        "half vectors in OpenSearch",
        MODEL,
        {f"{T}.index": {"target": OPENSEARCH, "vectors": {"type": "Float16"}}},
        "index.vectors",
    ),
    Case(
        "OpenSearch without its address",
        MODEL,
        {f"{T}.index": {"target": {"type": "OpenSearch"}}},
        "spec.serving.index.target.opensearch",
    ),
    Case(
        "a database with OpenSearch",
        MODEL,
        {f"{T}.index": {"target": PGVECTOR | {"opensearch": SEARCH}}},
        "spec.serving.index.target.opensearch",
    ),
    *(
        Case(
            f"OpenSearch with {change}",
            MODEL,
            {f"{T}.index": {"target": OPENSEARCH | {"opensearch": SEARCH | change}}},
            f"spec.serving.index.target.opensearch.{field}",
        )
        for change, field in (
            ({"url": "http://search.example:9200"}, "url"),
            ({"url": "https://user:password@search.example:9200"}, "url"),
            ({"url": "search.example:9200"}, "url"),
            ({"url": "https://search.example:9200/"}, "url"),
            ({"url": "http://search.example", "passwordOverHttp": True}, "caSecretRef"),
            ({"index": "Docs"}, "index"),
            ({"index": "-docs"}, "index"),
            ({"index": "a" * 41}, "index"),
            ({"numberOfShards": 0}, "numberOfShards"),
            ({"numberOfReplicas": -1}, "numberOfReplicas"),
            ({"minRecall": 1.1}, "minRecall"),
        )
    ),
    Case("vectors as they are", MODEL, {f"{T}.index": {"target": PARQUET, "vectors": {}}}, "vectors.type"),
    Case("no dimensions", MODEL, {f"{T}.index": {"target": PARQUET, "vectors": {"dimensions": 0}}}, "dimensions"),
    Case("index without target", MODEL, {f"{T}.index": {}}, "spec.serving.index.target"),
    Case(
        "index of another type", MODEL, {f"{T}.index": {"target": {"type": "Redis"}}}, "spec.serving.index.target.type"
    ),
    Case("no shards", MODEL, {f"{T}.index": {"target": PARQUET, "shards": 0}}, "spec.serving.index.shards"),
    Case("257 shards", MODEL, {f"{T}.index": {"target": PARQUET, "shards": 257}}, "spec.serving.index.shards"),
    Case(
        "a database without its address",
        MODEL,
        {f"{T}.index": {"target": {"type": "Pgvector"}}},
        "spec.serving.index.target.pgvector",
    ),
    Case(
        "files with a database",
        MODEL,
        {f"{T}.index": {"target": PGVECTOR | {"type": "Parquet"}}},
        "spec.serving.index.target.pgvector",
    ),
    *(
        Case(
            f"table {table!r}",
            MODEL,
            {f"{T}.index": {"target": PGVECTOR | {"pgvector": PGVECTOR["pgvector"] | {"table": table}}}},
            "spec.serving.index.target.pgvector.table",
        )
        for table in ("Items", "a-b", 'x"; drop table y; --', "1a", "a" * 39, "")
    ),
    Case("deployment name with capitals", MODEL, {f"{T}.deployment": "Search"}, "spec.serving.deployment"),
    Case("serving without container", MODEL, {f"{T}.container": ABSENT}, "container"),
    Case("port 0", MODEL, {f"{T}.verify.port": 0}, "spec.serving.verify.port"),
    Case("port 65536", MODEL, {f"{T}.verify.port": 65536}, "spec.serving.verify.port"),
    Case("port as text", MODEL, {f"{T}.verify.port": "8080"}, "spec.serving.verify.port"),
    Case("version path, no slash", MODEL, {f"{T}.verify.versionPath": "version"}, "spec.serving.verify.versionPath"),
    Case("cosine of 0", MODEL, {f"{T}.verify.minCosine": 0}, "spec.serving.verify.minCosine"),
    Case("unknown gate metric", MODEL, {f"{T}.gate": {"metric": "accuracy"}}, "spec.serving.gate.metric"),
    Case("confidence of 1", MODEL, {f"{T}.gate": {"confidence": 1.0}}, "spec.serving.gate.confidence"),
    Case("delta of 2", MODEL, {f"{T}.gate": {"minDelta": 2}}, "spec.serving.gate.minDelta"),
    Case("agreement of 2", MODEL, {f"{T}.gate": {"minAgreement": 2}}, "spec.serving.gate.minAgreement"),
    Case("guard without a query", MODEL, {f"{T}.gate": {"guards": [{"expect": ["a"]}]}}, "query"),
    Case("guard of white space", MODEL, {f"{T}.gate": {"guards": [{"query": " "}]}}, "query"),
    Case("guard with eleven ids", MODEL, {f"{T}.gate": {"guards": [{"query": "a", "expect": ["b"] * 11}]}}, "expect"),
    Case("a query guarded twice", MODEL, {f"{T}.gate": {"guards": [{"query": "a"}, {"query": "a"}]}}, "guards"),
    Case("rollback to a tag", MODEL, {f"{T}.rollbackTo": "latest"}, "spec.serving.rollbackTo"),
    Case("unknown model field", MODEL, {"spec.colour": "blue"}, "spec.colour"),
    # --- FineTuningMethod
    Case("method", METHOD),
    Case("method of nothing but defaults", METHOD, {"spec": {}}),
    Case("method with a plugin", METHOD, {"spec.plugin": "shop.tuning:Method", "spec.image": "shop/trainer:1"}),
    Case("method with quniform", METHOD, {"spec.initialParams.margin.quniform": {"low": 0.1, "high": 1, "q": 0.1}}),
    Case("method with tolerations", METHOD, {"spec.podTemplate.tolerations": [{"key": "gpu", "operator": "Exists"}]}),
    Case("method with env", METHOD, {"spec.podTemplate.env": [{"name": "A", "value": "b"}]}),
    Case("method, early stopping", METHOD, {"spec.settings.earlyStopping": {"patience": 2}}),
    Case("method with affinity", METHOD, {"spec.podTemplate.affinity": {"nodeAffinity": {}}}),
    Case("plugin of two colons", METHOD, {"spec.plugin": "a:b:c"}, "spec.plugin"),
    Case("plugin, a path", METHOD, {"spec.plugin": "/plugins/mine.py"}, "spec.plugin"),
    Case("no text fields", METHOD, {"spec.items": {"textFields": []}}, "spec.items.textFields"),
    Case("items outside the prefix", METHOD, {"spec.items": {"path": "/etc/passwd"}}, "spec.items.path"),
    Case("no epochs", METHOD, {"spec.settings.numEpochs": 0}, "spec.settings.numEpochs"),
    Case("epochs as a fraction", METHOD, {"spec.settings.numEpochs": 1.5}, "spec.settings.numEpochs"),
    Case("gamma of 0", METHOD, {"spec.settings.gamma": 0}, "spec.settings.gamma"),
    Case("gamma above 1", METHOD, {"spec.settings.gamma": 1.5}, "spec.settings.gamma"),
    Case("validate after -1 inputs", METHOD, {"spec.settings.testEachNInputs": -1}, "spec.settings.testEachNInputs"),
    Case("unknown precision", METHOD, {"spec.settings.precision": "FP8"}, "spec.settings.precision"),
    Case("unknown objective", METHOD, {"spec.settings.objective": "loss"}, "spec.settings.objective"),
    Case("patience of 0", METHOD, {"spec.settings.earlyStopping": {"patience": 0}}, "patience"),
    Case("coverage above 1", METHOD, {"spec.settings.minCoverage": 1.01}, "spec.settings.minCoverage"),
    Case("no parameters", METHOD, {"spec.initialParams": {}}, "spec.initialParams"),
    Case("parameter in camelCase", METHOD, {"spec.initialParams.queryLr": {"choice": [1]}}, "spec.initialParams"),
    Case("dimension of nothing", METHOD, {"spec.initialParams.margin": {}}, "spec.initialParams.margin"),
    Case(
        "dimension of two",
        METHOD,
        {"spec.initialParams.margin": {"choice": [0.1], "uniform": {"low": 0, "high": 1}}},
        "spec.initialParams.margin",
    ),
    Case("no choices", METHOD, {"spec.initialParams.margin": {"choice": []}}, "spec.initialParams.margin.choice"),
    Case("low above high", METHOD, {"spec.initialParams.margin": {"uniform": {"low": 1, "high": 0}}}, "uniform.low"),
    Case(
        "logarithm of 0",
        METHOD,
        {"spec.initialParams.margin": {"logUniform": {"low": 0, "high": 1}}},
        "spec.initialParams.margin.logUniform.low",
    ),
    Case("no trials", METHOD, {"spec.initialMaxEvals": 0}, "spec.initialMaxEvals"),
    Case("quantity as a number", METHOD, {"spec.podTemplate.resources.limits": {"cpu": 2, "nvidia.com/gpu": 1}}),
    Case("quantity with an exponent", METHOD, {"spec.podTemplate.resources.limits": {"memory": "8e9", "cpu": ".5"}}),
    Case(
        "volumes",
        METHOD,
        {
            "spec.podTemplate.volumes": [
                {"name": "models", "persistentVolumeClaim": {"claimName": "models"}},
                {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
            ],
            "spec.podTemplate.volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],
        },
    ),
    Case("volume of nothing", METHOD, {"spec.podTemplate.volumes": [{"name": "a"}]}, "spec.podTemplate.volumes"),
    Case(
        "volume of two",
        METHOD,
        {"spec.podTemplate.volumes": [{"name": "a", "emptyDir": {}, "secret": {"secretName": "s"}}]},
        "spec.podTemplate.volumes",
    ),
    Case(
        "volume of the node",
        METHOD,
        {"spec.podTemplate.volumes": [{"name": "a", "hostPath": {"path": "/"}}]},
        "spec.podTemplate.volumes",
    ),
    Case("volume of ours", METHOD, {"spec.podTemplate.volumes": [{"name": "plan", "emptyDir": {}}]}, "name"),
    Case(
        "mount over the plan",
        METHOD,
        {"spec.podTemplate.volumeMounts": [{"name": "a", "mountPath": "/etc/bluetune"}]},
        "mountPath",
    ),
    Case(
        "environment from a ConfigMap",
        METHOD,
        {
            "spec.podTemplate.env": [{"name": "A", "configMapKeyRef": {"name": "c", "key": "k"}}],
            "spec.podTemplate.envFrom": [{"configMapRef": {"name": "c"}, "prefix": "C_"}],
        },
    ),
    Case(
        "environment from two",
        METHOD,
        {"spec.podTemplate.envFrom": [{"configMapRef": {"name": "c"}, "secretRef": {"name": "s"}}]},
        "spec.podTemplate.envFrom",
    ),
    Case(
        "spread, scheduler and claims",
        METHOD,
        {
            "spec.podTemplate.schedulerName": "gangs",
            "spec.podTemplate.topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone"}],
            "spec.podTemplate.resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "one"}],
            "spec.podTemplate.resources.claims": [{"name": "gpu"}],
        },
    ),
    Case("pods without a GPU", METHOD, {"spec.cpuPodTemplate": {"nodeSelector": {"pool": "cpu"}}}),
    Case("env of ours without a GPU", METHOD, {"spec.cpuPodTemplate.env": [{"name": "AWS_X", "value": "b"}]}, "env"),
    Case("quantity as a fraction", METHOD, {"spec.podTemplate.resources.limits": {"cpu": 0.5}}, "cpu"),
    Case("quantity as a truth value", METHOD, {"spec.podTemplate.resources.limits": {"cpu": True}}, "cpu"),
    Case("quantity below 0", METHOD, {"spec.podTemplate.resources.limits": {"cpu": -1}}, "cpu"),
    Case("quantity of nonsense", METHOD, {"spec.podTemplate.resources.limits": {"cpu": "two"}}, "cpu"),
    Case("env without value", METHOD, {"spec.podTemplate.env": [{"name": "A"}]}, "spec.podTemplate.env"),
    Case("env of ours", METHOD, {"spec.podTemplate.env": [{"name": "AWS_X", "value": "b"}]}, "spec.podTemplate.env"),
    Case("unknown toleration", METHOD, {"spec.podTemplate.tolerations": [{"effect": "Never"}]}, "effect"),
    Case("unknown setting", METHOD, {"spec.settings.learningRate": 1}, "spec.settings.learningRate"),
    Case("propensity with IPS", METHOD, {"spec.settings.positionBias": "IPS", "spec.settings.propensity": {"eta": 2}}),
    Case("propensity alone", METHOD, {"spec.settings.propensity": {"eta": 2}}, "settings.propensity"),
    Case(
        "propensity with skip-above",
        METHOD,
        {"spec.settings.positionBias": "SkipAbove", "spec.settings.propensity": {"eta": 2}},
        "settings.propensity",
    ),
    Case("rank of parts", METHOD, {"spec.settings.longItems": "Split", "spec.settings.partsRank": "SoftMax"}),
    Case("rank of parts alone", METHOD, {"spec.settings.partsRank": "SoftMax"}, "settings.partsRank"),
    Case(
        "rank of parts that are cut",
        METHOD,
        {"spec.settings.longItems": "Truncate", "spec.settings.partsRank": "Mean"},
        "settings.partsRank",
    ),
    Case("phrases", METHOD, {PHRASES: {"choice": [0, 2]}, "spec.settings.loss": "InfoNCELoss"}),
    Case("phrases, preset loss", METHOD, {PHRASES: {"choice": [2]}}),
    Case("pairs of results", METHOD, {"spec.settings.loss": "ProbMarginRankingLoss"}),
    Case(
        "phrases for pairs",
        METHOD,
        {PHRASES: {"choice": [2]}, "spec.settings.loss": "ProbMarginRankingLoss"},
        "initialParams",
    ),
    Case(
        "phrases for pairs of cosines",
        METHOD,
        {PHRASES: {"uniform": {"low": 0, "high": 2}}, "spec.settings.loss": "CosineProbMarginRankingLoss"},
        "initialParams",
    ),
    # --- FineTuningTask
    Case("task", TASK),
    Case(
        "task with everything",
        TASK,
        {
            "spec.methodRef": {"name": "text"},
            "spec.batchId": "2026-01-01",
            "spec.startFrom": "v0123456789ab",
            "spec.idempotencyKey": "nightly",
            "spec.waitOnConflict": False,
            "spec.priority": -5,
            "spec.suspend": True,
            "spec.cancel": False,
            "spec.overrides": {"settings": {"numEpochs": 1, "propensity": {"eta": 2}}, "initialMaxEvals": 2},
            "spec.activeDeadlineSeconds": 60,
            "spec.maxRetries": 0,
            "spec.queueName": "gpu",
            "spec.pendingTimeoutSeconds": 3600,
            "spec.ttlSecondsAfterFinished": 0,
        },
    ),
    Case("queue that is no label", TASK, {"spec.queueName": "a queue"}, "spec.queueName"),
    Case("no time for a pod", TASK, {"spec.pendingTimeoutSeconds": 0}, "spec.pendingTimeoutSeconds"),
    Case("task that goes on from another", TASK, {"spec.resumeFrom": "nightly-1"}),
    Case("goes on from an object", TASK, {"spec.resumeFrom": {"name": "nightly-1"}}, "spec.resumeFrom"),
    Case("goes on from no name", TASK, {"spec.resumeFrom": "Nightly_1"}, "spec.resumeFrom"),
    Case("task with batches", TASK, {"spec.batches": {"last": 7, "replay": 0.3, "halfLife": "30d"}}),
    Case("task with batches up to one", TASK, {"spec.batchId": "b1", "spec.batches": {"since": "30d"}}),
    Case("batches without an end", TASK, {"spec.batches": {"replay": 0.3}}, "spec.batches"),
    Case("no batches", TASK, {"spec.batches": {"last": 0}}, "spec.batches.last"),
    Case("nothing but old sessions", TASK, {"spec.batches": {"last": 7, "replay": 1.0}}, "spec.batches.replay"),
    Case("batches since a word", TASK, {"spec.batches": {"since": "yesterday"}}, "spec.batches.since"),
    Case("task with a minimum", TASK, {"spec.minSessions": 5000}),
    Case("task with a minimum of none", TASK, {"spec.minSessions": 0}, "spec.minSessions"),
    Case("task name of 50", TASK, {"metadata.name": "t" * 50}),
    Case("task name of 51", TASK, {"metadata.name": "t" * 51}, "metadata.name"),
    Case("task without model", TASK, {"spec.modelRef": ABSENT}, "modelRef"),
    Case("model reference as text", TASK, {"spec.modelRef": "search"}, "spec.modelRef"),
    Case("model reference without name", TASK, {"spec.modelRef": {}}, "name"),
    Case("model reference, empty name", TASK, {"spec.modelRef": {"name": ""}}, "spec.modelRef.name"),
    Case("batch in folders", TASK, {"spec.batchId": "dt=2026-01-31/hour=05"}),
    Case("batch with a blank", TASK, {"spec.batchId": "2026-02-01 00"}),
    Case("batch with a colon and percent", TASK, {"spec.batchId": "at=2026-01-31T05:00/q=a%3Ab"}),
    Case("batch of 512", TASK, {"spec.batchId": "b" * 512}),
    Case("batch of 513", TASK, {"spec.batchId": "b" * 513}, "spec.batchId"),
    Case("batch, upwards", TASK, {"spec.batchId": "../x"}, "spec.batchId"),
    Case("batch, upwards within", TASK, {"spec.batchId": "a/../x"}, "spec.batchId"),
    Case("batch, absolute", TASK, {"spec.batchId": "/a"}, "spec.batchId"),
    Case("batch with a slash at its end", TASK, {"spec.batchId": "a/"}, "spec.batchId"),
    Case("batch with two slashes", TASK, {"spec.batchId": "a//b"}, "spec.batchId"),
    Case("batch, hidden", TASK, {"spec.batchId": "a/_temporary"}, "spec.batchId"),
    Case("batch with a line break", TASK, {"spec.batchId": "a\nb"}, "spec.batchId"),
    Case("batch with a backslash", TASK, {"spec.batchId": "a\\b"}, "spec.batchId"),
    Case("settle", METHOD, {"spec.clickstream": {"settle": "2h"}}),
    Case("settle without a unit", METHOD, {"spec.clickstream": {"settle": "90"}}, "settle"),
    Case("settle of nothing", METHOD, {"spec.clickstream": {"settle": "0s"}}, "settle"),
    Case("batch, empty", TASK, {"spec.batchId": ""}, "spec.batchId"),
    Case("start from a tag", TASK, {"spec.startFrom": "latest"}, "spec.startFrom"),
    Case("empty idempotency key", TASK, {"spec.idempotencyKey": ""}, "spec.idempotencyKey"),
    Case("long idempotency key", TASK, {"spec.idempotencyKey": "k" * 257}, "spec.idempotencyKey"),
    Case("deployAsBlue as text", TASK, {"spec.deployAsBlue": "yes"}, "spec.deployAsBlue"),
    Case("priority as a fraction", TASK, {"spec.priority": 0.5}, "spec.priority"),
    Case("priority too high", TASK, {"spec.priority": 1_000_001}, "spec.priority"),
    Case("metadata of numbers", TASK, {"spec.metadata": {"run": 7}}, "spec.metadata.run"),
    Case("33 metadata", TASK, {"spec.metadata": {f"k{i}": "v" for i in range(33)}}, "spec.metadata"),
    Case("deadline of 0", TASK, {"spec.activeDeadlineSeconds": 0}, "spec.activeDeadlineSeconds"),
    Case("negative retries", TASK, {"spec.maxRetries": -1}, "spec.maxRetries"),
    Case("negative ttl", TASK, {"spec.ttlSecondsAfterFinished": -1}, "spec.ttlSecondsAfterFinished"),
    Case("override of nonsense", TASK, {"spec.overrides": {"settings": {"numEpochs": 0}}}, "numEpochs"),
    Case("override of no trials", TASK, {"spec.overrides": {"initialMaxEvals": 0}}, "initialMaxEvals"),
    Case("unknown task field", TASK, {"spec.model": "search"}, "spec.model"),
]

UPDATES = [
    Update("priority", TASK, {}, {"spec.priority": 9}),
    Update("suspend", TASK, {}, {"spec.suspend": True}),
    Update("cancel", TASK, {}, {"spec.cancel": True}),
    Update("ttl", TASK, {}, {"spec.ttlSecondsAfterFinished": 60}),
    Update("model changed", TASK, {}, {"spec.modelRef.name": "other"}, "spec.modelRef"),
    Update("method added", TASK, {}, {"spec.methodRef": {"name": "m"}}, "spec.methodRef"),
    Update("batch added", TASK, {}, {"spec.batchId": "b"}, "spec.batchId"),
    Update("batch changed", TASK, {"spec.batchId": "a"}, {"spec.batchId": "b"}, "spec.batchId"),
    Update("batch removed", TASK, {"spec.batchId": "a"}, {}, "spec.batchId"),
    Update("resumeFrom added", TASK, {}, {"spec.resumeFrom": "a"}, "spec.resumeFrom"),
    Update("resumeFrom changed", TASK, {"spec.resumeFrom": "a"}, {"spec.resumeFrom": "b"}, "spec.resumeFrom"),
    Update("deployAsBlue changed", TASK, {}, {"spec.deployAsBlue": False}, "spec.deployAsBlue"),
    Update("metadata changed", TASK, {}, {"spec.metadata": {"team": "ads"}}, "spec.metadata"),
    Update("key changed", TASK, {"spec.idempotencyKey": "a"}, {"spec.idempotencyKey": "b"}, "spec.idempotencyKey"),
    Update("override changed", TASK, {"spec.overrides": {"initialMaxEvals": 1}},
           {"spec.overrides": {"initialMaxEvals": 2}}, "spec.overrides"),
    Update("override of a choice changed", TASK,
           {"spec.overrides": {"initialParams": {"margin": {"choice": [0.1]}}}},
           {"spec.overrides": {"initialParams": {"margin": {"choice": [0.2]}}}}, "spec.overrides"),
    Update("base changed", MODEL, {}, {"spec.base.uri": "s3://models/other"}, "spec.base"),
    Update("bucket changed", MODEL, {}, {"spec.store.bucket": "others"}, "spec.store.bucket"),
    Update("prefix changed", MODEL, {}, {"spec.store.prefix": "serach/en"}, "spec.store.prefix"),
    Update("prefix removed", MODEL, {}, {"spec.store.prefix": ABSENT}, "spec.store.prefix"),
    Update("empty prefix left out", MODEL, {"spec.store.prefix": ""}, {"spec.store.prefix": ABSENT}),
    Update("deployAsBlue false left out", TASK, {"spec.deployAsBlue": False},
           {"spec.deployAsBlue": ABSENT}),
    Update("endpoint changed", MODEL, {}, {"spec.store.endpoint": "minio.storage.svc:9000"}),
    Update("keys changed", MODEL, {}, {"spec.store.credentialsSecretRef.name": "others"}),
    Update("serving changed", MODEL, {}, {f"{T}.rollbackTo": "v0123456789ab"}),
    Update("method reference changed", MODEL, {}, {"spec.methodRef": {"name": "other"}}),
    Update("method changed", METHOD, {}, {"spec.settings.numEpochs": 3}),
]  # fmt: skip
