"""The model card, as a hub reads it."""

import pytest
from huggingface_hub import ModelCard

from bluetune_trainer.report.card import CardFacts, code, model_card
from bluetune_trainer.report.comparison import Change

HOSTILE = 'x`|y\n---\n# no: heading</td><script>alert("1")</script>'


def _facts(**changes: object) -> CardFacts:
    given: dict[str, object] = {
        "dimension": 384,
        "query_prompt": "",
        "item_prompt": "",
        "name": "shop",
        "base_uri": "hf://intfloat/e5-small@main",
        "parent": "v000000000001",
        "batch_id": "2026-03-02",
        "lineage_batches": ["2026-03-01", "2026-03-02"],
        "sessions": 120,
        "sessions_with_clicks": 99,
        "params": {"items_lr": 1e-4, "examples_order": [11]},
        "changes": [Change("ndcg@10", 0.41, 0.46), Change("my:Own", 1.0, 2.0)],
        "metadata": {"why": "test"},
    }
    return CardFacts(**(given | changes))


def test_a_card_says_what_vectors_are_compared_by_and_whether_there_are_prompts() -> None:
    card = model_card(_facts())
    assert "unit vectors of 384 numbers, which are compared by cosine similarity" in card
    assert "No prompt is put before queries or items" in card
    card = model_card(_facts(similarity="dot", unit=False, query_prompt="query: "))
    assert "vectors (their lengths differ) of 384 numbers, which are compared by dot product" in card
    assert "No prompt" not in card
    assert "`query: ` before each query" in card


def test_a_hub_reads_the_front_matter() -> None:
    card = ModelCard(model_card(_facts()))
    data = card.data.to_dict()
    assert data["library_name"] == "sentence-transformers"
    assert data["pipeline_tag"] == "sentence-similarity"
    assert data["base_model"] == "intfloat/e5-small"
    (result,) = card.data.eval_results
    assert (card.data.model_name, result.metric_type, result.metric_value) == ("shop", "ndcg_at_10", 0.46)
    assert "| NDCG@10 | 0.4100 | 0.4600 | +0.0500 |" in card.text
    assert "120 search sessions, 99 of them with a click" in card.text


@pytest.mark.parametrize("field", ["query_prompt", "base_uri", "metadata", "params", "changes"])
def test_texts_of_users_change_neither_front_matter_nor_markdown(field: str) -> None:
    texts = {"metadata": {HOSTILE: HOSTILE}, "params": {HOSTILE: HOSTILE}, "changes": [Change(HOSTILE, 0, 1)]}
    source = model_card(_facts(**{field: texts.get(field, HOSTILE)}))
    assert source.count("\n---\n") == 1
    outside = "".join(source.split(code(HOSTILE)))
    assert "script" not in outside
    assert code(HOSTILE) in source
    ModelCard(source)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a", "`a`"), ("`", "`` ` ``"), ("a``b|", "```a``b\\|```"), ("a\nb", "`a\\nb`"), (1.5, "`1.5`")],
)
def test_a_code_span_holds_any_text(text: object, expected: str) -> None:
    assert code(text) == expected


def test_the_same_facts_give_the_same_card_and_a_base_has_a_short_one() -> None:
    assert model_card(_facts()) == model_card(_facts())
    base = model_card(CardFacts(dimension=8, query_prompt="query: ", item_prompt="", base_uri="/models/base"))
    assert "base_model" not in base
    assert "Training" not in base
    assert "`query: ` before each query" in base


def test_a_folder_that_sentence_transformers_cannot_open_does_not_say_so() -> None:
    card = model_card(_facts(sentence_transformers=False, transformers=False))
    assert "sentence" not in card.lower()


def test_a_long_lineage_is_named_by_its_newest_batches() -> None:
    card = model_card(_facts(lineage_batches=[f"hour={n:05d}" for n in range(3000)]))
    assert "- learned from: 2980 earlier batches (manifest.json has them), `hour=02980`, " in card
    assert "`hour=02999`" in card
    assert "hour=02979" not in card
