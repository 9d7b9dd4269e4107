"""What reads the rows of a table of events."""

from functools import partial

from bluetune_api.clickstream import EventTable
from bluetune_trainer.data.search_analytics import elastic, metarank
from bluetune_trainer.data.tracked import Track, of_columns
from bluetune_trainer.data.web_analytics import ga4, segment, snowplow

OF_LISTS = {"GA4": ga4, "Segment": segment, "Snowplow": snowplow}
"""Presets whose events tell the search's list from others by its name."""
OF_SEARCHES = {"Elastic": elastic, "Metarank": metarank}
"""Presets whose lists are those of searches alone."""


def tracker(table: EventTable) -> Track:
    """What reads the rows of a table. It raises BrokenSession naming the field and the value."""
    if table.columns is not None:
        return partial(of_columns, columns=table.columns)
    preset = table.preset or ""
    if preset in OF_LISTS:
        return partial(OF_LISTS[preset], search_list=table.search_list or "")
    return OF_SEARCHES[preset]
