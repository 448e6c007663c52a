"""The reference of commands, as a manual page has it: name, synopsis, description, options."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import click

from fileroom.cli.program import program

if TYPE_CHECKING:
    from collections.abc import Iterator

_EVERYWHERE: Final = frozenset({"server", "token", "project", "location", "quiet"})
"""Options of every command that speaks to a server; the page tells of them once."""


def commands() -> str:
    """Give a list of all commands, then each with its arguments and options."""
    found = list(_leaves(program, click.Context(program, info_name="fileroom")))
    listed = "\n".join(
        f"| [`{context.command_path}`](#{context.command_path.replace(' ', '-')}) |"
        f" {_summary(command)} |"
        for command, context in found
    )
    pages = (piece for command, context in found for piece in _page(command, context))
    return "\n\n".join([f"| command | what it does |\n|---|---|\n{listed}", *pages])


def _leaves(
    command: click.Command, context: click.Context
) -> Iterator[tuple[click.Command, click.Context]]:
    if not isinstance(command, click.Group):
        yield command, context
        return
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None
        yield from _leaves(inner, click.Context(inner, parent=context, info_name=name))


def _paragraphs(command: click.Command) -> list[str]:
    text = (command.help or "").replace("\b", "").strip()
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", text)]


def _summary(command: click.Command) -> str:
    return _paragraphs(command)[0].replace("|", "\\|")


def _page(command: click.Command, context: click.Context) -> Iterator[str]:
    path, width = context.command_path, len(context.command_path) + 1
    yield f"### `{path}`"
    summary, *description = _paragraphs(command)
    yield summary
    options = [
        each for each in command.params if isinstance(each, click.Option) and not each.hidden
    ]
    own = [each for each in options if each.name not in _EVERYWHERE]
    pieces = [_in_synopsis(each) for each in own]
    if len(own) < len(options):
        pieces.append("[CONNECTION]" if _has(options, "server") else "[PLACE]")
    pieces += [_argument(each) for each in command.params if isinstance(each, click.Argument)]
    yield f"```text\n{path} {_wrapped(pieces, width)}\n```"
    yield from description
    if own:
        rows = "\n".join(f"| `{_spelled(each)}` | {_told(each)} |" for each in own)
        yield f"| option | what it does |\n|---|---|\n{rows}"
    if example := getattr(command, "example", ""):
        yield f"```sh\n{example}\n```"


def _has(options: list[click.Option], name: str) -> bool:
    return any(each.name == name for each in options)


def _argument(argument: click.Argument) -> str:
    return argument.make_metavar(click.Context(click.Command("any")))


def _in_synopsis(option: click.Option) -> str:
    spelled = f"{'|'.join([max(option.opts, key=len), *option.secondary_opts])}{_value(option)}"
    spelled += " ..." if option.multiple else ""
    return spelled if option.required else f"[{spelled}]"


def _spelled(option: click.Option) -> str:
    names = ", ".join([*option.opts, *option.secondary_opts])
    return f"{names}{_value(option)}".replace("|", "\\|")


def _value(option: click.Option) -> str:
    if option.is_flag:
        return ""
    if isinstance(option.type, click.Choice) and option.metavar is None:
        return f"={'|'.join(map(str, option.type.choices))}"
    return f"={option.metavar or (option.name or '').upper()}"


def _told(option: click.Option) -> str:
    told = " ".join((option.help or "").split()).replace("|", "\\|")
    if option.show_default and option.default:
        told += f" Default: `{option.default}`."
    return told


def _wrapped(pieces: list[str], indent: int) -> str:
    """Give a synopsis in lines of at most 96 characters."""
    lines = [""]
    for piece in pieces:
        if lines[-1] and indent + len(lines[-1]) + len(piece) > 95:
            lines.append("")
        lines[-1] += f" {piece}" if lines[-1] else piece
    return f"\n{' ' * indent}".join(lines)
