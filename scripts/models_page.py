"""Write docs/models.md from the table that the tests of the models go through.

    python scripts/models_page.py [--check]

With --check nothing is written; the exit code is 1 if the page is not what the table gives.
"""

import sys

from generated_page import ROOT, table, written

sys.path.insert(0, str(ROOT / "tests"))

from trainer.model_table import FAMILIES, OTHERS, REFUSED, Family

START = """<!-- Generated from tests/trainer/model_table.py by `make generate`; edit that instead. -->

# Models

A base is a folder that sentence-transformers opens. What bluetune publishes is such a folder again, and gives the same
vectors: for each line of this table a test imports a small model, trains it a little, and compares the base, the
imported version and the trained one with sentence-transformers, to 1e-4.

A model of another architecture of transformers that makes states of texts is taken too. When it is opened, its vectors
are compared for a text alone and beside others, and a faster way to compute attention is used only where it gives the
same ones.

## Texts

`packed`: on processors, texts are computed one after the other, without padding. `padded`: in batches.
Frozen layers (`num_fixed_layers`) are `remembered`: computed once for each text; or `each step`: computed without a
gradient in every step; or `none`: the layers share their weights, so only 0 is possible.
"""

KEPT = """
## Kept as the folder says

- the modules after the pooling (`Dense`, `LayerNorm`, `Normalize`), or none: vectors are never brought to unit length
  unless the folder does so;
- the pooling: `mean`, `cls`, `max`, `lasttoken`, `weightedmean`, `mean_sqrt_len_tokens`, or several;
- all prompts under their names, and `default_prompt_name`. `query` is put before queries; the first of `document`,
  `passage`, `corpus` and `item` that says something before items. Where a base names its prompts otherwise, the import
  says so: set `settings.queryPrompt` and `settings.itemPrompt`. Some models (E5) were made with prompts that their
  folder does not name: set them, too;
- `max_seq_length`, unless `settings.maxTokens` is set, which then also becomes the published one;
- `similarity_fn_name`: `dot` and `euclidean` models are ranked, trained, judged and published as such, unless
  `settings.ranker` names another ranker. Where the folder of a model that was made for the dot product does not say so,
  sentence-transformers compares by cosine, and so does bluetune: set `settings.ranker: DOT_PRODUCT`;
- the type of the weights: a base in bfloat16 or float16 is trained in float32, and published in its own type.
"""

REFUSALS = """
## Refused

With a message that says what to do:

- weights that the architecture asks for and the folder does not have (a pooler may be missing), or that belong to
  layers which `config.json` does not have;
- code that comes with a model: `auto_map` of an architecture that transformers does not know, and modules of any other
  package than sentence-transformers. It is never run;
- weights as a pickle (`pytorch_model.bin`). It is never opened, nor fetched;
- quantized weights; adapters that are not merged; sparse and late-interaction models of sentence-transformers;
- `Dense` modules with an activation that is not torch's; `WordWeights`, `BoW`, `CNN`, `LSTM` and other modules;
- `include_prompt: false` (INSTRUCTOR) together with prompts;
- a tokenizer without a padding token, and one that needs a package which the image does not have;
"""


def page() -> str:
    """The whole file."""
    refused: dict[str, list[str]] = {}
    for kind, (meaning, _) in REFUSED.items():
        refused.setdefault(meaning, []).append(f"`{kind}`")
    lines = [f"- {meaning}, for example {' and '.join(kinds)};" for meaning, kinds in refused.items()]
    lines[-1] = lines[-1].removesuffix(";") + "."
    others = "\n".join(f"- {name}: {text}" for name, text in OTHERS.items())
    return f"{START}\n{_table()}\n\nAnd:\n\n{others}\n{KEPT}{REFUSALS}" + "\n".join(lines) + "\n"


def _table() -> str:
    head = ("architecture", "for example", "pooling", "then", "compared by", "texts", "frozen layers")
    return table(head, map(_cells, FAMILIES))


def _cells(family: Family) -> list[str]:
    pooling = family.pooling if isinstance(family.pooling, str) else ", ".join(family.pooling)
    then = ", ".join(family.head) or "–"
    frozen = "none" if not family.fixed else "remembered" if family.cut else "each step"
    texts = "packed" if family.attention == "packed" else "padded"
    return [f"`{family.type}`", family.models, pooling, then, family.similarity, texts, frozen]


if __name__ == "__main__":
    sys.exit(written("docs/models.md", page()))
