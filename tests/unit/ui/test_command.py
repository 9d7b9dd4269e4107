"""`bluetune ui` where the page's libraries are not installed."""

import pytest

from bluetune.__main__ import main
from bluetune.commands import ui
from bluetune.core.errors import Exit


def test_a_command_without_the_extra_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ui, "find_spec", lambda name: None)
    assert main(["ui"]) == Exit.REFUSED
    assert capsys.readouterr().err == (
        "error: ui needs aiohttp, jinja2: pip install '.[ui]' in a checkout of bluetune\n"
    )
