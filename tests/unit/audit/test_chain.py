"""Whoever changes, drops, reorders or adds a line is found out; whatever crashes goes on."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from fileroom import audit
from fileroom.audit import Access, AuditLog, Entry, Head, Note, Verdict, entries_of, verify
from fileroom.crashpoints import listen
from fileroom.errors import Code, FileroomError, ResourceExhausted, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_STEPS: Final = (
    *("audit.made", "audit.begun", "audit.cut"),
    *("audit.written", "audit.synced", "audit.dropped"),
)
SEGMENT_BYTES: Final = 4096
LARGE: Final = 1 << 30


class Anchors:
    """The second place."""

    def __init__(self) -> None:
        self.heads: dict[str, Head] = {}

    def find(self, chain: str) -> Head | None:
        return self.heads.get(chain)

    def keep(self, head: Head) -> None:
        self.heads[head.chain] = head


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "audit"


@pytest.fixture
def anchors() -> Anchors:
    return Anchors()


def entry(number: int, access: Access = Access.DATA_READ) -> Entry:
    return Entry(
        access=access,
        service="healthcare.googleapis.com",
        method="google.cloud.healthcare.v1.dicom.DicomService.RetrieveStudy",
        resource=f"projects/p1/studies/1.2.{number}",
        project="p1",
        kind="healthcare_dicom_store",
        principal="token:owner",
        code=Code.OK,
    )


def opened(directory: Path, anchors: Anchors | None = None, **choices: int) -> AuditLog:
    chosen: dict[str, int] = {"segment_bytes": SEGMENT_BYTES, "retention_days": 0} | choices
    place = anchors or Anchors()
    return AuditLog(
        directory,
        segment_bytes=chosen["segment_bytes"],
        retention_days=chosen["retention_days"],
        find_anchor=place.find,
        keep_anchor=place.keep,
    )


def write(directory: Path, count: int, anchors: Anchors | None = None, **choices: int) -> None:
    with opened(directory, anchors, **choices) as log:
        for number in range(count):
            log.record_durably(entry(number))


def files(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())


def methods(directory: Path) -> list[str]:
    return [payload(each)["methodName"] for each in entries_of(directory)]


def payload(told: dict[str, object]) -> dict[str, Any]:
    found = told["protoPayload"]
    assert isinstance(found, dict)
    return found


def looked(directory: Path, anchors: Anchors) -> Verdict:
    return verify(directory, anchors.heads.values())


def test_lines_are_chained_over_segments(directory: Path, anchors: Anchors) -> None:
    write(directory, 40, anchors)
    write(directory, 40, anchors)
    verdict = looked(directory, anchors)
    assert verdict.broken is None
    assert verdict.segments == len(files(directory)) > 5
    assert verdict.lines == 40 + 40 + 2 * 2, "each server tells when it begins and ends"
    assert verdict.head == next(iter(anchors.heads.values()))


def test_only_their_owner_may_read(directory: Path) -> None:
    write(directory, 20)
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {each.stat().st_mode & 0o777 for each in files(directory)} == {0o600}


def change(lines: list[bytes]) -> list[bytes]:
    return [
        line.replace(b"token:owner", b"token:other") if i == 3 else line for i, line in _(lines)
    ]


def drop(lines: list[bytes]) -> list[bytes]:
    return [line for i, line in _(lines) if i != 3]


def swap(lines: list[bytes]) -> list[bytes]:
    return [*lines[:3], lines[4], lines[3], *lines[5:]]


def repeat(lines: list[bytes]) -> list[bytes]:
    return [*lines[:4], lines[3], *lines[4:]]


def forge(lines: list[bytes]) -> list[bytes]:
    """Add a line with a number that fits, and renumber what follows."""
    told = [json.loads(line) for line in (*lines[:4], lines[3], *lines[4:])]
    for number, each in enumerate(told):
        each["chain"]["sequence"] = told[0]["chain"]["sequence"] + number
    return [json.dumps(each, separators=(",", ":")).encode() for each in told]


def garble(lines: list[bytes]) -> list[bytes]:
    return [*lines[:3], b"{", *lines[4:]]


def _(lines: list[bytes]) -> Iterator[tuple[int, bytes]]:
    return iter(enumerate(lines))


@pytest.mark.parametrize("metadata", [{}, {"accesses": "x", "through": [], "found": {}}, [], 7])
@pytest.mark.parametrize("note", [Note.MISSED, Note.DROPPED, Note.SHORTENED])
def test_a_note_made_by_hand_is_found(directory: Path, note: Note, metadata: Any) -> None:
    told = note.to_json({})
    payload(told)["metadata"] = metadata
    _, line = Head(chain="c").next_line(told, "2026-01-01T00:00:00Z")
    directory.mkdir()
    (directory / "000000000000001.jsonl").write_bytes(line)
    verdict = verify(directory)
    assert (verdict.lines, verdict.missed) == (1, 0)
    assert verdict.broken == "line 1 is a note that no server wrote"


@pytest.mark.parametrize(
    "line",
    [b"[" * 100_000, b'{"chain":{"id":"c","sequence":Infinity,"previous":""}}', b"\xff", b"7"],
)
def test_what_is_no_line_is_told(directory: Path, line: bytes) -> None:
    directory.mkdir()
    (directory / "000000000000001.jsonl").write_bytes(line + b"\n")
    broken = verify(directory).broken
    assert broken == "000000000000001.jsonl, line 1: not a line of an audit log"


@pytest.mark.parametrize("tamper", [change, drop, swap, repeat, forge, garble])
@pytest.mark.parametrize("which", [0, 2])
def test_a_line_that_was_tampered_with_is_found(
    directory: Path, anchors: Anchors, tamper: Callable[[list[bytes]], list[bytes]], which: int
) -> None:
    write(directory, 40, anchors)
    segment = files(directory)[which]
    before = segment.read_bytes()
    segment.write_bytes(b"\n".join(tamper(before.splitlines())) + b"\n")
    assert segment.read_bytes() != before
    broken = looked(directory, anchors).broken
    assert broken is not None
    assert segment.name in broken


def test_a_tampered_last_line_is_found_by_what_was_noted_elsewhere(
    directory: Path, anchors: Anchors
) -> None:
    write(directory, 3, anchors, segment_bytes=LARGE)
    (segment,) = files(directory)
    segment.write_bytes(segment.read_bytes().replace(b"fileroom.audit.Closed", b"fileroom.x"))
    assert verify(directory).broken is None
    assert "the database has noted another hash" in str(looked(directory, anchors).broken)


@pytest.mark.parametrize("which", [0, 2, -1])
def test_a_segment_that_is_gone_is_found(directory: Path, anchors: Anchors, which: int) -> None:
    write(directory, 40, anchors)
    files(directory)[which].unlink()
    assert looked(directory, anchors).broken is not None


def test_a_log_that_is_gone_is_found(directory: Path, anchors: Anchors) -> None:
    write(directory, 3, anchors)
    for each in files(directory):
        each.unlink()
    assert "the database knows up to line 5: that is gone" in str(looked(directory, anchors).broken)
    write(directory, 3, anchors)
    assert "that is gone" in str(looked(directory, anchors).broken), "also behind a new one"
    beside = verify(directory, anchors.heads.values(), is_only_one=False)
    assert beside.broken is None, "of a shared database others note theirs as well"


def test_lines_that_were_cut_off_are_found_before_and_after_the_next_start(
    directory: Path, anchors: Anchors
) -> None:
    write(directory, 10, anchors, segment_bytes=LARGE)
    (segment,) = files(directory)
    segment.write_bytes(b"".join(segment.read_bytes().splitlines(keepends=True)[:-4]))
    assert "the log ends with line 8; the database knows of line 12" in str(
        looked(directory, anchors).broken
    )
    write(directory, 10, anchors, segment_bytes=LARGE)
    assert Note.SHORTENED in methods(directory)
    assert "lines after 8 gone, of 12" in str(looked(directory, anchors).broken)


@pytest.mark.parametrize("kept", [0, 1, 100])
def test_a_torn_line_is_cut_and_told(directory: Path, anchors: Anchors, kept: int) -> None:
    write(directory, 5, anchors, segment_bytes=LARGE)
    (segment,) = files(directory)
    whole = segment.read_bytes()
    segment.write_bytes(whole + whole.splitlines()[0][:kept])
    write(directory, 5, anchors, segment_bytes=LARGE)
    assert looked(directory, anchors).broken is None
    (*_, second) = (e for e in entries_of(directory) if payload(e)["methodName"] == Note.OPENED)
    assert payload(second)["metadata"] == ({"cutBytes": kept} if kept else {})


def test_a_new_segment_without_a_line_goes_on(directory: Path, anchors: Anchors) -> None:
    write(directory, 40, anchors)
    head = looked(directory, anchors).head
    assert head is not None
    (directory / f"{head.sequence + 1:015d}.jsonl").touch(0o600)
    write(directory, 3, anchors)
    assert looked(directory, anchors).broken is None


def test_old_segments_are_dropped_and_told(
    directory: Path, anchors: Anchors, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(directory, 40, anchors)
    before = len(files(directory))
    now = time.time()
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now + 9 * 86_400)
        write(directory, 1, anchors, retention_days=10)
        assert len(files(directory)) >= before
        patch.setattr(time, "time", lambda: now + 11 * 86_400)
        write(directory, 1, anchors, retention_days=10)
    verdict = looked(directory, anchors)
    assert verdict.broken is None
    assert verdict.segments < before
    assert verdict.lines > 0
    files(directory)[0].unlink()
    assert looked(directory, anchors).broken is not None


@pytest.mark.parametrize("old_days", [0, 30])
@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("step", _STEPS)
def test_a_killed_writer_leaves_a_whole_chain(
    directory: Path, anchors: Anchors, step: str, nth: int, old_days: int
) -> None:
    if step != "audit.made":
        written_at = time.time() - old_days * 86_400
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "time", lambda: written_at)
            write(directory, 40, anchors)
        with files(directory)[-1].open("ab") as last:
            last.write(b'{"logName":')  # what an earlier crash left
    done = subprocess.run(
        [sys.executable, "-c", _DYING, str(directory), step, str(nth)], check=False
    )
    once = step in {"audit.made", "audit.cut"}
    never = step == "audit.dropped" and not old_days
    assert done.returncode == (0 if never or (once and nth == 2) else -9)
    told = len(list(entries_of(directory)))
    write(directory, 3)
    verdict = verify(directory)
    assert verdict.broken is None
    assert verdict.lines == told + 5


_DYING: Final = """
import os, signal, sys
from pathlib import Path
from tests.unit.audit.test_chain import entry, opened
from fileroom.crashpoints import listen
seen = []
def hear(step):
    seen.append(step)
    if step == sys.argv[2] and seen.count(step) == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
with listen(hear):
    log = opened(Path(sys.argv[1]), retention_days=10)
    for number in range(100):
        log.record_durably(entry(number))
"""


def test_the_killed_come_to_every_step() -> None:
    source = Path(audit.__file__).parent
    named = {
        step
        for module in source.glob("*.py")
        for step in re.findall(r'crashpoint\("([a-z.]+)"\)', module.read_text())
    }
    assert named == set(_STEPS)


def test_writers_at_once_share_syncs(directory: Path) -> None:
    steps: list[str] = []
    with opened(directory, segment_bytes=LARGE) as log, listen(steps.append):

        def some() -> None:
            for number in range(50):
                log.record_durably(entry(number))

        threads = [threading.Thread(target=some) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    verdict = verify(directory)
    assert verdict.broken is None
    assert verdict.lines == 8 * 50 + 2
    assert steps.count("audit.synced") < steps.count("audit.written")


def test_a_full_disk_refuses_writes_and_counts_what_it_missed(
    directory: Path, anchors: Anchors, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(directory, anchors, segment_bytes=LARGE) as log:
        log.record_durably(entry(1))
        real = os.write

        def full(file: int, data: bytes) -> int:
            if len(data) > 40:
                return real(file, data[:40])  # some of it goes in before there is no more room
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def shrinking(file: int, data: bytes) -> int:
            written = full(file, data) if not shrunk else full(file, b"")
            shrunk.append(written)
            return written

        shrunk: list[int] = []
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", shrinking)
            log.record(entry(2))
            log.flush()
            for _ in range(2):
                with pytest.raises(ResourceExhausted) as refused:
                    log.check()
                assert refused.value.detail == "NO_SPACE"
            with pytest.raises(ResourceExhausted):
                log.record_durably(entry(3))
            assert log.lost is None
        log.check()
        log.record_durably(entry(4))
    verdict = looked(directory, anchors)
    assert verdict.broken is None
    assert verdict.missed == 1
    assert verdict.lines == 6, "opened, 1, what is missed, 3 that was refused, 4, closed"


def test_a_failed_sync_ends_the_right_to_write(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(directory, segment_bytes=LARGE) as log:

        def fail(_file: int) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", fail)
            with pytest.raises(Unavailable, match="cannot be written"):
                log.record_durably(entry(1))
        with pytest.raises(Unavailable, match="nothing is changed"):
            log.check()
        assert log.lost == os.strerror(errno.EIO)
    assert Note.CLOSED not in methods(directory)[:-1]


def test_who_comes_after_the_end_writes_into_no_other_file(directory: Path, tmp_path: Path) -> None:
    log = opened(directory)
    log.close()
    other = os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT)  # gets the number that was freed
    try:
        with pytest.raises(FileroomError):
            log.record_durably(entry(1, Access.DATA_WRITE))
    finally:
        os.close(other)
    assert (tmp_path / "other").read_bytes() == b""
