"""Each part of a run that a plugin can replace, replaced in a whole run; and what comes of a hook that is wrong."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainer.learning_world import write_tiny_encoder
from trainer.shop import Shop
from trainer.small_run import Ended, run, small_shop, with_plugin

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

Run = Callable[..., Ended]
TOP = """
from bluetune_trainer.plugin import TextFineTuningMethod
SEEN = []
class Plugin(TextFineTuningMethod):
"""


@pytest.fixture(scope="module")
def base(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_encoder(tmp_path_factory.mktemp("base"), minilm, layers=2)


@pytest.fixture
def shop(base: Path, tmp_path: Path) -> Shop:
    return small_shop(tmp_path, base)


@pytest.fixture
def run_plugin(shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def go(name: str, code: str, **settings: object) -> Ended:
        with_plugin(shop, name, TOP + code, monkeypatch, **settings)
        return run(shop, monkeypatch, capsys)

    return go


def seen(name: str) -> list[Any]:
    found: list[Any] = sys.modules[name].SEEN
    return found


def test_a_query_retriever_decides_what_the_query_tower_is_given(run_plugin: Run) -> None:
    ended = run_plugin(
        "plugin_query",
        """
    def query(self, session):
        kind = session["search_query"].split()[-1]
        return None if kind == "leafpal" else f"{session['session_id']} {kind}"
    def split(self, sessions):
        SEEN.append(list(sessions.queries))
""",
    )
    assert ended.code == 0, ended.stderr
    queries = seen("plugin_query")[-1]
    assert {query.split()[0] for query in queries} <= {f"s{n}" for n in range(120)}
    assert {query.split()[1] for query in queries} == {"glimmer", "snugwear", "rollabout", "brewgear", "fixkit"}


def test_a_splitter_decides_who_trains_judges_and_gates(run_plugin: Run) -> None:
    ended = run_plugin(
        "plugin_split",
        """
    def split(self, sessions):
        import numpy as np
        from bluetune_trainer.data.types import Split
        order = np.argsort(sessions.created, kind="stable")
        SEEN.append(sessions.created[order])
        return Split(*(sessions.subset(part) for part in np.split(order, [60, 90])))
""",
    )
    assert ended.code == 0, ended.stderr
    assert ended.result.gate is not None
    assert ended.result.gate.sessions == 30
    assert np.all(np.diff(seen("plugin_split")[-1]) == 60)


def test_a_ranker_of_distances_ranks_in_training_validation_and_gate(run_plugin: Run) -> None:
    ended = run_plugin(
        "plugin_ranker",
        """
    def ranker(self, settings):
        import torch
        def distance(queries, items):
            SEEN.append((len(queries), len(items), torch.is_grad_enabled()))
            return torch.cdist(queries, items)
        return distance
""",
        isSimilarity=False,
    )
    assert ended.code == 0, ended.stderr
    calls = seen("plugin_ranker")
    assert any(grad for _, _, grad in calls)
    assert any(not grad for _, _, grad in calls)
    similar = ended.result.candidate["not_irrelevant_dist_shift"]
    assert similar != 0
    assert ended.result.gate is not None


def test_a_loss_is_told_the_trials_margin_and_trains(run_plugin: Run) -> None:
    ended = run_plugin(
        "plugin_loss",
        """
    def loss(self, settings):
        from bluetune_trainer.ranking.losses import RankingLossInterface
        class Hinge(RankingLossInterface):
            def set_margin(self, margin):
                self.margin = margin
            def forward(self, features):
                pairs = features.pairs()
                value = (self.margin - pairs.positive_ranks + pairs.negative_ranks).clamp(min=0).mean()
                SEEN.append((self.margin, float(value.detach())))
                return value
        return Hinge()
    def initial_params(self, space):
        from bluetune_api.method import SearchDimension
        return {**space, "margin": SearchDimension(choice=[0.37])}
""",
    )
    assert ended.code == 0, ended.stderr
    margins, values = zip(*seen("plugin_loss"), strict=True)
    assert set(margins) == {0.37}
    assert values[-1] < values[0]
    assert ended.result.best is not None
    assert ended.result.best.params["margin"] == 0.37


def test_confidences_and_metrics_of_a_plugin_are_used_and_reported(run_plugin: Run) -> None:
    ended = run_plugin(
        "plugin_metrics",
        """
    def confidence_calculator(self, settings):
        def half(ranks, clicked, valid):
            SEEN.append(tuple(ranks.shape))
            return valid * 0.5
        return half
    def metrics(self, settings):
        from bluetune_trainer.ranking.metrics import MetricCalculator, MetricValue
        class Spread(MetricCalculator):
            def __call__(self, sessions):
                return [MetricValue("spread", float(sessions.ranks.std()))]
        return [Spread()]
""",
    )
    assert ended.code == 0, ended.stderr
    assert seen("plugin_metrics")
    assert ended.result.candidate["spread"] > 0


WORDS = '''
    def load_model(self, folder, settings):
        import json, zlib
        import numpy as np
        import torch
        from pathlib import Path
        from safetensors.torch import load_file, save_file
        from bluetune_trainer.training.model import Model, Tower

        class Words(Tower):
            """The mean of its words' vectors."""
            def __init__(self):
                super().__init__()
                self.table = torch.nn.Embedding(512, 16)
            dimension = 16
            def prepare(self, inputs, files):
                return [np.array([zlib.crc32(w.encode()) % 512 for w in text.split()]) for text in inputs]
            def cost(self, row):
                return len(row)
            def collate(self, rows):
                longest = max(map(len, rows))
                ids = torch.tensor([[*row, *[-1] * (longest - len(row))] for row in rows])
                return (ids,)
            def hidden(self, *batch):
                return self.table(batch[0].clamp(min=0))
            def pool(self, hidden, *batch):
                mask = (batch[0] >= 0).unsqueeze(2)
                return (hidden * mask).sum(1) / mask.sum(1)

        class Pair(Model):
            def __init__(self):
                super().__init__()
                self.of_queries, self.of_items = Words(), Words()
            def tower(self, kind):
                return self.of_queries if kind == "query" else self.of_items
            def save(self, folder):
                Path(folder).mkdir(parents=True, exist_ok=True)
                save_file(self.state_dict(), Path(folder) / "words.safetensors")
                (Path(folder) / "config.json").write_text(json.dumps({"model_type": "words"}))

        SEEN.append(str(folder))
        torch.manual_seed(0)
        model = Pair()
        if (Path(folder) / "words.safetensors").exists():
            model.load_state_dict(load_file(Path(folder) / "words.safetensors"))
        return model
'''


def test_a_model_family_of_a_plugin_is_imported_trained_published_gated_and_reopened(run_plugin: Run) -> None:
    from safetensors.numpy import load_file

    ended = run_plugin("plugin_model", WORDS)
    assert ended.code == 0, ended.stderr
    assert {p.name for p in ended.folder.iterdir()} >= {"config.json", "manifest.json", "words.safetensors"}
    assert ended.result.parent is not None
    base = load_file(ended.shop.folder / "versions" / ended.result.parent / "words.safetensors")
    trained = load_file(ended.folder / "words.safetensors")
    assert {name for name in base if not np.array_equal(base[name], trained[name])} == set(base)
    assert ended.result.gate is not None
    assert ended.result.candidate["gain"] > 0


def test_a_splitter_of_long_items_gives_the_parts_that_are_ranked(run_plugin: Run) -> None:
    ended = run_plugin(
        "plugin_parts",
        """
    def item_text(self, item, items):
        return " ".join([item["title"]] * 6)
    def split_item(self, text, fits):
        words = text.split()
        parts = [" ".join(words[i:i + 3]) for i in range(0, len(words), 3)]
        SEEN.append((fits(text), all(map(fits, parts))))
        return parts
""",
        longItems="Split",
        partsRank="SoftMax",
        maxTokens=10,
    )
    assert ended.code == 0, ended.stderr
    assert set(seen("plugin_parts")) == {(False, True)}


@pytest.mark.parametrize("depth", [0, 1])
def test_two_towers_are_trained_from_a_shared_start_version(run_plugin: Run, shop: Shop, depth: int) -> None:
    from safetensors.numpy import load_file

    shop.change(lambda d: d["FineTuningMethod"]["spec"]["initialParams"].update(num_fixed_layers={"choice": [depth]}))
    ended = run_plugin(f"plugin_towers_{depth}", "    pass\n", towers="Separate")
    assert ended.code == 0, ended.stderr
    query, item = (load_file(ended.folder / side / "model.safetensors") for side in ("query", "document"))
    below = "encoder.layer.0.attention.self.key.weight"
    above = "encoder.layer.1.attention.self.key.weight"
    assert np.array_equal(query[below], item[below]) == (depth == 1)
    assert not np.array_equal(query[above], item[above])


FAULTS = {
    "session": "def session(self, session): {}",
    "query": "def query(self, session): {}",
    "item_text": "def item_text(self, item, items): {}",
    "split": "def split(self, sessions): {}",
    "settings": "def settings(self, settings): {}",
    "initial_params": "def initial_params(self, space): {}",
    "load_model": "def load_model(self, folder, settings): {}",
    "split_item": "def split_item(self, text, fits): {}",
    "loss": "def loss(self, settings): {}",
    "ranker": "def ranker(self, settings): {}",
    "confidence_calculator": "def confidence_calculator(self, settings): {}",
    "metrics": "def metrics(self, settings): {}",
}


def spoil(run_plugin: Run, hook: str, name: str, body: str) -> Ended:
    long = "\n    def settings(self, s): return s.model_copy(update={'long_items': 'Split', 'max_tokens': 8})"
    text = "\n    def item_text(self, item, items): return item['title'] + ' and more of it, and more of it'"
    extra = long + text if hook == "split_item" else ""
    return run_plugin(f"fault_{name}_{hook}", f"    {FAULTS[hook].format(body)}{extra}\n")


@pytest.mark.parametrize("hook", FAULTS)
def test_a_hook_that_raises_ends_with_its_own_message_and_line(run_plugin: Run, hook: str) -> None:
    ended = spoil(run_plugin, hook, "raise", "raise RuntimeError('the shelf is empty')")
    assert ended.code == 12, ended.stderr
    assert f"fault_raise_{hook}:Plugin raised RuntimeError: the shelf is empty (in {hook}, " in ended.message
    assert f"fault_raise_{hook}.py:5)" in ended.message
    assert "Traceback" not in ended.stderr
    assert ended.nothing_half_written()


@pytest.mark.parametrize("hook", FAULTS)
def test_a_hook_that_asks_for_a_missing_file_ends_with_its_name_and_line(run_plugin: Run, hook: str) -> None:
    ended = spoil(run_plugin, hook, "file", "return open('/nowhere/shelf.json').read()")
    assert ended.code == 12, ended.stderr
    assert (
        f"FileNotFoundError: [Errno 2] No such file or directory: '/nowhere/shelf.json' (in {hook}, " in ended.message
    )
    assert ended.nothing_half_written()


@pytest.mark.parametrize("hook", FAULTS)
def test_a_hook_that_returns_the_wrong_type_ends_with_what_it_must_return(run_plugin: Run, hook: str) -> None:
    ended = spoil(run_plugin, hook, "type", "return 7")
    assert ended.code == 12, ended.stderr
    assert f"{hook} must return " in ended.message
    assert "returned int" in ended.message or "returned 7" in ended.message
    assert "Traceback" not in ended.stderr
    assert ended.nothing_half_written()


def test_a_loss_that_raises_within_a_step_is_the_plugins_too(run_plugin: Run) -> None:
    ended = run_plugin(
        "fault_step",
        """
    def loss(self, settings):
        from bluetune_trainer.ranking.losses import RankingLossInterface
        class Broken(RankingLossInterface):
            def forward(self, features):
                raise ZeroDivisionError("no pair")
        return Broken()
""",
    )
    assert ended.code == 12, ended.stderr
    assert "raised ZeroDivisionError: no pair (in forward, " in ended.message
    assert ended.nothing_half_written()
