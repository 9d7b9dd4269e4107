"""Items of the catalogue on their way to texts: metas, loaders, field names, and the manager that holds the parts."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from bluetune_trainer.compat.augmenting import ItemsSetAugmentationApplier
from bluetune_trainer.compat.splitting import ItemsSetSplitter


class ItemMeta(BaseModel):
    """What a data loader must know of an item. Made of the fields of the item's line in the catalogue.

    A subclass declares the fields that it needs, and may override `id`.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="allow")

    object_id: str
    """The item's id, as sessions log it."""

    @property
    def id(self) -> str:
        """The item's id."""
        return self.object_id

    def __hash__(self) -> int:
        return hash(self.id)


class DownloadedItem(BaseModel):
    """An item with its content."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    id: str
    """Id as in the item's meta."""
    data: Any
    """A text, or a mapping of fields."""
    meta: Any
    """What it was loaded by."""


class DataLoader(ABC):
    """Where the content of items comes from."""

    def __init__(self, **kwargs: Any) -> None:  # noqa: B027 - subclasses may pass on what they like
        """Keyword arguments are the loader's own."""

    @abstractmethod
    def load(self, items_data: list[Any]) -> Iterable[Any]:
        """Load the content of items.

        Args:
            items_data: ItemMeta objects, of the type that the sessions' converter names.

        Returns:
            DownloadedItem objects; an item that cannot be loaded is left out of them.
        """


class TextDataLoader(DataLoader):
    """Takes an item's text from its line in the catalogue: the fields of the method's `items.textFields`, joined."""

    def load(self, items_data: list[Any]) -> list[DownloadedItem]:
        """Items whose meta has `text`, or any field that is a text; the fields are joined in their order."""
        return [DownloadedItem(id=meta.id, data=_text_of(meta), meta=meta) for meta in items_data]


def _text_of(meta: Any) -> str:
    fields = {name: value for name, value in dict(meta).items() if name != "object_id"}
    chosen = [fields["text"]] if "text" in fields else list(fields.values())
    return ". ".join(value for value in chosen if isinstance(value, str) and value)


class DatasetFieldsNormalizer:
    """Which fields of a loaded item hold its content and its id.

    Args:
        item_field_name: field with the content, when a loader gives mappings.
        id_field_name: field with the id.
    """

    ID_FIELD_NAME = "item_id"
    ITEM_FIELD_NAME = "item"

    def __init__(self, item_field_name: str, id_field_name: str) -> None:
        if not id_field_name:
            raise ValueError("id_field_name: a field's name that is not empty is expected")
        if not item_field_name:
            raise ValueError("item_field_name: a field's name that is not empty is expected")
        self.item_field_name = item_field_name
        self.id_field_name = id_field_name

    def __call__(self, rows: Iterable[Any]) -> list[dict[str, Any]]:
        """Loaded items, or mappings of fields, as `{"item_id": text, "item": content}`."""
        return [
            {self.ID_FIELD_NAME: str(self._field(row, self.id_field_name, "id")), self.ITEM_FIELD_NAME: self.item(row)}
            for row in rows
        ]

    def item(self, row: Any) -> Any:
        """The content of a loaded item, or of a mapping of fields."""
        content = self._field(row, self.item_field_name, "data")
        if isinstance(content, dict) and self.item_field_name in content:
            return content[self.item_field_name]
        return content

    @staticmethod
    def _field(row: Any, name: str, attribute: str) -> Any:
        if isinstance(row, dict):
            if name not in row:
                raise ValueError(f"the loaded item has no field {name!r}; it has {', '.join(map(repr, row))}")
            return row[name]
        return getattr(row, attribute)


class ItemSetManager:
    """How a loaded item becomes what the encoder reads: its field, its parts, its variants.

    Args:
        field_normalizer: names the field with the content.
        id_field_name: field with the id; default: the normalizer's.
        items_set_splitter: cuts items into parts whose ranks are put together again; default: an item is one part.
        augmenter: makes variants of an item; training draws one of them each time that an item is used.
        do_augment_test: not supported, and refused: scores on invented items say nothing about real ones.
        do_augmentation_before_preprocess: as in the document; here both orders come to the same.
    """

    def __init__(
        self,
        field_normalizer: DatasetFieldsNormalizer,
        id_field_name: str | None = None,
        items_set_splitter: ItemsSetSplitter | None = None,
        augmenter: ItemsSetAugmentationApplier | Callable[[list[str]], list[str]] | None = None,
        do_augment_test: bool = False,
        do_augmentation_before_preprocess: bool = True,
    ) -> None:
        if do_augment_test:
            raise ValueError("do_augment_test: items of the test side stay as they are; leave it False")
        self.field_normalizer = field_normalizer
        self.id_field_name = id_field_name or field_normalizer.id_field_name
        self.splitter = items_set_splitter
        self.augmenter = augmenter
        self.do_augmentation_before_preprocess = do_augmentation_before_preprocess

    def preprocess(self, content: Any) -> str:
        """The text of an item's content. Raises ValueError for what is no text."""
        if not isinstance(content, str):
            raise ValueError(f"the item's content must be a text, this is {type(content).__name__}")
        return content

    @property
    def splits(self) -> bool:
        """Whether items are cut into parts."""
        return self.splitter is not None or type(self).parts is not ItemSetManager.parts

    @property
    def varies(self) -> bool:
        """Whether items have variants."""
        return self.augmenter is not None or type(self).variants is not ItemSetManager.variants

    def text(self, loaded: Any) -> str:
        """The text of a loaded item."""
        normalizer = self.field_normalizer
        if type(normalizer).__call__ is DatasetFieldsNormalizer.__call__:
            return self.preprocess(normalizer.item(loaded))
        (row,) = normalizer([loaded])
        return self.preprocess(row[normalizer.ITEM_FIELD_NAME])

    def parts(self, text: str) -> list[str]:
        """The parts of an item's text: at least one."""
        found = list(self.splitter.item_splitter(text)) if self.splitter else []
        return found or [text]

    def variants(self, text: str) -> list[str]:
        """Texts that may stand for the item in training, the item's own first, each once."""
        if self.augmenter is None:
            return [text]
        made = self.augmenter.augment(text) if hasattr(self.augmenter, "augment") else self.augmenter([text])
        return list(dict.fromkeys([text, *made]))


class TextItemSetManager(ItemSetManager):
    """Items are texts."""


def texts_of(loader: DataLoader, manager: ItemSetManager, metas: Sequence[Any]) -> dict[str, str]:
    """Text by id of the items that could be loaded."""
    return {str(item["item_id"]): manager.preprocess(item["item"]) for item in _rows(loader, manager, metas)}


def _rows(loader: DataLoader, manager: ItemSetManager, metas: Sequence[Any]) -> list[dict[str, Any]]:
    return manager.field_normalizer(loader.load(list(metas)))
