"""A small world whose truth is known: documents are relevant by chance, and rankers see the truth with noise."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bluetune_trainer.evidence.examination import Examined
from bluetune_trainer.evidence.observations import Compared, Log, compared

LOOKED = np.array([1.0, 0.8, 0.6, 0.45, 0.35, 0.28, 0.2, 0.15, 0.12, 0.1])
KNOWN = Examined(LOOKED, np.ones(1))
RELEVANT = 0.1
CLICKED_ANYWAY = 0.1


@dataclass(frozen=True)
class Truth:
    """Scores of three rankers, [Q, P], and what people would like."""

    relevant: NDArray[np.bool_]
    live: NDArray[np.float32]
    better: NDArray[np.float32]
    worse: NDArray[np.float32]
    words: NDArray[np.float32]

    @classmethod
    def drawn(cls, queries: int, documents: int = 200, seed: int = 0) -> "Truth":
        """Live and candidates share most of their errors, as versions of one model do; words have their own."""
        random = np.random.default_rng(seed)
        relevant = random.random((queries, documents)) < RELEVANT
        shared = random.normal(size=relevant.shape)

        def seen(signal: float, own: float) -> NDArray[np.float32]:
            noise = random.normal(size=relevant.shape)
            return (signal * relevant + 0.9 * shared + own * noise).astype(np.float32)

        words = (1.6 * relevant + random.normal(size=relevant.shape)).astype(np.float32)
        return cls(relevant, seen(1.5, 0.3), seen(2.0, 0.3), seen(1.0, 0.3), words)

    def log(self, sessions: int, seed: int = 0, *, clickless: bool = False) -> Log:
        """Sessions of live's ten best after noise, clicked by the position-based model.

        Those without a click are dropped, as many logs do, unless `clickless`.
        """
        random = np.random.default_rng([seed, 1])
        query = np.sort(random.integers(0, len(self.live), sessions))
        noisy = self.live[query] + random.normal(size=(sessions, self.live.shape[1])) * 0.5
        shown = np.argsort(-noisy, axis=1)[:, :10]
        attraction = np.where(self.relevant[query[:, None], shown], 1.0, CLICKED_ANYWAY)
        clicks = random.random(shown.shape) < LOOKED * attraction
        keep = (clicks.any(1) | clickless) & ~clicks.all(1)
        count = int(keep.sum())
        places = np.tile(np.arange(10), count)
        sessions_of = np.repeat(np.arange(count), 10)
        return Log(
            np.repeat(query[keep], 10), places, clicks[keep].ravel().astype(float), shown[keep].ravel(), sessions_of
        )

    def compared(self, log: Log, candidate: NDArray[np.float32]) -> Compared:
        """A log as live and a candidate rank it."""
        return compared(log, self.live, candidate, self.words)
