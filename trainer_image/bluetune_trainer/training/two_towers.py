"""Two text encoders, one for queries and one for items, in a folder that sentence-transformers opens as a Router."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from bluetune_trainer.errors import PlanInvalid
from bluetune_trainer.training.layout import (
    ModuleRef,
    module_of,
    read_json,
    read_modules,
    read_prompts,
    read_similarity,
    write_json,
    write_model_config,
    write_modules,
)
from bluetune_trainer.training.model import Kind, Model, Tower
from bluetune_trainer.training.text_tower import TextTower
from bluetune_trainer.training.texts import open_text

ROUTER = "router_config.json"
ROUTES: dict[Kind, str] = {"query": "query", "item": "document"}
"""What sentence-transformers calls the sides (`encode_query`, `encode_document`), and our sub-folders."""
_PARAMETERS: dict[str, Any] = {"default_route": ROUTES["item"], "allow_empty_key": True}
_WEIGHTLESS = ("Pooling", "Normalize")


class TwoTowers(Model):
    """Queries and items have weights of their own.

    Args:
        query: the queries' encoder.
        item: the items'.
        parameters: of the Router: what it does with texts of which it is not told the side.
    """

    def __init__(self, query: TextTower, item: TextTower, parameters: dict[str, Any] | None = None) -> None:
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
        self.similarity = item.similarity
        self.unit = query.unit and item.unit
        self._router = parameters or _PARAMETERS

    @classmethod
    def of(cls, encoder: TextTower) -> Self:
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

        The keyword arguments replace what the folder says. Raises PlanInvalid for a Router that is not two encoders of
        texts, and for a route whose modules are not supported.
        """
        folder = Path(folder)
        router, *after = read_modules(folder)
        config = read_json(router.folder / ROUTER)
        if other := [module.kind for module in after if module.kind != "Normalize"]:
            raise PlanInvalid(f"{folder}: a {other[0]} module after a Router is not supported; use another base model")
        routes = {kind: _route(router.folder, config, route) for kind, route in ROUTES.items()}
        _refuse_shared(folder, routes)
        parameters = config.get("parameters") or {}
        if parameters.get("route_mappings"):
            raise PlanInvalid(f"{router.folder / ROUTER}: route_mappings are not supported; use another base model")
        prompts = read_prompts(folder).replaced(query_prompt, item_prompt)
        similarity = read_similarity(folder)
        towers = {
            kind: open_text([*modules, *after], prompts, similarity, max_tokens=max_tokens)
            for kind, modules in routes.items()
        }
        return cls(towers["query"], towers["item"], parameters)

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
            modules = {m.folder.relative_to(folder).as_posix(): m.kind for m in read_modules(folder / route)}
            structure[route] = list(modules)
            types |= {path: f"sentence_transformers.models.{kind}" for path, kind in modules.items()}
        write_json(folder / ROUTER, {"types": types, "structure": structure, "parameters": self._router})
        write_modules(folder, [("Router", "")])
        prompts = self.item_tower.prompts.replaced(self.query_prompt, self.item_prompt)
        write_model_config(folder, prompts, self.similarity)


def is_router(folder: Path) -> bool:
    """Whether the folder's first module is a Router."""
    return read_modules(folder)[0].kind == "Router"


def _route(folder: Path, config: dict[str, Any], route: str) -> list[ModuleRef]:
    paths: Sequence[str] = (config.get("structure") or {}).get(route) or ()
    types = config.get("types") or {}
    if not paths:
        raise PlanInvalid(f"{folder / ROUTER}: there is no route {route!r}; query and document are needed")
    return [module_of(folder, str(types.get(path, "")), path) for path in paths]


def _refuse_shared(folder: Path, routes: dict[Kind, list[ModuleRef]]) -> None:
    both = set(routes["query"]) & set(routes["item"])
    if shared := sorted(module.kind for module in both if module.kind not in _WEIGHTLESS):
        raise PlanInvalid(
            f"{folder}: its routes share a module with weights ({', '.join(shared)}), which is not supported;"
            " save the routes with modules of their own, or use another base model"
        )
