"""The environment that opens a model's store in a pod: where it is, and the keys out of the Secret."""

import json
from typing import Any

from bluetune_api.credentials import ACCESS_KEY, SECRET_KEY, SESSION_TOKEN
from bluetune_api.store_location import StoreSpec


def store_env(store: StoreSpec) -> list[dict[str, Any]]:
    """Variables for a container. Keys are references; a Secret without a session token leaves its variable out."""
    location = json.dumps(store.location().wire(), sort_keys=True)
    env: list[dict[str, Any]] = [{"name": "BLUETUNE_STORE", "value": location}]
    if store.credentials_secret_ref is None:
        return env
    for key in (ACCESS_KEY, SECRET_KEY, SESSION_TOKEN):
        reference: dict[str, Any] = {"name": store.credentials_secret_ref.name, "key": key}
        if key == SESSION_TOKEN:
            reference["optional"] = True
        env.append({"name": key, "valueFrom": {"secretKeyRef": reference}})
    return env
