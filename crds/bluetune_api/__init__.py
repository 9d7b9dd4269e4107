"""The API of bluetune: its three resources, the records kept in the object store, and the layout of that store.

This package knows nobody and needs pydantic alone. The operator and the trainer know each other only through it.
"""

GROUP = "bluetune.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
