"""Plugins and names in settings: found, or refused with the field, the value and what there is."""

import re
import sys
import textwrap
from pathlib import Path

import pytest

from bluetune_api.method import Settings
from bluetune_api.records import MethodPlan
from bluetune_trainer.errors import PlanInvalid, PluginFailed
from bluetune_trainer.plugin import TextFineTuningMethod
from bluetune_trainer.plugin.blame import blaming
from bluetune_trainer.plugin.loading import BUILT_IN
from bluetune_trainer.plugin.method import overridden
from bluetune_trainer.plugin.resolve import resolve
from bluetune_trainer.training.params import resolve_settings

EXAMPLE = Path(__file__).parents[3] / "examples" / "plugin"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """Name of a module that a test may import."""
    name = f"plugin_of_{request.node.name.partition('[')[0]}"
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / f"{name}.py").write_text(
        textwrap.dedent("""
        from bluetune_trainer.plugin import TextFineTuningMethod

        class Good(TextFineTuningMethod):
            def settings(self, settings):
                return settings.model_copy(update={"batch_size": 7})

        class WrongReturn(TextFineTuningMethod):
            def settings(self, settings):
                return {"batch_size": 7}

        class Raises(TextFineTuningMethod):
            def settings(self, settings):
                return {}["missing"]

        class RaisesWhenMade(TextFineTuningMethod):
            def __init__(self):
                raise RuntimeError("no licence")

        class NotAPlugin:
            pass

        def my_loss():
            return None

        A_NUMBER = 5
        """)
    )
    return name


def test_the_built_in_method_is_the_default() -> None:
    resolved = resolve(MethodPlan())
    assert type(resolved.plugin) is TextFineTuningMethod
    assert resolved.method == MethodPlan(initial_max_evals=8)


def test_a_plugin_changes_the_settings(module: str) -> None:
    assert resolve(MethodPlan(plugin=f"{module}:Good")).method.settings == Settings(batch_size=7)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("TextFineTuningMetod", "did you mean 'TextFineTuningMethod'?"),
        ("no_such_package.module:X", "there is no module 'no_such_package' here; install it into the trainer's image"),
        ("json:Nothing", "'json' has no 'Nothing'"),
        ("json.nothing:X", "there is no module 'json.nothing' here"),
        ("{}:Goood", "did you mean 'Good'?"),
        ("{}:NotAPlugin", "is not a subclass of"),
        ("{}:A_NUMBER", "is not a subclass of"),
    ],
)
def test_a_plugin_that_is_not_there_is_refused(module: str, name: str, says: str) -> None:
    with pytest.raises(PlanInvalid) as error:
        resolve(MethodPlan(plugin=name.format(module)))
    assert str(error.value).startswith("plugin: '")
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Raises", r"raised KeyError: 'missing' \(in settings, .*\.py:14\)"),
        ("RaisesWhenMade", r"raised RuntimeError: no licence \(in __init__, .*\.py:18\)"),
        ("WrongReturn", "settings must return Settings, it returned dict"),
    ],
)
def test_a_plugin_that_raises_says_what_and_where(module: str, name: str, says: str) -> None:
    with pytest.raises(PluginFailed, match=says):
        resolve(MethodPlan(plugin=f"{module}:{name}"))


@pytest.mark.parametrize(
    ("code", "error", "says"),
    [
        ("1 / 0", PluginFailed, "raised ZeroDivisionError: division by zero (in <module>"),
        (
            "import no_such_dependency",
            PlanInvalid,
            "No module named 'no_such_dependency'; add what it needs to the image",
        ),
        ("def x(:", PlanInvalid, "invalid syntax"),
    ],
)
def test_a_module_that_cannot_be_imported_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, error: type[Exception], says: str
) -> None:
    name = f"broken_{abs(hash(code))}"
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(error) as raised:
        resolve(MethodPlan(plugin=f"{name}:X"))
    assert says in str(raised.value)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {"loss": "ListwiseLoss"},
            "settings.loss: 'ListwiseLoss' is not built in; did you mean 'ListwiseSoftmaxLoss'?",
        ),
        ({"ranker": "cosine"}, "settings.ranker: 'cosine' is not built in"),
        ({"confidence_calculator": "{}:A_NUMBER"}, "is a int, and must be a class or a function"),
        ({"metrics": ["irrelevant_dist_shift", "{}:nope"]}, "settings.metrics[1]:"),
    ],
)
def test_names_in_settings_are_judged(module: str, settings: dict, says: str) -> None:
    filled = {
        k: [x.format(module) for x in v] if isinstance(v, list) else v.format(module) for k, v in settings.items()
    }
    with pytest.raises(PlanInvalid) as error:
        resolve(MethodPlan(settings=Settings(**filled)))
    assert says in str(error.value)


def test_objects_of_the_user_are_known_for_blame(module: str) -> None:
    resolved = resolve(MethodPlan(settings=Settings(loss=f"{module}:my_loss", metrics=["irrelevant_dist_shift"])))
    assert [getattr(o, "__name__", None) for o in resolved.user_code[1:]] == ["my_loss"]


def test_an_error_of_ours_is_not_blamed_on_the_plugin() -> None:
    with pytest.raises(ZeroDivisionError), blaming("x", TextFineTuningMethod()):
        _ = 1 / 0


def test_unchanged_hooks_are_not_called_for_every_line() -> None:
    assert overridden(TextFineTuningMethod(), "session") is None


def test_the_example_plugin_does_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLE))
    resolved = resolve(MethodPlan(plugin="shop_plugin:ShopMethod"))
    plugin, items = resolved.plugin, resolved.method.items
    assert resolved.method.settings.max_tokens == 64
    assert plugin.item_text({"title": "Lamp", "category": "Home"}, items) == "Home: Lamp"
    assert plugin.item_text({"title": "Lamp", "in_stock": False}, items) is None
    assert plugin.session({"user_id": "monitoring"}) is None
    assert overridden(plugin, "session") is not None


@pytest.mark.slow
def test_the_built_in_names_are_those_of_the_registry() -> None:
    from bluetune_trainer.ranking import registry

    assert set(BUILT_IN["settings.loss"]) == set(registry.LOSSES)
    assert set(BUILT_IN["settings.ranker"]) == set(registry.RANKERS)
    assert set(BUILT_IN["settings.confidenceCalculator"]) == set(registry.CONFIDENCES)
    assert set(BUILT_IN["settings.metrics"]) == set(registry.METRICS)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"ranker": "EUCLIDEAN_DISTANCE", "isSimilarity": True}, "true contradicts settings.ranker EUCLIDEAN_DISTANCE"),
        ({"isSimilarity": False}, "false contradicts settings.ranker COSINE_SIMILARITY"),
        ({"propensity": {"eta": 2}}, "settings.propensity: positionBias None does not use it"),
        ({"propensity": {"eta": 2}, "positionBias": "SkipAbove"}, "settings.propensity: positionBias SkipAbove"),
        ({"partsRank": "Mean"}, "settings.partsRank: longItems Truncate does not use it"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict, says: str) -> None:
    with pytest.raises(PlanInvalid, match=re.escape(says)):
        resolve(MethodPlan(settings=Settings.model_validate(settings)))


@pytest.mark.parametrize(
    ("settings", "is_similarity"),
    [
        ({}, True),
        ({"ranker": "COSINE_DISTANCE"}, False),
        ({"ranker": "EUCLIDEAN_DISTANCE", "isSimilarity": False}, False),
        ({"ranker": "my.module:ranker"}, True),
        ({"ranker": "my.module:ranker", "isSimilarity": False}, False),
    ],
)
def test_what_a_rank_means_follows_the_ranker(settings: dict, is_similarity: bool) -> None:
    assert resolve_settings(Settings.model_validate(settings)).is_similarity == is_similarity
