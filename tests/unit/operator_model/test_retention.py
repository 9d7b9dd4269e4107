"""Which versions a store need not keep."""

from typing import Any

import pytest

from bluetune_api.model import CurrentVersion, EmbeddingModelSpec, EmbeddingModelStatus, LockView, Rollout
from bluetune_operator.core.models.retention import Stored, busy, in_use, is_due, surplus, versions_of

NOW = "2026-01-01T00:00:00Z"


def v(number: int) -> str:
    return f"v{number:012x}"


def current(number: int) -> CurrentVersion:
    return CurrentVersion(version=v(number), uri="s3://b/x", digest="sha256:" + "0" * 64, promoted_at=NOW)


def rollout(step: str, source: int, to: int) -> Rollout:
    said = {"from": v(source), "to": v(to), "digest": "sha256:" + "0" * 64, "step": step}
    return Rollout.model_validate({**said, "startedAt": NOW, "stepStartedAt": NOW})


def model(name: str = "shop", base: str = "/models/base", **serving: Any) -> dict[str, Any]:
    store: dict[str, Any] = {"endpoint": "minio:9000", "bucket": "bkt", "prefix": name, "secure": False}
    store |= {"credentialsSecretRef": {"name": "keys"}}
    spec: dict[str, Any] = {"base": {"uri": base}, "store": store}
    if serving:
        spec["serving"] = {"deployment": "blue", "container": "server", **serving}
    return {"metadata": {"name": name, "uid": name}, "spec": spec}


def task(*, ended: bool = False, start: int | None = None, **status: Any) -> dict[str, Any]:
    conditions = [{"type": "Succeeded", "status": "True", "reason": "Promoted"}] if ended else []
    spec = {"startFrom": v(start)} if start is not None else {}
    return {"metadata": {"name": "t", "uid": "t"}, "spec": spec, "status": {"conditions": conditions, **status}}


@pytest.mark.parametrize(
    ("keep", "used", "expected"),
    [
        (6, (), []),
        (5, (), [0]),
        (2, (), [0, 1, 2, 3]),
        (2, (1, 5), [0, 2, 3]),
        (2, (0, 1, 2, 3), []),
    ],
)
def test_the_oldest_go_first_and_never_one_in_use(keep: int, used: tuple[int, ...], expected: list[int]) -> None:
    stored = [Stored(v(n), float(n)) for n in (3, 0, 5, 1, 4, 2)]
    assert surplus(stored, keep, frozenset(map(v, used))) == [v(n) for n in expected]


def test_versions_of_the_same_second_have_one_order() -> None:
    stored = [Stored(v(n), 1.0) for n in range(4)]
    assert surplus(stored, 2, frozenset()) == surplus(reversed(stored), 2, frozenset()) == [v(3), v(2)]


def test_a_folder_without_a_manifest_is_no_version() -> None:
    keys = [f"versions/{v(1)}/manifest.json", f"versions/{v(1)}/model.safetensors", f"versions/{v(2)}/config.json"]
    keys.append(f"versions/{v(3)}/deeper/manifest.json")
    assert versions_of((key, 7.0) for key in keys) == [Stored(v(1), 7.0)]


@pytest.mark.parametrize(
    ("case", "status", "serving", "tasks", "others", "expected"),
    [
        ("nothing yet", EmbeddingModelStatus(), {}, [], [], []),
        ("the base", EmbeddingModelStatus(base_version=v(0)), {}, [], [], [0]),
        (
            "the current one and its predecessor, no older one",
            EmbeddingModelStatus(current=current(9), history=[current(8), current(7)]),
            {},
            [],
            [],
            [9, 8],
        ),
        ("both ends of a rollout", EmbeddingModelStatus(rollout=rollout("Wait", 1, 2)), {}, [], [], [1, 2]),
        ("what is pinned", EmbeddingModelStatus(), {"rollbackTo": v(3)}, [], [], [3]),
        (
            "what an unfinished task starts from, compares with, or has published",
            EmbeddingModelStatus(),
            {},
            [task(start=1), task(startVersion=v(2), liveVersion=v(3), bestModelId=v(4))],
            [],
            [1, 2, 3, 4],
        ),
        ("a task that ended", EmbeddingModelStatus(), {}, [task(ended=True, start=1, bestModelId=v(4))], [], []),
        (
            "where another model begins",
            EmbeddingModelStatus(),
            {},
            [],
            [model("other", f"s3://bkt/shop/versions/{v(5)}/"), model("more", f"s3://bkt/shop/versions/{v(6)}")],
            [5, 6],
        ),
        (
            "another bucket or prefix is no reference",
            EmbeddingModelStatus(),
            {},
            [],
            [model("other", f"s3://other/shop/versions/{v(5)}/"), model("more", f"s3://bkt/shop2/versions/{v(6)}")],
            [],
        ),
    ],
)
def test_what_something_refers_to_is_in_use(
    case: str,
    status: EmbeddingModelStatus,
    serving: dict[str, Any],
    tasks: list[dict[str, Any]],
    others: list[dict[str, Any]],
    expected: list[int],
) -> None:
    mine = model(**serving)
    spec = EmbeddingModelSpec.model_validate(mine["spec"])
    assert in_use(mine, spec, status, tasks, [mine, *others]) == frozenset(map(v, expected)), case


LOCK = LockView(holder="t", holder_uid="u", since=NOW)
IDLE = EmbeddingModelStatus(base_version=v(0), current=current(1), observed_generation=1)


@pytest.mark.parametrize(
    ("case", "old", "new", "due"),
    [
        ("nothing changed", IDLE, IDLE, False),
        ("another version is current", IDLE, IDLE.model_copy(update={"current": current(2)}), True),
        ("the lock was freed", IDLE.model_copy(update={"lock": LOCK}), IDLE, True),
        ("the spec was changed", IDLE, IDLE.model_copy(update={"observed_generation": 2}), True),
        ("a task holds the model", IDLE, IDLE.model_copy(update={"lock": LOCK, "observed_generation": 2}), False),
        (
            "a rollout is under way",
            IDLE,
            IDLE.model_copy(update={"rollout": rollout("Wait", 1, 2), "observed_generation": 2}),
            False,
        ),
        ("a rollout ended", IDLE.model_copy(update={"rollout": rollout("Wait", 1, 2)}), IDLE, True),
        ("nothing is published yet", EmbeddingModelStatus(), EmbeddingModelStatus(observed_generation=1), False),
    ],
)
def test_when_to_look_for_old_versions(
    case: str, old: EmbeddingModelStatus, new: EmbeddingModelStatus, due: bool
) -> None:
    assert is_due(old, new) == due, case


@pytest.mark.parametrize(
    ("holder", "work", "status", "words"),
    [
        (None, [], IDLE, None),
        ("monday", [], IDLE, "task monday holds the model"),
        (None, [("Pod", "old-train-x", "u")], IDLE, "Pod old-train-x has not ended"),
        (None, [], IDLE.model_copy(update={"rollout": rollout("RollingBack", 1, 2)}), "a rollout is under way"),
        (None, [], IDLE.model_copy(update={"rollout": rollout("Done", 1, 2)}), None),
    ],
)
def test_nothing_is_removed_while_somebody_may_publish(
    holder: str | None, work: list[tuple[str, str, str]], status: EmbeddingModelStatus, words: str | None
) -> None:
    assert busy(holder, work, status) == words
