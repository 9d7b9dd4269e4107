"""The catalogue: from records to item texts by position."""

from collections.abc import Callable, Iterable
from typing import Any

from bluetune_api.method import Items
from bluetune_trainer.data.records import shortened
from bluetune_trainer.data.tally import Lines
from bluetune_trainer.data.types import Catalogue
from bluetune_trainer.errors import PluginFailed

ItemText = Callable[[dict[str, Any], Items], str | None]
"""The plugin's hook."""


def read_catalogue(
    records: Iterable[tuple[str, int, dict[str, Any]]], items: Items, item_text: ItemText, tally: Lines
) -> Catalogue:
    """Collect the items. Broken lines, and ids seen before, are counted in `tally`; the first of an id is kept.

    Raises:
        PluginFailed: the hook returned what is no text.
    """
    ids: list[str] = []
    texts: list[str] = []
    position: dict[str, int] = {}
    for key, line, record in records:
        item_id = record.get(items.id_field)
        if type(item_id) is int:
            item_id = str(item_id)
        if type(item_id) is not str or not item_id:
            problem = f"this is {shortened(item_id)}" if items.id_field in record else f"fields are {_names(record)}"
            tally.offend(key, line, f"{items.id_field}: an id (text or whole number) is expected, {problem}")
            continue
        if item_id in position:
            tally.offend(key, line, f"{items.id_field}: {shortened(item_id)} was seen before; the first is kept")
            continue
        try:
            text = item_text(record, items)
            if type(text) is str:
                text.encode()  # half a surrogate pair can be written in JSON, and no tokenizer takes it
        except ValueError as error:
            fields = f"; fields are {_names(record)}" if not any(f in record for f in items.text_fields) else ""
            tally.offend(key, line, f"item {shortened(item_id)}: {error}{fields}")
            continue
        if text is None:
            tally.left_out += 1
            continue
        if type(text) is not str:
            raise PluginFailed(
                f"item_text must return a text or None, it returned {type(text).__name__} for {item_id!r}"
            )
        position[item_id] = len(ids)
        ids.append(item_id)
        texts.append(text)
    tally.read = len(ids)
    return Catalogue(ids=ids, texts=texts, position=position)


def _names(record: dict[str, Any]) -> str:
    return shortened(", ".join(list(record)[:8]))
