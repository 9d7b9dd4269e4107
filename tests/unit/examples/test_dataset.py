"""Documents and judgments from Semanlink's own form, and the split of the tags."""

import json
from pathlib import Path
from typing import Any

import pytest

from semanlink import dataset


def document(number: int, *tags: str, **fields: Any) -> dict[str, Any]:
    empty: dict[str, Any] = {"comment": "", "arxiv_summary": "", "bookmarkOf": []}
    return {**empty, "document": f"http://s/{number}", "title": f"Title {number}", "tag": list(tags), **fields}


TAGS = {
    "t/a": {"prefLabel": ["Dark Matter"]},
    "t/b": {"prefLabel": ["dark  matter"]},
    "t/rare": {"prefLabel": ["Rare"]},
    "t/none": {"prefLabel": []},
}


def test_tags_of_one_label_are_one_query_and_rare_ones_none() -> None:
    raw = [document(i, "t/a" if i < 3 else "t/b", "t/none", "t/gone") for i in range(6)] + [document(6, "t/rare")]
    judgments = dataset.parse(raw, TAGS).judgments
    assert judgments.queries == ("Dark Matter",)
    assert judgments.relevant == (frozenset(range(6)),)


def test_a_document_has_title_description_and_address() -> None:
    raw = [
        document(0, comment="a\r\nb", bookmarkOf=["http://elsewhere"]),
        document(1, title="", arxiv_summary="summary"),
    ]
    first, second = dataset.parse(raw, TAGS).documents
    assert (first.text, first.url) == ("Title 0. a b", "http://elsewhere")
    assert (second.title, second.description, second.url) == ("http://s/1", "summary", "http://s/1")


def test_items_are_one_json_object_a_line() -> None:
    documents = dataset.parse([document(0), document(1)], TAGS).documents
    items = [json.loads(line) for line in dataset.items_jsonl(documents).splitlines()]
    assert [item["item_id"] for item in items] == [d.item_id for d in documents]
    assert set(items[0]) == {"item_id", "title", "description", "url"}


def test_the_split_is_by_query_and_seed() -> None:
    judgments = dataset.Judgments(tuple(f"tag {i}" for i in range(1000)), tuple(frozenset({i}) for i in range(1000)))
    seen, unseen = judgments.split(0)
    assert len({*seen.queries, *unseen.queries}) == len(seen) + len(unseen) == 1000
    assert 650 < len(seen) < 750
    assert judgments.split(0).seen.queries == seen.queries != judgments.split(1).seen.queries
    assert all(relevant == {int(query.split()[1])} for query, relevant in zip(seen.queries, seen.relevant, strict=True))


def test_another_file_under_the_packages_name_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "datasets" / f"{dataset.PACKAGE}-{dataset.VERSION}.tar.gz"
    archive.parent.mkdir()
    archive.write_bytes(b"something else")
    monkeypatch.setattr(dataset, "_pip", lambda: ["false"])
    with pytest.raises(dataset.DatasetError, match=r"could not fetch the source package cherche 2\.2\.1"):
        dataset.fetch(tmp_path)
