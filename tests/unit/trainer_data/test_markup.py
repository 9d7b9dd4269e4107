"""HTML in a catalogue's texts."""

import pytest

from bluetune_api.method import Items
from bluetune_trainer.markup import without_markup
from bluetune_trainer.plugin import TextFineTuningMethod


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("red lamp", "red lamp"),
        ("<p>Red <b>la</b>mp</p><ul><li>10&nbsp;W<li>E27</ul>", "Red lamp 10 W E27"),
        ("Tom &amp; Jerry&#39;s &lt;b&gt;", "Tom & Jerry's <b>"),
        ("one<br/>two<script>var x = '<b>';</script><style>p{}</style>", "one two"),
        ("3 < 5 and 7 > 5", "3 < 5 and 7 > 5"),
        ("<!-- hidden -->seen", "seen"),
        ("AT&T", "AT&T"),
    ],
)
def test_what_a_browser_shows_is_the_text(html: str, text: str) -> None:
    assert without_markup(html) == text


def test_markup_is_removed_where_the_method_says_so() -> None:
    item = {"title": "<b>Lamp</b>", "description": "<p> </p>"}
    method = TextFineTuningMethod()
    assert method.item_text(item, Items()) == "<b>Lamp</b>. <p> </p>"
    assert method.item_text(item, Items(markup="Remove")) == "Lamp"
