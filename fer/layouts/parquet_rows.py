"""Parquet files that hold pictures, as repositories of Hugging Face do: their columns, and one row's picture.

The rows of a file lie in groups, which can only be read whole; the last few groups stay in memory, so reading row
after row reads each once. pyarrow (the extra `parquet`) is imported where a file is opened.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_right
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

KEPT_BYTES = 128 << 20  # of pictures in memory, as they are in the file
LEAST_KEPT = 2  # groups, whatever their size: threads that read neighbouring rows meet at the border of two
_kept: dict[tuple[str, int, int, int, str], pa.ChunkedArray] = {}  # the oldest first
_ONE_READER = Lock()  # so that threads which need the same group do not all read it


def features(schema: pa.Schema) -> dict[str, dict[str, Any]]:
    """What Hugging Face's library notes of each column, lists aside; {} in a file that something else wrote."""
    noted = (schema.metadata or {}).get(b"huggingface")
    columns = json.loads(noted).get("info", {}).get("features", {}) if noted else {}
    return {name: noted for name, noted in columns.items() if isinstance(noted, dict)}


def picture_columns(schema: pa.Schema) -> list[str]:
    """Columns with the bytes of files: plain, or in a field `bytes`; none that is noted as something else (sounds)."""
    others = {name for name, noted in features(schema).items() if noted.get("_type") != "Image"}
    return [field.name for field in schema if field.name not in others and _holds_bytes(field.type)]


def _holds_bytes(kind: pa.DataType) -> bool:
    from pyarrow import types

    if types.is_struct(kind):
        return any(field.name == "bytes" and _holds_bytes(field.type) for field in kind)
    return types.is_binary(kind) or types.is_large_binary(kind)


def picture_bytes(file: Path, row: int, column: str | None) -> bytes | None:
    """The file of the picture in `row` (from 0); None where the row holds none. `column`: of several with pictures.

    Raises IndexError for a row that is not there, ValueError or OSError (without errno) for a damaged table.
    """
    state = file.stat()
    known = (os.fspath(file), state.st_size, state.st_mtime_ns)
    starts, found = _index(*known)
    if row >= starts[-1]:
        raise IndexError(f"{file.name} has only {starts[-1]} rows")
    group = bisect_right(starts, row) - 1
    return _group(*known, group, column or found)[row - starts[group]].as_py()


@lru_cache(maxsize=64)
def _index(file: str, size: int, mtime_ns: int) -> tuple[list[int], str]:
    """The first row of each group, and the number of rows; the first column with pictures."""
    from pyarrow import parquet

    with parquet.ParquetFile(file) as table:
        counts = [table.metadata.row_group(group).num_rows for group in range(table.num_row_groups)]
        columns = picture_columns(table.schema_arrow)
    if not columns:
        raise ValueError("the table has no column with pictures")
    return list(accumulate(counts, initial=0)), columns[0]


def _group(file: str, size: int, mtime_ns: int, group: int, column: str) -> pa.ChunkedArray:
    """The bytes of each picture of one group, kept or read."""
    key = (file, size, mtime_ns, group, column)
    cells = _kept.get(key)
    if cells is None:
        with _ONE_READER:
            cells = _kept.get(key)  # another thread may have read it since
            if cells is None:
                cells = _kept[key] = _read_group(file, group, column)
            while len(_kept) > LEAST_KEPT and sum(kept.nbytes for kept in _kept.values()) > KEPT_BYTES:
                del _kept[next(iter(_kept))]
    return cells


def _read_group(file: str, group: int, column: str) -> pa.ChunkedArray:
    import pyarrow.compute
    from pyarrow import parquet, types

    with parquet.ParquetFile(file) as table:
        is_struct = types.is_struct(table.schema_arrow.field(column).type)
        wanted = f"{column}.bytes" if is_struct else column
        cells = table.read_row_group(group, columns=[wanted], use_threads=False).column(0)
    return pyarrow.compute.struct_field(cells, "bytes") if is_struct else cells
