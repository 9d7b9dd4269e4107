"""A whole run whose gate judges by judgments: their queries are not trained on, and what nobody judged is said."""

import json
from pathlib import Path

import pytest

from trainer.learning_world import write_tiny_encoder
from trainer.small_run import run, small_shop


def test_a_run_with_judgments_leaves_their_queries_out_and_says_how_much_was_judged(
    tmp_path: Path, minilm: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = small_shop(tmp_path, write_tiny_encoder(tmp_path / "base", minilm))
    batch = [json.loads(line) for path in shop.folder.glob("clickstream/*/*.jsonl") for line in path.open()]
    queries = sorted({session["search_query"] for session in batch})[:12]
    items = [json.loads(line) for path in shop.folder.glob("items/*.jsonl") for line in path.open()]
    (shop.folder / "judgments").mkdir()
    (shop.folder / "judgments" / "judged.jsonl").write_text(
        "".join(
            json.dumps({"query": query.upper(), "object_id": item["item_id"], "grade": int(item["kind"] in query)})
            + "\n"
            for query in queries
            for item in items[::4]
        )
    )

    def edit(documents: dict[str, dict]) -> None:
        serving = documents["EmbeddingModel"]["spec"].setdefault(
            "serving", {"deployment": "blue", "container": "server"}
        )
        serving["gate"] = {
            "judgments": "judgments/judged.jsonl",
            "metric": "recall@10",
        }

    shop.change(edit)
    ended = run(shop, monkeypatch, capsys)
    assert ended.code == 0, ended.message
    gate = ended.result.gate
    assert gate is not None
    assert (gate.source, gate.sessions) == ("Judgments", 12)
    for side in (gate.baseline, gate.candidate):
        assert side.keys() == {"ndcg@10", "mrr@10", "recall@10", "ndcg@10_condensed", "judged@10"}
        assert 0 < side["judged@10"] < 1
    assert "recall@10" not in ended.result.candidate, "eight results a page"
    (report,) = shop.folder.glob("runs/first-*/report.html")
    page = report.read_text(encoding="utf-8")
    assert "sessions of judged queries, on which nothing is trained" in page
    assert "Judged@10" in page
