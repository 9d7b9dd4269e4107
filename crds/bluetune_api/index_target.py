"""`serving.index`: the search index that bluetune makes of the catalogue with each version that it rolls out."""

import re
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from bluetune_api.base import ApiModel, ObjectReference, Rule
from bluetune_api.pods import KeyReference, PodTemplate

SqlName = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=r"^[a-z_][a-z0-9_]*$")]
"""A name of PostgreSQL that needs no quotes."""
TableName = Annotated[SqlName, StringConstraints(max_length=38)]
"""With its suffix, a table's name has at most 63 bytes."""
IndexName = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=r"^[a-z][a-z0-9_-]*$")]
"""A name of OpenSearch: no capitals, and no dot, which hides an index."""
HTTP_URL = r"^https?://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*$"
MAX_SHARDS = 256
VectorType = Literal["Float32", "Float16", "Int8"]


class Vectors(ApiModel):
    """How vectors are made shorter. The version's own ones are kept in the store beside them."""

    RULES = (
        Rule(
            "has(self.dimensions) || self.type != 'Float32'",
            "vectors of all dimensions and type Float32 are those of the version; set dimensions or another type, or"
            " leave out vectors",
            lambda v: v.dimensions is not None or v.type != "Float32",
            "type",
        ),
    )

    dimensions: Annotated[int, Field(ge=1, le=65536)] | None = None
    """Numbers of a vector that are kept, from the first (preset: all). Vectors of length 1 are made of length 1 again.
    A model is trained for that by `settings.matryoshkaDims`."""
    type: VectorType = "Float32"
    """Type of each number. Int8: the number divided by the index's scale, which is in its manifest, and rounded."""
    min_recall: Annotated[float, Field(ge=0, le=1)] = 0.9
    """Recall@10 of the shorter vectors: the share of the ten nearest items by the full vectors that the shorter ones
    also find. It is the mean of 200 clicked queries of the version's batch. With fewer than 20 clicked queries, 200
    items are searched for instead. Below it, the rollout ends."""


class Pgvector(ApiModel):
    """A table of PostgreSQL with the extension pgvector (0.7 or later), and an HNSW index on it."""

    connection_secret_ref: KeyReference
    """Key of a Secret that holds the database's address with its password: `postgresql://user:password@host/database`.
    The user owns the tables, and so may create them in the schema."""
    table: TableName = "items"
    """Each version has a table of its own, `<table>_<version>`, with `index.vectors` `<table>_<version>_256h`: the
    dimensions, and h for Float16."""
    db_schema: Annotated[SqlName, Field(alias="schema")] = "public"
    """Schema that the tables are in; it exists."""
    min_recall: Annotated[float, Field(ge=0, le=1)] = 0.9
    """Minimum share of the ten nearest items that the HNSW index finds, as the mean of 100 items that are searched for
    with it and without it. Below it the rollout ends, and blue is as before."""

    def table_of(self, version: str, vectors: Vectors | None) -> str:
        """Name of a version's table; one of other vectors has another name, as servers ask it by queries of its own."""
        name = f"{self.table}_{version}"
        if vectors is None:
            return name
        return f"{name}_{vectors.dimensions or ''}{'h' if vectors.type == 'Float16' else ''}"


class OpenSearch(ApiModel):
    """An index of OpenSearch (2.13 or later) with its k-NN plugin, and HNSW by the engine `lucene`."""

    RULES = (
        Rule(
            f"self.url.matches('{HTTP_URL}')",
            "url is http:// or https://, a host, maybe a port and a path, without a user, a password, a slash at its"
            " end or a query, such as https://opensearch.search:9200; the password is in credentialsSecretRef",
            lambda o: re.fullmatch(HTTP_URL.strip("^$"), o.url) is not None,
            "url",
        ),
        Rule(
            "!has(self.credentialsSecretRef) || self.url.startsWith('https://') || self.passwordOverHttp",
            "over http:// anybody on the way reads the password; use https://, or set passwordOverHttp: true",
            lambda o: o.credentials_secret_ref is None or o.url.startswith("https://") or o.password_over_http,
            "url",
        ),
        Rule(
            "!has(self.caSecretRef) || self.url.startsWith('https://')",
            "a certificate authority goes with https://",
            lambda o: o.ca_secret_ref is None or o.url.startswith("https://"),
            "caSecretRef",
        ),
    )

    url: Annotated[str, StringConstraints(min_length=1, max_length=253)]
    """Address of the cluster, for example `https://opensearch.search:9200`."""
    credentials_secret_ref: ObjectReference | None = None
    """Secret with the keys `username` and `password` (type `kubernetes.io/basic-auth`). Absent: the cluster asks for
    none."""
    ca_secret_ref: ObjectReference | None = None
    """Secret whose key `ca.crt` holds the certificate authority of the cluster."""
    password_over_http: bool = False
    """Let the password go over plain http."""
    index: IndexName = "items"
    """Each version has an alias of its own, `<index>-<version>`, with `index.vectors` `<index>-<version>-256b`: the
    dimensions, and b for Int8. Servers search by the alias. The index behind it is made anew when the catalogue has
    changed, and has the name of the alias and 12 more characters."""
    number_of_shards: Annotated[int, Field(ge=1, le=1024)] = 1
    """Primary shards of an index that is made."""
    number_of_replicas: Annotated[int, Field(ge=0, le=32)] = 1
    """Copies of each of them, made after the loading."""
    min_recall: Annotated[float, Field(ge=0, le=1)] = 0.9
    """Least share of the ten nearest items that a search with `k: 100` finds, as the mean of 100 items that are
    searched for with the HNSW index and without it. Below it the rollout ends, and blue is as before."""

    def alias_of(self, version: str, vectors: Vectors | None) -> str:
        """The alias of a version; one of other vectors has another name, as servers ask it by queries of its own."""
        name = f"{self.index}-{version}"
        if vectors is None:
            return name
        return f"{name}-{vectors.dimensions or ''}{'b' if vectors.type == 'Int8' else ''}"


class IndexTarget(ApiModel):
    """Where the vectors go."""

    RULES = (
        Rule(
            "(self.type == 'Pgvector') == has(self.pgvector)",
            "type Pgvector needs pgvector, and no other type has it",
            lambda t: (t.type == "Pgvector") == (t.pgvector is not None),
            "pgvector",
        ),
        Rule(
            "(self.type == 'OpenSearch') == has(self.opensearch)",
            "type OpenSearch needs opensearch, and no other type has it",
            lambda t: (t.type == "OpenSearch") == (t.opensearch is not None),
            "opensearch",
        ),
    )

    type: Literal["Parquet", "Pgvector", "OpenSearch"]
    """Parquet: files below `indexes/<version>/` in the model's store. Pgvector: these, loaded into PostgreSQL.
    OpenSearch: these, loaded into an index of OpenSearch."""
    pgvector: Pgvector | None = None
    """The database, with type Pgvector."""
    opensearch: OpenSearch | None = None
    """The cluster, with type OpenSearch."""


class Index(ApiModel):
    """How the catalogue becomes the index of a version."""

    RULES = (
        Rule(
            "!has(self.vectors) || self.vectors.type != 'Int8' || self.target.type != 'Pgvector'",
            "pgvector has no type for Int8; use Float16, or target Parquet",
            lambda i: i.vectors is None or i.vectors.type != "Int8" or i.target.type != "Pgvector",
            "vectors",
        ),
        Rule(
            "!has(self.vectors) || self.vectors.type != 'Float16' || self.target.type != 'OpenSearch'",
            "the engine lucene of OpenSearch has no type for Float16; use Int8, or fewer dimensions of Float32",
            lambda i: i.vectors is None or i.vectors.type != "Float16" or i.target.type != "OpenSearch",
            "vectors",
        ),
    )

    target: IndexTarget
    """Where the vectors go."""
    vectors: Vectors | None = None
    """Shorter vectors than the version's, for an index that takes less memory (preset: the version's, of Float32)."""
    shards: Annotated[int, Field(ge=1, le=MAX_SHARDS)] = 1
    """Parts that the catalogue is encoded in, each by a pod of its own. Each of them reads the whole catalogue."""
    pod_template: PodTemplate | None = None
    """The pods that encode (preset: the podTemplate of the model's method, with its GPUs)."""
    timeout_seconds: Annotated[int, Field(ge=1, le=604800)] = 3600
    """How long encoding may take, and loading again; after that the rollout fails."""
