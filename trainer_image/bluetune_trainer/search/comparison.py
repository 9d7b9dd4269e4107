"""Two versions on the same sessions, in a form that can be stored. numpy only."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bluetune_trainer.evidence.observations import Compared, Log, Ranks, joined, stacked

Ints = NDArray[np.int64]
LOG_COLUMNS = ("query", "place", "gain", "document", "session")


@dataclass(frozen=True)
class Comparison:
    """Two versions on the same sessions."""

    queries: Sequence[str]
    """Q different ones."""
    sessions: int
    compared: Compared
    live_best: Ints
    """[Q, at most 10] positions in the catalogue of the documents that the live version ranks best; -1 for none."""
    candidate_best: Ints
    """The same of the candidate."""
    clicked: Sequence[frozenset[int]]
    """Q: positions in the catalogue of what was clicked."""

    def stored(self) -> bytes:
        """The comparison as a file of arrays, without pickles."""
        log, shown, top = self.compared.log, self.compared.shown, self.compared.top
        arrays = {f"log_{name}": getattr(log, name) for name in LOG_COLUMNS}
        for name, ranks in (("shown", shown), ("top", top)):
            arrays |= {f"{name}_{by}": getattr(ranks, by) for by in ("live", "candidate", "lexical")}
        owner = np.repeat(np.arange(len(self.clicked)), [len(c) for c in self.clicked])
        clicked = np.array([item for found in self.clicked for item in sorted(found)], np.int64)
        file = io.BytesIO()
        np.savez_compressed(
            file,
            allow_pickle=False,
            queries=np.frombuffer(json.dumps(list(self.queries)).encode(), np.uint8),
            sessions=self.sessions,
            top_query=self.compared.top_query,
            pool_live=self.compared.live_best,
            pool_candidate=self.compared.candidate_best,
            live_best=self.live_best,
            candidate_best=self.candidate_best,
            owner=owner,
            clicked=clicked,
            **arrays,
        )
        return file.getvalue()

    @classmethod
    def from_stored(cls, content: bytes) -> "Comparison":
        """Raises ValueError, KeyError or OSError for anything else."""
        with np.load(io.BytesIO(content), allow_pickle=False) as kept:
            ranks = {
                name: Ranks(*(kept[f"{name}_{by}"] for by in ("live", "candidate", "lexical")))
                for name in ("shown", "top")
            }
            log = Log(*(kept[f"log_{name}"] for name in LOG_COLUMNS))
            queries: list[str] = json.loads(kept["queries"].tobytes())
            clicked: list[set[int]] = [set() for _ in queries]
            for owner, item in zip(kept["owner"].tolist(), kept["clicked"].tolist(), strict=True):
                clicked[owner].add(item)
            return cls(
                queries=queries,
                sessions=int(kept["sessions"]),
                compared=Compared(
                    log, ranks["shown"], kept["top_query"], ranks["top"], kept["pool_live"], kept["pool_candidate"]
                ),
                live_best=kept["live_best"],
                candidate_best=kept["candidate_best"],
                clicked=[frozenset(found) for found in clicked],
            )


def put_together(parts: Sequence[Comparison]) -> Comparison:
    """Comparisons on different queries as one."""
    return Comparison(
        queries=[query for part in parts for query in part.queries],
        sessions=sum(part.sessions for part in parts),
        compared=joined([part.compared for part in parts]),
        live_best=stacked([part.live_best for part in parts]),
        candidate_best=stacked([part.candidate_best for part in parts]),
        clicked=[found for part in parts for found in part.clicked],
    )
