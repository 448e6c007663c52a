"""Builds everything; the only file that knows embedded from scaled out.

Embedded: one server owns a data directory. An exclusive lock on it proves that no other server
lives, so at start every lease of an earlier server is void and every temporary file is garbage:
what a killed server left goes on at once.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from fileroom.archive.collect import SWEEP_SECONDS, Collector
from fileroom.archive.indexing import AttributeIndexer
from fileroom.archive.layout import check_blob_bucket
from fileroom.archive.marks import mark_if_possible
from fileroom.archive.metadata.cache import MetadataCache
from fileroom.archive.metadata.filling import MetadataFiller
from fileroom.archive.metadata.retrieval import Metadata
from fileroom.archive.metadata.telling import Teller
from fileroom.archive.presence import Presence
from fileroom.archive.storing import StoringRequests
from fileroom.archive.workers import RequestWorkers
from fileroom.auth.access import open_access
from fileroom.crashpoints import crashpoint
from fileroom.database import collection, operations
from fileroom.database.engine import open_database
from fileroom.database.header_dictionaries import keep_header_dictionary
from fileroom.database.rebuild import check_rebuilt
from fileroom.errors import FailedPrecondition, InvalidArgument, Unavailable
from fileroom.objectstore.blobs.cloud import CloudBlobs
from fileroom.objectstore.blobs.local import LocalBlobs
from fileroom.objectstore.buckets import Buckets, cloud_address
from fileroom.objectstore.cloud.provider import ANONYMOUS
from fileroom.objectstore.local import durability_lost
from fileroom.operations.auditing import open_audit, tell_end, tell_ends
from fileroom.operations.runner import Runner, RunnerOptions
from fileroom.transfer.executors import begin_item
from fileroom.transfer.facilities import Facilities
from fileroom.transfer.importing.job import forget_import
from fileroom.transfer.jobs import jobs_of
from fileroom.transfer.pipeline import Turns
from fileroom.transfer.pools import open_pools, open_render_workers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fileroom.audit import AuditLog
    from fileroom.auth.access import Access
    from fileroom.auth.authenticate import AccessToken
    from fileroom.database.engine import Database
    from fileroom.database.operations import Operation
    from fileroom.objectstore.blobs.contract import Blobs
    from fileroom.settings import Settings
    from fileroom.transfer.pools import Pools

logger = logging.getLogger(__name__)

DRAIN_SECONDS: Final = 15.0
"""With the 10 s that requests under way may take before and the 5 s that the collector may take
after, 30 s from SIGTERM to the end; what workers are at then is cut off and done again."""
LOCK_FILE: Final = "lock"
LOOK_SECONDS: Final = 0.1
"""Far longer than it takes to see whether the lock is free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One running server's parts."""

    settings: Settings
    database: Database
    buckets: Buckets
    blobs: Blobs
    facilities: Facilities
    runner: Runner
    requests: StoringRequests
    render_workers: RequestWorkers
    metadata: Metadata
    access: Access
    audit: AuditLog

    @property
    def access_token(self) -> AccessToken | None:
        """The owner's token; None where that mode is off."""
        return self.access.token

    def ready(self) -> None:
        """Tell that requests can be served.

        Raises
        ------
        Unavailable
            If the database does not answer, or the disk failed a write.
        """
        lost = durability_lost() or self.audit.lost
        if lost is not None:
            raise Unavailable(f"nothing is written any more: {lost}; restart the server", "disk")
        with self.database.read() as connection:
            collection.living_stores(connection)


@contextmanager
def open_deployment(settings: Settings) -> Iterator[Deployment]:
    """Start a server's parts, and stop them in the end: work comes to a safe point first.

    Raises
    ------
    FailedPrecondition
        If another server runs on the data directory, a newer version wrote it, or it cannot be made
        or written to.
    """
    with ExitStack() as stack:
        lock, holder = lock_data(settings.data, stack)
        database = open_database(settings.database_place)
        stack.callback(database.close)
        check_rebuilt(database)
        blobs = open_blobs(settings)
        _make_directory(settings.buckets_directory)
        access = _open_access(database, settings)
        database.write(keep_header_dictionary)
        owner = _take_over(database, blobs)
        buckets = open_buckets(settings)
        audit = stack.enter_context(_open_audit(database, settings))
        pools = _open_pools(settings, stack)
        requests = StoringRequests()
        collector = Collector(
            database,
            blobs,
            requests=requests,
            interval_seconds=settings.collection_interval_seconds,
            after_crash=bool(holder) and not database.is_shared,
        )
        stack.callback(_let_go, lock, collector)
        if database.is_shared:
            presence = Presence(database, requests, partial(_mourn, database, audit, collector))
            presence.start()
            stack.callback(lambda: presence.stop(is_settled=collector.is_settled()))
            # Who makes rows anew looks for servers once that is noted: one of both sees the other.
            check_rebuilt(database)
        workers = open_render_workers(settings.render_workers, stack)
        cache = MetadataCache(settings.cache_directory, settings.metadata_cache_bytes)
        metadata = Metadata(workers, cache)
        if settings.metadata_cache_bytes:
            filler = MetadataFiller(database, blobs, buckets, metadata)
            stack.callback(filler.stop)
            filler.start()
        runner, facilities = _runner(
            settings, database, blobs, buckets, pools, owner, collector, requests, audit
        )
        requests.on_broken_off(collector.suspect_request)
        indexer = AttributeIndexer(database, blobs, buckets)
        stack.callback(indexer.stop)
        # A clean end leaves nothing that blobs do not tell.
        stack.callback(mark_if_possible, database, blobs, None)
        stack.callback(collector.stop)
        stack.callback(runner.stop, DRAIN_SECONDS)
        indexer.start()
        collector.start()
        runner.start()
        yield Deployment(
            settings=settings,
            database=database,
            buckets=buckets,
            blobs=blobs,
            facilities=facilities,
            runner=runner,
            requests=requests,
            render_workers=workers,
            metadata=metadata,
            access=access,
            audit=audit,
        )


def _open_access(database: Database, settings: Settings) -> Access:
    return open_access(
        database,
        settings.data,
        modes=settings.auth,
        token_file=settings.access_token_file,
        public_url=settings.public_url,
        issuers=settings.oidc,
        policies=settings.policies,
    )


def _open_audit(database: Database, settings: Settings) -> AuditLog:
    with _usable(settings.audit_directory):
        return open_audit(
            database,
            settings.audit_directory,
            segment_bytes=settings.audit_segment_bytes,
            retention_days=settings.audit_retention_days,
        )


def lock_data(data: Path, stack: ExitStack) -> tuple[int, str]:
    """Own the data directory while this process lives; give the lock and who held it before.

    A holder's number that nobody took back tells the next server of a crash.
    """
    _make_directory(data)
    with _usable(data):
        lock = os.open(data / LOCK_FILE, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    stack.callback(os.close, lock)
    holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
    try:
        _take(lock)
    except BlockingIOError as error:
        raise FailedPrecondition(
            f"a server (process {holder or 'unknown'}) already runs on {data}: end it first, or "
            "choose another directory with --data",
            "data",
        ) from error
    write_holder(lock, str(os.getpid()))
    return lock, holder


def _take(lock: int) -> None:
    """Take the lock; one who only looks whether it is free lets go of it at once."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(LOOK_SECONDS)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_held(data: Path) -> bool:
    """Whether some process owns the data directory now."""
    try:
        lock = os.open(data / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _let_go(lock: int, collector: Collector) -> None:
    """Take the holder's number back, unless the next server has blobs to compare with rows."""
    if collector.is_settled():
        write_holder(lock, "")


def _make_directory(directory: Path) -> None:
    with _usable(directory):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        above = os.open(directory.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(above)  # a directory whose own name is lost loses all that is in it
            crashpoint("place.made")
        finally:
            os.close(above)


@contextmanager
def _usable(directory: Path) -> Iterator[None]:
    """Say which directory it is that the operator must see to."""
    try:
        yield
    except OSError as error:
        raise FailedPrecondition(
            f"{directory} cannot be used: {error.strerror}; choose another directory, or make it"
            " one that this user may write to",
            "data",
        ) from error


def write_holder(lock: int, holder: str) -> None:
    """Note in the lock who has it; nobody, where the next server finds nothing to mend."""
    # In this order: a number that a crash cuts short tells of it all the same.
    os.pwrite(lock, holder.encode(), 0)
    crashpoint("holder.written")
    os.ftruncate(lock, len(holder))
    os.fsync(lock)  # a power cut is a crash too
    crashpoint("holder.synced")


def open_blobs(settings: Settings) -> Blobs:
    """Give the place of the archive's own bytes, made if it is a directory."""
    directory = settings.blobs_directory
    if directory is not None:
        _make_directory(directory)
        return LocalBlobs(directory)
    _make_directory(settings.scratch_directory)
    own = settings.blobs_bucket
    if own.path is not None or own.credentials == ANONYMOUS:
        raise InvalidArgument(
            f"blobs is {settings.blobs}, but the settings say that {own.name} is a directory, or"
            " has no credentials: give it credentials, or name a directory under blobs",
            "blobs",
        )
    return CloudBlobs(cloud_address(own), settings.blobs_prefix, settings.scratch_directory)


def open_buckets(settings: Settings) -> Buckets:
    """Give the buckets that the settings offer."""
    own = "" if settings.blobs_directory is not None else settings.blobs_bucket.name
    return Buckets(settings.offered_buckets, settings.buckets_directory, own=own)


def _take_over(database: Database, blobs: Blobs) -> str:
    """Begin where an earlier server ended, however it ended; give the new one's id."""
    owner = uuid.uuid4().hex
    if not database.is_shared:  # else the leases tell who lives
        database.write(lambda transaction: operations.void_leases(transaction, owner))
    with database.read() as connection:
        stores = collection.living_stores(connection)
    # Of a database that is shared the blobs are as well: others may be writing them.
    rest = SWEEP_SECONDS if database.is_shared else 0.0
    for store in stores:
        try:
            blobs.bucket(store.blob_prefix).sweep_temporaries(older_than_seconds=rest)
        except Unavailable:
            check_blob_bucket(blobs, store.blob_prefix)  # says what may be wrong
            raise
    return owner


def _open_pools(settings: Settings, stack: ExitStack) -> Pools:
    return open_pools(
        stack,
        settings.executor,
        workers=settings.workers,
        transcoders=settings.render_workers,
        tls=settings.executor_tls,
    )


def _mourn(database: Database, audit: AuditLog, collector: Collector) -> None:
    """Do what another server that has died did not come to."""
    collector.suspect_all()
    tell_ends(database, audit)


def _end(facilities: Facilities, audit: AuditLog, operation: Operation) -> None:
    """Do what is to be done once an operation has ended, however it did."""
    tell_end(facilities.database, audit, operation)
    forget_import(facilities, operation)
    mark_if_possible(facilities.database, facilities.blobs, operation.store_id)


def _runner(
    settings: Settings,
    database: Database,
    blobs: Blobs,
    buckets: Buckets,
    pools: Pools,
    owner: str,
    collector: Collector,
    requests: StoringRequests,
    audit: AuditLog,
) -> tuple[Runner, Facilities]:
    def logs_url(operation: Operation) -> str:
        return f"{settings.public_url.rstrip('/')}/console/{operation.name}/logs"

    def wake() -> None:
        runner.wake()

    pool, transcoders = pools
    facilities = Facilities(
        database=database,
        buckets=buckets,
        blobs=blobs,
        requests=requests,
        turns=Turns(pool, lambda: pool.workers),
        pixel_turns=Turns(transcoders, lambda: transcoders.workers),
        teller=Teller(
            RequestWorkers(
                executor=transcoders, count=settings.render_workers, begin_item=begin_item
            )
        ),
        wake=wake,
        grace_seconds=settings.collection_grace_seconds,
        unfinished_max=settings.unfinished_operations,
        booted_at=time.time(),
        suspect=collector.suspect,
    )
    runner = Runner(
        database,
        owner,
        jobs_of(facilities),
        logs_url=logs_url,
        on_finished=partial(_end, facilities, audit),
        options=RunnerOptions(retention_microseconds=settings.operation_retention_microseconds),
    )
    return runner, facilities
