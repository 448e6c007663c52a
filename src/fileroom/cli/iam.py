"""IAM policies: the commands that ``datasets`` and ``dicom-stores`` have in common."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from fileroom.cli.connection import Connection, confirm, connected, dataset_option
from fileroom.cli.groups import Command
from fileroom.cli.output.expressions import ExpressionType
from fileroom.cli.output.rendering import Format, format_option, write_one
from fileroom.client.policies import has_conditions, with_binding, without_binding
from fileroom.errors import FailedPrecondition, InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable

    from fileroom.client import Client, JsonObject
    from fileroom.names import DatasetName, DicomStoreName

    Name = DatasetName | DicomStoreName

_BASIC_ROLES = frozenset({"roles/editor", "roles/owner", "roles/viewer"})
_CONDITION_KEYS = ("expression", "title", "description")


@dataclass(frozen=True, slots=True)
class Owned:
    """A kind of resource that has a policy."""

    group: str
    """The commands that it has."""
    noun: str
    told: str
    """What gcloud calls one it has changed."""
    example: str
    """Names one on a command line."""
    find: Callable[[Connection, str, str | None], Name]
    """Gives the name that an argument and ``--dataset`` mean."""

    def options(self, command: Callable[..., None]) -> Callable[..., None]:
        """Add what names one."""
        metavar = "DATASET" if self.group == "datasets" else "DICOM_STORE"
        named = click.argument("resource", metavar=metavar)(command)
        return named if self.group == "datasets" else dataset_option(named)


DATASETS = Owned(
    "datasets",
    "dataset",
    "dataset",
    "ct",
    lambda connection, text, _dataset: connection.dataset(text),
)
DICOM_STORES = Owned(
    "dicom-stores",
    "DICOM store",
    "dicomStore",
    "trial --dataset=ct",
    lambda connection, text, dataset: connection.dicom_store(text, dataset),
)


@dataclass(frozen=True, slots=True)
class _Condition:
    """What ``--condition`` was given; without a body, that there is to be none."""

    body: JsonObject | None


def add_policy_commands(group: click.Group, owned: Owned) -> None:
    """Add the four commands to a group."""
    for make in (_get_command, _set_command, _add_command, _remove_command):
        group.add_command(make(owned))


def parse_condition(text: str) -> _Condition:
    """Read ``expression=…,title=…,description=…``, or ``None``; ``^:^`` first separates by ``:``.

    Raises
    ------
    InvalidArgument
        Saying which part is wrong.
    """
    if text == "None":
        return _Condition(None)
    separator = ","
    if text.startswith("^") and "^" in text[1:]:
        separator, _, text = text[1:].partition("^")
    body: JsonObject = {}
    for part in text.split(separator or ","):
        key, equals, value = part.partition("=")
        if not equals or key not in _CONDITION_KEYS:
            raise InvalidArgument(
                f"{part!r} is none of expression=, title= and description=; should a value hold a "
                "comma, write ^:^ first and separate by colons"
            )
        body[key] = value
    return _checked(body)


def _checked(body: JsonObject) -> _Condition:
    absent = [key for key in _CONDITION_KEYS[:2] if not body.get(key)]
    if absent:
        raise InvalidArgument(f"a condition needs its {' and its '.join(absent)}")
    return _Condition(body)


def _get_command(owned: Owned) -> click.Command:
    @connected
    def get(
        connection: Connection, resource: str, output_format: Format, dataset: str | None = None
    ) -> None:
        name = owned.find(connection, resource, dataset)
        with connection.open() as client:
            write_one(client.policies.get(name), output_format)

    example = f"fileroom {owned.group} get-iam-policy {owned.example}"
    command = owned.options(format_option("yaml")(get))
    return _command("get-iam-policy", f"Print the IAM policy of a {owned.noun}.", example)(command)


def _set_command(owned: Owned) -> click.Command:
    @connected
    def set_(
        connection: Connection,
        resource: str,
        policy_file: str,
        output_format: Format,
        dataset: str | None = None,
    ) -> None:
        name = owned.find(connection, resource, dataset)
        policy = read_object(policy_file, "POLICY_FILE")
        if "etag" not in policy:
            confirm(
                connection,
                "The policy has no etag, so it may undo what somebody else just changed.",
            )
        with connection.open() as client:
            written = client.policies.set(name, policy, update_mask=sorted(map(str, policy)))
        _tell(owned, name, written, output_format)

    identifier, _, rest = owned.example.partition(" ")
    example = f"fileroom {owned.group} set-iam-policy {identifier} policy.json {rest}".rstrip()
    argument = click.argument("policy_file", type=click.Path(dir_okay=False, allow_dash=True))
    command = owned.options(argument(format_option("yaml")(set_)))
    summary = f"Replace the IAM policy of a {owned.noun} by that of a JSON or YAML file."
    return _command("set-iam-policy", summary, example)(command)


def _add_command(owned: Owned) -> click.Command:
    @connected
    def add(
        connection: Connection,
        resource: str,
        member: str,
        role: str,
        condition: _Condition | None,
        condition_from_file: str | None,
        output_format: Format,
        dataset: str | None = None,
    ) -> None:
        name = owned.find(connection, resource, dataset)
        wanted = _one_condition(condition, condition_from_file)
        if wanted and wanted.body and role in _BASIC_ROLES:
            raise click.UsageError(f"{role} is a basic role, which takes no condition")
        with connection.open() as client:
            policy = _policy_to_change(client, name, is_told=wanted is not None)
            body = wanted.body if wanted else None
            written = client.policies.set(name, with_binding(policy, role, member, body))
        _tell(owned, name, written, output_format)

    return _binding_command(owned, "add", "Give a member a role on a {}.", add)


def _remove_command(owned: Owned) -> click.Command:
    @connected
    def remove(
        connection: Connection,
        resource: str,
        member: str,
        role: str,
        condition: _Condition | None,
        condition_from_file: str | None,
        all_: bool,
        output_format: Format,
        dataset: str | None = None,
    ) -> None:
        name = owned.find(connection, resource, dataset)
        wanted = _one_condition(condition, condition_from_file)
        if wanted and all_:
            raise click.UsageError("--all is under any condition; leave out --condition")
        with connection.open() as client:
            policy = _policy_to_change(
                client, name, is_told=all_ or wanted is not None, more=", or --all for any"
            )
            body = wanted.body if wanted else None
            changed = without_binding(policy, role, member, "any" if all_ else body)
            written = client.policies.set(name, changed)
        _tell(owned, name, written, output_format)

    everything = click.option(
        "--all", "all_", is_flag=True, help="Take the role away under whichever condition."
    )
    summary = "Take a role on a {} from a member."
    return _binding_command(owned, "remove", summary, everything(remove))


def _binding_command(
    owned: Owned, verb: str, summary: str, function: Callable[..., None]
) -> click.Command:
    for option in (
        format_option("yaml"),
        click.option(
            "--condition-from-file",
            type=click.Path(dir_okay=False, allow_dash=True),
            help="The condition as a JSON or YAML file.",
        ),
        click.option(
            "--condition",
            type=ExpressionType("condition", parse_condition),
            metavar="CONDITION",
            help="expression=…,title=…[,description=…], or None for none.",
        ),
        click.option("--role", required=True, help="Such as roles/healthcare.dicomViewer."),
        click.option("--member", required=True, help="Such as user:ada@example.org."),
        owned.options,
    ):
        function = option(function)
    name = f"{verb}-iam-policy-binding"
    example = (
        f"fileroom {owned.group} {name} {owned.example} --member=user:ada@example.org"
        " --role=roles/healthcare.dicomViewer"
    )
    return _command(name, summary.format(owned.noun), example)(function)


def _command(
    name: str, summary: str, example: str
) -> Callable[[Callable[..., None]], click.Command]:
    return click.command(name, cls=Command, help=summary, example=example)


def _one_condition(condition: _Condition | None, file: str | None) -> _Condition | None:
    if file is None:
        return condition
    if condition is not None:
        raise click.UsageError("give --condition or --condition-from-file, not both")
    try:
        return _checked(read_object(file, "--condition-from-file"))
    except InvalidArgument as error:
        raise click.BadParameter(error.message, param_hint="--condition-from-file") from error


def _policy_to_change(client: Client, name: Name, *, is_told: bool, more: str = "") -> JsonObject:
    """Read a policy; one with conditions is changed only if the user told which is meant."""
    policy = client.policies.get(name)
    if has_conditions(policy) and not is_told:
        raise FailedPrecondition(
            "the policy holds conditions, so say which is meant: --condition=None for none"
            f"{more}; nothing was changed"
        )
    return policy


def _tell(owned: Owned, name: Name, policy: JsonObject, output_format: Format) -> None:
    last = str(name).rpartition("/")[2]
    click.echo(f"Updated IAM policy for {owned.told} [{last}].", err=True)
    write_one(policy, output_format)


def read_object(file: str, parameter: str) -> JsonObject:
    """Read an object from a JSON or YAML file; ``-`` is the standard input."""
    import yaml

    try:
        with click.open_file(file, "rb") as opened:
            # YAML holds JSON, so one reader does for both.
            value = yaml.safe_load(opened)
        json.dumps(value, allow_nan=False)
    except OSError as error:
        raise click.BadParameter(f"{file}: {error.strerror}", param_hint=parameter) from error
    except yaml.YAMLError as error:
        raise click.BadParameter(
            f"{file} is neither JSON nor YAML: {error}", param_hint=parameter
        ) from error
    except (TypeError, ValueError, RecursionError) as error:
        raise click.BadParameter(
            f"{file} holds what JSON cannot, such as a date without quotes", param_hint=parameter
        ) from error
    if not isinstance(value, dict):
        raise click.BadParameter(f"{file} holds no object", param_hint=parameter)
    return value
