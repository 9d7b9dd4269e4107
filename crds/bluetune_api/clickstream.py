"""What a batch of clicks looks like, and what in it counts: a part of FineTuningMethod."""

from typing import Annotated, Literal

from pydantic import Field

from bluetune_api.base import ApiModel

Gain = Annotated[float, Field(gt=0, le=1000)]


class Clickstream(ApiModel):
    """What a batch of clicks looks like, and what in it counts."""

    format: Literal["Sessions", "UBI"] | None = None
    """`Sessions`: a record is a search with its results and events. `UBI`: queries and events of OpenSearch User
    Behavior Insights, as JSON lines, `_bulk` bodies or `_search` responses. Absent: found from the first records, and
    said by the check; a plugin that has the hook `session` gets the records as they are."""
    event_types: Annotated[dict[str, Gain], Field(min_length=1, max_length=64)] | None = None
    """Types of events that count, and the gain of each, for example `{click: 1, add_to_cart: 3, purchase: 5}`; case,
    spaces, `_` and `-` do not matter. An event without a type is a click. A result counts by the highest gain of its
    events. Types that are not named are counted in the check, and do nothing else. Absent: clicks, additions to carts
    and lists, and purchases count 1 each; impressions, views, hovers, scrolls and the like do not count."""
    max_results: Annotated[int, Field(ge=2, le=10000)] = 100
    """Results of a search that are kept: those clicked first, then the others in the order shown. It bounds memory."""
