"""The fine-tuning method: what a plugin may change. Records are plain dictionaries, so that a plugin needs no torch."""

import base64
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bluetune_api.method import Items, SearchSpace, Settings
from bluetune_api.records import Trial
from bluetune_trainer.errors import PluginFailed
from bluetune_trainer.markup import without_markup

if TYPE_CHECKING:
    from bluetune_trainer.data.types import Catalogue, Sessions, Split
    from bluetune_trainer.ranking.accumulators import MetricsAccumulator
    from bluetune_trainer.ranking.confidences import ConfidenceCalculator
    from bluetune_trainer.ranking.losses import RankingLossInterface
    from bluetune_trainer.ranking.metrics import MetricCalculator
    from bluetune_trainer.ranking.rankers import Ranker
    from bluetune_trainer.training.model import Model


@dataclass(frozen=True)
class PluginMeta:
    """What a plugin says about itself; it goes into the log."""

    name: str
    version: str = "1.0.0"
    description: str = ""


class FineTuningMethod:
    """How clicks and items become training data, which model learns from them, and how. Made once a run.

    Override what differs. A hook that raises, or returns what it should not, ends the run with exit code 12, the
    exception's text and its line; it is not tried again.

    The check Job imports the plugin where there is no torch: import torch inside the hooks that make tensors
    (`load_model`, `ranker`, `loss`, `confidence_calculator`, `metrics`), which only the training Job calls.
    """

    meta: ClassVar[PluginMeta] = PluginMeta("FineTuningMethod", "0")

    def item_text(self, item: Mapping[str, Any], items: Items) -> str | None:
        """The text that stands for an item.

        Args:
            item: a line of the catalogue as it was read.
            items: how the method says that the catalogue is to be read.

        Returns:
            The text; None to leave the item out.

        Raises:
            ValueError: this line is broken; it is counted and reported, and the run goes on. Nothing else is so taken.
        """
        raise PluginFailed(f"{type(self).__name__} does not define item_text, the text that stands for an item")

    def session(self, session: dict[str, Any]) -> dict[str, Any] | None:
        """A search session before it is checked: return it, changed or not, or None to leave it out."""
        return session

    def query(self, session: Mapping[str, Any]) -> str | None:
        """What the query tower is given for a session (the query retriever).

        Args:
            session: as it was read, after `session`.

        Returns:
            The query; None to leave the session out. Sessions of the same query are on the same side of the split.
        """
        query: str = session["search_query"]
        return query

    def data_read(self, sessions: "Sessions", catalogue: "Catalogue") -> None:
        """Told what was read, before `split` is asked."""

    def split(self, sessions: "Sessions") -> "Split | None":
        """Which sessions are trained on, which judge trials, and which only the gate sees.

        Returns:
            The three parts, made with `sessions.subset(positions)`; None for the preset, by a hash of the query.
        """
        return None

    def load_model(self, folder: Path, settings: Settings) -> "Model | None":
        """Open a model, of the base or of a version that was published with the model's `save`.

        Returns:
            The model; None for the encoder, the two encoders or the CLIP model that the folder holds.
        """
        return None

    def initial_model(self, into: Path) -> None:
        """Write the folder of the model that a first version is made of; asked under `base.uri: plugin://initial`."""
        raise PluginFailed(f"{type(self).__name__} does not define initial_model, which writes a first model")

    def split_item(self, text: str, fits: Callable[[str], bool]) -> list[str]:
        """The parts of an item that is longer than the model's window; asked under `longItems: Split` only.

        Args:
            text: of the item.
            fits: whether a text fits the window, prompt included. What does not fit is cut.

        Returns:
            The parts, at least one; ranks of an item's parts become the item's as `partsRank` says. Without an
            override: the longest runs of words that fit.
        """
        raise PluginFailed(f"{type(self).__name__} does not define split_item, which a run does without")

    def item_variants(self, text: str) -> list[str]:
        """Texts that may stand for an item in training; one of them is drawn each time that the item is used.

        Returns:
            The texts, the item's own among them if it may be drawn; the same ones in every process and attempt of a
            run. Validation and the gate use the item's own.
        """
        return [text]

    def query_variants(self, text: str) -> list[str]:
        """Texts that may stand for a query in training, likewise."""
        return [text]

    def loss(self, settings: Settings) -> "RankingLossInterface | None":
        """The loss, asked for once a trial; None for the one that the settings name."""
        return None

    def ranker(self, settings: Settings) -> "Ranker | None":
        """What ranks items for queries: ([n, d], [m, d]) → [n, m]; None for the one that the settings name.

        With a distance, `settings` must say `isSimilarity: false`.
        """
        return None

    def confidence_calculator(self, settings: Settings) -> "ConfidenceCalculator | None":
        """How far clicks are trusted; None for the one that the settings name."""
        return None

    def metrics(self, settings: Settings) -> "Sequence[MetricCalculator] | None":
        """Metrics that are reported beside the built-in ones; None for those that the settings name."""
        return None

    def accumulators(self, settings: Settings) -> "Sequence[MetricsAccumulator]":
        """Metrics to follow over a trial, whose aggregates are then part of its metrics.

        Names are `train_loss` (of every step), `test_loss`, and `test_<metric>` and `train_<metric>` of every
        validation, for example `test_not_irrelevant_dist_shift`; `train_<metric>` costs a further look at a sample of
        the training sessions.
        """
        return ()

    def settings(self, settings: Settings) -> Settings:
        """The settings that the run follows, from those of method and task."""
        return settings

    def initial_params(self, space: SearchSpace | None) -> SearchSpace | None:
        """The search space that the run follows, from that of method and task; None for the preset's."""
        return space

    def initial_max_evals(self, evals: int | None) -> int | None:
        """Trials of the search, from what method and task say; None for the preset's."""
        return evals

    def trial_finished(self, trial: Trial) -> None:
        """Told of each trial that ended, once, when its record is in the store. For trackers of your own."""

    def waits_for_data(self) -> bool:
        """Whether settings and space are to be asked for again when the data are read: they depend on them."""
        return False

    def decides_clicks(self) -> bool:
        """Whether the plugin says which events count as clicks, whatever `clickstream.eventTypes` names."""
        return False

    def never_called(self) -> tuple[str, ...]:
        """Methods that plugins of another system have, and that a run has no use for."""
        return ()

    def adapted(self) -> "FineTuningMethod":
        """What the run calls: the plugin itself, or hooks that stand for it."""
        return self

    def user_objects(self) -> tuple[Any, ...]:
        """The plugin, and its parts: whose code is to blame for what it raises."""
        return (self,)

    def idle(self, hook: str) -> bool:
        """Whether an overridden `session` or `query` would change nothing, and need not be called a million times."""
        return False


class TextFineTuningMethod(FineTuningMethod):
    """Items are texts: the method's `textFields`, joined by its separator."""

    meta: ClassVar[PluginMeta] = PluginMeta(
        "TextFineTuningMethod", "1", "Fine-tunes a sentence encoder on search clicks"
    )

    def item_text(self, item: Mapping[str, Any], items: Items) -> str | None:
        """The item's text fields, in order, joined; fields that are absent, null or blank are passed over."""
        parts = []
        for name in items.text_fields:
            value = item.get(name)
            if isinstance(value, str):
                part = (without_markup(value) if items.markup == "Remove" else value).strip()
            elif value is None or value != value:  # NaN is how Parquet written by pandas says null
                continue
            elif isinstance(value, int | float) and not isinstance(value, bool):
                part = str(value)
            else:
                raise ValueError(f"field {name!r} must be a text, not {type(value).__name__}")
            if part:
                parts.append(part)
        if not parts:
            raise ValueError(f"no text in {' or '.join(repr(name) for name in items.text_fields)}")
        return items.separator.join(parts)


class TextImageFineTuningMethod(FineTuningMethod):
    """Queries are texts, items are pictures, for a CLIP model: a picture's key below the model's prefix, or its bytes.

    The first of the method's `textFields` that an item has is the picture: the key of an object in the store, a `data:`
    URI with base64, or bytes (a binary column of Parquet).
    """

    meta: ClassVar[PluginMeta] = PluginMeta(
        "TextImageFineTuningMethod", "1", "Fine-tunes a CLIP model on search clicks"
    )

    def item_text(self, item: Mapping[str, Any], items: Items) -> str | None:
        """The picture's key, or a `data:` URI of its bytes. Keys keep a large catalogue small in memory."""
        for name in items.text_fields:
            value = item.get(name)
            if isinstance(value, bytes) and value:
                return f"data:;base64,{base64.b64encode(value).decode()}"
            if isinstance(value, str) and value.strip():
                return value.strip()
            if value is not None and not isinstance(value, str | bytes):
                raise ValueError(f"field {name!r} must be a key, a data: URI or bytes, not {type(value).__name__}")
        raise ValueError(f"no picture in {' or '.join(repr(name) for name in items.text_fields)}")


def overridden(method: FineTuningMethod, hook: str) -> Callable[..., Any] | None:
    """The hook, if a plugin changed it: the unchanged one need not be called for each of a million lines.

    A plugin changes it in its class, or by a function that it keeps as an attribute of the hook's name.
    """
    of_object = vars(method).get(hook)
    own = of_object if callable(of_object) else own_of_class(method, hook, FineTuningMethod)
    return own if own is not None and not method.idle(hook) else None


def own_of_class(method: FineTuningMethod, hook: str, base: type[FineTuningMethod]) -> Callable[..., Any] | None:
    """The hook, if the plugin's class has another one than `base`."""
    defined = inspect.getattr_static(type(method), hook)
    if defined is inspect.getattr_static(base, hook):
        return None
    bound: Callable[..., Any] = defined.__get__(method, type(method))
    return bound
