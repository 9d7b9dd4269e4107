"""What all trials of a search share: the start version, numbered sessions, caches, and the baseline."""

import logging
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bluetune_api.method import EarlyStopping
from bluetune_api.records import Trial
from bluetune_trainer.data.splits import folds_of
from bluetune_trainer.data.types import Catalogue, Sessions, Split
from bluetune_trainer.errors import DataInvalid, PlanInvalid
from bluetune_trainer.ranking.accumulators import MetricsAccumulator
from bluetune_trainer.ranking.collapse import all_tied, collapsed, mean_cosine
from bluetune_trainer.ranking.losses import MatryoshkaLoss, RankingLossInterface
from bluetune_trainer.ranking.metrics import CUTOFF, summarize
from bluetune_trainer.ranking.rankers import Ranker, scaled
from bluetune_trainer.ranking.ties import check_ranks
from bluetune_trainer.training.activations import ActivationCaches
from bluetune_trainer.training.batches import Batcher, Ints, MinedNegatives, NumberedSessions, number_sessions
from bluetune_trainer.training.cutting import CutTexts, count_cut
from bluetune_trainer.training.early_stopping import known_metrics, problem_with
from bluetune_trainer.training.embedder import Embedder, Filling
from bluetune_trainer.training.encoder import Encoder, pack
from bluetune_trainer.training.evaluation import (
    PaddedSessions,
    embed_all,
    fixed_subset,
    item_vectors,
    pad_sessions,
    padded_in_blocks,
    rank_embedded,
    ranked,
)
from bluetune_trainer.training.filling import FillOrder, fill_order
from bluetune_trainer.training.inputs import InputTable
from bluetune_trainer.training.matryoshka import check_dims, ndcg_by_dimension
from bluetune_trainer.training.mining import mine_catalogue
from bluetune_trainer.training.model import Kind, Model
from bluetune_trainer.training.module import FeatureMaker, loss_of
from bluetune_trainer.training.params import TrainingSettings, TrialParams
from bluetune_trainer.training.parts import Parts
from bluetune_trainer.training.phrases import Phrases
from bluetune_trainer.training.position_bias import Worth
from bluetune_trainer.training.precision import use_bf16
from bluetune_trainer.training.preset import Subject
from bluetune_trainer.training.ranks import agree, device, told, world
from bluetune_trainer.training.recording import check_names, wants_training_metrics
from bluetune_trainer.training.selection import GAIN, Selection
from bluetune_trainer.training.similarity import typical_rank
from bluetune_trainer.training.start_scores import StartScores, StartVersion, score
from bluetune_trainer.training.subject import subject_of
from bluetune_trainer.training.text_tower import TextTower
from bluetune_trainer.training.threads import fit_threads
from bluetune_trainer.training.variants import Variants, Vary, make_variants

log = logging.getLogger(__name__)

MAX_VALIDATION_SESSIONS = 2000
"""Validation looks at this many sessions, always the same ones."""
VALIDATION_BATCH = 64
"""Sessions that share in-batch negatives in `val_loss`, whatever the trial's batch size."""
TRIED_SESSIONS = 16
"""Validation sessions that the start version ranks and measures before anything is trained."""
SAMPLE_OF_LENGTHS = 1024
"""Inputs whose lengths tell how long all are."""
MAX_SAMPLE_SESSIONS = 200
"""Training sessions that `train_<metric>` of an accumulator is computed from, always the same ones."""


class Fold(NamedTuple):
    """A part of the training queries that one training leaves out."""

    number: int
    """From 0."""
    of: int
    """How many there are."""


class Collapsed(Exception):
    """The model no longer tells items apart; the message says by what that shows."""


@dataclass
class TrainingTask:
    """Everything that does not change between trials."""

    settings: TrainingSettings
    workdir: Path
    bf16: bool
    table: InputTable
    train: NumberedSessions
    confidences: NDArray[np.float32]
    """One for each result of `train`, over the whole list as it was shown."""
    validation: PaddedSessions
    start: StartVersion
    """On the validation sessions."""
    ranker: Ranker
    loss_ranker: Ranker
    """The same on the scale of cosines, as losses see it."""
    worth: Worth
    """What a click counts."""
    mined: MinedNegatives | None
    """Under `hardNegatives`."""
    caches: ActivationCaches
    model: Model
    """The one instance, which all trials use in turn."""
    train_queries: Sequence[str]
    """Of `train`, as they were written."""
    cut: CutTexts | None
    """Items that are longer than the model's window; None where they are no texts, or are split."""
    _fill_order: Callable[[], tuple[FillOrder, int]]
    """With how many rows every trial needs; made when first wanted."""
    subject: Subject
    """What the preset follows."""
    _phrases: Callable[[], Phrases | None]
    """Of the items that training sessions show, made when first wanted; None where not all inputs are texts."""
    _start_state: Mapping[str, Tensor]
    _batches: Batcher
    _batch_index: Ints
    _parts: Parts
    _selection: Selection
    _variants: Variants | None
    """Of queries and items in training, if the plugin makes some."""
    _sample: PaddedSessions | None
    """Some training sessions, if an accumulator follows their metrics."""
    fold: Fold | None = None
    """What is left out of `train`."""

    @property
    def baseline(self) -> dict[str, float]:
        """Metrics of the start version, which is scored now if it was not."""
        return self.start.scores().metrics

    @property
    def accumulators(self) -> Sequence[MetricsAccumulator]:
        """Templates of what a trial follows."""
        return self._parts.accumulators

    def without(self, fold: Fold) -> "TrainingTask":
        """The same, but that the training sessions of a fold's queries are left out."""
        keep = folds_of(self.train_queries, fold.of) != fold.number
        lengths = np.diff(self.train.offsets)
        return replace(
            self,
            train=self.train.subset(np.flatnonzero(keep)),
            confidences=self.confidences[np.repeat(keep, lengths)],
            train_queries=[query for query, kept in zip(self.train_queries, keep.tolist(), strict=True) if kept],
            fold=fold,
        )

    def tell(self, trial: Trial) -> None:
        """Let the plugin know of a trial that ended."""
        if self._parts.trial_finished is not None:
            self._parts.trial_finished(trial)

    def new_model(self) -> Model:
        """The start version, as it came; what a trial before did to it is undone."""
        self.model.load_state_dict(self._start_state)
        for parameter in self.model.parameters():
            parameter.requires_grad_(True)
        return self.model.to(device())

    def batcher(self, params: TrialParams) -> Batcher:
        """Batches of the training sessions for a trial."""
        phrases = params.phrases_per_session if self._parts.new_loss().in_batch_negatives else 0.0
        return Batcher(
            self.train,
            self.confidences,
            negative_downsampling=params.negative_downsampling,
            unclicked_weight=params.unclicked_weight,
            use_irrelevant=not params.not_irrelevant_only,
            click_weights=self.worth(self.train),
            skip_above=self.settings.position_bias == "SkipAbove",
            mined=self.mined,
            variants=self._variants,
            phrases=self._phrases() if phrases else None,
            phrases_per_session=phrases,
        )

    def filling(self, batcher: Batcher, heed: Callable[[], None]) -> Filling:
        """How the frozen layers' activations of a trial's inputs come into the cache; `heed` may raise to stop.

        What is computed together is the same for all trials, whether or not one of them drew phrases before.
        """
        order, planned = self._fill_order()
        drawn = batcher.drawn()
        order.add_inputs(self.table, drawn)
        sample = np.concatenate([order.rows[:planned], self.table.first_rows(drawn)])
        sample = sample[:: max(len(sample) // SAMPLE_OF_LENGTHS, 1)]
        return Filling(order, planned + len(drawn), sample, heed)

    def new_loss(self, params: TrialParams) -> RankingLossInterface:
        """The run's loss with the trial's margin and temperature."""
        loss = self._parts.new_loss()
        if self.settings.matryoshka_dims:
            loss = MatryoshkaLoss(loss, self.settings.matryoshka_dims)
        loss.set_margin(params.margin)
        loss.set_temperature(params.temperature)
        return loss

    @torch.no_grad()
    def evaluate(
        self, embedder: Embedder, loss: RankingLossInterface, features: FeatureMaker, params: TrialParams
    ) -> dict[str, float]:
        """All metrics on the validation sessions, and `val_loss`.

        Raises:
            RanksNotFinite: the model, or the ranker, gives ranks without an order.
            Collapsed: the model no longer tells items apart.
        """
        batches = self._batches.weighing(params.unclicked_weight)
        vectors = embed_all(embedder, self.validation.texts)
        ranks = rank_embedded(vectors, self.validation, self.ranker)
        losses = []
        for begin in range(0, len(self._batch_index), VALIDATION_BATCH):
            batch = batches.batch(self._batch_index[begin : begin + VALIDATION_BATCH])
            at = torch.from_numpy(np.searchsorted(self.validation.texts, batch.texts))
            seen = features(batch, vectors[at].to(embedder.model.device))  # where a loss with parameters is
            losses.append(float(loss_of(loss, seen)) * len(batch.query_at))
        val_loss = sum(losses) / max(len(self._batch_index), 1)
        before = self.start.scores()
        check_ranks(ranks, self.validation.valid)
        narrow = collapsed(
            mean_cosine(item_vectors(vectors, self.validation)), before.cosine, all_tied(ranks, self.validation.valid)
        )
        if narrow is not None:
            raise Collapsed(narrow)
        sessions = ranked(self.validation, ranks, before.previous, self.settings.is_similarity, val_loss)
        return {
            **summarize(sessions, self._parts.metrics),
            **ndcg_by_dimension(vectors, self.validation, self.ranker, self.settings),
            GAIN: self._gain(vectors),
            "val_loss": val_loss,
        }

    def _gain(self, vectors: Tensor) -> float:
        before = self.start.scores().pooled
        assert before is not None  # noqa: S101 - the start version is scored with the selection
        return self._selection.gain(before, self._selection.scores(self.validation.texts, vectors, self.ranker))

    @torch.no_grad()
    def evaluate_sample(self, embedder: Embedder) -> dict[str, float]:
        """All metrics on a sample of the training sessions; nothing where no accumulator follows them."""
        sample, previous = self._sample, self.start.scores().of_sample
        if sample is None or previous is None:
            return {}
        ranks = rank_embedded(embed_all(embedder, sample.texts), sample, self.ranker)
        return summarize(ranked(sample, ranks, previous, self.settings.is_similarity), self._parts.metrics)


def prepare(
    start_folder: Path,
    catalogue: Catalogue,
    split: Split,
    settings: TrainingSettings,
    parts: Parts,
    workdir: Path,
    on_step: Callable[[], None],
) -> TrainingTask:
    """Load the start version, and number the texts.

    Raises DataInvalid when no training or no validation session has a click, PlanInvalid when the metric that early
    stopping is to monitor does not exist.
    """
    fit_threads()
    model = _opened(parts, start_folder, settings)
    lengths_count = not model.unit and model.similarity != "cosine"
    check_dims(settings.matryoshka_dims, model.dimension, lengths_count=lengths_count)
    bf16 = told(use_bf16(settings.precision, model.device.type))  # a measurement may come out otherwise elsewhere
    table = InputTable(model, parts.files, parts.split_item)
    learned = split.learned()
    train = number_sessions(learned, catalogue, table)
    validation = number_sessions(split.validation, catalogue, table)
    log.info("sessions numbered", extra={"inputs": len(table)})
    cut = _cut(model, catalogue, parts)
    for name, sessions in (("training", train), ("validation", validation)):
        if not sessions.with_click().any():
            raise DataInvalid(f"no {name} session has a click; the batch needs more sessions of more different queries")
    telling = int(validation.informative().sum())
    if not telling:
        raise DataInvalid(
            "no validation session has a click and a result that was shown and not clicked, so every model would rank"
            " them perfectly; store in search_results all results that a search showed"
        )
    log.info("validation sessions", extra={"informative": telling, "others": len(validation) - telling})
    chosen = fixed_subset(validation, MAX_VALIDATION_SESSIONS, settings.seed)
    padded = pad_sessions(validation, chosen)
    longest = int(np.diff(validation.offsets)[chosen[validation.informative()[chosen]]].max())
    if settings.objective == "recall@10" and longest <= CUTOFF:
        raise DataInvalid(
            "settings.objective: recall@10 is 1 for every model, because no validation session shows more than ten"
            " results of different text; use ndcg@10 or mrr@10"
        )
    embedder = Embedder(table, bf16=bf16)
    confidences = np.ones(len(train.items), np.float32)
    if parts.weighs_clicks:
        confidences = _confidences(embedder, train, parts, on_step)
    worth = Worth.of(settings.propensity if settings.position_bias == "IPS" else None, train)
    mined = None
    if settings.hard_negatives is not None:
        mined = mine_catalogue(
            embedder,
            table.add(catalogue.texts, "item"),
            train,
            parts.ranker,
            settings.hard_negatives,
            is_similarity=settings.is_similarity,
            workdir=workdir,
            on_block=on_step,
        )
    relevant = chosen[validation.with_click()[chosen]]
    sample = None
    if wants_training_metrics(parts.accumulators):
        sample = pad_sessions(train, fixed_subset(train, MAX_SAMPLE_SESSIONS, settings.seed))
    variants = make_variants(table, _varied(learned, catalogue, parts))
    if world() > 1:
        drawn = b"" if variants is None else variants.numbers.tobytes() + variants.offsets.tobytes()
        agree(zlib.crc32(drawn, table.fingerprint()), "the inputs and their variants")

    with_results = np.flatnonzero(np.diff(split.validation.offsets))
    selection = Selection.of(
        split.validation.subset(with_results[chosen]),
        catalogue,
        table,
        settings.seed,
        is_similarity=settings.is_similarity,
    )

    def score_start(embedder: Embedder) -> StartScores:
        return score(embedder, padded, sample, settings, parts, on_step, selection)

    def score_later() -> StartScores:
        return score_start(Embedder(table, bf16=bf16, model=_opened(parts, start_folder, settings)))

    start = StartVersion(score_later)
    if parts.accumulators or world() > 1:  # their names are judged by its metrics; ranks score it together
        start = StartVersion(partial(score_start, embedder))
        reported = start.scores().metrics
        check_names(parts.accumulators, reported)
    else:  # whatever of the plugin's cannot rank or measure sessions is found before anything is trained
        some = pad_sessions(validation, relevant[:TRIED_SESSIONS])
        reported = score(embedder, some, None, settings, parts, on_step).metrics
    _check_monitor(settings.early_stopping, known_metrics(reported, parts.accumulators))
    return TrainingTask(
        settings=settings,
        workdir=workdir,
        bf16=bf16,
        table=table,
        train=train,
        confidences=confidences,
        validation=padded,
        start=start,
        ranker=parts.ranker,
        loss_ranker=scaled(parts.ranker, 1 / told(typical_rank(parts.ranker, model))),
        worth=worth,
        mined=mined,
        caches=ActivationCaches(workdir / "activations"),
        model=model,
        subject=subject_of(model, settings, parts),
        train_queries=[query for query, n in zip(learned.queries, np.diff(learned.offsets), strict=True) if n],
        cut=cut,
        _fill_order=cache(partial(_filled, table, train, padded.texts, settings)),
        _phrases=cache(partial(_phrases, split, catalogue, table, settings.seed)),
        _start_state={name: value.detach().cpu().clone() for name, value in model.state_dict().items()},
        _batches=Batcher(
            validation,
            np.ones(len(validation.items), np.float32),
            click_weights=worth(validation),
            skip_above=settings.position_bias == "SkipAbove",
        ),
        _batch_index=relevant,
        _parts=parts,
        _selection=selection,
        _variants=variants,
        _sample=sample,
    )


def _confidences(
    embedder: Embedder, train: NumberedSessions, parts: Parts, on_step: Callable[[], None]
) -> NDArray[np.float32]:
    """One for each result of the sessions, by the ranks of the embedder's model."""
    texts = np.unique(np.concatenate([train.queries, train.items]))
    vectors = embed_all(embedder, texts, on_step)
    found = np.ones(len(train.items), np.float32)
    for at, block in padded_in_blocks(train, np.arange(len(train))):
        ranks = rank_embedded(vectors[torch.from_numpy(np.searchsorted(texts, block.texts))], block, parts.ranker)
        values = parts.confidence_calculator(ranks, block.clicked, block.valid).numpy()
        for row, session in enumerate(at.tolist()):
            span = train.span(session)
            found[span] = values[row, : span.stop - span.start]
    return found


def _check_monitor(settings: EarlyStopping, known: set[str]) -> None:
    """Before anything is trained: raises PlanInvalid for a metric that is never reported, or warns of it."""
    problem = problem_with(settings, known)
    if problem is not None and settings.strict:
        raise PlanInvalid(problem)
    if problem is not None:
        log.warning("no trial stops early", extra={"problem": problem})


def _opened(parts: Parts, folder: Path, settings: TrainingSettings) -> Model:
    model = parts.load(folder).to(device())
    pack(model, settings.attention)
    return model


def _cut(model: Model, catalogue: Catalogue, parts: Parts) -> CutTexts | None:
    """Count the items that are cut, and say so in the log before anything is trained."""
    tower = model.tower("item")
    if parts.split_item is not None or not isinstance(tower, Encoder):
        return None
    found = count_cut(tower, catalogue.texts, parts.files)
    if found.cut:
        log.warning(
            "items fill the model's window, and what goes beyond is not read: settings.maxTokens, settings.longItems",
            extra={"cut": found.cut, "lookedAt": found.looked_at, "items": found.texts, "window": found.window},
        )
    return found


def _filled(
    table: InputTable, train: NumberedSessions, evaluated: Ints, settings: TrainingSettings
) -> tuple[FillOrder, int]:
    order = fill_order(table, train, evaluated, settings.batch_size, settings.seed)
    return order, len(order.rows)


def _varied(train: Sessions, catalogue: Catalogue, parts: Parts) -> Iterator[tuple[Kind, list[str], Vary]]:
    if parts.item_variants is not None:
        yield "item", [catalogue.texts[item] for item in np.unique(train.items)], parts.item_variants
    if parts.query_variants is not None:
        yield "query", list(dict.fromkeys(train.queries)), parts.query_variants


def _phrases(split: Split, catalogue: Catalogue, table: InputTable, seed: int) -> Phrases | None:
    if not all(isinstance(tower, TextTower) for tower in table.model.towers()):
        return None  # pictures have no words
    return Phrases.of(split.learned().items, catalogue, table, seed)
