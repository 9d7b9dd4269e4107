"""Two text encoders, one for queries and one for items, in a folder that sentence-transformers opens as a Router."""

import copy
import json
from pathlib import Path
from typing import Any, Self

from bluetune_trainer.errors import PlanInvalid
from bluetune_trainer.training.encoder import Encoder, read_json, write_json
from bluetune_trainer.training.model import Kind, Model, Tower

ROUTER = "router_config.json"
ROUTES: dict[Kind, str] = {"query": "query", "item": "document"}
"""What sentence-transformers calls the sides (`encode_query`, `encode_document`), and our sub-folders."""


class TwoTowers(Model):
    """Queries and items have weights of their own."""

    def __init__(self, query: Encoder, item: Encoder) -> None:
        super().__init__()
        if query.dimension != item.dimension:
            raise PlanInvalid(
                f"the query tower gives {query.dimension} dimensions and the item tower {item.dimension}, so they"
                " cannot be compared; use towers of the same dimension"
            )
        self.query_tower = query
        self.item_tower = item
        self.query_prompt = query.query_prompt
        self.item_prompt = item.item_prompt

    @classmethod
    def of(cls, encoder: Encoder) -> Self:
        """Two encoders that begin as copies of one."""
        return cls(copy.deepcopy(encoder), encoder)

    @classmethod
    def load(
        cls,
        folder: Path | str,
        *,
        max_tokens: int | None = None,
        query_prompt: str | None = None,
        item_prompt: str | None = None,
    ) -> Self:
        """Open a sentence-transformers folder whose Router has the routes `query` and `document`.

        The keyword arguments replace what the folder says. Raises PlanInvalid where a route does more than pool and
        normalise.
        """
        folder = Path(folder)
        structure = (read_json(folder / ROUTER).get("structure")) or {}
        towers: list[Encoder] = []
        for route in ROUTES.values():
            modules = structure.get(route)
            if not modules:
                raise PlanInvalid(f"{folder / ROUTER}: there is no route {route!r}; query and document are needed")
            if not all((folder / name).resolve().is_relative_to(folder.resolve()) for name in modules):
                raise PlanInvalid(f"{folder / ROUTER}: the route {route!r} leaves the model's folder: {modules}")
            towers.append(
                Encoder.load(
                    folder / modules[0],
                    pooling_folder=folder / modules[1] if len(modules) > 1 else None,
                    prompts_folder=folder,
                    max_tokens=max_tokens,
                    query_prompt=query_prompt,
                    item_prompt=item_prompt,
                )
            )
        return cls(*towers)

    def tower(self, kind: Kind) -> Tower:
        """The encoder of that side."""
        return self.query_tower if kind == "query" else self.item_tower

    def save(self, folder: Path | str) -> None:
        """Each tower is a folder of its own (`query`, `document`), which opens by itself as well."""
        folder = Path(folder)
        types: dict[str, str] = {}
        structure: dict[str, list[str]] = {}
        for encoder, route in ((self.query_tower, ROUTES["query"]), (self.item_tower, ROUTES["item"])):
            encoder.save(folder / route)
            structure[route] = [route, f"{route}/1_Pooling"]
            types[route] = "sentence_transformers.models.Transformer"
            types[f"{route}/1_Pooling"] = "sentence_transformers.models.Pooling"
        parameters: dict[str, Any] = {"default_route": ROUTES["item"], "allow_empty_key": True}
        write_json(folder / ROUTER, {"types": types, "structure": structure, "parameters": parameters})
        write_json(
            folder / "modules.json",
            [
                {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Router"},
                {"idx": 1, "name": "1", "path": "1_Normalize", "type": "sentence_transformers.models.Normalize"},
            ],
        )
        (folder / "1_Normalize").mkdir(exist_ok=True)
        write_json(folder / "1_Normalize" / "config.json", {})
        own = json.loads((folder / ROUTES["item"] / "config_sentence_transformers.json").read_text())
        own["prompts"] = {"query": self.query_prompt, "document": self.item_prompt}
        write_json(folder / "config_sentence_transformers.json", own)
