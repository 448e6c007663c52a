"""Waiting for an operation in front of its user, and telling what became of it."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

import click

from fileroom.cli.connection import DEFAULT_SERVER
from fileroom.cli.groups import EXIT_INTERRUPTED, describe_error
from fileroom.cli.output.printable import printable
from fileroom.cli.output.rendering import write_one
from fileroom.cli.progress import clock, open_display
from fileroom.client.transport import to_status_error
from fileroom.client.values import Counters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fileroom.cli.output.rendering import Format
    from fileroom.client import Client, Operation
    from fileroom.errors import ObjectFailure

EXIT_PARTLY_FAILED = 3

_POLL_SECONDS = 0.5
_FAILURES_TOLD_EACH = 10
_FAILURES_READ_MAX = 10_000

_OUTCOMES = {
    "succeeded": "succeeded",
    "imported": "imported",
    "exported": "exported",
    "replaced": "replaced",
    "identical": "there already",
    "kept": "kept as they were",
    "unchanged": "unchanged",
    "deleted": "deleted",
    "updated": "updated",
    "failed": "failed",
    "pending": "pending",
    "notStarted": "not started",
}


detach_option = click.option(
    "--async", "detach", is_flag=True, help="Print the operation's name; do not wait."
)


def begin(
    client: Client, operation: Operation, output_format: Format | None, *, detach: bool
) -> None:
    """Print the name of an operation that was just asked for; follow it unless ``detach``."""
    if detach:
        write_one({"name": str(operation.name)}, output_format or "yaml")
        click.echo(f"Follow it: {_command('wait', client, operation)}", err=True)
        return
    # Before anything else, so that it is known whatever happens to this program.
    click.echo(f"name: {operation.name}", err=output_format is not None)
    follow(client, operation, output_format)


def follow(client: Client, operation: Operation, output_format: Format | None) -> None:
    """Wait for an operation, then print its result, and leave with the exit code it means."""
    try:
        ended = watch(client, operation)
    except KeyboardInterrupt:
        _detach(client, operation)
    tell(client, ended, output_format, failures_command=_command("failures", client, ended))
    leave(ended)


def watch(client: Client, operation: Operation) -> Operation:
    """Show the progress of an operation until it is done."""
    with open_display() as display:
        return client.wait(
            operation,
            poll_seconds=_POLL_SECONDS,
            on_progress=display.show,
            on_unavailable=display.unavailable,
        )


def tell(
    client: Client,
    ended: Operation,
    output_format: Format | None,
    *,
    failures_command: str,
    place: Callable[[str], str] = str,
) -> None:
    """Print the result of an operation: in words, unless a form was asked for.

    ``failures_command`` lists all failures; ``place`` gives an object's URI as its user knows it.
    """
    if output_format is not None:
        write_one(ended.body, output_format)
    elif ended.counters != Counters() or (ended.account and ended.error is None):
        click.echo(account_line(ended))
        if not ended.account.get("listed", 1):
            click.echo("There was nothing to do: the store or the filter is empty.", err=True)
        if ended.counters.failure:
            failures = (
                replace(failure, source=place(failure.source))
                for failure in client.failures(ended.name)
            )
            for line in failure_lines(failures, ended, failures_command):
                click.echo(line)


def leave(*ended: Operation) -> None:
    """Leave with the exit code that the ends of operations mean; go on if all went well.

    What ended several in an error is told of each.
    """
    errors = [
        to_status_error(each.error)
        for each in ended
        if each.error is not None and not each.partly_failed
    ]
    for error in errors[:-1]:
        click.echo(f"ERROR: {printable(describe_error(error))}", err=True)
    if errors:
        raise errors[-1]
    if any(each.partly_failed for each in ended):
        click.get_current_context().exit(EXIT_PARTLY_FAILED)


def raise_for_error(operation: Operation) -> None:
    """Raise what the operation ended with, unless that is a response."""
    if operation.error is not None:
        raise to_status_error(operation.error)


def account_line(operation: Operation) -> str:
    """Tell what became of the objects: ``1,250 objects in 0:03 (417/s): 1,247 imported, …``."""
    counters = operation.counters
    worked_on = counters.success + counters.failure
    account = operation.account or {"succeeded": counters.success, "failed": counters.failure}
    told = ", ".join(f"{account[key]:,} {_OUTCOMES[key]}" for key in _OUTCOMES if account.get(key))
    listed = account.get("listed", worked_on)
    line = f"{listed:,} object{'' if listed == 1 else 's'}"
    if operation.create_time is not None and operation.end_time is not None:
        seconds = (operation.end_time - operation.create_time).total_seconds()
        line += f" in {clock(seconds)}"
        if seconds > 0 and worked_on:
            line += f" ({worked_on / seconds:,.0f}/s)"
    return f"{line}: {told}" if told else line


def failure_lines(
    failures: Iterable[ObjectFailure], operation: Operation, rest: str
) -> Iterator[str]:
    """Tell each of a few failures; of many how often each reason occurred, and where first.

    ``rest`` is the command that lists them all.
    """
    known = list(itertools.islice(failures, _FAILURES_READ_MAX))
    if len(known) <= _FAILURES_TOLD_EACH:
        yield from (f"  {failure.reason}  {_tell(failure)}" for failure in known)
        return
    if len(known) < operation.counters.failure:
        yield f"  Of the first {len(known):,} failures:"
    first = {failure.reason: failure for failure in reversed(known)}
    for reason, count in Counter(failure.reason for failure in known).most_common():
        yield f"  {count:,} {reason}, first {_tell(first[reason])}"
    yield f"All of them: {rest}"


def _tell(failure: ObjectFailure) -> str:
    place = f" in ({failure.tag[:4]},{failure.tag[4:]})" if failure.tag else ""
    if failure.byte_offset is not None:
        place += f" at byte {failure.byte_offset}"
    return printable(f"{failure.source}: {failure.message}{place}")


def _command(verb: str, client: Client, operation: Operation) -> str:
    """Give a command on an operation that can be copied as it stands."""
    server = f" --server={client.url}" if client.url != DEFAULT_SERVER else ""
    return f"fileroom operations {verb} {operation.name}{server}"


def _detach(client: Client, operation: Operation) -> NoReturn:
    click.echo(
        "\nDetached; the operation goes on.\n"
        f"Follow it:  {_command('wait', client, operation)}\n"
        f"Cancel it:  {_command('cancel', client, operation)}",
        err=True,
    )
    raise click.exceptions.Exit(EXIT_INTERRUPTED)
