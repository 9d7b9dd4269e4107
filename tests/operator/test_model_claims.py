"""Two models that claim the same thing, and a model without what it needs."""

import time

import pytest

from blue.world import Blue, usual_serving

pytest_plugins = ["blue.fixtures"]
pytestmark = pytest.mark.timeout(200)


def test_the_later_of_two_models_on_one_deployment_waits_until_the_first_is_gone(blue: Blue) -> None:
    blue.make_deployment()
    blue.make_model("first", prefix="one")
    base, _ = blue.imported("first", "one")
    with blue.operator():
        blue.until(lambda: blue.current("first") == base)
        blue.make_model("second", prefix="two")
        second, _ = blue.imported("second", "two")
        ready = blue.until(
            lambda: (
                blue.condition("Ready", "second").get("reason") == "AlreadyClaimed"
                and blue.condition("Ready", "second")
            )
        )
        assert "Deployment blue belongs to model 'first'" in ready["message"]
        assert blue.current("second") is None
        assert blue.served() == [base]
        blue.kubectl("delete", "emodel", "first", "--timeout=30s")
        blue.until(lambda: blue.current("second") == second)
        assert blue.served() == [second]


def test_two_models_on_one_prefix_the_later_one_makes_no_job(blue: Blue) -> None:
    blue.make_model("first", serving={})
    base, _ = blue.imported("first")
    time.sleep(1.1)  # creation times have whole seconds
    blue.make_model("second", serving={})
    with blue.operator():
        blue.until(lambda: blue.current("first") == base)
        blue.until(lambda: blue.condition("Ready", "second").get("reason") == "AlreadyClaimed")
        assert blue.kubectl.json("get", "jobs")["items"] == []


def test_a_missing_secret_is_named_and_the_model_goes_on_when_it_appears(blue: Blue) -> None:
    blue.kubectl("delete", "secret", "keys")
    blue.make_model(serving={})
    base, _ = blue.imported("shop")
    with blue.operator():
        ready = blue.until(
            lambda: blue.condition("Ready").get("reason") == "SecretNotFound" and blue.condition("Ready"), 20
        )
        assert "'keys'" in ready["message"]
        assert blue.condition("Stalled")["status"] == "True"
        blue.secret()
        blue.until(lambda: blue.current() == base)
        assert blue.condition("Ready")["reason"] == "Published"


def test_a_wrong_password_is_said_before_any_job_is_made(blue: Blue) -> None:
    blue.kubectl("patch", "secret", "keys", "-p", '{"stringData":{"AWS_SECRET_ACCESS_KEY":"wrong-password"}}')
    blue.make_model(serving=usual_serving())
    with blue.operator():
        ready = blue.until(
            lambda: blue.condition("Ready").get("reason") == "StoreDenied" and blue.condition("Ready"), 20
        )
        assert "AWS_SECRET_ACCESS_KEY" in ready["message"]
        assert blue.kubectl.json("get", "jobs")["items"] == []
