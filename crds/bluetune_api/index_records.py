"""What the store holds of a version's index: `indexes/<version>/`.

The manifest is written last and names every part, so whoever reads the parts that it names sees one whole index, also
while the next one is being made beside it.
"""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from bluetune_api.base import ApiModel, Digest, VersionId
from bluetune_api.index_target import VectorType
from bluetune_api.reading import Record
from bluetune_api.records import FormatVersion, Moment, PinnedObject

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Generation = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{12}$")]
"""Digest of all that an index is made of: version, catalogue, how it is read, number of shards, what vectors become."""
Precision = Literal["FP32", "BF16"]


class IndexCatalogue(Record):
    """_runs/<run>.json: the catalogue as the first of the pods saw it, for all of them."""

    pinned_at: Moment
    """When it was seen."""
    generation: Generation
    """What the index of this catalogue is called."""
    items: list[PinnedObject]
    """Its objects, in the order of their keys."""


class IndexShard(Record):
    """<generation>/_shard-<n>.json: a part that is whole. Written once, after the part."""

    shard: Annotated[int, Field(ge=0)]
    """Its number, from 0."""
    path: str
    """The part, relative to the version's index."""
    rows: Annotated[int, Field(ge=0)]
    """Items in it."""
    size: Annotated[int, Field(ge=0)]
    """Size in bytes."""
    sha256: Sha256
    """SHA-256 of the file's content, in hex."""
    precision: Precision
    """What it was computed in."""
    encoded: Annotated[int, Field(ge=0)]
    """Items whose text was encoded for it; the vectors of the others were those of the index before."""


class IndexRecall(ApiModel):
    """What shorter vectors lose."""

    recall: Annotated[float, Field(ge=0, le=1)]
    """Share of the ten nearest items by the version's own vectors that are among the ten nearest by shorter ones."""
    queries: Annotated[int, Field(ge=1)]
    """Number of searches that the mean is over."""
    searched: Literal["ClickedQueries", "Items"]
    """What was searched for."""


class ShorterVectors(ApiModel):
    """How the vectors of an index were made of the version's. A server does the same to the vector of a query."""

    type: VectorType
    """Type of each number."""
    full_dimension: Annotated[int, Field(ge=1)]
    """Dimension of the version's vectors, of which the first `dimension` numbers were kept."""
    unit: bool
    """Whether a vector was then divided by its length."""
    scale: Annotated[float, Field(gt=0)] | None = None
    """Int8: what each number was then divided by, before it was rounded to one from -127 to 127."""
    loss: IndexRecall
    """What that loses."""
    full_generation: Generation
    """Which index of the version's own vectors they were made of."""
    full_shards: list[IndexShard]
    """Its parts."""


class IndexManifest(Record):
    """_manifest.json: the index. Written last."""

    format_version: FormatVersion = 1
    """Format version of this record."""
    version: VersionId
    """The version that encoded it."""
    digest: Digest
    """sha256 of the version's manifest."""
    generation: Generation
    """Which index of the version it is."""
    pinned_at: Moment
    """When the catalogue was as it is indexed."""
    count: Annotated[int, Field(ge=1)]
    """Items."""
    dimension: Annotated[int, Field(ge=1)]
    """Dimension of the vectors."""
    similarity: Literal["cosine", "dot", "euclidean", "manhattan"]
    """What they are to be compared by."""
    vectors: ShorterVectors | None = None
    """How they were made shorter; absent: they are the version's own, of Float32."""
    shards: list[IndexShard]
    """Its parts, by number."""

    def own_vectors(self) -> tuple[int, list[IndexShard]]:
        """Dimension and parts of the version's own vectors."""
        return (
            (self.vectors.full_dimension, self.vectors.full_shards) if self.vectors else (self.dimension, self.shards)
        )


class IndexProgress(Record):
    """_progress/<run>/<n>.json: how far a pod is. `n` is the shard."""

    stage: Literal["Reading", "Encoding", "Shortening", "Loading", "Building"]
    """What it does."""
    done: Annotated[int, Field(ge=0)] = 0
    """Items that are done."""
    total: Annotated[int, Field(ge=0)] = 0
    """Items in all; 0 while that is not known."""
    rate: Annotated[float, Field(ge=0)] = 0.0
    """Items a second."""
    seconds_left: Annotated[int, Field(ge=0)] | None = None
    """How long the stage will take."""
    updated_at: Moment
    """When this was written."""
