"""What another release wrote is read: a newer one adds fields that are not known here, an older one lacks some of ours.
What must not be passed over is refused, and the side to upgrade is named."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from bluetune_api import index_records, records, store_identity
from bluetune_api.base import ApiModel
from bluetune_api.method import FineTuningMethodStatus
from bluetune_api.model import EmbeddingModelStatus
from bluetune_api.plan_format import models_in
from bluetune_api.reading import FormatTooNew, Reader, Record, RecordInvalid, read_record, unknown_fields
from bluetune_api.task import FineTuningTaskStatus
from bluetune_operator.core.tasks.run_record import RunRecord
from unit.skew.made_up import documents

RECORDS: tuple[type[Record], ...] = (
    records.Plan,
    records.CheckReport,
    records.RunPrecision,
    records.Resumed,
    records.Trial,
    records.Lineage,
    records.Progress,
    records.KeptEvidence,
    records.Result,
    records.Manifest,
    records.KeyClaim,
    records.TriedBatch,
    records.RetrainedBatch,
    index_records.IndexCatalogue,
    index_records.IndexShard,
    index_records.IndexManifest,
    index_records.IndexProgress,
    store_identity.StoreOwner,
    store_identity.CurrentRecord,
    RunRecord,
)
STATUSES: tuple[type[ApiModel], ...] = (EmbeddingModelStatus, FineTuningTaskStatus, FineTuningMethodStatus)
WRITTEN: dict[str, list[Any]] = json.loads((Path(__file__).parent / "written_before_formats.json").read_text())
"""By the types as they were when unknown fields were still refused, each field at least once."""
MORE = {"ofANewerRelease": {"deep": [1]}}
READERS = st.sampled_from(["operator", "trainer"])


def with_more(kind: type[BaseModel], document: Any) -> Any:
    """The document with one more field in each of its objects."""
    found = dict(document)
    for field_name, field in kind.model_fields.items():
        name, inner = field.alias or field_name, next(models_in(field.annotation), None)
        if inner is None or name not in found:
            continue
        if isinstance(found[name], list):
            found[name] = [with_more(inner, each) for each in found[name]]
        elif "dict[" in str(field.annotation):
            found[name] = {key: with_more(inner, each) for key, each in found[name].items()}
        else:
            found[name] = with_more(inner, found[name])
    return found | MORE


def fields_in(document: Any, above: str = "") -> set[tuple[str, str]]:
    """Each path of a document with what stands there."""
    if isinstance(document, dict):
        return {each for key, value in document.items() for each in fields_in(value, f"{above}.{key}")}
    if isinstance(document, list):
        return {each for n, value in enumerate(document) for each in fields_in(value, f"{above}[{n}]")}
    return {(above, repr(document))}


def test_all_records_were_written() -> None:
    assert WRITTEN.keys() == {kind.__name__ for kind in (*RECORDS, *STATUSES)}
    every = {
        each
        for module in (records, index_records, store_identity)
        for each in vars(module).values()
        if isinstance(each, type)
    }
    shared = {Record, store_identity.PromotedVersion}
    assert {k for k in every if issubclass(k, Record) and not k.__name__.startswith("_")} - shared <= {*RECORDS}


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_what_an_older_release_wrote_is_read(kind: type[Record]) -> None:
    for document in WRITTEN[kind.__name__]:
        read = read_record(kind, json.dumps(document), "operator").wire()
        assert fields_in(document) <= fields_in(read)


@pytest.mark.parametrize("kind", STATUSES, ids=lambda kind: kind.__name__)
def test_a_status_that_an_older_release_wrote_is_read_and_stays_as_it_is(kind: type[ApiModel]) -> None:
    for document in WRITTEN[kind.__name__]:
        assert kind.model_validate(document).wire() == document


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), reader=READERS)
def test_fields_of_a_newer_release_are_passed_over(kind: type[Record], data: st.DataObject, reader: Reader) -> None:
    document = {name: value for name, value in data.draw(documents(kind)).items() if name != "formatVersion"}
    more = json.dumps(with_more(kind, document))
    assert read_record(kind, more, reader) == read_record(kind, json.dumps(document), reader)
    assert "ofANewerRelease" in unknown_fields(kind, more)
    assert unknown_fields(kind, json.dumps(document)) == []


@pytest.mark.parametrize("kind", STATUSES, ids=lambda kind: kind.__name__)
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_fields_of_a_newer_releases_status_are_kept(kind: type[ApiModel], data: st.DataObject) -> None:
    document = kind.model_validate(data.draw(documents(kind))).wire()
    more = with_more(kind, document)
    status = kind.model_validate(more)
    assert status.wire() == more
    changed = status.model_copy(update={"conditions": None}).wire()
    assert changed == {name: value for name, value in more.items() if name != "conditions"}


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(("reader", "side"), [("operator", "upgrade the operator"), ("trainer", "trainer's image")])
def test_a_newer_format_is_refused_whatever_else_it_says(kind: type[Record], reader: Reader, side: str) -> None:
    for document in (WRITTEN[kind.__name__][0], {}):
        with pytest.raises(FormatTooNew, match=side) as refused:
            read_record(kind, json.dumps({**document, "formatVersion": kind.FORMAT + 1}), reader)
        assert f"formatVersion is {kind.FORMAT + 1}" in str(refused.value)


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"3", b"\xff", b"[" * 100_000, b'{"formatVersion": "2"}', b'{"formatVersion": true}', b"{}"],
)
def test_what_is_no_record_is_refused_and_says_what_is_wrong(data: bytes) -> None:
    with pytest.raises(RecordInvalid, match=":"):
        read_record(records.KeyClaim, data, "operator")
