"""Instances that a client sends: spooled as they come, durable and committed before the answer.

Each part of a request is written once, into the file that becomes its blob. Nothing is published
before the request is whole; then the parts are stored in slices, each in one transaction among the
small writes of the database's writer, so that no import holds a client up for longer than a batch.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from fileroom.archive.ingest import describe
from fileroom.archive.layout import (
    RequestWriter,
    request_blob_directory,
    request_blob_key,
)
from fileroom.archive.references import look_at
from fileroom.database.instances import (
    DuplicatePolicy,
    InstanceRecord,
    Place,
    Result,
    StoreWrite,
    record_key,
    store_records,
)
from fileroom.database.servers import hold_server
from fileroom.dicom.part10 import scan
from fileroom.dicom.refusal import Refused
from fileroom.errors import Aborted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from fileroom.archive.retrieve import StoreContent
    from fileroom.database.engine import Connection
    from fileroom.database.instances import InstanceKey, RecordResult
    from fileroom.objectstore.blobs.contract import Drafts
    from fileroom.objectstore.local.draft import Draft

SLICE_PARTS: Final = 100
"""Parts that are made durable together and committed in one transaction (measured: 3 ms)."""
SLICE_BYTES: Final = 256 << 20
ATTEMPTS_MAX: Final = 10
_TWICE: Final = "the request holds this instance more than once, and the first one is stored"
_OTHER_STUDY: Final = "the instance is of another study than the one in the request's path"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreRules:
    """How the instances of one request are stored."""

    study_instance_uid: str | None = None
    """The one study they must be of."""
    policy: DuplicatePolicy = DuplicatePolicy.FAIL_IF_DIFFERENT
    storage_class: str = "STANDARD"
    grace_seconds: float = 0.0
    """How long the bytes of a replaced instance stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartOutcome:
    """What became of one part."""

    sop_class_uid: str | None = None
    """None, as the other UIDs, where the part was no instance."""
    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    sop_instance_uid: str | None = None
    failure: str | None = None
    """Why it is not stored; None where it is, be it newly or since before."""


class SpooledPart:
    """One part on its way to being a blob."""

    __slots__ = ("_hash", "draft", "ordinal", "sha256")

    def __init__(self, ordinal: int, draft: Draft) -> None:
        self.ordinal = ordinal
        self.draft = draft
        self.sha256 = b""
        self._hash: hashlib._Hash | None = hashlib.sha256()

    def write(self, piece: bytes) -> None:
        """Append bytes."""
        assert self._hash is not None, "the part has ended"
        self._hash.update(piece)
        self.draft.write(piece)

    def end(self) -> None:
        """Keep no more of it than thousands of parts may cost."""
        assert self._hash is not None, "a part ends once"
        self.sha256 = self._hash.digest()
        self._hash = None
        self.draft.rest()


class StoringRequest:
    """One request's parts, from their first byte to their rows; closed in any case."""

    def __init__(self, requests: StoringRequests, content: StoreContent, rules: StoreRules) -> None:
        self._requests = requests
        self._content = content
        self._rules = rules
        self._drafts = content.blobs.bucket(content.blob_prefix).drafts()
        self._writer = requests.begin()
        self._parts: list[SpooledPart | PartOutcome] = []
        self._replaced: set[InstanceKey] = set()
        """What earlier slices put in the place of others: a request does not replace its own."""
        self._is_clean = True

    @property
    def parts(self) -> int:
        """How many parts were begun."""
        return len(self._parts)

    def begin_part(self) -> SpooledPart:
        """Begin the next part."""
        ordinal = len(self._parts)
        directory = request_blob_directory(self._writer, ordinal)
        part = SpooledPart(ordinal, self._drafts.begin(directory))
        self._parts.append(part)
        return part

    def refuse_part(self, outcome: PartOutcome) -> None:
        """Tell of a part in its turn that there is nothing to store of."""
        self._parts.append(outcome)

    def begin_bulk(self) -> Draft:
        """Begin what is no instance, but holds bytes of some; it is never published."""
        return self._drafts.begin(request_blob_directory(self._writer, 0))

    def discard_bulk(self, draft: Draft) -> None:
        """Throw away what is needed no more."""
        self._drafts.discard(draft)

    def store(self) -> Iterator[PartOutcome]:
        """Store the parts, a slice at a time, and tell what became of each, in their order.

        A slice is durable and committed when its first outcome is given.

        Raises
        ------
        NotFound
            If the store was deleted meanwhile.
        ResourceExhausted
            If the disk is full.
        """
        for some in _slices(self._parts):
            taken = [part if isinstance(part, PartOutcome) else self._take(part) for part in some]
            accepted = [
                (part.draft, record)
                for part, record in zip(some, taken, strict=True)
                if isinstance(part, SpooledPart) and isinstance(record, InstanceRecord)
            ]
            results = iter(self._commit(accepted) if accepted else ())
            for one in taken:
                yield one if isinstance(one, PartOutcome) else _told(next(results))

    def close(self) -> None:
        """End the request; what was not stored is gone. A second call does nothing."""
        try:
            self._drafts.close()
        finally:
            self._requests.end(self._writer, None if self._is_clean else self._content.store_id)
            self._is_clean = True

    def _take(self, part: SpooledPart) -> InstanceRecord | PartOutcome:
        """Read a part's header and give its record, or why it cannot be stored."""
        try:
            record = describe_part(part, self._writer, f"part {part.ordinal + 1}")
        except Refused as error:
            self._drafts.discard(part.draft)
            return PartOutcome(failure=error.message)
        study = self._rules.study_instance_uid
        if study is not None and record.attributes.study_instance_uid != study:
            refusal = _OTHER_STUDY
        elif record_key(record) in self._replaced:
            refusal = _TWICE
        else:
            return record
        self._drafts.discard(part.draft)
        return _outcome(record, refusal)

    def _commit(self, accepted: Sequence[tuple[Draft, InstanceRecord]]) -> list[RecordResult]:
        """Make blobs durable, then give them rows."""
        write = StoreWrite(
            store_id=self._content.store_id,
            policy=self._rules.policy,
            storage_class=self._rules.storage_class,
            grace_microseconds=int(self._rules.grace_seconds * 1_000_000),
        )
        records = [record for _, record in accepted]
        self._is_clean = False
        publish(self._drafts, accepted)
        hold = partial(self._requests.hold, writer=self._writer)
        results = store_decided(self._content, write, records, hold)
        self._is_clean = True
        if self._rules.policy is DuplicatePolicy.REPLACE:
            self._replaced.update(map(record_key, records))
        return results


@dataclass(frozen=True, slots=True, kw_only=True)
class LivingRequests:
    """Which requests may commit blobs after a moment."""

    boot: str
    next_number: int
    running: frozenset[int]

    def may_commit(self, writer: RequestWriter) -> bool:
        """Tell whether a request was running at that moment, or began later."""
        return writer.boot == self.boot and (
            writer.number >= self.next_number or writer.number in self.running
        )


class StoringRequests:
    """The requests that store instances, numbered since the server started."""

    def __init__(self) -> None:
        self._boot = secrets.token_hex(6)
        self._is_known = False
        self._lock = threading.Lock()
        self._next_number = 0
        self._running: set[int] = set()
        self._broken_off: Callable[[int], None] = lambda _: None

    def on_broken_off(self, hear: Callable[[int], None]) -> None:
        """Have somebody told of each store in which a request left blobs that have no rows."""
        self._broken_off = hear

    def bear(self, boot: str) -> None:
        """Call the requests that begin from here on by a name that other servers know."""
        with self._lock:
            self._boot = boot
            self._is_known = True

    def hold(self, transaction: Connection, writer: RequestWriter) -> None:
        """Keep other servers from collecting what a request wrote, until it has rows.

        Raises
        ------
        Unavailable
            If they took its server for dead, so that it may be gone.
        """
        if self._is_known:
            hold_server(transaction, writer.boot)

    def begin(self) -> RequestWriter:
        """Give a new request its name."""
        with self._lock:
            number = self._next_number
            self._next_number += 1
            self._running.add(number)
        return RequestWriter(boot=self._boot, number=number)

    def end(self, writer: RequestWriter, broken_off_in: int | None) -> None:
        """Let a request go, which commits nothing any more."""
        with self._lock:
            self._running.discard(writer.number)
        if broken_off_in is not None:
            self._broken_off(broken_off_in)

    def living(self) -> LivingRequests:
        """Give the requests that run now."""
        with self._lock:
            return LivingRequests(
                boot=self._boot, next_number=self._next_number, running=frozenset(self._running)
            )


def store_decided(
    content: StoreContent,
    write: StoreWrite,
    records: Sequence[InstanceRecord],
    hold: Callable[[Connection], None],
) -> list[RecordResult]:
    """Give records their rows, once it is known which of them are stored already.

    ``hold`` is called at the beginning of the transaction.

    What is kept by reference and may be identical to one is read whole for it, once.

    Raises
    ------
    Aborted
        If others change the same instances so often that it does not come to it.
    FailedPrecondition, PermissionDenied, Unavailable
        If the bucket of a reference does not give it.
    """

    def store(transaction: Connection, write: StoreWrite) -> list[RecordResult]:
        hold(transaction)
        results = store_records(transaction, write, records)
        undecided = [one.stored for one in results if one.result is Result.UNDECIDED]
        if undecided:
            raise _Undecided([place for place in undecided if place is not None])
        return results

    for _ in range(ATTEMPTS_MAX):
        try:
            return content.database.write(partial(store, write=write))
        except _Undecided as error:
            known = [look_at(content.buckets, place, lambda: None) for place in error.places]
            write = replace(write, known=(*write.known, *known))
    raise Aborted("others change the same instances at the same time; store them again")


class _Undecided(Exception):
    """Nothing was stored: these places must be looked at first."""

    def __init__(self, places: Sequence[Place]) -> None:
        super().__init__(places)
        self.places = places


def describe_part(part: SpooledPart, writer: RequestWriter, source: str) -> InstanceRecord:
    """Read a part's header and give its record, as of the blob that it is to be.

    Raises
    ------
    Refused
        If it is no instance that can be stored.
    """
    place = Place(
        key=request_blob_key(part.sha256, writer, part.ordinal),
        size=part.draft.size,
        sha256=part.sha256,
    )
    with part.draft.open() as content:
        return describe(part.ordinal, source, None, place, scan(content), content.read_at)


def publish(drafts: Drafts, parts: Sequence[tuple[Draft, InstanceRecord]]) -> None:
    """Make parts durable under the names of the blobs that their records tell."""
    drafts.publish([(draft, record.place.key) for draft, record in parts])


def _slices(
    parts: Iterable[SpooledPart | PartOutcome],
) -> Iterator[list[SpooledPart | PartOutcome]]:
    """Cut parts into slices of bounded number and bytes, or of one."""
    some: list[SpooledPart | PartOutcome] = []
    size = 0
    for part in parts:
        more = part.draft.size if isinstance(part, SpooledPart) else 0
        if some and (len(some) == SLICE_PARTS or size + more > SLICE_BYTES):
            yield some
            some, size = [], 0
        some.append(part)
        size += more
    if some:
        yield some


def _told(result: RecordResult) -> PartOutcome:
    match result.result:
        case Result.IMPORTED | Result.IDENTICAL | Result.REPLACED:
            return _outcome(result.record)
        case Result.KEPT:
            return _outcome(result.record, _TWICE)
        case Result.FAILED:
            return _outcome(result.record, result.message)
        case Result.UNDECIDED:
            raise AssertionError("it was stored without being decided")


def _outcome(record: InstanceRecord, failure: str | None = None) -> PartOutcome:
    attributes = record.attributes
    return PartOutcome(
        sop_class_uid=attributes.sop_class_uid,
        study_instance_uid=attributes.study_instance_uid,
        series_instance_uid=attributes.series_instance_uid,
        sop_instance_uid=attributes.sop_instance_uid,
        failure=failure,
    )
