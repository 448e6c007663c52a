"""What an import would list, told before it is asked for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from fileroom.errors import NotFound, PermissionDenied
from fileroom.names import DicomStoreName
from fileroom.transfer.importing import matches
from fileroom.transfer.importing.matches import preview_import
from tests.unit.database.rows import DATASET, STORE

if TYPE_CHECKING:
    from tests.unit.transfer.site import Site


def test_what_matches_is_counted_and_the_first_are_named(site: Site) -> None:
    for number in range(12):
        site.put(f"d/{number:02}.dcm", b"x" * number)
    site.put("d/notes.txt", b"x")

    found = preview_import(site.facilities, STORE, "gs://bucket/d/*.dcm")

    assert (found.count, found.size_bytes, found.more, found.explanation) == (12, 66, False, "")
    assert found.samples == tuple(f"gs://bucket/d/{number:02}.dcm" for number in range(10))
    one = preview_import(site.facilities, STORE, "gs://bucket/d/notes.txt")
    assert (one.count, one.samples) == (1, ("gs://bucket/d/notes.txt",))


@pytest.mark.parametrize(
    ("uri", "explanation"),
    [
        ("gs://bucket/d", "gs://bucket/d is a directory: use gs://bucket/d/** for all in it"),
        ("gs://bucket/d/*.DCM", "no object matches gs://bucket/d/*.DCM"),
        ("gs://bucket/x.dcm", "no object matches gs://bucket/x.dcm"),
        (
            "gs://bucket/x.txt!/**",
            "no object matches gs://bucket/x.txt!/**; what !/ opens is an archive: .zip, .tar,"
            " .tar.gz, .tgz",
        ),
        (
            "gs://bucket",
            "invalid URI 'gs://bucket': it names a bucket, not objects; gs://bucket/** means all"
            " it holds",
        ),
    ],
)
def test_a_pattern_that_means_nothing_is_explained(site: Site, uri: str, explanation: str) -> None:
    site.put("d/a.dcm", b"x")

    found = preview_import(site.facilities, STORE, uri)

    assert (found.count, found.samples, found.explanation) == (0, (), explanation)


def test_a_preview_ends_when_its_time_is_over(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(50):
        site.put(f"{number}/a.dcm", b"x")
        (site.bucket / f"{number}" / "empty").mkdir()
    monkeypatch.setattr(matches, "PREVIEW_SECONDS", 0.0)

    found = preview_import(site.facilities, STORE, "gs://bucket/**.dcm")
    nothing = preview_import(site.facilities, STORE, "gs://bucket/**.png")

    assert (found.count < 50, found.more) == (True, True)
    assert (nothing.count, nothing.more, nothing.explanation) == (0, True, "")


def test_what_an_import_would_refuse_is_refused(site: Site) -> None:
    with pytest.raises(PermissionDenied, match="or the bucket does not exist"):
        preview_import(site.facilities, STORE, "gs://other/**")
    with pytest.raises(NotFound):
        preview_import(site.facilities, DicomStoreName(DATASET, "absent"), "gs://bucket/**")


@pytest.mark.long
def test_a_preview_of_a_hundred_thousand_directories_takes_two_seconds(site: Site) -> None:
    for number in range(100_000):
        (site.bucket / f"{number // 300}" / f"{number}").mkdir(parents=True)

    began = time.monotonic()
    preview_import(site.facilities, STORE, "gs://bucket/**")

    assert time.monotonic() - began < 2.5
