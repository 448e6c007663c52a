"""Where the bytes of an instance lie below ``blobs/``.

::

    blobs/<blob_prefix>/.store-id                                 whose content this is
    blobs/<blob_prefix>/deleted/<random>                          which of it no row names any more
    blobs/<blob_prefix>/{00..ff}/pack-<writer>-<ordinal>-<token>  the Part 10 files of a batch
    blobs/<blob_prefix>/{00..ff}/<sha256>-<writer>-<ordinal>      one large Part 10 file
    blobs/<blob_prefix>/tmp/                                      what is being written
    blobs/<blob_prefix>/tmp/outcome-<writer>-<ordinal>-<token>    headers on their way to the server

A name is used once: a writer (an operation) commits each of its ordinals once, and no two packs
share a token, so no place ever gets other bytes (I2). The directory follows from the ordinal, not
from the hash, so that a batch touches one or two directories (measured: 17 % faster for small
files).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from fileroom.errors import DataLoss, NotFound, Unavailable

if TYPE_CHECKING:
    from fileroom.objectstore.blobs.contract import Blobs

FAN_OUT: Final = 256
STORE_ID_FILE: Final = ".store-id"
MARKS: Final = "deleted"
_PACK: Final = "pack"
_OUTCOME: Final = "outcome"


def blob_directory(ordinal: int) -> str:
    """Give the directory of a writer's ``ordinal``-th blob."""
    return f"{(ordinal >> 8) & (FAN_OUT - 1):02x}"


def blob_key(sha256: bytes, writer: int, ordinal: int) -> str:
    """Give the key of the blob that ``writer`` makes of its ``ordinal``-th object."""
    return f"{blob_directory(ordinal)}/{sha256.hex()}-{writer}-{ordinal}"


def pack_key(writer: int, first_ordinal: int, token: str) -> str:
    """Give the key of the pack that ``writer`` makes of objects from its ``first_ordinal``-th."""
    return f"{blob_directory(first_ordinal)}/{_PACK}-{writer}-{first_ordinal}-{token}"


def outcome_key(writer: int, first_ordinal: int, token: str) -> str:
    """Give the key under which a worker leaves what is too large for a message.

    A worker that was given up may leave its own of the same objects, under another token.
    """
    return f"tmp/{_OUTCOME}-{writer}-{first_ordinal}-{token}"


def is_pack(key: str) -> bool:
    """Whether the blob of this key holds the instances of a batch."""
    return key.rpartition("/")[2].startswith(f"{_PACK}-")


def is_mark(key: str) -> bool:
    """Whether the file of this key tells what no row names any more."""
    return key.startswith(f"{MARKS}/")


def writer_of(key: str) -> int | None:
    """Give the writer that a blob's key tells; None if it is not the key of a blob."""
    parts = key.rpartition("/")[2].split("-")
    is_named = len(parts) == 4 and parts[0] in {_PACK, _OUTCOME}
    is_blob = len(parts) == 3 and len(parts[0]) == 64
    return int(parts[1]) if (is_named or is_blob) and parts[1].isdigit() else None


class StoreIdentity(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whose blobs these are, as it is told beside them."""

    name: str = ""
    config: dict[str, object] = {}
    time_zone: str = ""
    """Of its dataset."""
    deleted: bool = False


def make_blob_bucket(blobs: Blobs, blob_prefix: str, identity: StoreIdentity) -> None:
    """Make the place of a store's blobs, durably, so that no later write has to make any of it.

    May be repeated. ``identity`` names the store, should its rows ever have to be rebuilt.
    """
    blobs.make(blob_prefix, [*(f"{number:02x}" for number in range(FAN_OUT)), MARKS])
    write_identity(blobs, blob_prefix, identity)


def write_identity(blobs: Blobs, blob_prefix: str, identity: StoreIdentity) -> None:
    """Write beside a store's blobs whose they are, in place of what was said before."""
    blobs.bucket(blob_prefix).write(STORE_ID_FILE, [msgspec.json.encode(identity)])


def find_identity(blobs: Blobs, blob_prefix: str) -> StoreIdentity | None:
    """Give what is told beside a store's blobs; None where nothing is.

    Raises
    ------
    DataLoss
        If it is damaged.
    """
    try:
        with blobs.bucket(blob_prefix).open(STORE_ID_FILE) as opened:
            content = opened.read_at(0, opened.size)
    except NotFound:
        return None
    try:
        return msgspec.json.decode(content, type=StoreIdentity)
    except msgspec.MsgspecError as error:
        sentinel = blobs.name_of(f"{blob_prefix}/{STORE_ID_FILE}")
        raise DataLoss(f"{sentinel} is damaged: {error}") from error


def mark_deleted_store(blobs: Blobs, blob_prefix: str) -> None:
    """Tell beside a store's blobs that it was deleted; may be repeated."""
    identity = find_identity(blobs, blob_prefix)
    if identity is not None and not identity.deleted:
        write_identity(blobs, blob_prefix, msgspec.structs.replace(identity, deleted=True))


def check_blob_bucket(blobs: Blobs, blob_prefix: str) -> None:
    """Refuse to go on where a store's blobs are not there: they may be on an unmounted disk.

    Raises
    ------
    Unavailable
        If the file that every store's directory holds is missing.
    """
    try:
        is_there = blobs.bucket(blob_prefix).has(STORE_ID_FILE)
    except Unavailable:
        if blobs.is_remote:  # what it tells is about the bucket
            raise
        is_there = False
    if not is_there:
        sentinel = blobs.name_of(f"{blob_prefix}/{STORE_ID_FILE}")
        raise Unavailable(
            f"{sentinel} is missing: the disk that holds the blobs is not mounted, or what is there"
            " is not what this database is about; mount the right one, or name the right place in"
            " the settings, under blobs (in the file that --config names, if there is one)",
            "BLOBS_MISSING",
        )


# ------------------------------------------------------------------ what a request stores


_REQUEST_BLOB: Final = re.compile(r"[0-9a-f]{64}-([0-9a-f]+)r(\d+)-\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestWriter:
    """A request that stores instances: a writer that ends with its answer, or with its server.

    It stands where the number of an operation stands in the keys of other blobs.
    """

    boot: str
    """Hexadecimal, drawn by lot when the server started."""
    number: int

    def __str__(self) -> str:
        return f"{self.boot}r{self.number}"


def request_blob_key(sha256: bytes, writer: RequestWriter, ordinal: int) -> str:
    """Give the key of the blob that a request makes of its ``ordinal``-th part."""
    return f"{request_blob_directory(writer, ordinal)}/{sha256.hex()}-{writer}-{ordinal}"


def request_blob_directory(writer: RequestWriter, ordinal: int) -> str:
    """Give the directory of a request's ``ordinal``-th blob.

    Requests of few parts spread over the directories by their number.
    """
    return blob_directory(writer.number * FAN_OUT + ordinal)


def request_of(key: str) -> RequestWriter | None:
    """Give the request that a blob's key tells; None where another writer made it."""
    match = _REQUEST_BLOB.fullmatch(key.rpartition("/")[2])
    return None if match is None else RequestWriter(boot=match[1], number=int(match[2]))
