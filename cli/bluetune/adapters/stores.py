"""A model's part of an object store, by the user's own keys, and what lies in it."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Union

from bluetune.core.data_seen import BEGINNING, ClicksSeen, ItemsSeen, Row, clicks_seen, items_seen, rows_of, some
from bluetune_api import store_layout
from bluetune_api.batches import find_batches
from bluetune_api.credentials import static_keys
from bluetune_api.method import Items
from bluetune_api.objectstore import LocalStore, ObjectInfo
from bluetune_api.store_location import StoreLocation

if TYPE_CHECKING:
    from bluetune_api.s3 import S3Store

HIDDEN = ("_", ".")


def own_store(location: StoreLocation) -> "S3Store | None":
    """The store by the keys in the environment; None if there are none. Raises StoreDenied for keys that are none."""
    keys = static_keys(os.environ)
    if keys is None:
        return None
    from bluetune_api.s3 import S3Store  # brings minio, which takes its time

    return S3Store(
        location,
        access_key=keys.access_key,
        secret_key=keys.secret_key,
        session_token=keys.session_token,
        ca_file=os.environ.get("BLUETUNE_CA_FILE") or None,
        attempts=3,
    )


@dataclass
class DataSeen:
    """What a catalogue and batches of clicks look like, and sentences that say what was found."""

    items: ItemsSeen = field(default_factory=ItemsSeen)
    clicks: ClicksSeen = field(default_factory=ClicksSeen)
    said: list[str] = field(default_factory=list)


def look(store: Union["S3Store", LocalStore]) -> DataSeen:
    """Look at the catalogue, at the batches, and at the beginning of one file of each. Raises StoreError."""
    seen = DataSeen()
    folder = Items().path
    info, rows = _sample(store, folder, seen.said)
    if rows:
        seen.items = items_seen(rows)
        seen.said.append(f"{info} has the fields {some(seen.items.fields)}")
    batches = find_batches(store, now=time.time())
    complete = [batch.batch_id for batch in batches.complete]
    seen.said.append(f"{store.uri(store_layout.CLICKSTREAM)}: complete batches: {some(complete[::-1]) or 'none'}")
    if left_out := batches.in_words():
        seen.said.append(left_out)
    if complete:
        info, rows = _sample(store, store_layout.batch(complete[-1]), seen.said)
        if rows:
            seen.clicks = clicks_seen(rows)
            seen.said.append(f"{info} has the fields {some(seen.clicks.fields)}")
    return seen


def _sample(store: Union["S3Store", LocalStore], folder: str, said: list[str]) -> tuple[str, list[Row]]:
    """The name and the first rows of a file of data in a folder."""
    files = list(_data(store, folder))
    if not files:
        said.append(f"{store.uri(folder)}: no data")
        return "", []
    first = files[0]
    said.append(f"{store.uri(folder)}: {len(files)} {'file' if len(files) == 1 else 'files'} of data in the first page")
    rows = rows_of(first.key, store.beginning(first.key, BEGINNING))
    if rows is None:
        said.append(f"the fields of {first.key} are not looked at here: `bluetune check` reads it")
    elif not rows:
        said.append(f"{first.key} begins with nothing that can be read: `bluetune check` says what is wrong")
    return first.key, rows or []


def _data(store: Union["S3Store", LocalStore], folder: str) -> Iterator[ObjectInfo]:
    """Files of data, of the first page of a listing."""
    for info in store.page(folder).objects:
        if info.size and not any(part.startswith(HIDDEN) for part in info.key.removeprefix(folder).split("/")):
            yield info
