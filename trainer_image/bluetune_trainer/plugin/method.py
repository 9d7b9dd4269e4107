"""The fine-tuning method: what a plugin may change. Records are plain dictionaries, so that a plugin needs no torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from bluetune_api.method import Items, SearchSpace, Settings


@dataclass(frozen=True)
class PluginMeta:
    """What a plugin says about itself; it goes into the log."""

    name: str
    version: str
    description: str = ""


class FineTuningMethod:
    """How clicks and items become training data, and how the run is set up. Made once a run, without arguments.

    Override what differs. A hook that raises ends the run with exit code 12, the exception's text and its line; it is
    not tried again.
    """

    meta: ClassVar[PluginMeta] = PluginMeta("FineTuningMethod", "0")

    def item_text(self, item: Mapping[str, Any], items: Items) -> str | None:
        """The text that stands for an item.

        Args:
            item: a line of the catalogue as it was read.
            items: how the method says that the catalogue is to be read.

        Returns:
            The text; None to leave the item out.

        Raises:
            ValueError: this line is broken; it is counted and reported, and the run goes on. Nothing else is so taken.
        """
        raise NotImplementedError

    def session(self, session: dict[str, Any]) -> dict[str, Any] | None:
        """A search session before it is checked: return it, changed or not, or None to leave it out."""
        return session

    def settings(self, settings: Settings) -> Settings:
        """The settings that the run follows, from those of method and task."""
        return settings

    def initial_params(self, space: SearchSpace | None) -> SearchSpace | None:
        """The search space that the run follows, from that of method and task; None for the preset's."""
        return space


class TextFineTuningMethod(FineTuningMethod):
    """Items are texts: the method's `textFields`, joined by its separator."""

    meta: ClassVar[PluginMeta] = PluginMeta(
        "TextFineTuningMethod", "1", "Fine-tunes a sentence encoder on search clicks"
    )

    def item_text(self, item: Mapping[str, Any], items: Items) -> str | None:
        """The item's text fields, in order, joined; fields that are absent, null or blank are passed over."""
        parts = []
        for name in items.text_fields:
            value = item.get(name)
            if isinstance(value, str):
                part = value.strip()
            elif value is None or value != value:  # NaN is how Parquet written by pandas says null
                continue
            elif isinstance(value, int | float) and not isinstance(value, bool):
                part = str(value)
            else:
                raise ValueError(f"field {name!r} must be a text, not {type(value).__name__}")
            if part:
                parts.append(part)
        if not parts:
            raise ValueError(f"no text in {' or '.join(repr(name) for name in items.text_fields)}")
        return items.separator.join(parts)


def overridden(method: FineTuningMethod, hook: str) -> Callable[..., Any] | None:
    """The hook, if a subclass of ours changed it: the unchanged one need not be called for each of a million lines."""
    own = getattr(type(method), hook)
    return None if own is getattr(FineTuningMethod, hook) else getattr(method, hook)
