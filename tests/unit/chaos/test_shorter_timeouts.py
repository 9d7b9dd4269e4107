"""The timeouts that the chaos suite shortens are still the operator's."""

import pytest

from chaos.operator_main import SHORTER


@pytest.mark.parametrize(("module", "values"), SHORTER, ids=lambda v: getattr(v, "__name__", ""))
def test_what_is_shortened_exists_and_was_longer(module: object, values: dict[str, float]) -> None:
    for name, value in values.items():
        assert getattr(module, name) > value
