"""What a batch of clicks looks like, and what in it counts: a part of FineTuningMethod."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from bluetune_api.base import ApiModel, Duration, Rule, ShortText

Gain = Annotated[float, Field(gt=0, le=1000)]
Column = Annotated[str, StringConstraints(min_length=1, max_length=128)]
TypeNames = Annotated[list[Annotated[str, StringConstraints(min_length=1, max_length=64)]], Field(max_length=16)]


class EventColumns(ApiModel):
    """Where a table of events has what a search is made of. A dot leads into an object: `properties.query`."""

    user: Column = "user_id"
    """Who did it: searches of different users are never mixed. It is used for nothing else, and not kept."""
    visit: Column | None = None
    """Id of a visit, if there is one: what came in another visit belongs to another search."""
    time: Column = "timestamp"
    """When."""
    type: Column = "event_type"
    """What was done."""
    query: Column = "query"
    """What was searched for; absent in events that only name an item."""
    item: Column = "item_id"
    """The item that was shown or clicked; absent in events without one."""
    position: Column = "position"
    """The item's place among the results, from 0 or 1; may be absent."""
    dwell: Column | None = None
    """Seconds that the user stayed with the item, for `minDwell`; may be absent in some events."""


class EventTable(ApiModel):
    """How searches are found in a table of events."""

    RULES = (
        Rule(
            "has(self.preset) != has(self.columns)",
            "set exactly one of preset and columns",
            lambda t: (t.preset is None) != (t.columns is None),
            "preset",
        ),
        Rule(
            "!has(self.preset) || (self.preset in ['Elastic', 'Metarank']) != has(self.searchList)",
            "the presets GA4, Segment and Snowplow need the name of the list that shows search results: others"
            " (recommendations, categories) would be taken for it; Elastic and Metarank have no other lists",
            lambda t: t.preset is None or (t.preset in ("Elastic", "Metarank")) != (t.search_list is not None),
            "searchList",
        ),
    )

    preset: Literal["GA4", "Segment", "Snowplow", "Elastic", "Metarank"] | None = None
    """`GA4`: rows of Google Analytics' BigQuery export. `Segment`: track calls of the e-commerce specification.
    `Snowplow`: enriched events with site searches and e-commerce actions. `Elastic`: events of behavioral analytics.
    `Metarank`: its rankings, with a field `query`, and interactions."""
    columns: EventColumns | None = None
    """Columns of a table of your own that has one event in each row."""
    search_list: ShortText | None = None
    """Name or id of the list of search results: GA4's item_list_name or item_list_id, Segment's list_id, or how the
    name of Snowplow's list begins."""
    shown_types: TypeNames = Field(
        default_factory=lambda: [
            "impression",
            "view_item_list",
            "view_search_results",
            "Product List Viewed",
            "list_view",
        ]
    )
    """Types of events that say what was shown. Case, spaces, `_` and `-` do not matter."""
    pause_minutes: Annotated[int, Field(ge=1, le=1440)] = 30
    """What comes later than this after the event before belongs to no search."""


class Clickstream(ApiModel):
    """What a batch of clicks looks like, and what in it counts."""

    RULES = (
        Rule(
            "has(self.events) == (has(self.format) && self.format == 'Events')",
            "format Events needs it, and no other format uses it",
            lambda c: (c.events is not None) == (c.format == "Events"),
            "events",
        ),
    )

    format: Literal["Sessions", "UBI", "Events"] | None = None
    """`Sessions`: a record is a search with its results and events. `UBI`: queries and events of OpenSearch User
    Behavior Insights, as JSON lines, `_bulk` bodies or `_search` responses. `Events`: a table of
    events, as `events` says. Absent: Sessions or UBI, found from the first records, and
    said by the check; a plugin that has the hook `session` gets the records as they are."""
    events: EventTable | None = None
    """How searches are found in a table of format Events."""
    event_types: Annotated[dict[str, Gain], Field(min_length=1, max_length=64)] | None = None
    """Types of events that count, and the gain of each, for example `{click: 1, add_to_cart: 3, purchase: 5}`; case,
    spaces, `_` and `-` do not matter. An event without a type is a click. A result counts by the highest gain of its
    events. Types that are not named are counted in the check, and do nothing else. Absent: clicks, additions to carts
    and lists, and purchases count 1 each; impressions, views, hovers, scrolls and the like do not count."""
    min_dwell: Duration | None = None
    """Clicks after which the user stayed for less than this do not count, for example `10s`. How long is said by
    `dwell_seconds` of an event in Sessions, by `event_attributes.dwell_time` in UBI, and by the column `dwell` of a
    table of one's own. Events that do not say it count. Absent: all do."""
    max_results: Annotated[int, Field(ge=2, le=10000)] = 100
    """Results of a search that are kept: those clicked first, then the others in the order shown. It bounds memory."""
    max_clicks: Annotated[int, Field(ge=1, le=10000)] = 50
    """Clicked results of a search above which no person made them: such a session is left out."""
    max_searches_per_client: Annotated[int, Field(ge=1)] | None = None
    """Searches of a client (`user_id` or `client_id`) in a batch above which it is taken for a program, and all of its
    sessions are left out. Absent: no limit, as some logs give all anonymous users one id."""
    exclude_queries: Annotated[list[Annotated[str, Field(min_length=1, max_length=256)]], Field(max_length=256)] = (
        Field(default_factory=list)
    )
    """Queries whose sessions are left out, for example of a monitor; case and white space do not matter, and `*` stands
    for anything."""
    personal_data: Literal["LeaveOut", "Keep"] = "LeaveOut"
    """What becomes of sessions whose query holds an e-mail address or the number of a payment card. Left out, they are
    in no training, log, status or report."""
    settle: Duration | None = None
    """A batch without a marker (`_SUCCESS`, or the `_committed_*` of Databricks) is complete when nothing was added to
    it for so long, for example `2h`. Choose more than the longest pause of what writes it: what is added later is not
    learned from. Absent: a batch needs a marker."""
