"""Events of web analytics, each from its row: Google Analytics 4, Segment, Snowplow.

GA4: https://support.google.com/analytics/answer/7029846. Segment: https://segment.com/docs/connections/spec/ecommerce/v2/.
Snowplow: https://docs.snowplow.io/docs/events/ootb-data/ecommerce-events/.
"""

import json
from collections.abc import Mapping
from typing import Any

from bluetune_trainer.data.clicks import BrokenSession, fields_of, seconds_of
from bluetune_trainer.data.records import shortened
from bluetune_trainer.data.row_fields import may_be_of, needed, objects, place_of, text
from bluetune_trainer.data.tracked import Tracked, with_ids

SNOWPLOW_ACTION = "unstruct_event_com_snowplowanalytics_snowplow_ecommerce_snowplow_ecommerce_action_1"
SNOWPLOW_PRODUCTS = "contexts_com_snowplowanalytics_snowplow_ecommerce_product_1"
SNOWPLOW_SEARCH = "unstruct_event_com_snowplowanalytics_snowplow_site_search_1"
"""Columns; some loaders append the minor version."""


def ga4(row: Mapping[str, Any], search_list: str) -> Tracked:
    """A row of GA4's BigQuery export. Items of other lists than the search's are left out of what was shown."""
    params = {}
    for param in objects(row, "event_params"):
        value = param.get("value")
        if isinstance(value, dict):
            params[text(param.get("key"), "event_params[].key")] = next(
                (v for v in value.values() if v is not None), None
            )
    listed = objects(row, "items")
    own = [item for item in listed if may_be_of(search_list, item, "item_list_name", "item_list_id")]
    items = [(text(item.get("item_id"), "items[].item_id"), place_of(item.get("item_list_index"))) for item in own]
    return Tracked(
        who=f"{needed(row, 'user_pseudo_id')}\n{params.get('ga_session_id') or ''}",
        time=seconds_of(row.get("event_timestamp"), "event_timestamp"),
        type=needed(row, "event_name"),
        query=text(params.get("search_term"), "event_params.search_term"),
        items=with_ids(items),
        of_other_lists=len(listed) - len(own),
    )


def segment(row: Mapping[str, Any], search_list: str) -> Tracked:
    """A track call. Products of other lists than the search's are left out of what was shown."""
    properties = row.get("properties")
    if not isinstance(properties, dict):
        raise BrokenSession(f"properties: an object is expected, fields are {fields_of(row)}")
    listed = objects(properties, "products")
    products = listed or [properties]
    names = ("list_id", "category") if listed else ("list_id",)  # of one product, the category is its own
    of_other_lists = 0 if may_be_of(search_list, properties, *names) else len(products)
    if of_other_lists:
        products = []
    items = [
        (text(p.get("product_id"), "product_id") or text(p.get("sku"), "sku"), place_of(p.get("position")))
        for p in products
    ]
    user = "anonymousId" if row.get("anonymousId") else "userId"
    return Tracked(
        who=needed(row, user),
        time=seconds_of(row.get("timestamp"), "timestamp"),
        type=needed(row, "event"),
        query=text(properties.get("query"), "properties.query"),
        items=with_ids(items),
        of_other_lists=of_other_lists,
    )


def snowplow(row: Mapping[str, Any], search_list: str) -> Tracked:
    """A row of enriched events: site searches and e-commerce actions with their product entities.

    The name of the search's list begins with `search_list`: names often end in the query.
    """
    action = _object(row, SNOWPLOW_ACTION)
    search = _object(row, SNOWPLOW_SEARCH)
    products = _entities(row, SNOWPLOW_PRODUCTS)
    terms = search.get("terms")
    if terms is not None and not isinstance(terms, list):
        raise BrokenSession(f"{SNOWPLOW_SEARCH}.terms: a list is expected, this is {shortened(terms)}")
    named = text(action.get("name"), f"{SNOWPLOW_ACTION}.name")
    of_other_lists = len(products) if named is not None and not named.startswith(search_list) else 0
    items = [(text(p.get("id"), f"{SNOWPLOW_PRODUCTS}[].id"), place_of(p.get("position"))) for p in products]
    return Tracked(
        who=f"{needed(row, 'domain_userid')}\n{text(row.get('domain_sessionid'), 'domain_sessionid') or ''}",
        time=seconds_of(row.get("derived_tstamp") or row.get("collector_tstamp"), "collector_tstamp"),
        type=text(action.get("type"), f"{SNOWPLOW_ACTION}.type") or needed(row, "event_name"),
        query=" ".join(map(str, terms)) if terms else None,
        items=[] if of_other_lists else with_ids(items),
        of_other_lists=of_other_lists,
    )


def _object(row: Mapping[str, Any], column: str) -> dict[str, Any]:
    """The one entity of a column; empty where there is none."""
    found = _entities(row, column)
    return found[0] if found else {}


def _entities(row: Mapping[str, Any], column: str) -> list[dict[str, Any]]:
    """What the column holds, of whichever minor version; a text of it is JSON, as warehouses write it into CSV."""
    for name, value in row.items():
        if value is None or value == "" or not name.startswith(column):
            continue
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError:
                raise BrokenSession(f"{name}: JSON is expected, this is {shortened(value)}") from None
        entities = value if isinstance(value, list) else [value]
        if not all(isinstance(entity, dict) for entity in entities):
            raise BrokenSession(f"{name}: objects are expected, this is {shortened(value)}")
        return entities
    return []
