"""serving.verify of an EmbeddingModel: how the blue pods are asked what they serve."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from bluetune_api.base import ApiModel, Rule

Port = Annotated[int, Field(ge=1, le=65535)]
HttpPath = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^/[A-Za-z0-9._~/-]*$")]
OPENAI_PATH = "/v1/embeddings"


class Verify(ApiModel):
    """How the pods are asked what they serve."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.api == 'Bluetune' || has(self.model)",
            "api OpenAI needs model: the name under which the server offers its model",
            lambda v: v.api == "Bluetune" or v.model is not None,
            "model",
        ),
        Rule(
            "self.api == 'OpenAI' || !has(self.model)",
            "model goes with api OpenAI only",
            lambda v: v.api == "OpenAI" or v.model is None,
            "model",
        ),
    )

    port: Port
    """Port of the serving container."""
    api: Literal["Bluetune", "OpenAI"] = "Bluetune"
    """What the server speaks. `Bluetune`: `versionPath`, and `encodePath` if it is set. `OpenAI`: the embeddings API of
    text-embeddings-inference, vLLM, Infinity and others. It names no version, so the vectors are compared and
    `versionPath` is not asked."""
    model: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None
    """With `OpenAI`: the name under which the server offers its model, such as vLLM's `--served-model-name`."""
    version_path: HttpPath = "/version"
    """GET; answers JSON with `digest` (and `version`)."""
    encode_path: HttpPath | None = None
    """POST of `{"texts": [...], "kind": "query"}`; answers `{"vectors": [[...]]}`, compared with the probe. With
    `OpenAI`, `/v1/embeddings` by default: POST of `{"model": ..., "input": [...]}`, each query behind its prompt."""
    min_cosine: Annotated[float, Field(gt=0, le=1)] = 0.999
    """Minimum cosine between the served and the published probe vectors."""
    timeout_seconds: Annotated[int, Field(ge=1, le=3600)] = 120
    """How long the pods have, after the rollout, to give the right answers."""
    scheme: Literal["HTTP", "HTTPS"] = "HTTP"
    """Scheme, as in a container's probe. Pods are asked by their addresses, so with HTTPS no certificate is checked."""

    @property
    def vectors_path(self) -> str | None:
        """Where vectors are asked for; None if they are not."""
        return self.encode_path or (OPENAI_PATH if self.api == "OpenAI" else None)
