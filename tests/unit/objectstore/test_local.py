from __future__ import annotations

import errno
import logging
import os
import socket
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from fileroom.crashpoints import listen
from fileroom.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
)
from fileroom.objectstore.contract import DeadlinePassed
from fileroom.objectstore.local import (
    DurabilityLost,
    LocalBucket,
    durability_lost,
    durable,
    naming,
)
from fileroom.objectstore.local.writing import Directories

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "bucket").mkdir()
    return tmp_path / "bucket"


@pytest.fixture
def bucket(root: Path) -> LocalBucket:
    return LocalBucket(root)


def _level(bucket: LocalBucket, prefix: str = "") -> list[str]:
    listed = bucket.list_directory(prefix)
    return [each if isinstance(each, str) else each.key for each in listed]


@pytest.fixture
def right_to_write() -> Iterator[None]:
    """Give the right to write back after a test that ends it."""
    yield
    durable._right_to_write.lost = None


def _failing(function: Callable[..., object], number: int, nth: int) -> Callable[..., object]:
    """Fail with an errno at the nth call, as a disk might."""
    calls = 0

    def call(*args: object, **kwargs: object) -> object:
        nonlocal calls
        calls += 1
        if calls == nth:
            raise OSError(number, os.strerror(number))
        return function(*args, **kwargs)

    return call


def _keys(bucket: LocalBucket, prefix: str = "", start_after: str = "") -> list[str]:
    return [entry.key for entry in bucket.list(prefix, start_after)]


def _files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_nothing_leads_out_of_the_root(root: Path, bucket: LocalBucket, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (root / "link").symlink_to("../secret")
    (root / "absolute").symlink_to("/etc/passwd")
    (root / "up").symlink_to("..")
    (root / "d").mkdir()
    (root / "d" / "root").symlink_to("/")
    (root / "dangling").symlink_to("nowhere")
    keys = ["link", "absolute", "up/secret", "d/root/etc/passwd", "dangling", "../secret"]
    keys += ["d/../../secret", str(tmp_path / "secret")]
    for key in keys:
        assert bucket.find(key) is None
        with pytest.raises(NotFound):
            bucket.open(key)
        assert not bucket.delete(key)
    assert _keys(bucket) == []
    assert _keys(bucket, "up/") == []
    assert _keys(bucket, "../") == []
    assert not bucket.is_directory("up")
    for key in ("up/new", "d/root/new", "../new", "d/../../new"):
        with pytest.raises((FailedPrecondition, InvalidArgument)):
            bucket.write(key, [b"x"])
        with pytest.raises((FailedPrecondition, InvalidArgument)):
            bucket.make_directories([key])
    bucket.delete_prefix("up/")
    assert (tmp_path / "secret").read_text() == "secret"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bucket", "secret"]


def test_a_write_replaces_a_link_and_not_what_it_points_to(
    root: Path, bucket: LocalBucket, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    (root / "a").symlink_to("../secret")
    bucket.write("a", [b"mine"])
    assert (tmp_path / "secret").read_text() == "secret"
    assert bucket.read("a") == b"mine"


def test_what_is_no_regular_file_is_passed_over_and_never_opened(
    root: Path, bucket: LocalBucket, caplog: pytest.LogCaptureFixture
) -> None:
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "socket"))
    (root / "link").symlink_to("a")
    bucket.write("a", [b"x"])
    with caplog.at_level(logging.WARNING):
        assert _keys(bucket) == ["a"]
    assert caplog.records[0].__dict__["passed_over"] == 3
    for key in ("fifo", "socket", "link"):
        with pytest.raises(NotFound):
            bucket.read(key)


def test_names_that_are_not_utf8_are_passed_over(root: Path, bucket: LocalBucket) -> None:
    os.close(os.open(os.fsencode(root) + b"/\xff.dcm", os.O_CREAT))
    os.mkdir(os.fsencode(root) + b"/\xfe")
    os.close(os.open(os.fsencode(root) + b"/\xfe/a.dcm", os.O_CREAT))
    bucket.write("tab\tand\nline.dcm", [b"x"])
    assert _keys(bucket) == ["tab\tand\nline.dcm"]
    assert bucket.find("\udcff.dcm") is None


def test_temporary_files_are_passed_over(root: Path, bucket: LocalBucket) -> None:
    (root / ".fileroom-1").write_bytes(b"half")
    (root / ".fileroom-d").mkdir()
    (root / ".fileroom-d" / "a").write_bytes(b"half")
    (root / ".hidden").write_bytes(b"whole")
    assert _keys(bucket) == [".hidden"]
    assert bucket.find(".fileroom-1") is None
    with pytest.raises(InvalidArgument, match=r"begin with '\.fileroom-'"):
        bucket.write(".fileroom-2", [b"x"])


def test_directories_before_the_start_are_not_read(
    bucket: LocalBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.write_many([(f"{a:02}/{b:02}/x", b"") for a in range(10) for b in range(10)])
    scans = 0
    scandir = os.scandir

    def counting(directory: int) -> object:
        nonlocal scans
        scans += 1
        return scandir(directory)

    monkeypatch.setattr(os, "scandir", counting)
    assert _keys(bucket, start_after="08/08/x") == ["08/09/x", *[f"09/{b:02}/x" for b in range(10)]]
    assert scans == len(["", "08", "08/08", "08/09", "09"]) + 10
    scans = 0
    assert _keys(bucket, prefix="03/0", start_after="03/08/x") == ["03/09/x"]
    assert scans == len(["03", "03/08", "03/09"])


def test_a_listing_goes_on_when_files_vanish(root: Path, bucket: LocalBucket) -> None:
    bucket.write_many([(key, b"") for key in ("a", "b", "c/x", "d/x", "e")])
    listing = bucket.list()
    assert next(listing).key == "a"
    (root / "b").unlink()
    bucket.delete_prefix("c/")
    assert [entry.key for entry in listing] == ["d/x", "e"]


def test_an_abandoned_listing_leaves_no_directory_open(bucket: LocalBucket) -> None:
    bucket.write("a/b/c/d", [b""])
    before = len(os.listdir("/proc/self/fd"))
    listing = bucket.list()
    next(listing)
    assert len(os.listdir("/proc/self/fd")) > before
    listing.close()  # type: ignore[attr-defined]
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_missing_root_is_a_volume_that_is_not_mounted(tmp_path: Path) -> None:
    bucket = LocalBucket(tmp_path / "gone")
    for use in (
        lambda: list(bucket.list()),
        lambda: bucket.find("a"),
        lambda: bucket.read("a"),
        lambda: bucket.write("a", [b""]),
        lambda: bucket.delete_prefix("a/"),
        lambda: bucket.is_directory(""),
    ):
        with pytest.raises(Unavailable, match="'gone' of a bucket is missing; is its volume"):
            use()
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize("when", ["before the first read", "between reads"])
@pytest.mark.parametrize("how", ["grown", "shortened", "same size"])
def test_bytes_of_two_versions_are_never_mixed(
    root: Path, bucket: LocalBucket, when: str, how: str
) -> None:
    (root / "a").write_bytes(b"x" * 100)
    os.utime(root / "a", ns=(1, 1))
    with bucket.open("a") as source:
        if when == "between reads":
            assert source.read_at(0, 10) == b"x" * 10
        with (root / "a").open("r+b") as file:
            if how == "shortened":
                file.truncate(50)
            else:
                file.seek(100 if how == "grown" else 0)
                file.write(b"y")
        with pytest.raises(Aborted, match="'a' was changed while it was read"):
            source.read_at(10, 90)


def test_a_file_replaced_while_open_is_read_to_its_end(root: Path, bucket: LocalBucket) -> None:
    (root / "a").write_bytes(b"first")
    with bucket.open("a") as source:
        bucket.write("a", [b"other"])
        assert source.read_at(0, 5) == b"first"
    assert bucket.read("a") == b"other"


def test_a_batch_is_synced_then_named_then_its_directories_synced(
    root: Path, bucket: LocalBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []

    def recorded(name: str) -> Callable[..., object]:
        function = getattr(os, name)

        def call(*args: object, **kwargs: object) -> object:
            where = ""
            if name == "fsync":
                where = " " + os.readlink(f"/proc/self/fd/{args[0]}").removeprefix(str(root))
            events.append(name + where)
            return function(*args, **kwargs)

        return call

    for name in ("fdatasync", "fsync", "rename"):
        monkeypatch.setattr(os, name, recorded(name))
    bucket.write_many([("d/a", b""), ("d/b", b""), ("e/f/c", b"")])
    assert events[:6] == [*["fdatasync"] * 3, *["rename"] * 3]
    assert sorted(events[6:]) == ["fsync ", "fsync /d", "fsync /e", "fsync /e/f"]
    events.clear()
    bucket.write_many([("d/a", b"")])
    assert events == ["fdatasync", "rename", "fsync /d"]
    events.clear()
    LocalBucket(root).write("e/f/d", [b""])
    assert events[:2] == ["fdatasync", "rename"]
    assert sorted(events[2:]) == ["fsync ", "fsync /e", "fsync /e/f"]


@pytest.mark.usefixtures("right_to_write")
@pytest.mark.parametrize("call", ["fdatasync", "fsync"])
def test_a_failed_sync_ends_the_right_to_write(
    root: Path, bucket: LocalBucket, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    bucket.write("before", [b"x"])
    assert durability_lost() is None
    with monkeypatch.context() as patch:
        patch.setattr(os, call, _failing(getattr(os, call), errno.EIO, 1))
        with pytest.raises(DurabilityLost, match="could not be made durable"):
            bucket.write_many([("a", b"x"), ("b", b"x")])
    assert durability_lost() is not None
    for write in (
        lambda: bucket.write("c", [b"x"]),
        lambda: bucket.write_many([("c", b"x")]),
        lambda: bucket.writer("c"),
        lambda: bucket.make_directories(["c"]),
        lambda: LocalBucket(root).write("c", [b"x"]),
    ):
        with pytest.raises(DurabilityLost, match="restart the server"):
            write()
    assert bucket.read("before") == b"x"
    assert not [name for name in os.listdir(root) if name.startswith(".fileroom-")]


@pytest.mark.parametrize("call", ["write", "fdatasync", "open", "rename"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_at_any_step_leaves_objects_whole_or_absent(
    root: Path, bucket: LocalBucket, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    bucket.write("d/b", [b"old"])
    items = [(f"d/{name}", b"new") for name in "abc"]
    for nth in range(1, 20):
        with monkeypatch.context() as patch:
            patch.setattr(os, call, _failing(getattr(os, call), number, nth))
            try:
                bucket.write_many(items)
            except ResourceExhausted:
                pass
            else:
                break
        contents = {key: bucket.read(key) for key in _keys(bucket)}
        assert contents.pop("d/b") in {b"old", b"new"}
        assert set(contents.values()) <= {b"new"}
        assert not [name for name in _files(root) if ".fileroom-" in name]
    assert nth > 3
    assert [bucket.read(key) for key, _ in items] == [b"new"] * 3


def test_a_name_that_is_taken_by_the_other_kind_is_refused(bucket: LocalBucket) -> None:
    bucket.write("d/a", [b"x"])
    for key in ("d", "d/a/b", "d/a/b/c"):
        with pytest.raises(FailedPrecondition, match="a file and a directory"):
            bucket.write(key, [b"y"])
    assert _keys(bucket) == ["d/a"]


def test_a_name_too_long_is_refused(bucket: LocalBucket) -> None:
    assert bucket.find("a" * 300) is None
    with pytest.raises(InvalidArgument, match="the file system cannot hold the name"):
        bucket.write("a" * 300, [b"y"])


def test_what_may_not_be_read_is_denied_and_not_missed(
    bucket: LocalBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.write("d/a", [b"x"])
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", _failing(os.open, errno.EACCES, 2))
        with pytest.raises(PermissionDenied, match="change the rights"):
            _keys(bucket)
    for use in (lambda: bucket.find("d/a"), lambda: bucket.read("d/a")):
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", _failing(os.open, errno.EACCES, 2))
            with pytest.raises(PermissionDenied):
                use()


def test_a_disk_that_became_read_only_is_a_fault_of_the_environment(
    bucket: LocalBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "open", _failing(os.open, errno.EROFS, 2))
    with pytest.raises(Unavailable, match="Read-only file system"):
        bucket.write("a", [b"x"])


def test_a_disk_error_while_reading_may_pass(
    bucket: LocalBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.write("a", [b"x"])
    monkeypatch.setattr(os, "pread", _failing(os.pread, errno.EIO, 1))
    with pytest.raises(Unavailable, match="is its volume mounted and sound"):
        bucket.read("a")


def test_a_rename_answered_twice_by_a_file_server_is_done(
    bucket: LocalBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.rename

    def twice(*args: object, **kwargs: object) -> None:
        rename(*args, **kwargs)  # type: ignore[arg-type]
        rename(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "rename", twice)
    bucket.write("a", [b"x"])
    assert bucket.read("a") == b"x"


def test_a_managed_bucket_makes_no_directory_and_keeps_to_the_owner(root: Path) -> None:
    bucket = LocalBucket(root, managed=True)
    with pytest.raises(Unavailable, match="'tmp' of Fileroom's own data is missing"):
        bucket.write("a", [b"x"])
    bucket.make_directories(["tmp", "00", "01"])
    bucket.write_many([("00/a", b"x"), ("01/b", b"x")])
    with pytest.raises(Unavailable, match="'02' of Fileroom's own data is missing"):
        bucket.write("02/a", [b"x"])
    assert stat.S_IMODE((root / "00" / "a").stat().st_mode) == 0o600
    with bucket.writer("00/c") as writer:
        writer.write(b"half")
        assert len(os.listdir(root / "tmp")) == 1
    assert os.listdir(root / "tmp") == []
    assert _keys(bucket) == ["00/a", "01/b"]


_KILLED = """
import os, pathlib, signal, sys
from fileroom.objectstore.local import LocalBucket
bucket = LocalBucket(pathlib.Path(sys.argv[1]))
for key in ("d/a", "e/b"):
    writer = bucket.writer(key)
    writer.write(b"half")
    writers = globals().setdefault("writers", []) + [writer]
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_writer_of_a_name_left_is_swept_at_once(
    root: Path, bucket: LocalBucket
) -> None:
    killed = _KILLED.replace("bucket.writer(key)", "bucket.as_writer('op', 9).writer(key)")
    bucket.make_directories(["d", "e"])
    subprocess.run([sys.executable, "-c", killed, str(root)], check=False)
    with bucket.writer("d/c") as other, bucket.as_writer("op", 10).writer("d/d") as another:
        assert bucket.sweep_writers("", "op", 9) == bucket.sweep_writers("", "o", 10) == 0
        assert bucket.sweep_writers("d/", "op", 10) == bucket.sweep_writers("", "op", 10) == 1
        other.commit()
        another.commit()
    assert _files(root) == ["d/c", "d/d"]
    assert not list(root.rglob(".fileroom-*"))


def test_what_a_killed_writer_left_is_invisible_and_swept(root: Path, bucket: LocalBucket) -> None:
    bucket.make_directories(["d", "e"])
    subprocess.run([sys.executable, "-c", _KILLED, str(root)], check=False)
    assert _keys(bucket) == []
    assert bucket.sweep_temporaries() == 0
    old = time.time() - 7200
    left = list(root.rglob(".fileroom-*"))
    assert len(left) == 2
    for path in left:
        os.utime(path, (old, old))
    with bucket.writer("d/c") as living:
        living.write(b"x")
        assert bucket.sweep_temporaries("e/") == 1
        assert bucket.sweep_temporaries() == 1
        living.commit()
    assert _files(root) == ["d/c"]


@pytest.mark.parametrize("key", ["new/deeper/" + "a" * 300, "new/deeper/d/" + "a" * 300])
def test_a_write_that_fails_takes_back_the_directories_it_made(
    root: Path, bucket: LocalBucket, key: str
) -> None:
    bucket.make_directories(["new"])
    with pytest.raises(InvalidArgument):
        bucket.write(key, [b"x"])
    with pytest.raises(InvalidArgument):
        bucket.write_many([(key, b"x"), ("new/b/c/a", b"x")])
    assert not (root / "new" / "deeper").exists()
    assert _files(root) == []
    assert not (root / "new" / "b").exists()
    assert (root / "new").is_dir()


def test_an_object_under_way_makes_no_directory_and_holds_two_files(
    root: Path, bucket: LocalBucket
) -> None:
    deep = "/".join("d" * 400)
    opened = len(os.listdir("/dev/fd"))
    with bucket.writer(f"{deep}/a") as writer:
        writer.write(b"x")
        assert len(os.listdir("/dev/fd")) == opened + 2
        assert not (root / "d").exists()
        writer.commit()
    assert bucket.read(f"{deep}/a") == b"x"
    with Directories(root, managed=False, durable=bucket._durable) as directories:
        directories.open(deep)
        assert len(os.listdir("/dev/fd")) == opened + 1
    assert len(os.listdir("/dev/fd")) == opened


def _dates(bucket: LocalBucket, times: int) -> list[int]:
    return [int(bucket.write("a", [b"x"]).version.split("-")[0]) for _ in range(times)]


@pytest.mark.parametrize("grain_ns", [1, 1000, 2_000_000_000])
def test_the_dates_of_a_name_rise(
    root: Path, bucket: LocalBucket, monkeypatch: pytest.MonkeyPatch, grain_ns: int
) -> None:
    real = os.utime

    def coarse(file: int, *, ns: tuple[int, int]) -> None:
        real(file, ns=(ns[0], ns[1] - ns[1] % grain_ns))

    monkeypatch.setattr(os, "utime", coarse)
    dates = _dates(bucket, 20)
    assert dates == sorted(set(dates))
    ahead = time.time_ns() + 3600 * 10**9
    real(root / "a", ns=(ahead, ahead))
    assert ahead < _dates(bucket, 1)[0] <= ahead + 2 * 10**9


def test_an_object_is_dated_when_it_is_whole(bucket: LocalBucket) -> None:
    with bucket.writer("a") as writer:
        writer.write(b"late")
        time.sleep(0.05)
        [earlier] = _dates(bucket, 1)
        assert int(writer.commit().version.split("-")[0]) > earlier


def test_delete_prefix_takes_whole_directories_only(bucket: LocalBucket) -> None:
    bucket.write("d/a", [b"x"])
    for prefix in ("", "d", "/", "../", "d/../"):
        with pytest.raises(ValueError, match="names no directory"):
            bucket.delete_prefix(prefix)
    assert _keys(bucket) == ["d/a"]


def test_a_listing_ends_at_its_deadline_also_where_nothing_is_found(
    root: Path, bucket: LocalBucket
) -> None:
    for number in range(50):
        (root / "empty" / str(number)).mkdir(parents=True)
    bucket.write("z", [b""])

    opened = len(os.listdir("/dev/fd"))
    assert [each.key for each in bucket.list(deadline=time.monotonic() + 60)] == ["z"]
    with pytest.raises(DeadlinePassed):
        list(bucket.list(deadline=time.monotonic()))
    assert len(os.listdir("/dev/fd")) == opened


# One level


def test_a_directory_without_objects_is_not_listed(root: Path, bucket: LocalBucket) -> None:
    (root / "empty" / "deeper" / "still").mkdir(parents=True)
    (root / "linked").mkdir()
    (root / "linked" / "away").symlink_to("../full")
    (root / "full" / "a" / "b").mkdir(parents=True)
    (root / "full" / "a" / "b" / "c").write_bytes(b"1")
    (root / "written").mkdir()
    (root / "written" / ".fileroom-0-1").write_bytes(b"1")

    assert _level(bucket) == ["full/"]
    assert _level(bucket, "full/") == ["full/a/"]
    assert _level(bucket, "linked/") == _level(bucket, "empty/") == []


def test_one_level_is_listed_without_reading_what_lies_deeper(
    root: Path, bucket: LocalBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    for directory in range(3):
        for number in range(50):
            bucket.write(f"{directory}/{number}/a", [b""])
    opened: list[str] = []
    real = os.open

    def noting(path: str, *args: int, **kwargs: int) -> int:
        opened.append(path)
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", noting)
    assert _level(bucket) == ["0/", "1/", "2/"]
    assert len(opened) <= 1 + 3 * 2


def test_a_directory_that_cannot_be_read_is_told(
    root: Path, bucket: LocalBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.write("d/a", [b""])
    monkeypatch.setattr(os, "scandir", _failing(os.scandir, errno.EIO, 2))

    with pytest.raises(Unavailable, match="directory 'd/'"):
        _level(bucket)


def _written_where_nothing_is(bucket: LocalBucket) -> None:
    entry = bucket.write("d/a", [b"first"], if_absent=True)
    bucket.make_directories(["d/directory/"])
    (bucket.root / "d/link").symlink_to("a")
    for key in ("d/a", "d/directory", "d/link"):
        with pytest.raises(AlreadyExists, match=key):
            bucket.write(key, [b"other"], if_absent=True)
    assert bucket.read("d/a", entry.version) == b"first"
    assert sorted(os.listdir(bucket.root / "d")) == ["a", "directory", "link"]


def test_whatever_has_the_name_keeps_it(bucket: LocalBucket) -> None:
    _written_where_nothing_is(bucket)


def test_a_file_system_without_such_a_rename_links_the_name(
    bucket: LocalBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(naming, "_rename_if_absent", None)
    seen: list[tuple[list[str], bytes, int]] = []

    def look(step: str) -> None:
        if step == "file.linked":
            files = [path for path in bucket.root.rglob("*") if path.is_file()]
            seen.append((_level(bucket, "d/"), bucket.read("d/a"), len(files)))

    with listen(look):
        _written_where_nothing_is(bucket)
    # Whoever dies there leaves the whole object, and a temporary file to be swept.
    assert seen == [(["d/a"], b"first", 2)]


def test_a_name_that_was_linked_by_a_request_sent_twice_is_ours(
    bucket: LocalBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def twice(*args: object, **kwargs: object) -> None:
        link(*args, **kwargs)  # type: ignore[arg-type]
        link(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(naming, "_rename_if_absent", None)
    monkeypatch.setattr(os, "link", twice)
    entry = bucket.write("d/a", [b"first"], if_absent=True)
    assert bucket.find("d/a") == entry
    assert os.listdir(bucket.root / "d") == ["a"]


def test_a_file_system_that_can_do_neither_says_so(
    bucket: LocalBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(naming, "_rename_if_absent", None)
    monkeypatch.setattr(os, "link", _failing(os.link, errno.EPERM, 1))
    with pytest.raises(FailedPrecondition, match="hard links"):
        bucket.write("d/a", [b"first"], if_absent=True)
    assert os.listdir(bucket.root) == []
