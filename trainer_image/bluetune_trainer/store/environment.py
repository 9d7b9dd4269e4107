"""The store that the environment names, for who has no plan that names it."""

import os

from pydantic import ValidationError

from bluetune_api.store_location import StoreLocation
from bluetune_trainer.errors import PlanInvalid, in_words

STORE = "BLUETUNE_STORE"
"""Variable with a StoreLocation as JSON."""


def location_of_environment() -> StoreLocation | None:
    """The store, or None where the variable is not set. Raises PlanInvalid if what it says is no StoreLocation."""
    text = os.environ.get(STORE)
    if not text:
        return None
    try:
        return StoreLocation.model_validate_json(text, extra="ignore")
    except ValidationError as error:
        raise PlanInvalid(f"{STORE} is not a store: {in_words(error)}") from error
