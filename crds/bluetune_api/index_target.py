"""`serving.index`: the search index that bluetune makes of the catalogue with each version that it rolls out."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from bluetune_api.base import ApiModel, Rule
from bluetune_api.pods import KeyReference, PodTemplate

SqlName = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=r"^[a-z_][a-z0-9_]*$")]
"""A name of PostgreSQL that needs no quotes; with a version behind it, it stays below 63 bytes."""
MOST_SHARDS = 256


class Pgvector(ApiModel):
    """A table of PostgreSQL with the extension pgvector (0.7 or later), and an HNSW index on it."""

    connection_secret_ref: KeyReference
    """Key of a Secret that holds the database's address with its password: `postgresql://user:password@host/database`.
    The user owns the tables, and so may create them in the schema."""
    table: SqlName = "items"
    """Each version has a table of its own, `<table>_<version>`."""
    db_schema: Annotated[SqlName, Field(alias="schema")] = "public"
    """Schema that the tables are in; it exists."""
    min_recall: Annotated[float, Field(ge=0, le=1)] = 0.9
    """Least share of the ten nearest items that the HNSW index finds, as the mean of 100 items that are searched for
    with it and without it. Below it the rollout ends, and blue is as before."""


class IndexTarget(ApiModel):
    """Where the vectors go."""

    RULES = (
        Rule(
            "(self.type == 'Pgvector') == has(self.pgvector)",
            "type Pgvector needs pgvector, and no other type has it",
            lambda t: (t.type == "Pgvector") == (t.pgvector is not None),
            "pgvector",
        ),
    )

    type: Literal["Parquet", "Pgvector"]
    """Parquet: files below `indexes/<version>/` in the model's store. Pgvector: these, loaded into PostgreSQL."""
    pgvector: Pgvector | None = None
    """The database, with type Pgvector."""


class Index(ApiModel):
    """How the catalogue becomes the index of a version."""

    target: IndexTarget
    """Where the vectors go."""
    shards: Annotated[int, Field(ge=1, le=MOST_SHARDS)] = 1
    """Parts that the catalogue is encoded in, each by a pod of its own. Each of them reads the whole catalogue."""
    pod_template: PodTemplate | None = None
    """The pods that encode (preset: the podTemplate of the model's method, with its GPUs)."""
    timeout_seconds: Annotated[int, Field(ge=1, le=604800)] = 3600
    """How long encoding may take, and loading again; after that the rollout fails."""
