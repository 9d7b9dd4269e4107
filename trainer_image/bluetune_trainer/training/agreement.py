"""Whether a faster way to compute a model gives what the model itself gives: tried on a few texts when it is opened.

Lists of architectures say where a way may be tried. Some models of transformers add a mask of their own making to the
scores, or look at padding in other ways; only the numbers tell.
"""

import inspect
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from bluetune_trainer.errors import PlanInvalid
from bluetune_trainer.training.model import PROBE_TEXTS

if TYPE_CHECKING:
    from bluetune_trainer.training.encoder import Encoder

TEXTS = tuple(PROBE_TEXTS[number] for number in (0, 4, 6, 7))
"""Short ones beside a long one: these have the most padding."""
MAX_DIFFERENCE = 1e-3
"""Of two vectors that should be equal, in lengths of the vector. Rounding is below a tenth of it, a mask that is not
heeded above ten times."""
WRONG = (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)
"""What a model raises that is computed in a way which it does not know."""


def same(found: Tensor, expected: Tensor) -> bool:
    """Whether [n, …] tensors are equal but for rounding."""
    if found.shape != expected.shape:
        return False
    difference = (found - expected).flatten(1).norm(dim=1)
    return bool((difference <= MAX_DIFFERENCE * expected.flatten(1).norm(dim=1)).all())


@torch.no_grad()
def alone(encoder: "Encoder") -> Tensor:
    """Vectors of TEXTS, each by itself, with all that its tokenizer gives and the model takes.

    Raises PlanInvalid for a model that does not make states of texts.
    """
    takes = inspect.signature(encoder.backbone.forward).parameters
    vectors = []
    for text in TEXTS:
        batch = encoder.tokenizer(
            text.lower() if encoder.lower else text, truncation=True, max_length=encoder.max_tokens, return_tensors="pt"
        )
        try:
            states = encoder.backbone(**{k: v for k, v in batch.items() if k in takes}).last_hidden_state
            vectors.append(encoder.pool(states, batch["input_ids"], batch["attention_mask"]))
        except WRONG as error:
            raise PlanInvalid(
                f"a model of the type {encoder.model_type!r} is no encoder of texts ({error!s:.200});"
                " use another base model"
            ) from error
    return torch.cat(vectors)
