"""The first manifests of a model: what is found in the data, what is written, and what is refused."""

import gzip
import json
import re
from pathlib import Path

import pytest
import yaml

from bluetune.__main__ import main
from bluetune.core.data_seen import BEGINNING, ClicksSeen, ItemsSeen, clicks_seen, items_seen, rows_of
from bluetune.core.errors import CliError, Exit
from bluetune.core.starting import Answers, Blue, bucket_and_prefix, endpoint_and_secure, manifests
from bluetune_api.manifest import parse
from bluetune_api.method import FineTuningMethod
from bluetune_api.model import EmbeddingModel
from bluetune_api.task import FineTuningTask

ANSWERS = Answers(
    model="products",
    namespace=None,
    base="hf://org/base@main",
    endpoint="minio:9000",
    secure=False,
    bucket="search",
    prefix="a/products",
    secret="store",
    blue=Blue("search", "server", 8081),
    gpus=1,
    retrain=False,
)
ITEMS = [{"sku": f"s{n}", "price": n, "name": f"Shoe {n}", "color": "blue"} for n in range(3)]


def lines(rows: list[dict[str, object]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@pytest.mark.parametrize(
    ("name", "data", "rows"),
    [
        ("a.jsonl", lines(ITEMS), 3),
        ("a.JSONL", lines(ITEMS)[:-20], 2),  # the last row is cut
        ("a.jsonl.gz", gzip.compress(lines(ITEMS), mtime=0), 3),
        ("a.jsonl.gz", gzip.compress(lines(ITEMS * 5000), mtime=0)[:2000], 500),  # cut in the middle of the archive
        ("a.jsonl.gz", b"no archive", 0),
        ("a.json", json.dumps(ITEMS, indent=1).encode(), 3),
        (
            "a.json",
            b'{"took": 1, "_shards": {}, "hits": {"total": {"value": 2}, "hits": [{"_id": "1", "_source": {"a": 1}}',
            1,
        ),
        ("a.ndjson", b'{"index": {"_id": "1"}}\n{"name": "a"}\n{"index": {"_id": "2"}}\n{"name": "b"}\n', 2),
        ("a.csv", b"id,title\n1,a\n2,b", 1),  # nothing says that the last row is whole
        ("a.tsv", b"id\ttitle\n1\ta\n", 1),
        ("a.jsonl", b"\xff\xfe nothing", 0),
        ("a.jsonl", b"[1, 2]\n", 0),
        ("a.jsonl", b"", 0),
    ],
)
def test_rows_are_read_from_the_beginning_of_a_file(name: str, data: bytes, rows: int) -> None:
    found = rows_of(name, data[:BEGINNING])
    assert found is not None
    assert len(found) == rows


def test_a_file_that_is_no_text_is_not_looked_at() -> None:
    assert rows_of("a.parquet", b"PAR1") is None


def test_a_hit_is_its_source_with_its_id() -> None:
    assert rows_of("a.json", b'{"_index": "p", "_id": "7", "_source": {"title": "x"}}\n') == [
        {"_id": "7", "title": "x"}
    ]


@pytest.mark.parametrize(
    ("rows", "seen"),
    [
        (ITEMS, ItemsSeen(("sku", "price", "name", "color"), "sku", ("name",))),
        (
            [{"item_id": 1, "id": 1, "title": "a"}, {"item_id": 2, "id": 2}],
            ItemsSeen(("item_id", "id", "title"), "item_id", ("title",)),
        ),
        ([{"id": 1}, {"id": 1}], ItemsSeen(("id",), None, ())),  # twice the same identifies nothing
        ([{"movieId": 1, "plot": "a long story about a ship"}], ItemsSeen(("movieId", "plot"), "movieId", ("plot",))),
        ([], ItemsSeen()),
    ],
)
def test_the_fields_of_a_catalogue_are_found_by_name_and_by_value(
    rows: list[dict[str, object]], seen: ItemsSeen
) -> None:
    assert items_seen(rows) == seen


def test_types_of_events_are_counted_within_sessions_and_a_row_each() -> None:
    session = {"search_query": "q", "events": [{"event_type": "click"}, {"event_type": "cart"}, 7]}
    assert clicks_seen([session]) == ClicksSeen(("search_query", "events"), {"click": 1, "cart": 1})
    ubi = [{"action_name": "click"}, {"action_name": "click"}, {"action_name": None}]
    assert clicks_seen(ubi).event_types == {"click": 2}


def test_what_is_written_is_valid_and_holds_what_was_said_and_found() -> None:
    files = manifests(ANSWERS, items_seen(ITEMS), ClicksSeen(("events",), {"click": 3}))
    method, model, task = (
        parse(yaml.safe_load(text) | named) for text, named in zip(files.values(), NAMES, strict=True)
    )
    assert isinstance(method, FineTuningMethod)
    assert (method.spec.items.id_field, method.spec.items.text_fields) == ("sku", ["name"])
    assert "sku, price, name, color" in files["method.yaml"]
    assert "click (3)" in files["method.yaml"]
    assert isinstance(model, EmbeddingModel)
    assert model.spec.serving is not None
    assert model.spec.serving.verify is not None
    assert (model.spec.serving.container, model.spec.serving.verify.port) == ("server", 8081)
    assert model.spec.store.uri() == "s3://search/a/products"
    assert model.spec.retrain is None
    nothing_seen = manifests(ANSWERS, ItemsSeen(), ClicksSeen())["method.yaml"]
    assert "The catalogue was not seen: these are the preset's fields." in nothing_seen
    assert (
        "none of its fields identifies an item"
        in manifests(ANSWERS, items_seen([{"a": 1}, {"a": 1}]), ClicksSeen())["method.yaml"]
    )
    assert isinstance(task, FineTuningTask)
    assert task.spec.deploy_as_blue
    assert yaml.safe_load(files["task.yaml"])["metadata"] == {"generateName": "products-"}


NAMES = ({}, {}, {"metadata": {"name": "t"}})


@pytest.mark.parametrize(("blue", "retrain", "gpus"), [(None, True, 0), (ANSWERS.blue, True, 2), (None, False, 1)])
def test_what_is_commented_out_is_valid_as_well(blue: Blue | None, retrain: bool, gpus: int) -> None:
    answers = Answers(**(vars(ANSWERS) | {"blue": blue, "retrain": retrain, "gpus": gpus, "namespace": "shop"}))
    text = manifests(answers, ItemsSeen(), ClicksSeen())["model.yaml"]
    offered = re.sub(r"^  # (?=[a-z ])", "  ", text, flags=re.MULTILINE)  # sentences begin with a capital
    model = parse(yaml.safe_load(offered))
    assert isinstance(model, EmbeddingModel)
    assert model.spec.retrain is not None
    assert model.spec.serving is not None
    assert model.metadata.namespace == "shop"


@pytest.mark.parametrize("name", ["1e3", "yes", "null", "a-b"])
def test_names_that_yaml_would_read_otherwise_are_quoted(name: str) -> None:
    files = manifests(Answers(**(vars(ANSWERS) | {"secret": name})), ItemsSeen(), ClicksSeen())
    assert yaml.safe_load(files["model.yaml"])["spec"]["store"]["credentialsSecretRef"]["name"] == name


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"model": "Products"}, "MODEL: "),
        ({"base": "ftp://x"}, "--base: "),
        ({"bucket": "A"}, "--store: "),
        ({"endpoint": "minio:9000/path"}, "--endpoint: "),
        ({"blue": Blue("search", "server", 0)}, "--port: "),
    ],
)
def test_a_mistake_names_the_option(changes: dict[str, object], option: str) -> None:
    with pytest.raises(CliError) as raised:
        manifests(Answers(**(vars(ANSWERS) | changes)), ItemsSeen(), ClicksSeen())
    assert str(raised.value).startswith(option)
    assert raised.value.code == Exit.USAGE


def test_addresses_are_taken_apart() -> None:
    assert bucket_and_prefix("s3://search/a/b/") == ("search", "a/b")
    assert bucket_and_prefix("s3://search") == ("search", "")
    assert endpoint_and_secure("http://minio:9000/") == ("minio:9000", False)
    assert endpoint_and_secure("s3.example.com") == ("s3.example.com", True)
    for wrong in ("search/a", "https://search", "s3://"):
        with pytest.raises(CliError, match="must be s3://BUCKET/PREFIX"):
            bucket_and_prefix(wrong)
    with pytest.raises(CliError, match="must be HOST:PORT"):
        endpoint_and_secure("ftp://x")


def test_files_are_written_once_and_say_what_lies_in_the_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    batch = tmp_path / "data/clickstream/2026-01-31"
    batch.mkdir(parents=True)
    (tmp_path / "data/items").mkdir()
    (tmp_path / "data/items/all.jsonl").write_bytes(lines(ITEMS))
    (batch / "part.jsonl").write_bytes(lines([{"search_query": "q", "events": [{"event_type": "click"}]}]))
    where = ("--store", "s3://search/products", "--endpoint", "http://minio:9000", "--data", str(tmp_path / "data"))
    blue = ("--deployment", "search", "--container", "server", "--into", str(tmp_path / "out"))
    assert main(["init", "products", *where, *blue]) == Exit.DONE
    told = capsys.readouterr()
    assert told.out.split() == [str(tmp_path / "out" / name) for name in ("method.yaml", "model.yaml", "task.yaml")]
    assert "the Deployment search was not looked at: the kubeconfig cannot be used" in told.err
    assert "items/all.jsonl has the fields sku, price, name, color" in told.err
    assert "complete batches: none" in told.err
    assert "passed over: '2026-01-31' (no _SUCCESS)" in told.err
    (batch / "_SUCCESS").touch()
    before = (tmp_path / "out/method.yaml").read_text()
    assert main(["init", "products", *where, *blue]) == Exit.REFUSED
    assert "there already; --force writes over them" in capsys.readouterr().err
    assert (tmp_path / "out/method.yaml").read_text() == before
    assert main(["init", "products", *where, *blue, "--force"]) == Exit.DONE
    assert "begins with these types: click (1)" in (tmp_path / "out/method.yaml").read_text()


def test_without_a_terminal_what_is_missing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "products"]) == Exit.USAGE
    assert capsys.readouterr().err == "error: --store is missing, and nobody can be asked: there is no terminal\n"
