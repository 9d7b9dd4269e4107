"""A plugin: how one shop turns its items and sessions into training data."""

from collections.abc import Mapping
from typing import Any

from bluetune_api.method import Items, Settings
from bluetune_trainer.plugin import PluginMeta, TextFineTuningMethod


class ShopMethod(TextFineTuningMethod):
    """Puts the category before an item's text, leaves out sessions of robots, and trains on shorter texts."""

    meta = PluginMeta("ShopMethod", "1.0", "Text with category; no robots")

    def item_text(self, item: Mapping[str, Any], items: Items) -> str | None:
        """`category: title. description`; items out of stock are left out."""
        if item.get("in_stock") is False:
            return None
        text = super().item_text(item, items)
        category = item.get("category")
        return f"{category}: {text}" if category else text

    def session(self, session: dict[str, Any]) -> dict[str, Any] | None:
        """Without the sessions of the monitoring, which clicks on everything."""
        return None if session.get("user_id") == "monitoring" else session

    def settings(self, settings: Settings) -> Settings:
        """At most 64 tokens, unless the method or the task says otherwise."""
        return settings if settings.max_tokens else settings.model_copy(update={"max_tokens": 64})
