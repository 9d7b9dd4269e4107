"""Whose a store is, by what owner.json says."""

import pytest

from bluetune_api.store_identity import StoreOwner
from bluetune_operator.core.models.store_owner import not_held, owner_from, owner_step
from bluetune_operator.core.rollout.moves import Failure

WHERE = "s3://b/p/owner.json"
OURS = StoreOwner(cluster="c1", namespace="ns", name="shop", uid="u2")
NOWHERE = OURS.model_copy(update={"cluster": None})


def owner(cluster: str | None = "c1", namespace: str = "ns", name: str = "shop", uid: str = "u1") -> bytes:
    return StoreOwner(cluster=cluster, namespace=namespace, name=name, uid=uid).encode()


@pytest.mark.parametrize(
    ("case", "found", "ours", "named", "step"),
    [
        ("nobody's", None, OURS, None, "Claim"),
        ("ours", OURS.encode(), OURS, None, "Ours"),
        ("ours, when the cluster could not be told", owner(None, uid="u2"), OURS, None, "Complete"),
        ("ours, and the cluster cannot be told any more", OURS.encode(), NOWHERE, None, "Ours"),
        ("made again", owner(), OURS, None, "TakeOver"),
        ("the same name in another cluster", owner("c2"), OURS, None, None),
        ("the same name, who knows where", owner(None), OURS, None, None),
        ("the same name, and we do not know where we are", owner(), NOWHERE, None, None),
        ("neither knows", owner(None), NOWHERE, None, None),
        ("another name", owner(name="other"), OURS, None, None),
        ("another namespace", owner(namespace="other"), OURS, None, None),
        ("named by the annotation", owner("c2", "other", "old"), OURS, "other/old/u1", "TakeOver"),
        ("another uid is named", owner("c2", "other", "old"), OURS, "other/old/u0", None),
        ("a later release's field", owner()[:-1] + b',"more":1}', OURS, None, "TakeOver"),
        ("a later release's format", owner().replace(b'ion":1', b'ion":2'), OURS, "ns/shop/u1", None),
        ("no JSON", b"{", OURS, None, None),
    ],
)  # fmt: skip
def test_what_to_do_with_a_store(
    case: str, found: bytes | None, ours: StoreOwner, named: str | None, step: str | None
) -> None:
    answer = owner_step(found, ours, named, WHERE)
    if step is not None:
        assert answer == step, case
        return
    assert isinstance(answer, Failure), case
    assert answer.reason == ("FormatTooNew" if "format" in case else "AlreadyClaimed")
    assert WHERE in answer.message


def test_a_refusal_says_whose_it_is_and_how_to_take_over() -> None:
    answer = owner_step(owner("c2", "other", "old"), OURS, "other/old/u0", WHERE)
    assert isinstance(answer, Failure)
    for words in (
        "other/old (uid u1) of cluster c2",
        "-n ns annotate emodel shop",
        "take-over-from=other/old/u1",
        "u0",
    ):
        assert words in answer.message


@pytest.mark.parametrize(
    ("case", "found", "reason"),
    [
        ("held", OURS.encode(), None),
        ("not claimed yet", None, "ModelNotReady"),
        ("made again, not claimed yet", owner(), "ModelNotReady"),
        ("another's", owner(name="other"), "AlreadyClaimed"),
        ("unreadable", b"", "AlreadyClaimed"),
    ],
)
def test_nothing_is_written_unless_owner_json_names_the_model(
    case: str, found: bytes | None, reason: str | None
) -> None:
    model = {"metadata": {"namespace": "ns", "name": "shop", "uid": "u2"}}
    refused = not_held(found, model, WHERE)
    assert (refused.reason if refused else None) == reason, case


def test_the_same_owner_gives_the_same_bytes() -> None:
    """A create whose answer was lost is found again by its content."""
    model = {"metadata": {"namespace": "ns", "name": "shop", "uid": "u2"}}
    assert owner_from(model, "c1").encode() == OURS.encode()
    assert b"cluster" not in owner_from(model, None).encode()
