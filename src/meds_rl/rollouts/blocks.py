"""Reads parquet, JSON lines, JSON and CSV files, also compressed ones, block by block with bounded memory.

A file of another program may hold anything: damaged lines are left out and counted.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeAlias

from meds_rl.rollouts.table import MOST_UNPACKED, RunFolderError, most_bytes, unpacked_size

COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
KINDS = (".parquet", ".jsonl", ".ndjson", ".json", ".csv", ".tsv")

BLOCK = 8_000_000
"""Bytes of a block."""

LONGEST_LINE = 64_000_000
"""Bytes. A longer line is an error, because a line is read as a whole."""

LARGEST_JSON = 256_000_000
"""Bytes of a file that is one JSON value, for the same reason."""

PIECE = 1 << 16
"""Bytes of one read call."""

FEWEST_ROWS, MAX_ROWS = 16, 8192
"""Rows of a block of parquet."""

TOO_MUCH = f"it unpacks to more than {MOST_UNPACKED:,} times its size"

DEEPEST = 3
"""Levels of nested values whose names a message lists."""


@dataclass
class Damage:
    """What was left out of a file.

    Attributes:
        lines: number of lines that are not a JSON object, or not a row of the CSV.
        first: number of the first such line, from 1; 0 if unknown.
        why: why the rest of the file cannot be read; empty if it was read to the end.
    """

    lines: int = 0
    first: int = 0
    why: str = ""

    def add(self, line: int = 0) -> None:
        """Count a line that is left out."""
        self.first = self.first or line
        self.lines += 1


@dataclass(frozen=True)
class Block:
    """Some rows of a file.

    Attributes:
        names: the columns.
        num_rows: how many rows.
        column: from a name to the column's values; None for a null, and for a column that is not there.
        share: fraction of the file that was read so far.
    """

    names: Sequence[str]
    num_rows: int
    column: Callable[[str], list[Any]]
    share: float = field(default=1.0, compare=False)

    def at(self, name: str) -> list[Any]:
        """The values of a column, or of what is nested in one, as in ``doc.question``; None where there is none."""
        top, inner = self._split(name)
        values = self.column(top)
        for key in inner:
            values = [value.get(key) if isinstance(value, Mapping) else None for value in values]
        return values

    def has(self, name: str) -> bool:
        """Whether there is a column of this name, or a value nested in one."""
        top, inner = self._split(name)
        outer = ".".join((top, *inner[:-1]))
        return name in self.names or (
            top in self.names and any(isinstance(value, Mapping) and inner[-1] in value for value in self.at(outer))
        )

    def nested_names(self) -> list[str]:
        """What is in the columns that have nested values, as in ``doc.question``, down to `DEEPEST`."""
        found, level = [], list(self.names)
        for _ in range(DEEPEST):
            level = [f"{name}.{key}" for name in level for key in _keys(self.at(name))]
            found += level
        return found

    def _split(self, name: str) -> tuple[str, list[str]]:
        """The column, whose name may have dots itself, and the names within."""
        parts = name.split(".")
        tops = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
        top = next((top for top in tops if top in self.names), name)
        return top, parts[top.count(".") + 1 :]


def _keys(values: Sequence[Any]) -> list[str]:
    return list(dict.fromkeys(key for value in values if isinstance(value, Mapping) for key in value))


Wanted: TypeAlias = Callable[[Sequence[str]], Sequence[str]]
"""From the columns of a file to those that are to be read."""


def kind_of(path: Path) -> str:
    """The suffix of a file without that of a compression: `.parquet`, `.jsonl`, ...; empty if it cannot be read.

    Example:
        >>> kind_of(Path("a/step_1.JSONL.gz")), kind_of(Path("a/notes.txt"))
        ('.jsonl', '')
    """
    name = path.name.lower()
    for suffix in COMPRESSED:
        name = name.removesuffix(suffix)
    return next((kind for kind in KINDS if name.endswith(kind)), "")


def read_blocks(path: Path, damage: Damage, wanted: Wanted = lambda names: names) -> Iterator[Block]:
    """Read a file block by block.

    Args:
        path: the file.
        damage: counts what is left out.
        wanted: chooses the columns of a parquet file that are read.

    Raises:
        RunFolderError: it is no regular file, or has a line that is too long.
    """
    if not path.exists():  # deleted since it was found
        damage.why = f"{path} is gone."
        return
    if not path.is_file():
        raise RunFolderError(f"{path} is no regular file.")
    import pyarrow as pa

    readers = {".csv": _csv, ".tsv": _csv, ".json": _json}
    kind = kind_of(path)
    try:
        yield from _parquet(path, wanted) if kind == ".parquet" else readers.get(kind, _json_lines)(path, damage)
    except (pa.ArrowException, OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        damage.why = f"{path} cannot be read to its end: {error}"


def _parquet(path: Path, wanted: Wanted) -> Iterator[Block]:
    import pyarrow.parquet as pq

    with path.open("rb") as opened, pq.ParquetFile(opened) as file:
        columns = list(wanted(file.schema_arrow.names))
        total, done, size, most = max(1, file.metadata.num_rows), 0, 0, most_bytes(path)
        for batch in file.iter_batches(batch_size=_rows_a_block(file, columns), columns=columns):
            done, size = done + batch.num_rows, size + unpacked_size(batch)
            if size > most:
                raise OSError(TOO_MUCH)
            yield Block(list(dict.fromkeys(batch.schema.names)), batch.num_rows, _of_batch(batch), done / total)


def _rows_a_block(file: Any, columns: Sequence[str]) -> int:
    metadata = file.metadata
    size = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    rows = int(min(MAX_ROWS, max(FEWEST_ROWS, BLOCK * metadata.num_rows // max(1, size))))
    # A long prompt that many rows have is stored once, and is read once for each row.
    first = next(file.iter_batches(batch_size=FEWEST_ROWS, columns=columns), None)
    if first is None or not first.num_rows:
        return rows
    return max(FEWEST_ROWS, min(rows, 4 * BLOCK * int(first.num_rows) // max(1, unpacked_size(first))))


def _of_batch(batch: Any) -> Callable[[str], list[Any]]:
    def column(name: str) -> list[Any]:
        if name not in batch.schema.names:
            return [None] * batch.num_rows
        values = batch.column(batch.schema.names.index(name))
        try:
            found: list[Any] = values.to_pylist()
        except (ValueError, OverflowError):  # texts that are not UTF-8, times that Python cannot represent
            found = [_python(value) for value in values]
        return found

    return column


def _python(value: Any) -> Any:
    try:
        return value.as_py()
    except (ValueError, OverflowError):
        return None


def _json_lines(path: Path, damage: Damage) -> Iterator[Block]:
    number = 0
    with _opened(path) as (file, share):
        for text in _whole_lines(file, path):
            rows = []
            for line in _decoded(text):
                number += 1
                row = _row(line)
                if row is not None:
                    rows.append(row)
                elif line.strip():
                    damage.add(number)
            yield _of_rows(rows, share())


def _whole_lines(file: IO[bytes], path: Path) -> Iterator[bytes]:
    """Blocks of whole lines; the last one may lack its end."""
    rest = b""
    for block in _pieces(file):
        head, newline, tail = block.rpartition(b"\n")
        if newline:
            yield rest + head
            rest = tail
        else:
            rest += block
        if len(rest) > LONGEST_LINE:
            raise RunFolderError(f"{path} has a line of more than {LONGEST_LINE // 1_000_000} MB: not JSON lines.")
    if rest:
        yield rest


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    """The content in pieces of `BLOCK` bytes; of a compressed file that was cut off, all that can be read."""
    parts: list[bytes] = []
    try:
        while part := file.read(PIECE):
            parts.append(part)
            if PIECE * len(parts) >= BLOCK:
                yield b"".join(parts)
                parts = []
    except Exception:
        yield b"".join(parts)
        raise
    yield b"".join(parts)


def _decoded(block: bytes) -> list[str]:
    try:
        return block.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError:  # only the damaged lines are left out
        return [_decoded_line(line) for line in block.split(b"\n")]


def _decoded_line(line: bytes) -> str:
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError:
        return "not UTF-8"


def _row(line: str) -> dict[str, Any] | None:
    """The JSON object in a line; None if the line is cut off, something else, or nested too deeply."""
    if not line.lstrip().startswith("{"):  # much faster than the parser's error
        return None
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _of_rows(rows: list[dict[str, Any]], share: float) -> Block:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return Block(names, len(rows), lambda name: [row.get(name) for row in rows], share)


def _json(path: Path, damage: Damage) -> Iterator[Block]:
    """A list of objects, or JSON lines under another name."""
    with _opened(path) as (file, _):
        is_list = file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    if not is_list:
        yield from _json_lines(path, damage)
        return
    with _opened(path) as (file, _):
        text = file.read(LARGEST_JSON + 1)
    if len(text) > LARGEST_JSON:
        raise RunFolderError(
            f"{path} is one JSON value of more than {LARGEST_JSON // 1_000_000} MB; write one row a line (.jsonl)."
        )
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        damage.why = f"{path} is not JSON: {error}"
        return
    rows = [row for row in values if isinstance(row, dict)]
    damage.lines += len(values) - len(rows)
    yield _of_rows(rows, 1.0)


def _csv(path: Path, damage: Damage) -> Iterator[Block]:
    import pyarrow as pa
    import pyarrow.csv as arrow_csv

    def left_out(row: Any) -> str:
        damage.add(row.number or 0)
        return "skip"

    names, delimiter = _header(path)
    # Read as bytes: numbers are recognised later, and a text that is not UTF-8 is lost alone.
    types = dict.fromkeys(names, pa.binary())
    with (
        _opened(path) as (file, share),
        arrow_csv.open_csv(
            file,
            read_options=arrow_csv.ReadOptions(block_size=BLOCK, use_threads=False),  # threads do not number the rows
            parse_options=arrow_csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=left_out
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=types, strings_can_be_null=True, null_values=[""], check_utf8=False
            ),
        ) as reader,
    ):
        for batch in reader:
            yield Block(list(dict.fromkeys(names)), batch.num_rows, _of_bytes(batch), share())


def _header(path: Path) -> tuple[list[str], str]:
    """The names of the columns, and what separates them: the comma, semicolon or tab that gives the most names."""
    with _opened(path) as (file, _):
        text = file.read(1_000_000).decode("utf-8-sig", "replace")
    try:
        found = [(next(csv.reader(io.StringIO(text), delimiter=delimiter), []), delimiter) for delimiter in ",;\t"]
    except csv.Error as error:
        raise RunFolderError(f"{path} has no header: {error}.") from None
    return max(found, key=lambda pair: len(pair[0]))


def _of_bytes(batch: Any) -> Callable[[str], list[Any]]:
    column = _of_batch(batch)
    return lambda name: [None if value is None else _text_or_none(value) for value in column(name)]


def _text_or_none(value: bytes) -> str | None:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return None


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Callable[[], float]]]:
    """A file without its compression, and how much of it was read so far."""
    size = max(1, path.stat().st_size)
    with path.open("rb") as raw, _decompressed(path.suffix.lower(), raw) as file:
        bounded = file if file is raw else io.BufferedReader(_Bounded(file, most_bytes(path)), PIECE)
        yield bounded, lambda: min(1.0, raw.tell() / size)


class _Bounded(io.RawIOBase):
    """A decompressed file that ends in an error after so many bytes: some kilobytes can stand for gigabytes."""

    def __init__(self, file: Any, most: int) -> None:
        self._file, self._left = file, most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise OSError(TOO_MUCH)
        buffer[: len(data)] = data
        return len(data)


def _decompressed(suffix: str, raw: IO[bytes]) -> Any:
    if suffix == ".zst":
        import pyarrow as pa

        return pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd")
    openers: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    return openers[suffix](raw) if suffix in openers else raw
