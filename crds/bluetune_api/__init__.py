"""The API of bluetune: its three resources, the records kept in the object store, and the layout of that store.

This package knows nobody and needs pydantic alone. The operator and the trainer know each other only through it.
"""

from typing import Literal, get_args

ApiVersion = Literal["bluetune.dev/v1alpha1"]
"""apiVersion of all resources; defined here alone."""
API_VERSION: str = get_args(ApiVersion)[0]
GROUP, VERSION = API_VERSION.split("/")
