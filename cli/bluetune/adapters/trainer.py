"""Whether the trainer's libraries are installed."""

from importlib.util import find_spec

NEEDED = ("torch", "pytorch_lightning", "transformers", "pyarrow")
EXTRA = "bluetune[trainer]"


def missing_libraries() -> list[str]:
    """Those that are not, found without importing any."""
    return [name for name in NEEDED if find_spec(name) is None]
