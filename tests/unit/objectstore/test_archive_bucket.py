"""An archive as a bucket: who lists it, and what is inflated of it."""

from __future__ import annotations

import io
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING

import pytest

from fileroom.errors import Aborted, Cancelled, NotFound
from fileroom.objectstore.archives.bucket import open_archive
from fileroom.objectstore.archives.member import BadArchive
from fileroom.objectstore.contract import Resumable
from fileroom.objectstore.local import LocalBucket

if TYPE_CHECKING:
    from pathlib import Path

    from fileroom.objectstore.local import LocalObject

MEMBERS = {f"{number}.dcm": bytes([number]) * 1000 for number in range(20)}


class Noting(LocalBucket):
    """A bucket that notes what is opened."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.opened: list[str] = []

    def open(self, key: str, version: str | None = None, *, size: int | None = None) -> LocalObject:
        self.opened.append(key)
        return super().open(key, version, size=size)


@pytest.fixture
def bucket(tmp_path: Path) -> Noting:
    (tmp_path / "bucket").mkdir()
    (tmp_path / "spool").mkdir()
    with tarfile.open(tmp_path / "bucket" / "a.tgz", "w:gz") as archive:
        for name, content in MEMBERS.items():
            information = tarfile.TarInfo(name)
            information.size = len(content)
            archive.addfile(information, io.BytesIO(content))
    return Noting(tmp_path / "bucket")


def test_a_tar_gz_is_inflated_once_however_many_list_it(bucket: Noting, tmp_path: Path) -> None:
    def keys(_: int) -> list[str]:
        return [each.key for each in open_archive(bucket, "a.tgz", tmp_path / "spool").list()]

    with ThreadPoolExecutor(8) as threads:
        listed = list(threads.map(keys, range(16)))
    assert all(each == sorted(f"a.tgz!/{name}" for name in MEMBERS) for each in listed)
    assert bucket.opened == ["a.tgz"]


def test_what_was_swept_is_inflated_again(bucket: Noting, tmp_path: Path) -> None:
    archive = open_archive(bucket, "a.tgz", tmp_path / "spool")
    (entry, *_) = archive.list()
    for path in (tmp_path / "spool").iterdir():
        path.unlink()
    with archive.open(entry.key, entry.version) as member:
        assert member.read_at(0, member.size) == MEMBERS["0.dcm"]
    assert bucket.opened == ["a.tgz", "a.tgz"]


def _cancel() -> None:
    raise Cancelled("nobody waits for it")


def test_looking_up_members_ends_when_nobody_waits_for_them(bucket: Noting, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    with pytest.raises(Cancelled):
        list(open_archive(bucket, "a.tgz", spool, check=_cancel).list())
    assert list(spool.iterdir()) == []

    assert len(list(open_archive(bucket, "a.tgz", spool).list())) == len(MEMBERS)


def test_who_waits_for_another_to_look_members_up_may_leave(bucket: Noting, tmp_path: Path) -> None:
    begun, end = Event(), Event()

    def hold() -> None:
        begun.set()
        end.wait(10)

    spool = tmp_path / "spool"
    with ThreadPoolExecutor(1) as threads:
        archive = open_archive(bucket, "a.tgz", spool, check=hold)
        first = threads.submit(lambda: list(archive.list()))
        try:
            assert begun.wait(10)
            with pytest.raises(Cancelled):
                list(open_archive(bucket, "a.tgz", spool, check=_cancel).list())
        finally:
            end.set()
        assert len(first.result()) == len(MEMBERS)


def test_a_member_changes_with_its_archive(bucket: Noting, tmp_path: Path) -> None:
    archive = open_archive(bucket, "a.tgz", tmp_path / "spool")
    with pytest.raises(Aborted, match=r"a\.tgz"):
        archive.open("a.tgz!/0.dcm", "another")
    with pytest.raises(NotFound):
        archive.open("a.tgz!/absent")
    with pytest.raises(NotFound, match=r"absent\.zip"):
        open_archive(bucket, "absent.zip", tmp_path / "spool")
    bucket.write("a.dcm", [b"x"])
    with pytest.raises(BadArchive, match=r"no \.zip, \.tar"):
        open_archive(bucket, "a.dcm", tmp_path / "spool")


def test_a_stored_member_is_checked_though_an_earlier_attempt_fetched_some(
    bucket: Noting, tmp_path: Path
) -> None:
    content = bytes(range(256)) * 40
    with zipfile.ZipFile(tmp_path / "bucket" / "a.zip", "w") as archive:
        archive.writestr("1.dcm", content)
    opened = open_archive(bucket, "a.zip", tmp_path / "spool")
    for before in (content[:100], bytes(100)):
        with opened.open("a.zip!/1.dcm") as member:
            assert isinstance(member, Resumable)
            member.read_at(0, 50)
            member.recall(0, before)
            if before == content[:100]:
                assert member.read_at(100, len(content)) == content[100:]
                continue
            with pytest.raises(BadArchive, match="CRC-32"):
                member.read_at(100, len(content))


def test_who_opens_what_was_inflated_changes_no_version(bucket: Noting, tmp_path: Path) -> None:
    opened = open_archive(bucket, "a.tgz", tmp_path / "spool")
    with opened.open("a.tgz!/0.dcm") as member, opened.open("a.tgz!/0.dcm") as other:
        assert member.version == other.version
        assert member.read_at(0, 10) == other.read_at(0, 10) == MEMBERS["0.dcm"][:10]
