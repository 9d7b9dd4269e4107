"""What a plugin's author imports: the method to subclass, and what it says about itself."""

from bluetune_trainer.plugin.method import FineTuningMethod, PluginMeta, TextFineTuningMethod, TextImageFineTuningMethod

__all__ = ["FineTuningMethod", "PluginMeta", "TextFineTuningMethod", "TextImageFineTuningMethod"]
