"""``fileroom check``: whether every instance is there and whole."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from fileroom.archive.drift import Drift
from fileroom.archive.findings import Fault
from fileroom.archive.reach import Subset, parse_subset
from fileroom.cli.groups import Command
from fileroom.cli.output.printable import printable
from fileroom.cli.settings_options import (
    buckets_option,
    config_option,
    data_option,
    read_settings,
    report_format_option,
)
from fileroom.errors import InvalidArgument
from fileroom.upkeep import check_data

if TYPE_CHECKING:
    from fileroom.archive.findings import Finding
    from fileroom.database.collection import KnownPlace

EXIT_FOUND = 3
EXIT_INCOMPLETE = 4
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600}
_DURATION: Final = re.compile(r"([0-9]{1,9})([smh]?)")


class _Subset(click.ParamType[Subset]):
    name = "n/t"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Subset:
        try:
            return parse_subset(str(value))
        except InvalidArgument as error:
            self.fail(error.message, param, ctx)


class _Duration(click.ParamType[int]):
    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        match = _DURATION.fullmatch(str(value))
        seconds = int(match[1]) * _SECONDS[match[2]] if match else 0
        if seconds < 1:
            self.fail(
                f"{value!r} is no time: write seconds, minutes or hours, as in 90, 30m or 2h",
                param,
                ctx,
            )
        return seconds


@click.command("check", cls=Command, example="fileroom check --data /srv/fileroom --deep")
@data_option
@config_option
@buckets_option
@report_format_option
@click.option(
    "--deep",
    is_flag=True,
    help="Read every byte: compare checksums, and what the files say with the index.",
)
@click.option(
    "--subset",
    type=_Subset(),
    metavar="N/T",
    help="Deep, but read only the N-th of T parts of the blobs; the T together are all of them.",
)
@click.option(
    "--max-duration",
    type=_Duration(),
    metavar="TIME",
    help="Stop after so long, as in 90 (seconds), 30m or 2h; go on where the last one stopped.",
)
@click.option(
    "--backup-references",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="First write to a file, as NDJSON, which instances are kept by reference, and of what.",
)
@click.pass_context
def check(
    ctx: click.Context,
    data: Path | None,
    config: Path | None,
    buckets: tuple[str, ...],
    output_format: str,
    subset: Subset | None,
    max_duration: int | None,
    backup_references: Path | None,
    *,
    deep: bool,
) -> None:
    """Compare rows with blobs and sources; a server may run meanwhile.

    Prints a line for each instance whose bytes are missing or differ, or whose source is changed or
    gone where it is kept by reference, and for each blob in which no row names any, then their
    number.
    What it finds missing or different is noted, so that the same file that is imported or stored
    again takes its place; nothing else is changed: the server drops orphans by itself. Exit code 0
    where all is well, 3 where an instance is missing or differs, 4 where none was found to be so,
    and the time was over before all was compared.

    With --max-duration, a check goes on where the last one of its kind (quick, deep, or this
    subset) stopped, if its time was over; without, it begins at the beginning. Presence and sizes
    of all blobs are compared, whatever the subset.
    """
    settings = read_settings(config, data=data, buckets=buckets)
    found = Counter[Fault]()
    told: list[dict[str, object]] = []
    is_deep = deep or subset is not None
    with check_data(settings, deep=is_deep, subset=subset, max_seconds=max_duration) as checking:
        if backup_references is not None:
            written = checking.backup_references(backup_references)
            click.echo(f"wrote {written} references to {backup_references}", err=True)
        for finding in checking.findings():
            found[finding.fault] += 1
            if output_format == "json":
                told.append(_as_json(finding))
            else:
                click.echo(_line(finding))
        stopped_at, course = checking.stopped_at(), checking.course
    harmless = found.pop(Fault.ORPHANED, 0)
    if output_format == "json":
        whole = {
            "findings": told,
            "faults": found.total(),
            "orphaned": harmless,
            "complete": stopped_at is None,
        }
        if stopped_at is not None:
            whole |= {
                "stoppedAt": stopped_at,
                "blobs": course.blobs,
                "references": course.references,
            }
        click.echo(json.dumps(whole, indent=2))
    else:
        counts = ", ".join(f"{count} {fault}" for fault, count in sorted(found.items()))
        good = "all instances are there" if stopped_at is None else "no fault so far"
        click.echo(f"{counts or good}; {harmless} orphaned blobs")
        if stopped_at is not None:
            click.echo(
                f"not complete: {course.blobs} blobs and {course.references} sources compared"
                f" before the time was over, up to {stopped_at}; the next check of this kind with"
                " --max-duration goes on there"
            )
    if found:
        ctx.exit(EXIT_FOUND)
    if stopped_at is not None:
        ctx.exit(EXIT_INCOMPLETE)


def _line(finding: Finding | Drift) -> str:
    if isinstance(finding, Drift):
        told = f"{finding.fault} {finding.uri} {finding.instance or ''}".rstrip()
        why = finding.cause or ", ".join(finding.attributes)
        return printable(f"{told}: {why}" if why else told)
    told = f" {finding.instance}" if finding.instance is not None else ""
    why = finding.cause or ", ".join(finding.attributes)
    return f"{finding.fault} {finding.path}{_of(finding.place)}{told}{why and f': {why}'}"


def _as_json(finding: Finding | Drift) -> dict[str, object]:
    instance = None if finding.instance is None else str(finding.instance)
    told: dict[str, object] = {"fault": str(finding.fault), "instance": instance}
    if isinstance(finding, Drift):
        told |= {"uri": finding.uri, "cause": finding.cause}
    else:
        told["path"] = finding.path
    if finding.fault is Fault.DIFFERING_ATTRIBUTES:
        told |= {"attributes": list(finding.attributes), "cause": finding.cause}
    if isinstance(finding, Drift):
        return told
    place = finding.place
    if place is not None:
        sha256 = None if place.sha256 is None else place.sha256.hex()
        told |= {"offset": place.offset, "size": place.size, "sha256": sha256}
    return told


def _of(place: KnownPlace | None) -> str:
    """Give what an operator needs to find the good file and put it in its place."""
    if place is None:
        return ""
    sha256 = f", sha256 {place.sha256.hex()}" if place.sha256 is not None else ""
    return f" at byte {place.offset}: {place.size} bytes{sha256}"
