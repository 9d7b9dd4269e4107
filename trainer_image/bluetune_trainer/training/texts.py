"""Open an encoder of texts from its modules, whatever the first of them is."""

from collections.abc import Sequence

from bluetune_trainer.errors import PlanInvalid
from bluetune_trainer.training.encoder import Encoder
from bluetune_trainer.training.layout import ModuleRef, Prompts, Similarity
from bluetune_trainer.training.static_encoder import StaticEncoder
from bluetune_trainer.training.text_tower import TextTower

_OPENERS: dict[str, type[Encoder] | type[StaticEncoder]] = {"Transformer": Encoder, "StaticEmbedding": StaticEncoder}


def open_text(
    modules: Sequence[ModuleRef], prompts: Prompts, similarity: Similarity, *, max_tokens: int | None = None
) -> TextTower:
    """Raises PlanInvalid for a first module that encodes no texts, and as the encoders' `of_modules` do."""
    first = modules[0]
    opener = _OPENERS.get(first.kind)
    if opener is None:
        raise PlanInvalid(
            f"{first.folder}: a {first.kind} module is not supported here, only {' or '.join(_OPENERS)};"
            " use another base model"
        )
    return opener.of_modules(modules, prompts, similarity, max_tokens=max_tokens)
