from __future__ import annotations

import os
from itertools import count, islice
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete

from fileroom.archive import retrieve
from fileroom.database import schema
from fileroom.database.instances import DuplicatePolicy
from fileroom.dicom.rewriting import PIECE_BYTES
from fileroom.errors import DataLoss, NotFound
from fileroom.names import InstancePath, Uid
from fileroom.objectstore.local import Extent
from tests.corpus import (
    EXPLICIT,
    IMPLICIT,
    minimal_instance,
    mr_instance,
)
from tests.places import of_place, root_of
from tests.store_content import FilledStore, filled_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Executable

    from fileroom.archive.retrieve import InstanceFile
    from fileroom.database.values.stored import StoredInstance


class Case:
    """The place of one instance in the store that the tests share."""

    def __init__(self, store: FilledStore, number: int) -> None:
        self._store = store
        self._writer = 100 * number
        self.content = store.content
        root = f"1.2.{number}"
        self.path = InstancePath(Uid(f"{root}"), Uid(f"{root}.3"), Uid(f"{root}.4"))
        self.uids: dict[str, Any] = {
            "study_instance_uid": self.path.study_instance_uid,
            "series_instance_uid": self.path.series_instance_uid,
            "sop_instance_uid": self.path.sop_instance_uid,
        }

    def add(self, *files: bytes, replace: bool = False) -> None:
        self._writer += 1
        policy = DuplicatePolicy.REPLACE if replace else DuplicatePolicy.FAIL_IF_DIFFERENT
        self._store.add(files, writer=self._writer, policy=policy)

    def write(self, statement: Executable) -> None:
        self._store.database.write(lambda transaction: transaction.execute(statement))

    def find(self) -> StoredInstance:
        return retrieve.find_instance(self.content, self.path)

    @property
    def blob(self) -> Path:
        return root_of(self.content.blobs) / self.content.blob_prefix / self.find().place.key


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FilledStore]:
    with filled_store(tmp_path_factory.mktemp("retrieve")) as filled:
        yield filled


_numbers = count(1)


@pytest.fixture
def case(store: FilledStore) -> Case:
    return Case(store, next(_numbers))


def drawn(file: InstanceFile) -> bytes:
    whole = b"".join(file.pieces)
    assert len(whole) == file.size
    return whole


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_an_instance_comes_back_byte_for_byte_in_pieces(case: Case) -> None:
    data = mr_instance(rows=1200, **case.uids)
    case.add(data)
    file = retrieve.open_as_stored(case.content, case.find())
    pieces = list(file.pieces)
    assert b"".join(pieces) == data
    assert len(pieces) == 3
    assert max(map(len, pieces)) == PIECE_BYTES
    assert file.transfer_syntax_uid == EXPLICIT
    assert file.etag is not None
    assert len(file.etag) == 66


def test_what_is_absent_is_not_found(case: Case) -> None:
    case.add(minimal_instance(**case.uids))
    study, series, instance = case.uids.values()
    for path in (
        InstancePath(study, series, Uid("1.5")),
        InstancePath(study, Uid("1.9"), instance),
        InstancePath(Uid("9.2"), series, instance),
    ):
        with pytest.raises(NotFound, match="does not exist"):
            retrieve.find_instance(case.content, path)


def test_a_missing_blob_of_a_living_row_is_data_loss(case: Case) -> None:
    case.add(minimal_instance(**case.uids))
    case.blob.unlink()
    with pytest.raises(DataLoss, match="is missing"):
        retrieve.open_as_stored(case.content, case.find())


def test_a_missing_blob_of_a_deleted_row_is_not_found(case: Case) -> None:
    case.add(minimal_instance(**case.uids))
    stored = case.find()
    case.blob.unlink()
    case.write(delete(schema.instances).where(schema.instances.c.id == stored.id))
    with pytest.raises(NotFound):
        retrieve.open_as_stored(case.content, stored)


def test_a_missing_blob_of_a_replaced_row_is_read_at_its_new_place(case: Case) -> None:
    case.add(minimal_instance(**case.uids))
    stored, old = case.find(), case.blob
    new = minimal_instance(**case.uids, patient_id="other", transfer_syntax_uid=IMPLICIT)
    case.add(new, replace=True)
    old.unlink()
    file = retrieve.open_as_stored(case.content, stored)
    assert drawn(file) == new
    assert file.transfer_syntax_uid == IMPLICIT


def test_a_replaced_row_whose_new_blob_is_missing_too_is_data_loss(case: Case) -> None:
    case.add(minimal_instance(**case.uids))
    stored = case.find()
    case.blob.unlink()
    case.add(minimal_instance(**case.uids, patient_id="other"), replace=True)
    case.blob.unlink()
    with pytest.raises(DataLoss):
        retrieve.open_as_stored(case.content, stored)


@pytest.mark.parametrize("size", [0, 100, -1])
def test_a_blob_that_ends_too_early_is_data_loss(case: Case, size: int) -> None:
    case.add(minimal_instance(**case.uids))
    os.truncate(case.blob, size if size >= 0 else case.find().place.size + size)
    stored, before = case.find(), open_files()
    with pytest.raises(DataLoss, match="bytes, not the"):
        retrieve.open_as_stored(case.content, stored)
    assert open_files() == before


def test_a_blob_deleted_while_it_is_read_is_read_to_its_end(case: Case) -> None:
    data = mr_instance(rows=1200, **case.uids)
    case.add(data)
    file = retrieve.open_as_stored(case.content, case.find())
    first = next(file.pieces)
    case.blob.unlink()
    assert first + b"".join(file.pieces) == data


def test_an_instance_erased_while_it_is_read_is_data_loss(case: Case) -> None:
    case.add(mr_instance(rows=1200, **case.uids))
    file = retrieve.open_as_stored(case.content, case.find())
    next(file.pieces)
    place = case.find().place
    area = case.content.blobs.bucket(case.content.blob_prefix)
    area.erase_extents(place.key, [Extent(place.offset, place.size)])
    with pytest.raises(DataLoss):
        list(file.pieces)


def test_a_blob_changed_while_it_is_read_is_data_loss(case: Case) -> None:
    case.add(mr_instance(rows=1200, **case.uids))
    file = retrieve.open_as_stored(case.content, case.find())
    next(file.pieces)
    os.truncate(case.blob, 1000)
    with pytest.raises(DataLoss):
        list(file.pieces)


@pytest.mark.parametrize("at", [140, -1])
def test_no_byte_of_a_small_file_that_rotted_is_given(case: Case, at: int) -> None:
    case.add(minimal_instance(**case.uids))
    stored, before = case.find(), open_files()
    flip(case, at)
    with pytest.raises(DataLoss, match="is damaged: its checksum is another"):
        retrieve.open_as_stored(case.content, stored)
    assert open_files() == before


@pytest.mark.parametrize("at", [140, PIECE_BYTES + 1, -1])
def test_a_large_file_that_rotted_is_never_given_whole(case: Case, at: int) -> None:
    data = mr_instance(rows=1200, **case.uids)
    case.add(data)
    flip(case, at)
    file = retrieve.open_as_stored(case.content, case.find())
    given = list(islice(file.pieces, 2))
    assert sum(map(len, given)) == 2 * PIECE_BYTES < len(data)
    with pytest.raises(DataLoss, match="is damaged: its checksum is another"):
        next(file.pieces)


def flip(case: Case, at: int) -> None:
    """Flip a bit of the instance's bytes at rest."""
    lying = of_place(case.blob.parent.parent, case.find().place)
    offset = at % lying.size
    lying.write(bytes([lying.read()[offset] ^ 1]), offset)


def test_no_file_stays_open(case: Case) -> None:
    case.add(mr_instance(rows=1200, **case.uids))
    stored, before = case.find(), open_files()
    drawn(retrieve.open_as_stored(case.content, stored))
    assert open_files() == before
    part = retrieve.open_as_stored(case.content, stored)
    next(part.pieces)
    part.pieces.close()
    assert open_files() == before
    never_drawn = retrieve.open_as_stored(case.content, stored)
    del never_drawn
    assert open_files() == before
