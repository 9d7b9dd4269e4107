"""What a base's folder says is kept: prompts, types of weights, lengths, similarity, and layouts old and new."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import CLIPModel

from bluetune_api.method import Settings
from bluetune_api.objectstore import LocalStore
from bluetune_api.records import Manifest, MethodPlan, Plan
from bluetune_trainer.cli.importing import run_import
from bluetune_trainer.cli.probe import compare, reference_of
from bluetune_trainer.errors import PlanInvalid, StoreFailed
from bluetune_trainer.plugin import TextFineTuningMethod
from bluetune_trainer.plugin.resolve import Resolved, resolve
from bluetune_trainer.ranking.rankers import COSINE_SIMILARITY, DOT_PRODUCT, EUCLIDEAN_DISTANCE, Ranker
from bluetune_trainer.training.backbone import window
from bluetune_trainer.training.clip import Clip
from bluetune_trainer.training.encoder import Encoder
from bluetune_trainer.training.heads import Head
from bluetune_trainer.training.layout import Prompts, write_json, write_modules
from bluetune_trainer.training.opening import open_model
from bluetune_trainer.training.similarity import ranked_as_served, typical_rank
from trainer.model_table import BERT, FAMILIES
from trainer.small_run import run, small_shop
from trainer.test_models import TEXTS, assert_round_trip, assert_same
from trainer.tiny_clip import picture, write_tiny_clip
from trainer.tiny_models import byte_tokenizer, write_family, write_static, write_transformer

DOT = next(family for family in FAMILIES if family.similarity == "dot" and family.type == "bert")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_family(tmp_path_factory.mktemp("made"), FAMILIES[0])


@pytest.fixture
def base(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "base"))


def edit(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text()) if path.is_file() else {}
    write_json(path, {**content, **changes})


@pytest.mark.parametrize(
    ("texts", "query", "item"),
    [
        ({}, "", ""),
        ({"query": "q: ", "passage": "p: "}, "q: ", "p: "),
        ({"query": "q: ", "document": "", "corpus": "c: "}, "q: ", "c: "),
        ({"search_query": "sq: ", "search_document": "sd: "}, "", ""),
    ],
)
def test_prompts_keep_every_name(texts: dict[str, str], query: str, item: str) -> None:
    prompts = Prompts(texts)
    assert (prompts.query, prompts.item) == (query, item)
    written = prompts.wire()
    assert {name: written[name] for name, text in texts.items() if text} == {n: t for n, t in texts.items() if t}
    assert (written["query"], written["document"]) == (query, item)
    assert Prompts(written).wire() == written


def test_other_prompts_replace_the_folders_under_every_name_of_theirs() -> None:
    prompts = Prompts({"query": "q: ", "passage": "p: ", "clustering": "c: "}).replaced("find: ", "item: ")
    assert prompts.wire() == {"query": "find: ", "document": "item: ", "passage": "item: ", "clustering": "c: "}
    assert prompts.unused() == ["clustering"]


def test_an_import_says_which_prompts_of_the_base_nothing_uses(
    base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prompts = {"search_query": "search_query: ", "search_document": "search_document: "}
    edit(base / "config_sentence_transformers.json", prompts=prompts)
    (tmp_path / "store").mkdir()
    plan = Plan.model_validate(
        {
            "kind": "Import",
            "owner": {"kind": "EmbeddingModel", "name": "m", "namespace": "n", "uid": "u1"},
            "model": "m",
            "store": {"endpoint": "minio:9000", "bucket": "models"},
            "base_uri": str(base),
        }
    )
    store = LocalStore(tmp_path / "store")
    with caplog.at_level("WARNING"):
        result = run_import(store, plan, lambda location: store, stop=Event())
    (said,) = [record for record in caplog.records if "settings.queryPrompt" in record.getMessage()]
    assert said.prompts == list(prompts)  # type: ignore[attr-defined]
    folder = tmp_path / "store" / "versions" / str(result.version)
    published = SentenceTransformer(str(folder), device="cpu")
    assert {name: published.prompts[name] for name in prompts} == prompts


def test_the_default_prompt_of_a_base_stays_its_default(base: Path, tmp_path: Path) -> None:
    edit(base / "config_sentence_transformers.json", prompts={"task": "do this: "}, default_prompt_name="task")
    open_model(base, Settings()).save(tmp_path / "saved")
    before, after = (SentenceTransformer(str(folder), device="cpu") for folder in (base, tmp_path / "saved"))
    assert after.default_prompt_name == "task"
    assert_same(after.encode(TEXTS), before.encode(TEXTS))
    assert np.abs(after.encode(TEXTS) - after.encode(TEXTS, prompt="")).max() > 0.01


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_are_published_in_the_type_of_the_base(dtype: torch.dtype, base: Path, tmp_path: Path) -> None:
    weights = {name: value.to(dtype) for name, value in load_file(base / "model.safetensors").items()}
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    edit(base / "config.json", dtype=str(dtype).removeprefix("torch."))
    model = open_model(base, Settings())
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    model.save(tmp_path / "saved")
    assert {value.dtype for value in load_file(tmp_path / "saved" / "model.safetensors").values()} == {dtype}
    before, after = (SentenceTransformer(str(folder), device="cpu") for folder in (base, tmp_path / "saved"))
    assert next(after.parameters()).dtype == next(before.parameters()).dtype == dtype
    assert_same(after.encode(TEXTS), before.encode(TEXTS))
    assert np.abs(model.encode(TEXTS, "item") - before.encode(TEXTS)).max() < 0.02


def test_a_folder_in_the_oldest_layout_is_read_as_it_was_meant(base: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    (old / "0_Transformer").mkdir(parents=True)
    for path in base.glob("*.*"):
        shutil.copy(path, (old if path.name.startswith(("modules", "config_s")) else old / "0_Transformer") / path.name)
    (old / "0_Transformer" / "sentence_bert_config.json").unlink()
    (old / "1_Pooling").mkdir()
    write_json(old / "0_Transformer" / "sentence_roberta_config.json", {"max_seq_length": 16, "do_lower_case": True})
    write_json(old / "1_Pooling" / "config.json", {"word_embedding_dimension": 32, "pooling_mode_max_tokens": True})
    write_modules(old, [("Transformer", "0_Transformer"), ("Pooling", "1_Pooling")])
    model = open_model(old, Settings())
    assert isinstance(model, Encoder)
    assert (model.pooling.modes, model.max_tokens, model.lower, model.unit) == (("max",), 16, True, False)
    theirs = SentenceTransformer(str(old), device="cpu")
    assert_same(model.encode([*TEXTS, "UPPER"], "item"), theirs.encode([*TEXTS, "UPPER"]))


@pytest.mark.parametrize(
    ("wanted", "saved", "tokenizer", "positions", "found"),
    [
        (None, 64, 32, 512, 64),
        (None, 32, 64, 512, 32),
        (None, 514, 512, 512, 512),
        (None, None, 32, 512, 32),
        (None, None, int(1e30), 512, 512),
        (None, None, int(1e30), None, 512),
        (None, 64, int(1e30), -1, 64),
        (48, 64, 32, 512, 48),
        (300, 256, 512, 512, 300),
    ],
)
def test_the_longest_text_is_the_one_that_sentence_transformers_takes(
    wanted: int | None, saved: int | None, tokenizer: int, positions: int | None, found: int
) -> None:
    of_tokenizer = SimpleNamespace(model_max_length=tokenizer)
    assert window(wanted, saved, of_tokenizer, SimpleNamespace(max_position_embeddings=positions)) == found


def test_a_plain_transformers_folder_is_what_sentence_transformers_makes_of_it(tmp_path: Path) -> None:
    folder = write_transformer(tmp_path / "plain", "bert", BERT)
    model = open_model(folder, Settings())
    assert not model.unit
    assert_same(model.encode(TEXTS, "item"), SentenceTransformer(str(folder), device="cpu").encode(TEXTS))


def test_model2vecs_own_layout_is_opened(tmp_path: Path) -> None:
    size = byte_tokenizer().get_vocab_size()
    folder = write_static(tmp_path / "made")
    weights = {
        "embeddings": torch.randn(10, 8),
        "mapping": torch.arange(size) % 10,
        "weights": torch.rand(size),
    }
    save_file(weights, folder / "model.safetensors")
    write_json(folder / "config.json", {"model_type": "model2vec", "normalize": True})
    model = open_model(folder, Settings())
    assert_same(model.encode(["", *TEXTS], "item"), SentenceTransformer(str(folder), device="cpu").encode(["", *TEXTS]))
    with pytest.raises(PlanInvalid, match=r"settings.maxTokens: .*leave it out"):
        open_model(folder, Settings(max_tokens=32))


def test_static_embeddings_are_trained_separately_for_queries_and_items(tmp_path: Path) -> None:
    model = open_model(write_static(tmp_path / "made"), Settings(towers="Separate"))
    model.save(tmp_path / "two")
    assert_round_trip(tmp_path / "two", tmp_path, depth=0)


def test_a_clip_model_in_the_layout_of_sentence_transformers(tmp_path: Path) -> None:
    module = CLIPModel(str(write_tiny_clip(tmp_path / "plain")))
    folder = tmp_path / "base"
    SentenceTransformer(modules=[module], device="cpu").save(str(folder), create_model_card=False)
    (folder / "0_CLIPModel").mkdir()
    for path in [p for p in folder.iterdir() if p.is_file() and p.name not in ("modules.json", "README.md")]:
        if not path.name.startswith("config_sentence"):
            path.rename(folder / "0_CLIPModel" / path.name)
    write_modules(folder, [("CLIPModel", "0_CLIPModel")])
    model = open_model(folder, Settings())
    assert isinstance(model, Clip)
    assert not model.unit
    model.save(tmp_path / "saved")
    pictures = [picture("red", np.random.default_rng(0)), picture("blue", np.random.default_rng(1))]
    before, after = (SentenceTransformer(str(path), device="cpu") for path in (folder, tmp_path / "saved"))
    assert_same(model.encode(["a red lamp", "blue"], "query"), before.encode(["a red lamp", "blue"]))
    assert_same(after.encode(["a red lamp", "blue"]), before.encode(["a red lamp", "blue"]))
    assert_same(after.encode(pictures), before.encode(pictures))


def resolved(**settings: Any) -> Resolved:
    return resolve(MethodPlan(settings=Settings(**settings)))


@pytest.mark.parametrize(
    ("similarity", "given", "ranker"),
    [
        ("cosine", {}, None),
        (None, {}, None),
        ("dot", {}, "DOT_PRODUCT"),
        ("euclidean", {}, "EUCLIDEAN_DISTANCE"),
        ("dot", {"ranker": "COSINE_SIMILARITY"}, "COSINE_SIMILARITY"),
        ("manhattan", {"ranker": "DOT_PRODUCT"}, "DOT_PRODUCT"),
    ],
)
def test_a_run_ranks_by_what_the_start_version_is_compared_by(
    similarity: str | None, given: dict[str, str], ranker: str | None, tmp_path: Path
) -> None:
    edit(tmp_path / "config_sentence_transformers.json", similarity_fn_name=similarity)
    assert ranked_as_served(resolved(**given), tmp_path).method.settings.ranker == ranker


def test_a_ranker_of_the_plugin_goes_first(tmp_path: Path) -> None:
    class Own(TextFineTuningMethod):
        def ranker(self, settings: Settings) -> Ranker:
            return COSINE_SIMILARITY

    edit(tmp_path / "config_sentence_transformers.json", similarity_fn_name="dot")
    assert ranked_as_served(replace(resolved(), plugin=Own()), tmp_path).method.settings.ranker is None


@pytest.mark.parametrize(
    ("similarity", "given", "said"),
    [
        ("manhattan", {}, "no built-in ranker computes; name one in settings.ranker"),
        ("euclidean", {"is_similarity": True}, "settings.isSimilarity: true contradicts EUCLIDEAN_DISTANCE"),
        ("nearness", {}, "similarity_fn_name 'nearness' is not known"),
    ],
)
def test_a_similarity_that_cannot_be_ranked_by_is_said(
    similarity: str, given: dict[str, Any], said: str, tmp_path: Path
) -> None:
    edit(tmp_path / "config_sentence_transformers.json", similarity_fn_name=similarity)
    with pytest.raises(PlanInvalid, match=said):
        ranked_as_served(resolved(**given), tmp_path)


def test_losses_see_ranks_of_long_vectors_on_the_scale_of_cosines(base: Path) -> None:
    model = open_model(base, Settings())
    assert isinstance(model, Encoder)
    assert [typical_rank(ranker, model) for ranker in (COSINE_SIMILARITY, DOT_PRODUCT)] == [1, 1]
    model.head, model.unit = Head(), False
    length = float(np.linalg.norm(model.encode(list(model.probe_inputs())), axis=1).mean())
    assert typical_rank(COSINE_SIMILARITY, model) == 1
    assert typical_rank(DOT_PRODUCT, model) == pytest.approx(length**2, rel=0.1)
    assert typical_rank(EUCLIDEAN_DISTANCE, model) == pytest.approx(length, rel=0.1)


def test_a_version_that_lost_the_length_of_its_vectors_is_not_published(base: Path) -> None:
    model = open_model(base, Settings())
    assert isinstance(model, Encoder)
    reference = reference_of(model)
    compare(model, reference)
    model.head = Head()
    with pytest.raises(StoreFailed, match="lengths of vectors differ"):
        compare(model, reference)


def test_a_model_made_for_the_dot_product_stays_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base = write_family(tmp_path / "made", DOT)
    ended = run(small_shop(tmp_path / "shop", base), monkeypatch, capsys)
    assert ended.code == 0
    manifest = Manifest.model_validate_json((ended.folder / "manifest.json").read_bytes())
    assert manifest.similarity == "dot"
    assert "compared by dot product" in (ended.folder / "README.md").read_text()
    published = SentenceTransformer(str(ended.folder), device="cpu")
    assert published.similarity_fn_name == "dot"
    lengths = np.linalg.norm(published.encode(TEXTS), axis=1)
    assert lengths.max() > 1.5
    assert np.ptp(lengths) > 0.01
