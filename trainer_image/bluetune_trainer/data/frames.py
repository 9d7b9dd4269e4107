"""Tables of a notebook and files of a disk as the files of a store, which the readers of this package read."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow
import pyarrow.parquet

from bluetune_trainer.errors import DataInvalid, PlanInvalid

STREAM = "__arrow_c_stream__"
"""What a table of pandas, polars and pyarrow, and of others, has: its rows as Arrow's batches."""
ACCEPTED = (
    "give a table of pandas (2.2 or later), polars or pyarrow, the path of a file or a folder, or a list of these"
)


def put(source: object, folder: Path, field: str) -> None:
    """Write what `field` was given into a new folder: a table as Parquet, a file as it is.

    Of a list, each entry becomes a file; the files are read in the order of the list.

    Raises:
        PlanInvalid: it is no table and no path, or there is no such file.
        DataInvalid: a table cannot be written as Parquet.
    """
    folder.mkdir(parents=True)
    many = source if isinstance(source, list | tuple) else [source]
    if not many:
        raise PlanInvalid(f"{field}: the list is empty; {ACCEPTED}")
    for number, one in enumerate(many):
        named = f"{field}[{number}]" if len(many) > 1 else field
        stem = f"{number:05d}-" if len(many) > 1 else ""
        if isinstance(one, str | os.PathLike):
            _link(Path(one).expanduser(), folder, stem, named)
        elif hasattr(one, STREAM):
            _write(one, folder / f"{stem}table.parquet", named)
        else:
            raise PlanInvalid(f"{named}: a table is expected, this is {_kind(one)}; {ACCEPTED}")


def _write(table: object, path: Path, field: str) -> None:
    """Batch by batch, so that a table is never in memory a second time where it is Arrow's already."""
    try:
        with (
            pyarrow.RecordBatchReader.from_stream(_writable(table)) as batches,
            pyarrow.parquet.ParquetWriter(path, batches.schema) as file,
        ):
            for batch in batches:
                file.write_batch(batch)
    except OSError:
        raise  # of the disk, which the run's end has words for
    except Exception as error:  # a table's own code runs here, and raises what it likes
        why = " ".join(" ".join(str(part) for part in error.args).split())
        raise DataInvalid(
            f"{field}: the table cannot be written as Parquet: {why[:300]}; give each column values of one type"
        ) from error


def _writable(table: object) -> object:
    """The table; one of polars with texts as older Arrow has them, because pyarrow writes the newer ones to no file."""
    polars = sys.modules.get("polars")
    if polars is not None and isinstance(table, polars.DataFrame):
        return table.to_arrow(compat_level=polars.CompatLevel.oldest())
    return table


def _link(path: Path, folder: Path, stem: str, field: str) -> None:
    """The file, or all files of the folder, without a copy where the file system can do without."""
    if not path.exists():
        raise PlanInvalid(f"{field}: there is no file and no folder {path}")
    for key, file in _files(path):
        target = folder / f"{stem}{key}"
        target.parent.mkdir(parents=True, exist_ok=True)
        source = file.resolve()
        try:
            os.link(source, target)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, target)


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    if path.is_file():
        yield path.name, path
        return
    for file in sorted(path.rglob("*")):
        if file.is_file():
            yield file.relative_to(path).as_posix(), file


def _kind(value: object) -> str:
    return f"{type(value).__module__.partition('.')[0]}'s {type(value).__name__}"
