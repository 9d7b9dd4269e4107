"""What is wrong is said before anything is trained: exit code, termination message, and what to do."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from trainer.shop import Shop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def _no_folder(shop: Shop) -> None:
    shop.change(lambda documents: documents["EmbeddingModel"]["spec"]["base"].update(uri="/nowhere"))


def _unknown_field(shop: Shop) -> None:
    shop.change(lambda documents: documents["FineTuningMethod"]["spec"]["settings"].update(epochs=3))


def _no_such_method(shop: Shop) -> None:
    shop.change(lambda documents: documents["EmbeddingModel"]["spec"]["methodRef"].update(name="click"))


def _wrong_parameter(shop: Shop) -> None:
    shop.change(lambda d: d["FineTuningMethod"]["spec"]["initialParams"].update(item_lr={"choice": [0.1]}))


def _wrong_value(shop: Shop) -> None:
    shop.change(lambda d: d["FineTuningMethod"]["spec"]["initialParams"].update(items_lr={"choice": ["fast"]}))


def _plugin_missing(shop: Shop) -> None:
    shop.change(lambda documents: documents["FineTuningMethod"]["spec"].update(plugin="shop_plugin:Shop"))


def _not_yaml(shop: Shop) -> None:
    shop.manifests.write_text("kind: [")


def _pickle_base(shop: Shop) -> None:
    base = shop.folder.parent / "base"
    base.mkdir()
    (base / "config.json").write_text("{}")
    (base / "pytorch_model.bin").write_bytes(b"x")
    shop.change(lambda documents: documents["EmbeddingModel"]["spec"]["base"].update(uri=str(base)))


def _two_tasks(shop: Shop) -> None:
    text = shop.manifests.read_text()
    shop.manifests.write_text(text + "---\n" + text.split("---\n")[-1].replace("name: first", "name: second"))


@pytest.mark.parametrize(
    ("spoil", "code", "says"),
    [
        (_no_folder, 11, "base.uri: there is no folder /nowhere here"),
        (_unknown_field, 11, "FineTuningMethod clicks: spec.settings.epochs: there is no such field"),
        (_no_such_method, 11, "EmbeddingModel shop: spec.methodRef.name: there is no FineTuningMethod 'click'"),
        (_wrong_parameter, 11, "initialParams.item_lr: there is no such parameter; did you mean 'items_lr'?"),
        (_wrong_value, 11, "initialParams.items_lr.choice: 'fast' must be a number"),
        (_plugin_missing, 11, "there is no module 'shop_plugin' here"),
        (_not_yaml, 11, "is not YAML"),
        (_pickle_base, 11, "its weights are a pickle (pytorch_model.bin)"),
        (_two_tasks, 11, "choose one with --task: first, second"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_wrong_manifests_end_with_what_to_do(shop: Shop, spoil: Callable[[Shop], None], code: int, says: str) -> None:
    spoil(shop)
    done = shop.run()
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert says in shop.termination()["message"]
    assert shop.termination()["reason"] == "PlanInvalid"


def test_a_base_on_the_hub_says_that_the_hub_cannot_be_reached(shop: Shop) -> None:
    shop.change(lambda d: d["EmbeddingModel"]["spec"]["base"].update(uri="hf://sentence-transformers/none@main"))
    done = shop.run(HF_HUB_OFFLINE="1")
    assert done.returncode == 13, done.stderr
    assert "cannot be fetched, the model hub cannot be reached from here" in shop.termination()["message"]
    assert shop.termination()["reason"] == "BaseUnreachable"
    assert "Traceback" not in done.stderr


def test_a_base_in_s3_without_keys_says_which_are_missing(shop: Shop) -> None:
    shop.change(lambda d: d["EmbeddingModel"]["spec"]["base"].update(uri="s3://models/minilm"))
    done = shop.run(AWS_ACCESS_KEY_ID="")
    assert done.returncode == 13, done.stderr
    assert "AWS_ACCESS_KEY_ID" in shop.termination()["message"]
    assert shop.termination()["reason"] == "StoreDenied"


def test_bad_data_ends_with_counts_and_the_broken_lines(shop: Shop) -> None:
    batch = shop.folder / "clickstream" / "monday" / "part-0.jsonl"
    batch.write_text(batch.read_text() + '{"session_id": "x"}\n' * 100)
    done = shop.run()
    assert done.returncode == 10, done.stderr
    message = shop.termination()["message"]
    assert "100 of 340 lines of the batch are broken" in message
    assert "clickstream/monday/part-0.jsonl:241: search_query: a text is expected, fields are 'session_id'" in message
    assert shop.termination()["reason"] == "DataInvalid"
    batch.write_text("".join(batch.read_text().splitlines(keepends=True)[:240]))
    shop.change(lambda documents: documents["EmbeddingModel"]["spec"]["base"].update(uri="/nowhere"))
    corrected = shop.run()
    assert "batch monday: 240 sessions, 240 with clicks" in corrected.stderr
    assert corrected.returncode == 11


def test_a_plugin_that_raises_ends_with_its_own_words(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "bad_plugin.py").write_text(
        "from bluetune_trainer.plugin import TextFineTuningMethod\n"
        "class Bad(TextFineTuningMethod):\n"
        "    def session(self, session):\n"
        "        return {**session, 'search_query': session['q']}\n"
    )
    shop.change(lambda documents: documents["FineTuningMethod"]["spec"].update(plugin="bad_plugin:Bad"))
    done = shop.run(PYTHONPATH=f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    assert done.returncode == 12, done.stderr
    assert "bad_plugin:Bad raised KeyError: 'q' (in session," in shop.termination()["message"]
    assert "bad_plugin.py:4)" in shop.termination()["message"]
    assert "Traceback" not in done.stderr
