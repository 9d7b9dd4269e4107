"""Losses, confidences and metrics by the book: loops over sessions in plain Python, which know no tensor."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass
class Result:
    """A shown result."""

    rank: float
    clicked: bool
    confidence: float = 1.0
    weight: float = 1.0
    place: int = 0
    """-1: it was shown in another session."""
    old_rank: float = 0.0


@dataclass
class Session:
    """A session, and what the batch offers as its negatives."""

    results: list[Result]
    others: list[float] = field(default_factory=list)


@dataclass
class Rules:
    """What decides on pairs."""

    similarity: bool = True
    low: float = 0.0
    high: float = 1.0
    skip_above: bool = False

    @property
    def sign(self) -> int:
        return 1 if self.similarity else -1

    def negatives(self, session: Session, click: Result) -> list[Result]:
        """Unclicked results that make a pair with the click."""
        return [
            r
            for r in session.results
            if not r.clicked
            and self.low < abs(click.rank - r.rank) < self.high
            and (not self.skip_above or r.place < click.place)
        ]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def clicks(session: Session) -> list[Result]:
    return [r for r in session.results if r.clicked]


def margin_loss(
    sessions: Sequence[Session],
    rules: Rules,
    margin: float,
    *,
    scale: float = 1.0,
    shift: float = 0.0,
    small: float | None = None,
) -> float:
    """`small`: steepness of the term for small differences."""
    terms, differences = [], []
    for session in sessions:
        for p in clicks(session):
            for n in rules.negatives(session, p):
                adjusted = -rules.sign * (p.rank - n.rank) + margin
                terms.append(sigmoid(scale * adjusted - shift) * min(p.confidence, n.confidence) * p.weight)
                differences.append(abs(p.rank - n.rank))
    if not terms:
        return 0.0
    loss = sum(terms) / len(terms)
    if small is not None:
        weights = [sigmoid(small * (margin - d)) for d in differences]
        loss += sum(w * d for w, d in zip(weights, differences, strict=True)) / (sum(weights) + 1e-10)
    return loss


def listwise_loss(sessions: Sequence[Session], rules: Rules, temperature: float, *, in_batch: bool = True) -> float:
    per_session = []
    for session in sessions:
        trust = sum(p.confidence for p in clicks(session))
        if trust <= 0:
            continue
        loss = 0.0
        for p in clicks(session):
            own = math.exp(rules.sign * p.rank / temperature)
            others = sum(
                n.confidence * math.exp(rules.sign * n.rank / temperature) for n in rules.negatives(session, p)
            )
            if in_batch:
                others += sum(math.exp(rules.sign * r / temperature) for r in session.others)
            loss += p.confidence * p.weight * -math.log(own / (own + others))
        per_session.append(loss / trust)
    return sum(per_session) / len(per_session) if per_session else 0.0


def info_nce(sessions: Sequence[Session], rules: Rules, temperature: float, *, in_session: bool = True) -> float:
    total = trust = 0.0
    for session in sessions:
        for p in clicks(session):
            negatives = list(session.others)
            if in_session:
                negatives += [n.rank for n in rules.negatives(session, p)]
            own = math.exp(rules.sign * p.rank / temperature)
            others = sum(math.exp(rules.sign * r / temperature) for r in negatives)
            total += p.confidence * p.weight * -math.log(own / (own + others))
            trust += p.confidence
    return total / trust if trust else 0.0


def confidences(session: Session) -> list[float]:
    """Over the whole ranked list, window 3, min-max."""
    results = session.results
    n = len(results)
    mean = sum(r.rank for r in results) / n
    raw = []
    for i, result in enumerate(results):
        window = results[max(i - 1, 0) : i + 2]
        share = sum(r.clicked for r in window) / len(window)
        spread = abs(result.rank - mean) / max(abs(mean), 1e-9)
        position = math.exp(-3 * (i + 1) / n - 0.3) + 0.25
        if result.clicked:
            raw.append(position * ((1 - spread) * share + (1 - share) * spread))
        else:
            raw.append(position * ((1 - share) * (1 - spread) + share * spread))
    low, high = min(raw), max(raw)
    return [1.0 if high - low <= 1e-12 else (r - low) / (high - low) for r in raw]


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def orders(session: Session, sign: int) -> list[list[bool]]:
    """Clicks, best first, in each order that the ranks allow; all are equally likely."""
    of_groups = []
    for _, group in itertools.groupby(sorted(session.results, key=lambda r: -sign * r.rank), key=lambda r: r.rank):
        hits = [r.clicked for r in group]
        places = itertools.combinations(range(len(hits)), sum(hits))
        of_groups.append([[i in chosen for i in range(len(hits))] for chosen in places])
    return [list(itertools.chain(*groups)) for groups in itertools.product(*of_groups)]


def metrics(sessions: Sequence[Session], *, similarity: bool, queries: Sequence[int] | None = None) -> dict[str, float]:
    """All that is reported of ranked sessions; `queries` says what each asked, and all differ without it."""
    sign = 1 if similarity else -1
    relevant = [s for s in sessions if clicks(s)]
    asked = list(range(len(sessions))) if queries is None else queries
    informative = [(q, s) for q, s in zip(asked, sessions, strict=True) if 0 < len(clicks(s)) < len(s.results)]

    def dcg(hits: Sequence[bool]) -> float:
        return sum(1 / math.log2(place + 2) for place, hit in enumerate(hits[:10]) if hit)

    def each(of: Callable[[Session, list[bool]], float]) -> float:
        by_query: dict[int, list[float]] = {}
        for query, session in informative:
            by_query.setdefault(query, []).append(mean([of(session, hits) for hits in orders(session, sign)]))
        return mean([mean(values) for values in by_query.values()])

    found = {
        "ndcg@10": each(lambda s, hits: dcg(hits) / dcg([True] * len(clicks(s)))),
        "mrr@10": each(lambda s, hits: 1 / (hits.index(True) + 1) if any(hits[:10]) else 0.0),
        "recall@10": each(lambda s, hits: sum(hits[:10]) / len(clicks(s))),
        "not_irrelevant_dist_shift": mean([mean([sign * (p.rank - p.old_rank) for p in clicks(s)]) for s in relevant]),
        "irrelevant_dist_shift": mean(
            [mean([sign * (r.old_rank - r.rank) for r in s.results]) for s in sessions if not clicks(s)]
        ),
    }
    if not any(len(s.results) > 10 for _, s in informative):
        del found["recall@10"]
    return found
