"""Chunks give back their lines, and the lines sum to the counters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from fileroom.database.operations import Counters, DeferredObject
from fileroom.errors import Code, ObjectFailure, Reason
from fileroom.transfer.importing.line import Import
from fileroom.transfer.ledger import (
    LedgerLine,
    count_lines,
    decode_chunk,
    deferred_line,
    encode_chunk,
    failure_line,
    read_ledger,
)
from fileroom.transfer.pipeline import Blame
from tests.unit.transfer.site import instance, uids
from tests.unit.transfer.test_importing import requested, run_import

if TYPE_CHECKING:
    import pytest

    from tests.unit.transfer.site import Site

texts = st.text(max_size=20)
lines = st.builds(
    LedgerLine,
    ordinal=st.integers(0, 2**63 - 1),
    source=texts,
    result=st.sampled_from(
        ["imported", "identical", "kept", "replaced", "exported", "unchanged", "failed", "deferred"]
    ),
    version=st.none() | texts,
    size=st.integers(0, 2**40),
    sha256=st.none() | st.binary(min_size=32, max_size=32),
    instance=st.none() | st.tuples(texts, texts, texts),
    reason=st.none() | st.sampled_from(Reason).map(str),
    destination=st.none() | texts,
)


@settings(max_examples=25)
@given(st.lists(lines, max_size=20))
def test_chunk_gives_back_its_lines(lines: list[LedgerLine]) -> None:
    assert decode_chunk(encode_chunk(lines)) == lines


@settings(max_examples=25)
@given(st.lists(lines, max_size=30))
def test_lines_sum_to_the_counters(lines: list[LedgerLine]) -> None:
    counters = count_lines(lines)

    settled = [line for line in lines if line.result != "deferred"]
    assert counters.succeeded + counters.failed == len(settled)
    assert counters.bytes == sum(line.size for line in settled)
    assert (counters.listed, counters.deferred) == (0, 0)


def test_each_result_has_its_counter() -> None:
    results = ["imported", "imported", "failed", "kept", "deferred"]
    counters = count_lines(
        LedgerLine(ordinal=n, source="", result=result, size=10) for n, result in enumerate(results)
    )

    assert counters == Counters(imported=2, failed=1, kept=1, bytes=40)


def test_line_of_a_failure_says_its_reason_and_no_message() -> None:
    failure = ObjectFailure(
        source="gs://b/x", code=Code.NOT_FOUND, reason=Reason.SOURCE_NOT_FOUND, message="secret"
    )

    assert failure_line(3, failure) == LedgerLine(
        ordinal=3, source="gs://b/x", result="failed", reason="SOURCE_NOT_FOUND"
    )


def test_line_of_a_deferred_object_says_why() -> None:
    deferred = DeferredObject(ordinal=3, source="gs://b/x", version="1", size=7, why="SLOW")

    assert deferred_line(deferred) == LedgerLine(
        ordinal=3, source="gs://b/x", result="deferred", version="1", size=7, reason="SLOW"
    )


def test_chunk_of_a_batch_is_small() -> None:
    batch = [
        LedgerLine(
            ordinal=n,
            source=f"gs://bucket/directory/file-{n}.dcm",
            result="imported",
            version=f"1700000000{n:09d}-529000-{n}",
            size=529_000,
            sha256=n.to_bytes(4, "big") * 8,
            instance=("1.2.826.0.1.3680043.1", "1.2.826.0.1.3680043.2", f"1.2.826.0.1.{n}"),
        )
        for n in range(250)
    ]

    assert len(encode_chunk(batch)) < 20_000


def test_what_is_put_off_is_pending_until_its_own_line_comes(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("worker", "line"):
        monkeypatch.setattr(f"fileroom.transfer.importing.{module}.LARGE_BYTES", 1)
    monkeypatch.setattr("fileroom.transfer.ledger.CHUNKS_AT_A_TIME", 1)
    for number in range(3):
        site.put(f"{number}.dcm", instance(uids(number)))
    run = requested(site)
    work = Import(site.facilities, run)
    (batch,) = work.batches()
    work.commit(batch, work.submit(batch, Blame(), 2.0).result())

    def told() -> list[tuple[int, str]]:
        return [
            (line.ordinal, line.result)
            for lines in read_ledger(site.database, run.operation.id)
            for line in lines
        ]

    assert told() == [(0, "pending"), (1, "pending"), (2, "pending")]
    assert run_import(site, run)
    assert sorted(told()) == [(0, "imported"), (1, "imported"), (2, "imported")]
