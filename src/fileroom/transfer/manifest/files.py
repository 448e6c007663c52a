"""The files of a manifest: the ledger in parts, the metadata beside them, and what sums them up."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from fileroom.rows import CSV, NDJSON, PARQUET, encode_rows
from fileroom.transfer.ledger import COLUMNS, PENDING, as_row, read_ledger
from fileroom.transfer.manifest.asking import MEDIA_TYPES
from fileroom.transfer.manifest.metadata import METADATA_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fileroom.database.engine import Database
    from fileroom.database.operations import Json
    from fileroom.objectstore.contract import Bucket
    from fileroom.rows import Rows
    from fileroom.transfer.ledger import LedgerLine
    from fileroom.transfer.options import ManifestFormat

LINES_OF_A_PART: Final = 50_000
"""About 30 MB while they are held, 20 MB as NDJSON."""
SUCCESS: Final = "_SUCCESS"
ACCOUNT: Final = "manifest.json"
_EXTENSIONS: Final = {NDJSON: "ndjson", CSV: "csv", PARQUET: "parquet"}
_ROWS_AT_A_TIME: Final = 1000


class ManifestFiles:
    """Writes the files of one manifest, each whole or not at all, and remembers them."""

    def __init__(self, bucket: Bucket, directory: str, form: ManifestFormat) -> None:
        """Take where they lie; ``directory`` ends in a slash."""
        self._bucket = bucket
        self._directory = directory
        self._media_type = MEDIA_TYPES[form]
        self._written: list[Json] = []
        self._parts = 0

    def begin(self) -> None:
        """Take back the word of an earlier attempt that all is well."""
        key = f"{self._directory}{SUCCESS}"
        if self._bucket.find(key) is not None:
            self._bucket.delete(key)

    def end(self) -> None:
        """Delete the parts of an earlier attempt that had more of them."""
        written = {f"{self._directory}{note['name']}" for note in self._written}
        for entry in list(self._bucket.list(self._directory)):
            if entry.key not in written and entry.key.startswith(
                (f"{self._directory}ledger-", f"{self._directory}metadata-")
            ):
                self._bucket.delete(entry.key)

    def parts(
        self, database: Database, operation_id: int, *, ended: bool
    ) -> Iterator[list[LedgerLine]]:
        """Write the ledger part by part, one at least, and give the lines of each.

        Of an operation that has ``ended``, what is still put off counts as not begun.
        """
        part: list[LedgerLine] = []
        for lines in read_ledger(database, operation_id):
            part += [line for line in lines if not (ended and line.result == PENDING)]
            if len(part) >= LINES_OF_A_PART:
                self._write_part(part)
                yield part
                part = []
        if part or not self._parts:
            self._write_part(part)
            yield part

    def _write_part(self, lines: Sequence[LedgerLine]) -> None:
        name = f"ledger-{self._parts:05}.{_EXTENSIONS[self._media_type]}"
        self._parts += 1
        pieces = encode_rows(_rows(lines), COLUMNS, self._media_type)
        self._write(name, pieces, {"lines": len(lines)})

    def write_metadata(self, rows: Rows) -> None:
        """Write the metadata of what the last part names."""
        name = f"metadata-{self._parts - 1:05}.parquet"
        self._write(name, encode_rows(rows, METADATA_COLUMNS, PARQUET), {})

    def write_account(self, told: Json) -> None:
        """Write what sums the operation up, with the length and the checksum of each file."""
        whole = {**told, "files": self._written}
        pretty = msgspec.json.format(msgspec.json.encode(whole), indent=2)
        self._write(ACCOUNT, [pretty, b"\n"], {})

    def write_success(self) -> None:
        """Write the empty file that says that nothing failed, and everything is verified."""
        self._write(SUCCESS, [], {})

    def _write(self, name: str, pieces: Iterable[bytes], told: Json) -> None:
        digest = hashlib.sha256()

        def passing() -> Iterator[bytes]:
            for piece in pieces:
                digest.update(piece)
                yield piece

        entry = self._bucket.write(f"{self._directory}{name}", passing())
        note: Json = {"name": name, "size": entry.size, "sha256": digest.hexdigest(), **told}
        self._written.append(note)


def _rows(lines: Sequence[LedgerLine]) -> Iterator[list[dict[str, Any]]]:
    for at in range(0, len(lines), _ROWS_AT_A_TIME):
        yield [as_row(line) for line in lines[at : at + _ROWS_AT_A_TIME]]
