"""Groups of commands: loaded when they are run, their errors told in one line.

What a command raises leaves as ``ERROR: (fileroom.dicom-stores.describe) NOT_FOUND: …``; the exit
code is 1, or 2 if the command line itself is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any, ClassVar, Final

import click
from click.exceptions import NoArgsIsHelpError

from fileroom.cli.output.printable import printable
from fileroom.errors import FileroomError, Unauthenticated, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping


EXIT_INTERRUPTED: Final = 130
"""As a shell tells of a program that Ctrl-C ended."""


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """Where a command is, and the line of help that stands for it until it is loaded."""

    module: str
    attribute: str
    summary: str

    def load(self) -> click.Command:
        """Import the command."""
        command = getattr(import_module(self.module), self.attribute)
        assert isinstance(command, click.Command)
        return command


class Command(click.Command):
    """A command whose help ends with an example."""

    def __init__(self, name: str | None, *, example: str = "", **settings: Any) -> None:  # noqa: ANN401 - click's own
        super().__init__(name, **settings)
        self.example = example

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example on a line of its own, so that it can be copied whole."""
        if self.example:
            with formatter.section("Example"):
                formatter.write(f"{' ' * formatter.current_indent}{self.example}\n")


class CommandFailed(click.ClickException):
    """A command that could not do what it was asked."""

    exit_code: ClassVar[int] = 1

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path

    def show(self, file: IO[str] | None = None) -> None:
        """Print the one line."""
        line = printable(" ".join(self.message.split()))
        click.echo(f"ERROR: ({self.path.replace(' ', '.')}) {line}", file=file, err=file is None)


class UsageFailed(CommandFailed):
    """A command line that cannot be understood."""

    exit_code: ClassVar[int] = 2


class Group(click.Group):
    """Commands, some of them loaded only when they are run."""

    command_class = Command
    group_class = type

    def __init__(
        self,
        name: str | None = None,
        *,
        lazy: Mapping[str, LazyCommand] | None = None,
        **settings: Any,  # noqa: ANN401 - click's own
    ) -> None:
        super().__init__(name, **settings)
        self.lazy = dict(lazy or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give the names, in the order in which they are declared."""
        return [*self.commands, *self.lazy]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Give a command, loading it if need be."""
        if cmd_name not in self.lazy:
            return super().get_command(ctx, cmd_name)
        try:
            return self.lazy[cmd_name].load()
        except ImportError as error:
            raise CommandFailed(
                f"{ctx.command_path} {cmd_name}",
                f"this installation of fileroom is not whole ({error}); install it again",
            ) from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments begin with."""
        if not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            known = ", ".join(self.list_commands(ctx))
            raise click.UsageError(f"no command {args[0]!r}; there are: {known}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without loading those that are not loaded."""
        rows = [(name, command.get_short_help_str(70)) for name, command in self.commands.items()]
        rows += [(name, command.summary) for name, command in self.lazy.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,  # noqa: ANN401 - click's own
    ) -> click.Context:
        """Read the group's own options."""
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            raise _to_line(error, info_name or "fileroom") from error

    def invoke(self, ctx: click.Context) -> object:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (FileroomError, click.UsageError) as error:
            path = " ".join(filter(None, [ctx.command_path, ctx.invoked_subcommand]))
            raise _to_line(error, path) from error
        except KeyboardInterrupt as error:
            click.echo(err=True)
            raise click.exceptions.Exit(EXIT_INTERRUPTED) from error


def _to_line(error: FileroomError | click.UsageError, path: str) -> click.ClickException:
    """Give what a command raised as the line its user reads; a page of help stays one."""
    if isinstance(error, FileroomError):
        return CommandFailed(path, describe_error(error))
    if isinstance(error, NoArgsIsHelpError):
        return error
    path = error.ctx.command_path if error.ctx is not None else path
    return UsageFailed(path, f"{error.format_message().rstrip('.')}; see '{path} --help'")


def describe_error(error: FileroomError) -> str:
    """Give the code, the message and, where the server cannot know it, the remedy."""
    remedy = _remedy(error)
    told = f"{error.message.rstrip('.')}; {remedy}" if remedy else error.message
    return f"{error.code.name}: {told}"


def _remedy(error: FileroomError) -> str:
    if isinstance(error, Unauthenticated):
        return "give it with --token or FILEROOM_TOKEN, or name the data directory in FILEROOM_DATA"
    if isinstance(error, Unavailable) and error.detail == "url":
        return "--server or FILEROOM_SERVER names another"
    return ""
