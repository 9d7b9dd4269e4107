"""`prepare_data`: what the run is to learn from. Nothing is read or loaded before it is looked at."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from bluetune_trainer.compat.convert import ClickstreamSessionConverter, FineTuningInput
from bluetune_trainer.compat.items import DataLoader, ItemSetManager, texts_of
from bluetune_trainer.compat.queries import QueryRetriever
from bluetune_trainer.compat.sessions import Clickstream, SessionWithEvents
from bluetune_trainer.compat.train_test import TrainTestSplitter


class RankingData:
    """Sessions and items for training, as they will be used. A run reads its parts; looking at it is for people.

    Args:
        sessions: what is learned from: the clickstream that the plugin got, a part of it, or sessions of its own.
        converter: makes inputs of sessions.
        splitter: says which inputs judge.
        retriever: gives the encoder's input for a query.
        loader: gives items' contents.
        manager: makes texts of them.
    """

    def __init__(
        self,
        sessions: Sequence[SessionWithEvents | dict[str, Any]],
        converter: ClickstreamSessionConverter,
        splitter: TrainTestSplitter,
        retriever: QueryRetriever,
        loader: DataLoader,
        manager: ItemSetManager,
    ) -> None:
        self.sessions = sessions
        self.converter = converter
        self.splitter = splitter
        self.retriever = retriever
        self.loader = loader
        self.manager = manager

    @cached_property
    def clickstream(self) -> Mapping[str, list[FineTuningInput]]:
        """Inputs by side, `train` and `test`, of all sessions that can be looked at; they are all made for it."""
        return self.splitter.split([self.converter.convert(session).input for session in self.sessions])

    @cached_property
    def items(self) -> Mapping[str, dict[str, list[str]]]:
        """For each side, id → the item's texts, its variants where the manager makes some, each cut into parts."""
        metas: dict[str, Any] = {}
        for session in self.sessions:
            converted = self.converter.convert(session)
            metas.update(zip(converted.input.results, converted.items, strict=False))
        texts = texts_of(self.loader, self.manager, list(metas.values()))
        return {side: self._side(texts, augmented=side == "train") for side in ("train", "test")}

    def _side(self, texts: dict[str, str], *, augmented: bool) -> dict[str, list[str]]:
        shown = {result for entry in self.clickstream["train" if augmented else "test"] for result in entry.results}
        return {
            item: [p for v in (self.manager.variants(text) if augmented else [text]) for p in self.manager.parts(v)]
            for item, text in texts.items()
            if item in shown
        }


def prepare_data(
    fine_tuning_inputs: Sequence[SessionWithEvents | dict[str, Any]],
    converter: ClickstreamSessionConverter,
    clickstream_splitter: TrainTestSplitter,
    query_retriever: QueryRetriever,
    loader: DataLoader,
    items_set_manager: ItemSetManager,
) -> RankingData:
    """Say what to learn from, and with which parts.

    Args:
        fine_tuning_inputs: the clickstream that `get_fine_tuning_builder` got, a part of it, or sessions of one's own.
        converter: makes inputs of sessions.
        clickstream_splitter: says which sessions judge the trials.
        query_retriever: gives the encoder's input for a query.
        loader: gives items' contents.
        items_set_manager: makes texts of them, with parts and variants.

    Returns:
        The data, not yet read.

    Raises:
        ValueError: there are no sessions.
    """
    if not isinstance(fine_tuning_inputs, Clickstream) and not len(fine_tuning_inputs):
        raise ValueError("prepare_data: there are no sessions")
    return RankingData(fine_tuning_inputs, converter, clickstream_splitter, query_retriever, loader, items_set_manager)
