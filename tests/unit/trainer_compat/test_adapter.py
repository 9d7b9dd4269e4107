"""A builder's parts as the hooks that a run calls."""

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bluetune_api.method import SearchDimension, Settings
from bluetune_api.records import MethodPlan
from bluetune_trainer import CosineProbMarginRankingLoss
from bluetune_trainer.errors import PluginFailed
from bluetune_trainer.plugin.method import FineTuningMethod, overridden
from bluetune_trainer.plugin.resolve import Resolved, resolve

Load = Callable[..., Any]
Make = Callable[..., Resolved]


def test_the_builders_settings_space_and_trials_are_the_runs(plugin: Make) -> None:
    method = plugin("pass").method
    assert method.settings == Settings(
        is_similarity=True,
        step_size=500,
        gamma=0.9,
        warmup=0.0,
        num_epochs=3,
        batch_size=1,
        test_each_n_inputs=1e9,
        objective="mrr@10",
    )
    assert method.initial_params is not None
    assert {name: d.choice for name, d in method.initial_params.items()} == {
        "margin": [0.2, 0.5],
        "examples_order": [[11]],
        "unclicked_weight": [1.0],
        "phrases_per_session": [0.0],
        "interpolation": [1.0],
    }
    assert method.initial_max_evals == 2


def test_what_embedding_studio_does_not_know_is_off_unless_the_manifest_or_the_builder_names_it(plugin: Make) -> None:
    body = """
    def __init__(self):
        super().__init__()
        self.settings = FineTuningSettings(loss_func=ListwiseSoftmaxLoss(temperature=0.07))
        self.initial_params = {"phrases_per_session": [1]}
    """
    space = plugin(body, initial_params={"interpolation": SearchDimension(choice=[0.25])}).method.initial_params
    assert space is not None
    assert {name: d.choice for name, d in space.items()} == {
        "phrases_per_session": [1],
        "interpolation": [0.25],
        "temperature": [0.07],
        "unclicked_weight": [1.0],
    }


def test_a_builder_that_lists_no_parameters_gets_the_preset(plugin: Make) -> None:
    body = """
    def __init__(self):
        super().__init__()
        self.initial_params = {}
    """
    assert plugin(body).method.initial_params is None


def test_what_the_manifest_says_goes_before_the_builder(plugin: Make) -> None:
    resolved = plugin(
        "pass",
        Settings(num_epochs=1, loss="ProbMarginRankingLoss", objective="recall@10"),
        initial_params={"margin": SearchDimension(choice=[0.9])},
        initial_max_evals=7,
    )
    settings = resolved.method.settings
    assert (settings.num_epochs, settings.batch_size, settings.objective) == (1, 1, "recall@10")
    assert resolved.method.initial_params is not None
    assert resolved.method.initial_params["margin"].choice == [0.9]
    assert resolved.method.initial_params["examples_order"].choice == [[11]]
    assert resolved.method.initial_max_evals == 7
    assert resolved.plugin.loss(settings) is None


def test_each_trial_gets_its_own_copy_of_the_loss(plugin: Make) -> None:
    resolved = plugin("pass")
    first, second = (resolved.plugin.loss(resolved.method.settings) for _ in range(2))
    assert isinstance(first, CosineProbMarginRankingLoss)
    assert isinstance(second, CosineProbMarginRankingLoss)
    first.set_margin(0.7)
    assert first is not second
    assert (first.base_margin, second.base_margin) == (0.7, CosineProbMarginRankingLoss().base_margin)


def test_plain_parts_take_a_session_as_it_is(plugin: Make, load: Load) -> None:
    hooks = plugin("pass").plugin
    idle = ("query", "split_item", "item_variants", "query_variants")
    assert [hook for hook in idle if overridden(hooks, hook)] == []
    session = {"session_id": "s", "search_query": "lamp", "search_results": [], "events": [{"object_id": "a"}]}
    assert hooks.session(session) is session
    assert load(plugin("pass")).catalogue.texts[:2] == ["title 0", "title 1"]


def test_of_few_queries_none_is_held_out_and_the_splitter_divides_all(plugin: Make, load: Load) -> None:
    loaded = load(plugin("pass"))
    split, sessions = loaded.split, loaded.sessions
    train, test = set(split.train.queries), set(split.validation.queries)
    assert not train & test
    assert len(split.gate) == 0
    assert len(test) == -(-len(train | test) // 5)
    assert sum(len(part) for part in (split.train, split.validation)) == len(sessions) == 60


@pytest.mark.parametrize(
    "chosen",
    [
        "clickstream[:30]",
        "[s for s in clickstream if int(s.session_number) < 30]",
        "[s.model_dump() for s in clickstream][:30]",
    ],
)
def test_a_plugin_that_looks_into_the_clickstream_learns_from_what_it_chose(
    plugin: Make, load: Load, chosen: str
) -> None:
    resolved = plugin(f"def learned_from(self, clickstream):\n    return {chosen}")
    assert resolved.plugin.waits_for_data()
    loaded = load(resolved)
    parts = (loaded.split.train, loaded.split.validation, loaded.split.gate)
    assert sorted(q for part in parts for q in part.queries) == sorted(loaded.sessions.queries[:30])
    assert int(sum(part.clicked.sum() for part in parts)) == 27
    again = resolve(MethodPlan(plugin="unused"), resolved.plugin)
    assert again.method.settings.num_epochs == 3
    assert again.method.initial_max_evals == 2


def test_a_loader_of_the_plugins_own_gives_the_texts(plugin: Make, load: Load) -> None:
    catalogue = load(
        plugin(
            """
            def __init__(self):
                super().__init__()
                class Meta(ItemMeta):
                    file: str
                class Files(DataLoader):
                    def load(self, items_data):
                        return [DownloadedItem(id=m.id, data="content of " + m.file, meta=m)
                                for m in items_data if m.file != "3.txt"]
                self.data_loader = Files()
                self.sessions_converter = ClickstreamSessionConverter(item_type=Meta)
            """
        )
    ).catalogue
    assert catalogue.texts[:4] == ["content of 0.txt", "content of 1.txt", "content of 2.txt", "content of 4.txt"]
    assert "3" not in catalogue.position


def test_a_converter_and_a_retriever_of_the_plugins_own_change_the_sessions(plugin: Make, load: Load) -> None:
    sessions = load(
        plugin(
            """
            def __init__(self):
                super().__init__()
                class Converter(ClickstreamSessionConverter):
                    def convert(self, session_data):
                        made = super().convert(session_data)
                        if made.input.query.text == "query 0":
                            return None
                        made.input.results = made.input.results[:2]
                        return made
                class Louder(TextQueryRetriever):
                    def _convert_query(self, query):
                        return query.text.upper()
                self.sessions_converter = Converter(item_type=ItemMeta)
                self.retriever = Louder()
            """
        )
    ).sessions
    assert len(sessions) == 58
    assert sessions.queries[0] == "QUERY 1"
    assert (np.diff(sessions.offsets) == 2).all()


def test_a_splitter_of_the_plugins_own_says_which_sessions_judge(plugin: Make, load: Load) -> None:
    split = load(
        plugin(
            """
            def __init__(self):
                super().__init__()
                class Short(TrainTestSplitter):
                    def split(self, inputs):
                        return {"train": [i for i in inputs if len(i.query.text) > 7],
                                "test": [i for i in inputs if len(i.query.text) <= 7]}
                self.splitter = Short()
            """
        )
    ).split
    assert {len(query) for query in split.validation.queries} == {7}
    assert {len(query) for query in split.train.queries} == {8}


def test_hooks_that_a_plugin_overrides_go_before_its_parts(plugin: Make, load: Load) -> None:
    loaded = load(
        plugin(
            """
            def item_text(self, item, items):
                return "own " + item["title"]
            def session(self, session):
                return session if session["session_id"] not in (0, "0") else None
            """
        )
    )
    assert loaded.catalogue.texts[0] == "own title 0"
    assert len(loaded.sessions) == 59
    assert loaded.tally.left_out == 1


def test_a_hook_of_the_plugins_own_stands_in_the_place_of_the_builders_part(plugin: Make) -> None:
    hooks = plugin("def metrics(self, settings): return [LossMetric()]\ndef trial_finished(self, trial): pass").plugin
    assert [type(metric).__name__ for metric in hooks.metrics(Settings()) or ()] == ["LossMetric"]
    assert overridden(hooks, "trial_finished") is not None
    assert hooks.loss(Settings()) is not None


def test_the_model_that_a_plugin_uploads_is_the_base_that_it_gives(plugin: Make, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    upload = f"def upload_initial_model(self): self.manager.upload_initial_model({str(tmp_path / 'model')!r})"
    write = overridden(plugin(upload).plugin, "initial_model")
    assert write is not None
    write(tmp_path / "base")
    assert (tmp_path / "base" / "config.json").read_text() == "{}"
    assert overridden(plugin("pass").plugin, "initial_model") is None
    nothing = overridden(plugin("def upload_initial_model(self): pass").plugin, "initial_model")
    assert nothing is not None
    with pytest.raises(PluginFailed, match=r"did not hand a model .* \(in upload_initial_model, .*_of_test.py:\d+\)"):
        nothing(tmp_path / "none")


def test_a_plugin_without_a_builder_is_its_own_hooks() -> None:
    from bluetune_trainer import FineTuningMethod as Documented

    class Plain(Documented):
        pass

    assert isinstance(Plain().adapted(), Plain)
    assert isinstance(Plain(), FineTuningMethod)


INIT = "def __init__(self):\n    super().__init__()\n    "


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("def __init__(self):\n    raise OSError('no licence')", "raised OSError: no licence (in __init__,"),
        (
            "def get_fine_tuning_builder(self, clickstream):\n    return None",
            "must return a FineTuningBuilder, it returned NoneType (in get_fine_tuning_builder,",
        ),
        (INIT + "self.data_loader = 5", "data_loader of the builder must be a DataLoader, it is int"),
        (INIT + "self.splitter = None", "clickstream_sessions_splitter of the builder must be a TrainTestSplitter"),
        (INIT + "self.settings = {}", "fine_tuning_settings of the builder must be a FineTuningSettings, it is dict"),
        (INIT + "self.settings = FineTuningSettings()", "raised ValidationError: 1 validation error"),
        (INIT + "self.initial_params = {'margn': [1]}", "there is no such parameter; did you mean 'margin'?"),
        (INIT + "self.initial_params = {'margin': 0.5}", "initial_params['margin'] must be a list of choices"),
        (INIT + "self.initial_params = {'margin': []}", "initial_params['margin'] is empty"),
        (INIT + "self.initial_params = {'items_lr': ['fast']}", "initialParams.items_lr.choice: 'fast' must be"),
        ("def get_fine_tuning_builder(self, clickstream):\n    open('/no/such/file')", "No such file or directory:"),
    ],
)
def test_a_plugin_whose_builder_cannot_be_used_fails_with_its_line(plugin: Make, body: str, says: str) -> None:
    with pytest.raises(PluginFailed) as failed:
        plugin(body)
    assert says in failed.value.message
    assert "_of_test.py:" in failed.value.message or "studio_base.py:" in failed.value.message


@pytest.mark.parametrize(
    ("part", "body", "says"),
    [
        (
            "data_loader",
            "class X(DataLoader):\n    def load(self, items): return None",
            "must return items, it returned",
        ),
        ("data_loader", "class X(DataLoader):\n    def load(self, items): open('/no/file')", "/no/file"),
        (
            "sessions_converter",
            "class X(ClickstreamSessionConverter):\n    def convert(self, s): return 1",
            "convert must return an input with items, or None, it returned int",
        ),
        (
            "retriever",
            "class X(QueryRetriever):\n    def _convert_query(self, query): return 1",
            "the query retriever must give a text, it gave int",
        ),
        (
            "splitter",
            "class X(TrainTestSplitter):\n    def split(self, inputs): return inputs",
            'split must return {"train": …, "test": …}, it returned list',
        ),
        (
            "splitter",
            "class X(TrainTestSplitter):\n    def split(self, inputs): return {'train': inputs, 'test': inputs}",
            "split must put each of the",
        ),
    ],
)
def test_a_part_that_fails_while_data_are_read_fails_the_plugin_with_its_line(
    plugin: Make, load: Load, part: str, body: str, says: str
) -> None:
    argument = "ItemMeta" if part == "sessions_converter" else ""
    indented = textwrap.indent(body, "    ").strip()
    resolved = plugin(f"{INIT}{indented}\n    self.{part} = X({argument})")
    with pytest.raises(PluginFailed) as failed:
        load(resolved)
    assert says in failed.value.message
    assert "_of_test.py:" in failed.value.message
