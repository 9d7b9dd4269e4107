"""Hooks that need no model: pictures as items, files that items name, splits of a plugin's own."""

import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import pytest

from bluetune_api.method import Items
from bluetune_api.objectstore import LocalStore
from bluetune_api.s3 import S3Store
from bluetune_api.store_location import StoreLocation
from bluetune_trainer.data import reading
from bluetune_trainer.data.reading import Reader
from bluetune_trainer.data.splits import checked_split
from bluetune_trainer.data.types import Sessions, Split
from bluetune_trainer.errors import DataInvalid, PluginFailed, Stopped
from bluetune_trainer.plugin import TextImageFineTuningMethod

ITEMS = Items(text_fields=["picture", "thumbnail"])


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"picture": " pictures/1.png "}, "pictures/1.png"),
        ({"picture": None, "thumbnail": "t.jpg"}, "t.jpg"),
        ({"picture": "", "thumbnail": "t.jpg"}, "t.jpg"),
        ({"picture": b"\x89PNG"}, "data:;base64,iVBORw=="),
        ({"picture": "data:image/png;base64,iVBORw=="}, "data:image/png;base64,iVBORw=="),
    ],
)
def test_an_items_picture_is_the_first_that_it_has(item: dict[str, Any], expected: str) -> None:
    assert TextImageFineTuningMethod().item_text(item, ITEMS) == expected


@pytest.mark.parametrize(
    ("item", "says"),
    [
        ({}, "no picture in 'picture' or 'thumbnail'"),
        ({"picture": 7}, "field 'picture' must be a key"),
        ({"picture": b""}, "no picture"),
    ],
)
def test_a_line_without_a_picture_counts_as_broken(item: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        TextImageFineTuningMethod().item_text(item, ITEMS)


def test_files_that_items_name_are_read_from_the_store(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("pictures/1.png", b"png")
    stop = threading.Event()
    read = Reader(store, stop)
    assert read("pictures/1.png") == b"png"
    with pytest.raises(DataInvalid, match=r"pictures/2\.png, which an item of the catalogue names") as missing:
        read("pictures/2.png")
    assert missing.value.reason == "ItemFileMissing"
    monkeypatch.setattr(reading, "MAX_FILE_BYTES", 2)
    with pytest.raises(DataInvalid, match="which an item of the catalogue names, is larger than"):
        read("pictures/1.png")
    for outside in ("/etc/passwd", "../other-model/1.png", "pictures/../../1.png", "a\0b"):
        with pytest.raises(DataInvalid, match="which is no key below the model's prefix"):
            read(outside)
    stop.set()
    with pytest.raises(Stopped):
        read("pictures/1.png")


def test_another_process_reads_with_a_store_of_its_own_and_is_told_no_key(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("pictures/1.png", b"png")
    local: Reader = ForkingPickler.loads(ForkingPickler.dumps(Reader(store, threading.Event())))
    assert local("pictures/1.png") == b"png"
    location = StoreLocation(endpoint="minio:9000", bucket="models")
    given = ForkingPickler.dumps(Reader(S3Store(location, access_key="first", secret_key="the-secret")))
    assert b"the-secret" not in bytes(given)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "other")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "its-own")
    opened = ForkingPickler.loads(given).store
    assert isinstance(opened, S3Store)
    assert opened.uri("a") == "s3://models/a"


def sessions(count: int) -> Sessions:
    return Sessions(
        queries=[f"q{i}" for i in range(count)],
        items=np.arange(2 * count, dtype=np.int32),
        clicked=np.tile([True, False], count),
        offsets=np.arange(0, 2 * count + 1, 2),
        created=np.arange(count, dtype=np.float64),
    )


def test_a_split_by_time_is_taken_as_it_is() -> None:
    every = sessions(10)
    made = Split(*(every.subset(part) for part in np.split(np.arange(10), [6, 8])))
    assert checked_split(made) is made
    assert made.gate.created.tolist() == [8.0, 9.0]
    assert made.gate.items.tolist() == [16, 17, 18, 19]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda good: 7, "must return a Split or None, it returned int"),
        (lambda good: (good, good, good), "it returned tuple"),
        (lambda good: Split(good, good, [1]), "gate must be Sessions, made with sessions.subset, not list"),
        (lambda good: Split(replace(good, queries=["a"]), good, good), "the columns of train do not fit each other"),
        (lambda good: Split(good, replace(good, clicked=good.clicked[:1]), good), "the columns of validation"),
    ],
)
def test_what_is_no_split_is_the_plugins_fault(spoil: Callable[[Sessions], Any], says: str) -> None:
    with pytest.raises(PluginFailed, match=says):
        checked_split(spoil(sessions(4)))


def test_plugins_and_the_check_are_imported_where_there_is_no_torch() -> None:
    code = (
        "import sys\n"
        "sys.modules.update(torch=None, transformers=None, pytorch_lightning=None)\n"
        "import bluetune_trainer.plugin, bluetune_trainer.plugin.resolve, bluetune_trainer.cli.checking\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
