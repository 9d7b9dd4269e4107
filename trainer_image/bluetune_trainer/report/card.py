"""The model card: README.md of a version, as model hubs read it. Nothing in it depends on time, task or pod."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from bluetune_trainer.report import numbers
from bluetune_trainer.report.comparison import Change

FILE = "README.md"
_SIMILARITIES = {
    "cosine": "cosine similarity",
    "dot": "dot product",
    "euclidean": "Euclidean distance",
    "manhattan": "Manhattan distance",
}
_HUB = re.compile(r"hf://([\w.-]+/[\w.-]+?)(@.*)?")

SHOWN_BATCHES = 20
"""Batches of the lineage that a card names: the newest."""


@dataclass(frozen=True)
class CardFacts:
    """What a card says."""

    dimension: int
    query_prompt: str
    item_prompt: str
    similarity: str = "cosine"
    """What vectors are to be compared by."""
    unit: bool = True
    """Whether all vectors have the length 1."""
    sentence_transformers: bool = True
    """Whether the folder opens with that library as it is."""
    transformers: bool = True
    """The same of transformers; two towers do not."""
    pictures: bool = False
    """Whether items are pictures: a CLIP model."""
    name: str | None = None
    """Name of the model that lives through its versions; None for an imported base."""
    base_uri: str | None = None
    """What the first version was imported from, where that is known."""
    parent: str | None = None
    batch_id: str | None = None
    lineage_batches: list[str] = field(default_factory=list)
    sessions: int | None = None
    sessions_with_clicks: int | None = None
    params: Mapping[str, object] = field(default_factory=dict)
    loss: str | None = None
    changes: list[Change] = field(default_factory=list)
    """On the validation sessions."""
    metadata: Mapping[str, str] = field(default_factory=dict)


def model_card(facts: CardFacts) -> str:
    """The whole file."""
    front = yaml.safe_dump(front_matter(facts), sort_keys=False, allow_unicode=True, width=10_000)
    parts = [_intro(facts), _use(facts), _training(facts), _quality(facts), _lineage(facts)]
    return f"---\n{front}---\n\n" + "\n\n".join(part for part in parts if part) + "\n"


def write_card(folder: Path, facts: CardFacts) -> None:
    """Put the card into a version's folder, before it is published."""
    sentence, plain = (folder / "modules.json").is_file(), (folder / "config.json").is_file()
    config = json.loads((folder / "config.json").read_text()) if plain else {}
    pictures = config.get("model_type") == "clip"
    encoder_alone = any(name.endswith("EncoderModel") for name in config.get("architectures") or ())
    by_itself = plain and not pictures and not encoder_alone  # AutoModel would open a T5 with a random decoder
    facts = replace(facts, sentence_transformers=sentence, transformers=by_itself, pictures=pictures)
    (folder / FILE).write_text(model_card(facts), encoding="utf-8")


def front_matter(facts: CardFacts) -> dict[str, object]:
    """What hubs search by."""
    found: dict[str, object] = {"tags": ["feature-extraction", "bluetune"]}
    if facts.sentence_transformers:
        found = {
            "library_name": "sentence-transformers",
            "pipeline_tag": "sentence-similarity",
            "tags": ["sentence-transformers", "sentence-similarity", "feature-extraction", "dense", "bluetune"],
        }
    if hub := _HUB.fullmatch(facts.base_uri or ""):
        found["base_model"] = hub[1]
    if facts.name and facts.changes:
        results = [
            {"type": change.name.replace("@", "_at_"), "value": round(change.after, 4), "name": name}
            for change in facts.changes
            if (name := numbers.metric_name(change.name)) != change.name
        ]
        found["metrics"] = [result["type"] for result in results]
        found["model-index"] = [
            {
                "name": facts.name,
                "results": [
                    {
                        "task": {"type": "information-retrieval", "name": "Ranking of shown results"},
                        "dataset": {"type": "clicks", "name": f"validation sessions of batch {facts.batch_id}"},
                        "metrics": results,
                    }
                ],
            }
        ]
    return found


def code(text: object) -> str:
    """Any text as a code span on one line: what is in it is neither markdown nor HTML, also in a table."""
    plain = json.dumps(text, ensure_ascii=False)[1:-1] if isinstance(text, str) else json.dumps(text, default=str)
    plain = plain.replace('\\"', '"').replace("|", "\\|") or " "
    fence = "`" * (max((len(run) for run in re.findall("`+", plain)), default=0) + 1)
    room = " " if plain[0] == "`" or plain[-1] == "`" else ""
    return f"{fence}{room}{plain}{room}{fence}"


def _intro(facts: CardFacts) -> str:
    title = f"# {facts.name}" if facts.name else "# CLIP model" if facts.pictures else "# Sentence encoder"
    if facts.batch_id is None:
        what = f"Imported from {code(facts.base_uri)}, as the first version of a model." if facts.base_uri else ""
    else:
        what = "Fine-tuned on search clicks with bluetune."
    vectors = "unit vectors" if facts.unit else "vectors (their lengths differ)"
    return (
        f"{title}\n\nMaps queries and items to {vectors} of {facts.dimension} numbers, which are compared by"
        f" {_SIMILARITIES[facts.similarity]}; near means relevant. {what}"
    )


def _use(facts: CardFacts) -> str:
    if not facts.sentence_transformers:
        return ""
    item = 'Image.open("lamp.jpg")' if facts.pictures else '"Desk lamp, red. With a clamp."'
    imports = "from PIL import Image\n" if facts.pictures else ""
    prompts = (
        "\n\nNo prompt is put before queries or items. If the base was made with prompts (as E5 was), set"
        " settings.queryPrompt and settings.itemPrompt."
    )
    if facts.query_prompt or facts.item_prompt:
        prompts = (
            f"\n\nPrompts are part of the model: {code(facts.query_prompt)} before each query,"
            f" {code(facts.item_prompt)} before each item. sentence-transformers puts them there when it is told which"
            " is which, as below; with transformers alone, put them there yourself."
        )
    return f"""## Use{"" if facts.pictures and not facts.query_prompt else prompts}

```python
{imports}from sentence_transformers import SentenceTransformer

model = SentenceTransformer("path/to/this/folder")
queries = model.encode_query(["red lamp"])
items = model.encode_document([{item}])
print(model.similarity(queries, items))
```""" + (_TRANSFORMERS if facts.transformers else "")


_TRANSFORMERS = """

```python
from transformers import AutoModel, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")
model = AutoModel.from_pretrained("path/to/this/folder")
```

The transformer alone gives a state for each token; how these become one vector is in `1_Pooling/config.json`, and what
is done to the vector then is in the other folders that `modules.json` names."""


def _training(facts: CardFacts) -> str:
    if facts.batch_id is None:
        return ""
    lines = [f"## Training\n\nBatch {code(facts.batch_id)}"]
    if facts.sessions is not None:
        lines[0] += f": {facts.sessions} search sessions, {facts.sessions_with_clicks} of them with a click"
    lines[0] += ". The trials were judged on queries that none of them learned from."
    rows = [(name, code(value)) for name, value in sorted(facts.params.items())]
    if facts.loss:
        rows.insert(0, ("loss", code(facts.loss)))
    if rows:
        lines.append("| parameter | value |\n|---|---|\n" + "\n".join(f"| {code(n)} | {v} |" for n, v in rows))
    return "\n\n".join(lines)


def _quality(facts: CardFacts) -> str:
    if not facts.changes:
        return ""
    rows = [
        f"| {_metric(c.name)} | {c.before:.4f} | {c.after:.4f} | {round(c.delta, 4) + 0.0:+.4f} |"
        for c in facts.changes
    ]
    table = "\n".join(["| metric | before | after | change |", "|---|---:|---:|---:|", *rows])
    return (
        "## Quality\n\nOn the validation sessions, against the version that the training began with. The best of"
        f" several trials was chosen by these, so they flatter.\n\n{table}"
    )


def _metric(name: str) -> str:
    told = numbers.metric_name(name)
    return code(name) if told == name else told


def _lineage(facts: CardFacts) -> str:
    rows = [("first imported from", facts.base_uri), ("parent version", facts.parent)]
    lines = [f"- {name}: {code(value)}" for name, value in rows if value]
    if facts.lineage_batches:
        earlier = len(facts.lineage_batches) - SHOWN_BATCHES
        newest = ", ".join(code(batch) for batch in facts.lineage_batches[-SHOWN_BATCHES:])
        more = f"{earlier} earlier batches (manifest.json has them), " if earlier > 0 else ""
        lines.append(f"- learned from: {more}{newest}")
    lines += [f"- {code(name)}: {code(value)}" for name, value in sorted(facts.metadata.items())]
    return "## Lineage\n\n" + "\n".join(lines) if lines else ""
