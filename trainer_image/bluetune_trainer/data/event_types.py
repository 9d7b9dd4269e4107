"""Types of events: which of them count as a sign of relevance, and how much."""

from collections.abc import Mapping

from bluetune_api.base import seconds_of
from bluetune_api.clickstream import Clickstream
from bluetune_trainer.errors import PlanInvalid

DEFAULT_TYPES = (
    *("click", "item_click", "product_click", "product_clicked", "result_click", "search_click", "list_click"),
    *("select", "select_item", "select_content", "open"),
    *("add_to_cart", "product_added", "add_to_basket", "add_to_wishlist", "product_added_to_wishlist", "watch"),
    *("purchase", "buy", "order", "order_completed", "conversion", "transaction"),
)
"""Count 1 each where the method names no types: UBI's, GA4's, Segment's and Snowplow's names for the same deeds."""
UNTYPED = "click"
"""What an event without a type is."""

WEIGHED = "weighed by the plugin"
"""Type of the events that a plugin's own converter made: they count, whichever types the method names."""
IMPORTANCE = object()
"""Key of an event's importance, a factor on its gain, that a plugin gives it; no log can hold such a key."""

LEFT_SOON = object()
"""Key of an event after which the user stayed for too short a time; no log can hold such a key."""

MAX_REMEMBERED = 1000
"""Names whose gain is looked up once."""


def plain(name: str) -> str:
    """A type's name without case, spaces and punctuation: `Add To Cart`, `addToCart` and `add_to_cart` are one."""
    return "".join(filter(str.isalnum, name.casefold()))


def types_of(clickstream: Clickstream) -> "EventTypes":
    """What a method counts. Raises PlanInvalid."""
    least = clickstream.min_dwell
    return EventTypes(clickstream.event_types, None if least is None else seconds_of(least))


class EventTypes:
    """Gains of the types of events. Raises PlanInvalid if two names are the same type.

    `levels` are the different gains, ascending, the first being 0: what does not count. `min_dwell` is how many seconds
    the user must have stayed, where the log says it; None: that does not matter.
    """

    def __init__(self, gains: Mapping[str, float] | None = None, min_dwell: float | None = None) -> None:
        self.min_dwell = min_dwell
        named = dict.fromkeys(DEFAULT_TYPES, 1.0) if gains is None else gains
        self._gains: dict[str, float] = {plain(WEIGHED): 1.0}
        for name, gain in named.items():
            if plain(name) in self._gains and gains is not None:
                raise PlanInvalid(
                    f"clickstream.eventTypes: {name!r} is there twice, written differently: case, spaces, _ and - do"
                    " not matter; name it once"
                )
            self._gains[plain(name)] = float(gain)
        self._as_logged: dict[str, float] = {}
        self.levels = (0.0, *sorted({float(gain) for gain in named.values()}))

    def gain(self, name: str) -> float:
        """What a result gains by an event of this type; 0 if the type does not count."""
        gain = self._as_logged.get(name)
        if gain is None:
            gain = self._gains.get(plain(name), 0.0)
            if len(self._as_logged) < MAX_REMEMBERED:
                self._as_logged[name] = gain
        return gain
