"""From a session's query to what the query encoder reads."""

from abc import ABC, abstractmethod
from typing import Any

from pydantic import BaseModel, ConfigDict


class QueryItem(BaseModel):
    """A query as an object; a subclass declares its fields."""

    model_config = ConfigDict(extra="allow")


class TextQueryItem(QueryItem):
    """A query that is a text, and what was logged about it (`search_meta`)."""

    text: str


class QueryRetriever(ABC):
    """Gives the encoder's input for a query. A subclass says how; `TextQueryRetriever` is the one for texts."""

    def get_model_class(self) -> type[Any]:
        """Class of query objects that `_convert_query` takes."""
        return TextQueryItem

    @abstractmethod
    def _convert_query(self, query: Any) -> Any:
        """A query object as the encoder's input: a text."""

    def _get_id(self, query: Any) -> str:
        """What tells a query from another one."""
        return str(self._convert_query(query))

    def _get_storage_metadata(self, query: Any) -> dict[str, Any]:
        return dict(query) if isinstance(query, BaseModel) else {"query": query}

    def _get_payload(self, query: Any) -> dict[str, Any] | None:
        return None

    def __call__(self, query: Any) -> Any:
        """A query, or a mapping of its fields, as the encoder's input."""
        return self._convert_query(self._parsed(query))

    def get_id(self, query: Any) -> str:
        """What tells a query from another one."""
        return self._get_id(self._parsed(query))

    def get_storage_metadata(self, query: Any) -> dict[str, Any]:
        """The query's fields."""
        return self._get_storage_metadata(self._parsed(query))

    def get_payload(self, query: Any) -> dict[str, Any] | None:
        """Whatever a subclass keeps beside the query."""
        return self._get_payload(self._parsed(query))

    def _parsed(self, query: Any) -> Any:
        """A mapping as an object of the retriever's class; where it names one of its own, objects of others, too."""
        wanted = self.get_model_class()
        names_one = type(self).get_model_class is not QueryRetriever.get_model_class
        if names_one and isinstance(query, BaseModel) and not isinstance(query, wanted):
            query = query.model_dump()
        return wanted.model_validate(query) if isinstance(query, dict) else query


class TextQueryRetriever(QueryRetriever):
    """A query is its text."""

    def _convert_query(self, query: Any) -> str:
        text = query if isinstance(query, str) else getattr(query, "text", None)
        if not isinstance(text, str):
            raise ValueError(f"the query must be a text or have one in its field text, this is {query!r:.80}")
        return text
