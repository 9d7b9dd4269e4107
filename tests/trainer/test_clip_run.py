"""A CLIP model from import to gate: queries are texts, items are pictures in the store. Tiny and random: it shows that
the line works, and nothing about quality."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

from trainer.shop import CLICKS_ALONE, Shop
from trainer.small_run import run, small_shop
from trainer.tiny_clip import COLOURS, picture, write_tiny_clip

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
KINDS = dict(zip(("glimmer", "snugwear", "rollabout", "brewgear"), COLOURS, strict=True))
"""What people type for a colour."""


@pytest.fixture
def gallery(tmp_path: Path) -> Shop:
    """The shop with a picture for each item: its kind is its colour."""
    shop = small_shop(tmp_path, write_tiny_clip(tmp_path / "base"))
    random = np.random.default_rng(0)
    items = [json.loads(line) for line in (shop.folder / "items" / "items.jsonl").read_text().splitlines()]
    (shop.folder / "pictures").mkdir()
    for item in items:
        item["picture"] = f"pictures/{item['item_id']}.png"
        picture(KINDS.get(item.pop("kind"), "grey"), random).save(shop.folder / item["picture"])
    write_items(shop, items)

    def edit(documents: dict[str, dict]) -> None:
        spec = documents["FineTuningMethod"]["spec"]
        spec["plugin"] = "TextImageFineTuningMethod"
        spec["items"] = {"textFields": ["picture"]}
        spec["settings"].update(maxTokens=24, numEpochs=8)
        spec["initialParams"] = {
            "num_fixed_layers": {"choice": [1]},
            "items_lr": {"choice": [3e-3]},
            "query_lr": {"choice": [3e-3]},
            **CLICKS_ALONE,
        }

    shop.change(edit)
    return shop


def read_items(shop: Shop) -> list[dict]:
    return [json.loads(line) for line in (shop.folder / "items" / "items.jsonl").read_text().splitlines()]


def write_items(shop: Shop, items: list[dict]) -> None:
    (shop.folder / "items" / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))


def test_a_clip_is_imported_checked_trained_gated_published_and_reopened(
    gallery: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = run(gallery, monkeypatch, capsys)
    assert ended.code == 0, ended.stderr
    result = ended.result
    assert result.parent is not None
    before = load_file(gallery.folder / "versions" / result.parent / "model.safetensors")
    after = load_file(ended.folder / "model.safetensors")
    same = {name for name in before if np.array_equal(before[name], after[name])}
    below = ("embeddings.", "pre_layrnorm.", "encoder.layers.0.")
    expected = {
        n
        for n in before
        if n.split(".", 1)[0] in ("text_model", "vision_model") and n.split(".", 1)[1].startswith(below)
    }
    assert same == {*expected, "logit_scale"}
    assert result.candidate["ndcg@10"] > result.baseline["ndcg@10"] + 0.1
    assert result.gate is not None
    assert result.gate.low is not None
    assert result.gate.low > 0

    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(ended.folder), device="cpu")
    probe = json.loads((ended.folder / "manifest.json").read_text())["probe"]
    assert np.abs(model.encode(probe["texts"]) - np.array(probe["vectors"])).max() < 1e-5


def test_pictures_may_travel_in_the_catalogue(
    gallery: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    by_key = run(gallery, monkeypatch, capsys).result
    items = read_items(gallery)
    for item in items:
        item["picture"] = (gallery.folder / item["picture"]).read_bytes()
    (gallery.folder / "items" / "items.jsonl").unlink()
    pq.write_table(pa.Table.from_pylist(items), gallery.folder / "items" / "items.parquet")
    for path in gallery.folder.glob("runs/first-*"):
        path.rename(path.with_name(path.name.replace("first", "by-key")))
    inside = run(gallery, monkeypatch, capsys).result
    assert (inside.version, inside.candidate) == (by_key.version, by_key.candidate)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda path: path.unlink(), "which an item of the catalogue names; upload it, or leave the item out"),
        (lambda path: path.write_bytes(b"GIF89a"), "this is no picture that can be read"),
    ],
    ids=["missing", "broken"],
)
def test_a_picture_that_is_missing_or_broken_ends_the_run_with_its_name(
    gallery: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], spoil, says: str
) -> None:
    name = read_items(gallery)[0]["picture"]
    for item in read_items(gallery)[:20]:
        spoil(gallery.folder / item["picture"])
    ended = run(gallery, monkeypatch, capsys)
    assert ended.code == 10, ended.stderr
    assert says in ended.message
    assert name.split("-")[0] in ended.message
    assert "Traceback" not in ended.stderr
    assert ended.nothing_half_written()
