"""The catalogue: from records to item texts by position."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from bluetune_api.method import Items
from bluetune_trainer.data.clicks import fields_of
from bluetune_trainer.data.records import shortened
from bluetune_trainer.data.tally import CatalogueTally
from bluetune_trainer.data.types import Catalogue
from bluetune_trainer.errors import PluginFailed

ItemText = Callable[[dict[str, Any], Items], str | None]
"""The plugin's hook."""
Wanted = Callable[[str], bool]
"""Whether the item of an id is asked for."""


def read_catalogue(
    records: Iterable[tuple[str, int, dict[str, Any]]], items: Items, item_text: ItemText, tally: CatalogueTally
) -> Catalogue:
    """Collect the items. Broken lines are counted in `tally`.

    Of several lines of an item the last counts, in the order of the keys: of daily files, the newest. A line whose
    `items.deletedField` is true removes the item; a later line brings it back.

    Raises:
        PluginFailed: the hook returned what is no text.
    """
    texts: dict[str, str] = {}
    for item_id, text in item_lines(records, items, item_text, tally):
        if text is None:
            texts.pop(item_id, None)
            continue
        tally.updates += item_id in texts
        texts[item_id] = text
    ids = list(texts)
    tally.items = len(ids)
    position = {item_id: at for at, item_id in enumerate(ids)}
    return Catalogue(ids=ids, texts=list(texts.values()), position=position)


def item_lines(
    records: Iterable[tuple[str, int, dict[str, Any]]],
    items: Items,
    item_text: ItemText,
    tally: CatalogueTally,
    wanted: Wanted | None = None,
) -> Iterator[tuple[str, str | None]]:
    """Id and text of each line, in order; None as text removes the item. Broken lines are counted in `tally`.

    Args:
        wanted: whose lines are asked for; of the others only the id is looked at.

    Raises:
        PluginFailed: the hook returned what is no text.
    """
    missing = set(items.text_fields)
    for key, line, record in records:
        item_id = record.get(items.id_field)
        if type(item_id) is int:
            item_id = str(item_id)
        if type(item_id) is not str or not item_id:
            problem = f"this is {shortened(item_id)}" if items.id_field in record else f"fields are {fields_of(record)}"
            tally.offend(key, line, f"{items.id_field}: an id (text or whole number) is expected, {problem}")
            continue
        if wanted is not None and not wanted(item_id):
            tally.use(key)
            continue
        if items.deleted_field in record and _is_true(record[items.deleted_field]):
            tally.use(key)
            tally.deletions += 1
            yield item_id, None
            continue
        missing -= {name for name in missing if record.get(name) is not None}
        try:
            text = item_text(record, items)
            if type(text) is str:
                text.encode()  # half a surrogate pair can be written in JSON, and no tokenizer takes it
        except ValueError as error:
            fields = "" if any(f in record for f in items.text_fields) else f"; fields are {fields_of(record)}"
            tally.offend(key, line, f"item {shortened(item_id)}: {error}{fields}")
            continue
        tally.use(key)
        if text is None:
            tally.left_out += 1
            continue
        if type(text) is not str:
            raise PluginFailed(
                f"item_text must return a text or None, it returned {type(text).__name__} for {item_id!r}"
            )
        yield item_id, text
    tally.absent_fields = [name for name in items.text_fields if name in missing] if tally.read else []


def _is_true(marker: object) -> bool:
    return marker is True or marker == 1 or (isinstance(marker, str) and marker.casefold() in ("true", "1"))
