"""What a plugin defines or returns is used, or it is said that it is not."""

import importlib
import logging
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bluetune_api.clickstream import Clickstream
from bluetune_api.method import SearchDimension, Settings
from bluetune_api.records import MethodPlan, Trial
from bluetune_trainer.data.event_types import EventTypes
from bluetune_trainer.data.notes import notes
from bluetune_trainer.errors import PlanInvalid, PluginFailed
from bluetune_trainer.plugin.blame import blaming
from bluetune_trainer.plugin.loading import load_plugin
from bluetune_trainer.plugin.method import FineTuningMethod, overridden
from bluetune_trainer.plugin.resolve import Resolved, resolve
from bluetune_trainer.training.parts import choose_parts

Make = Callable[..., Resolved]
Load = Callable[..., Any]
INIT = "def __init__(self):\n    super().__init__()\n"


def with_parts(body: str) -> str:
    return INIT + textwrap.indent(textwrap.dedent(body), "    ")


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Writes a module with a class Plugin of this body, and gives its name."""
    monkeypatch.syspath_prepend(str(tmp_path))
    names: list[str] = []

    def go(body: str, base: str = "TextFineTuningMethod", after: str = "") -> str:
        names.append(f"passed_over_{len(names)}")
        top = "from bluetune_trainer.plugin import FineTuningMethod, PluginMeta, TextFineTuningMethod\n"
        text = f"{top}class Plugin({base}):\n{textwrap.indent(textwrap.dedent(body), '    ')}\n{after}"
        (tmp_path / f"{names[-1]}.py").write_text(text)
        importlib.invalidate_caches()
        return f"{names[-1]}:Plugin"

    yield go
    for name in names:
        sys.modules.pop(name, None)


# What a plugin of hooks defines


@pytest.mark.parametrize(
    ("body", "base", "says"),
    [
        ("pass", "FineTuningMethod", "does not define item_text(item, items), the text that stands for an item"),
        ("def query(self): return ''", "TextFineTuningMethod", "query is called with (session): too many positional"),
        (
            "def item_text(self, item, items, shop): return ''",
            "TextFineTuningMethod",
            "item_text is called with (item, items): missing a required argument: 'shop' (in item_text,",
        ),
        ("def __init__(self): self.settings = 5", "TextFineTuningMethod", "the attribute settings is a int"),
        (
            "def __init__(self, shop): pass",
            "TextFineTuningMethod",
            "cannot be made: Plugin.__init__() missing 1 required",
        ),
        ("meta = {'name': 'x'}", "TextFineTuningMethod", "meta must be a PluginMeta, it is dict"),
        (
            "import abc\n@abc.abstractmethod\ndef shelf(self): ...\n",
            "TextFineTuningMethod, __import__('abc').ABC",
            "cannot be made: Can't instantiate abstract class Plugin",
        ),
    ],
)
def test_a_plugin_that_a_run_cannot_call_fails_when_it_is_loaded(
    write: Callable[..., str], body: str, base: str, says: str
) -> None:
    name = write(body, base)
    with pytest.raises(PluginFailed) as failed:
        load_plugin(name)
    assert says in failed.value.message
    assert name in failed.value.message


@pytest.mark.parametrize("hook", ["item_text", "initial_model", "split_item"])
def test_a_hook_that_is_asked_of_the_base_class_fails_with_its_name(write: Callable[..., str], hook: str) -> None:
    plugin = load_plugin(write(f"def {hook}(self, *a): return FineTuningMethod.{hook}(self, *a)\n"))
    with pytest.raises(PluginFailed, match=f"Plugin does not define {hook}, "):
        getattr(plugin, hook)(*(() if hook == "initial_model" else (1,)), 2)


def test_a_hook_that_is_kept_as_an_attribute_is_called(write: Callable[..., str]) -> None:
    plugin = load_plugin(write("def __init__(self): self.query = lambda session: 'mine'"))
    query = overridden(plugin, "query")
    assert query is not None
    assert query({}) == "mine"


def test_a_method_whose_name_is_all_but_a_hooks_is_warned_of(
    write: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    load_plugin(write("def item_texts(self, item, items): return ''\ndef helper(self): pass"))
    (record,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert (record.method, record.didYouMean) == ("item_texts", "item_text")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (
            "return settings.model_copy(update={'num_epoch': 3})",
            "settings returned settings that no manifest can have: num_epoch: there is no such field",
        ),
        (
            "return settings.model_copy(update={'batch_size': 0})",
            "settings returned settings that no manifest can have: batch_size: ",
        ),
    ],
)
def test_settings_that_no_manifest_can_have_fail_the_plugin(write: Callable[..., str], body: str, says: str) -> None:
    name = write(f"def settings(self, settings): {body}")
    with pytest.raises(PluginFailed) as failed:
        resolve(MethodPlan(plugin=name))
    assert says in failed.value.message.replace("numEpoch", "num_epoch").replace("batchSize", "batch_size")


@pytest.mark.parametrize(
    ("returned", "says"), [("{'margin': [0.1]}", "a dictionary with margin: list"), ("{}", "an empty one")]
)
def test_a_search_space_that_is_none_fails_the_plugin(write: Callable[..., str], returned: str, says: str) -> None:
    name = write(f"def initial_params(self, space): return {returned}")
    with pytest.raises(PluginFailed) as failed:
        resolve(MethodPlan(plugin=name))
    assert failed.value.message.endswith(says)


def test_a_built_in_ranker_that_a_hook_returns_is_not_taken_for_its_opposite(write: Callable[..., str]) -> None:
    body = """
    def ranker(self, settings):
        from bluetune_trainer import EUCLIDEAN_DISTANCE
        return EUCLIDEAN_DISTANCE
    """
    resolved = resolve(MethodPlan(plugin=write(body)))
    with pytest.raises(PlanInvalid, match=r"settings.isSimilarity: it is true, and the ranker EUCLIDEAN_DISTANCE"):
        choose_parts(resolved.method.settings, resolved.plugin)
    choose_parts(Settings(is_similarity=False), resolved.plugin)


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        ("queries[:, 0]", r"must return a tensor of \[queries, items\], here \[2, 3\]; it returned one of \[2\]"),
        ("0.5", r"here \[2, 3\]; it returned a float"),
    ],
)
def test_a_ranker_of_a_wrong_shape_fails_the_plugin(write: Callable[..., str], returned: str, says: str) -> None:
    plugin = load_plugin(write(f"def ranker(self, settings): return lambda queries, items: {returned}"))
    with pytest.raises(PluginFailed, match=says):
        choose_parts(Settings(), plugin).ranker(torch.ones(2, 4), torch.ones(3, 4))


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        ("ranks[0]", r"must return a tensor of \[sessions, results\], here \[2, 3\]; it returned one of \[3\]"),
        ("ranks - 2", "must return finite numbers from 0 on"),
        ("ranks * float('nan')", "must return finite numbers from 0 on"),
    ],
)
def test_confidences_that_are_none_fail_the_plugin(write: Callable[..., str], returned: str, says: str) -> None:
    plugin = load_plugin(write(f"def confidence_calculator(self, s): return lambda ranks, clicked, valid: {returned}"))
    everything = torch.ones(2, 3, dtype=torch.bool)
    with pytest.raises(PluginFailed, match=says):
        choose_parts(Settings(), plugin).confidence_calculator(torch.ones(2, 3), everything, everything)


def test_a_splitter_of_items_that_no_setting_asks_for_is_warned_of(
    write: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    name = write("def split_item(self, text, fits): return [text]")
    resolve(MethodPlan(plugin=name, settings=Settings(long_items="Split")))
    assert caplog.records == []
    resolve(MethodPlan(plugin=name))
    assert "split_item of the plugin is not asked" in caplog.records[0].message


@pytest.mark.parametrize(
    ("definition", "says"),
    [
        ("class Mine(RankingLossInterface): pass", "cannot be made: Can't instantiate abstract class Mine"),
        ("class Mine:\n    def __init__(self, shop): pass", "cannot be made: Mine.__init__() missing 1 required"),
    ],
)
def test_a_loss_of_the_settings_that_cannot_be_made_fails_with_its_name(
    write: Callable[..., str], definition: str, says: str
) -> None:
    name = write("pass", after=f"from bluetune_trainer import RankingLossInterface\n{definition}\n").partition(":")[0]
    with pytest.raises(PluginFailed) as failed:
        choose_parts(Settings(loss=f"{name}:Mine"))
    assert f"settings.loss '{name}:Mine' {says}" in failed.value.message


def test_a_part_that_is_called_with_other_arguments_than_it_takes_is_the_plugins(write: Callable[..., str]) -> None:
    plugin = load_plugin(write("def ranker(self, settings):\n    def rank(queries): return queries\n    return rank"))
    rank = plugin.ranker(Settings())
    assert rank is not None
    says = r"takes 1 positional argument but 2 were given \(in .*passed_over_0.py\)"
    with pytest.raises(PluginFailed, match=says), blaming("p", plugin, rank):
        rank(1, 2)  # type: ignore[arg-type]


def test_a_module_whose_forward_a_plugin_leaves_out_is_the_plugins(write: Callable[..., str]) -> None:
    from torch.nn import Module

    plugin = load_plugin(write("pass"))
    says = "p does not define forward, which this run asks for"
    with pytest.raises(PluginFailed, match=says), blaming("p", plugin):
        type("Mine", (Module,), {})()(None)


# What a plugin with a builder defines


def test_every_hook_beside_a_builder_is_called(plugin: Make, load: Load) -> None:
    seen = """
def settings(self, settings):
    return settings.model_copy(update={"seed": 7})
def initial_params(self, space):
    from bluetune_api.method import SearchDimension
    return {**space, "temperature": SearchDimension(choice=[0.1])}
def initial_max_evals(self, evals):
    return evals + 3
def accumulators(self, settings):
    return [MetricsAccumulator("test_loss")]
def data_read(self, sessions, catalogue):
    self.seen = len(sessions), len(catalogue.ids)
def query(self, session):
    return "own " + session["search_query"]
def __init__(self):
    super().__init__()
    self.settings = FineTuningSettings(loss_func=CosineProbMarginRankingLoss(), num_epochs=3)
"""
    resolved = plugin(seen)
    assert (resolved.method.settings.seed, resolved.method.settings.num_epochs) == (7, 3)
    listed = {"margin", "examples_order", "unclicked_weight", "phrases_per_session", "interpolation"}
    assert set(resolved.method.initial_params) == {*listed, "temperature"}
    assert resolved.method.initial_max_evals == 5
    assert [a.name for a in resolved.plugin.accumulators(Settings())] == ["test_loss"]
    loaded = load(resolved)
    assert resolved.plugin.plugin.seen == (60, 30)
    assert loaded.sessions.queries[0] == "own query 0"


@pytest.mark.parametrize(
    ("body", "hook"),
    [
        (
            """
            class Parts(TextItemSetManager):
                def parts(self, text): return [text[:3], text[3:]]
            self.items_set_manager = Parts(self.normalizer)
            """,
            "split_item",
        ),
        (
            """
            class Varied(TextItemSetManager):
                def variants(self, text): return [text, text.upper()]
            self.items_set_manager = Varied(self.normalizer)
            """,
            "item_variants",
        ),
        (
            """
            class Varied(TrainTestSplitter):
                def variants(self, query): return [query, query.upper()]
            self.splitter = Varied()
            """,
            "query_variants",
        ),
        (
            """
            class Tracker(ExperimentsManager):
                def trial_finished(self, trial): pass
            self.manager = Tracker(None, "ndcg@10", "shop", [])
            """,
            "trial_finished",
        ),
    ],
)
def test_a_parts_method_that_is_overridden_is_called(plugin: Make, body: str, hook: str) -> None:
    resolved = plugin(with_parts(body))
    assert overridden(resolved.plugin, hook) is not None
    assert (resolved.method.settings.long_items == "Split") == (hook == "split_item")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            """
            class Loud(TextItemSetManager):
                def preprocess(self, content): return content.upper()
            self.items_set_manager = Loud(self.normalizer)
            """,
            "TITLE 0",
        ),
        (
            """
            class Normalizer(DatasetFieldsNormalizer):
                def __call__(self, rows): return [{"item_id": row.id, "item": "normal " + row.data} for row in rows]
            self.normalizer = Normalizer("item", "item_id")
            self.items_set_manager = ItemSetManager(self.normalizer)
            """,
            "normal title 0",
        ),
        (
            """
            from pydantic import field_validator
            class Meta(ItemMeta):
                title: str
                @field_validator("title")
                @classmethod
                def _short(cls, title): return title[:3]
            self.sessions_converter = ClickstreamSessionConverter(item_type=Meta)
            """,
            "tit",
        ),
        (
            """
            class Converter(ClickstreamSessionConverter):
                def item_meta(self, object_id, fields): return ItemMeta(object_id=object_id, title="of " + object_id)
            self.sessions_converter = Converter(item_type=ItemMeta)
            """,
            "of 0",
        ),
    ],
)
def test_parts_that_make_texts_of_items_are_asked_beside_the_loader_of_texts(
    plugin: Make, load: Load, body: str, text: str
) -> None:
    assert load(plugin(with_parts(body))).catalogue.texts[0] == text


def test_a_meta_that_an_item_cannot_be_is_a_broken_line(plugin: Make, load: Load) -> None:
    body = """
    class Meta(ItemMeta):
        price: float
    self.sessions_converter = ClickstreamSessionConverter(item_type=Meta)
    """
    loaded = load(plugin(with_parts(body)))
    assert loaded.items.broken == 30
    assert "price" in loaded.items.offences[0].problem


def test_an_item_that_a_loader_gives_twice_fails_the_plugin(plugin: Make, load: Load) -> None:
    body = """
    class Twice(DataLoader):
        def load(self, items_data): return [DownloadedItem(id=m.id, data="x", meta=m) for m in items_data] * 2
    self.data_loader = Twice()
    """
    with pytest.raises(PluginFailed, match="load of Twice must return one item for one meta, 2 came in a list"):
        load(plugin(with_parts(body)))


def test_the_managers_accumulators_are_followed_beside_the_builders(plugin: Make) -> None:
    body = """
    self.accumulators = [MetricsAccumulator("train_loss")]
    self.manager = ExperimentsManager(None, "ndcg@10", "shop", [*self.accumulators, MetricsAccumulator("test_loss")])
    """
    hooks = plugin(with_parts(body)).plugin
    assert [a.name for a in hooks.accumulators(Settings())] == ["train_loss", "test_loss"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (
            "def get_fine_tuning_builder(self, clickstream):\n"
            "    len(clickstream)\n"
            "    builder = super().get_fine_tuning_builder(clickstream)\n"
            "    class Loud(TextQueryRetriever):\n"
            "        def _convert_query(self, query): return query.text.upper()\n"
            "    builder.query_retriever = builder.ranking_data.retriever = Loud()\n    return builder",
            "query_retriever of the builder is not the one that the batch was read with",
        ),
        (
            "def get_fine_tuning_builder(self, clickstream):\n"
            "    builder = super().get_fine_tuning_builder(clickstream)\n"
            "    builder.query_retriever = type('R', (TextQueryRetriever,), {})()\n    return builder",
            "prepare_data got another retriever than the builder's query_retriever; give both the same",
        ),
        (
            with_parts("self.items_set_manager = TextItemSetManager(DatasetFieldsNormalizer('text', 'id'))\n"),
            "dataset_fields_normalizer of the builder is not the items_set_manager's field_normalizer",
        ),
    ],
)
def test_parts_that_contradict_each_other_fail_the_plugin(plugin: Make, load: Load, body: str, says: str) -> None:
    with pytest.raises(PluginFailed) as failed:
        load(plugin(body))
    assert says in failed.value.message


def test_what_a_converter_leaves_out_is_counted(plugin: Make, load: Load) -> None:
    body = """
    class Half(ClickstreamSessionConverter):
        def convert(self, session_data):
            return super().convert(session_data) if int(session_data.session_id) % 2 else None
    self.sessions_converter = Half(item_type=ItemMeta)
    """
    loaded = load(plugin(with_parts(body)))
    assert (loaded.tally.left_out, len(loaded.sessions)) == (30, 30)
    assert "sessions that the plugin left out: 30" in notes(loaded.tally, EventTypes(), Clickstream())


def test_a_converter_that_shortens_lists_does_not_shorten_them_again_for_a_splitter(plugin: Make, load: Load) -> None:
    body = """
    class Rest(ClickstreamSessionConverter):
        def convert(self, session_data):
            made = super().convert(session_data)
            made.input.remove_results(made.input.results[-1:])
            return made
    class Own(TrainTestSplitter):
        def split(self, inputs):
            assert {len(i) for i in inputs} == {3}
            return {"train": inputs[::2], "test": inputs[1::2]}
    self.sessions_converter, self.splitter = Rest(item_type=ItemMeta), Own()
    """
    loaded = load(plugin(with_parts(body)))
    assert (np.diff(loaded.sessions.offsets) == 3).all()


def test_a_tracker_of_the_plugins_own_is_told_of_trials(plugin: Make) -> None:
    body = """
    class Tracker(ExperimentsManager):
        def trial_finished(self, trial): self.told = trial.trial
    self.manager = Tracker(None, "ndcg@10", "shop", [])
    """
    hooks = plugin(with_parts(body)).plugin
    told = overridden(hooks, "trial_finished")
    assert told is not None
    told(Trial(trial=5, params={}, status="fail"))
    assert hooks.plugin.manager.told == 5  # type: ignore[attr-defined]


def test_every_hook_of_the_documentation_exists() -> None:
    page = (Path(__file__).parents[3] / "docs" / "plugins.md").read_text()
    table = page.split("## What a plugin can replace")[1].split("\n## ")[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    named = {name.split("(")[0] for row in rows for name in row.replace("`", "").strip().split("), ")}
    assert {name for name in named if not hasattr(FineTuningMethod, name) and name.isidentifier()} == set()
    assert SearchDimension(choice=[1]).choice == [1]
