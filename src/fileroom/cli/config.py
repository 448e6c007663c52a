"""``fileroom config``: what a server would go by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from fileroom.auth.oidc import OidcIssuer
from fileroom.auth.policies import Policy
from fileroom.cli.buckets import place_of
from fileroom.cli.groups import Group
from fileroom.cli.output.rendering import Format, field, write_many
from fileroom.cli.settings_options import format_option, read_settings, server_options
from fileroom.objectstore.buckets import BucketSettings
from fileroom.settings.table import SETTINGS

if TYPE_CHECKING:
    from pathlib import Path

    from fileroom.client import Json, JsonObject

_COLUMNS = [field("SETTING", "setting"), field("VALUE", "value")]
_ORIGIN = field("ORIGIN", "origin")
_PASSWORD = re.compile(r"(^postgresql://[^:@/]*:)[^@]*@")


@click.group("config", cls=Group)
def config() -> None:
    """Show the settings that a server would start with."""


@config.command("show", example="fileroom config show --origin")
@click.option("--origin", is_flag=True, help="Tell of each value where it comes from.")
@server_options
@format_option
def show(origin: bool, config: Path | None, output_format: Format, **flags: object) -> None:
    """Print every setting as 'fileroom serve' would use it, with the same flags.

    A flag goes before a variable, that before the file, that before the default.
    """
    settings = read_settings(config, **flags)
    rows: list[JsonObject] = [
        {"setting": each.name, "value": _without_password(_to_json(getattr(settings, each.name)))}
        | ({"origin": settings.origins[each.name]} if origin else {})
        for each in SETTINGS
    ]
    write_many(rows, [*_COLUMNS, *([_ORIGIN] if origin else [])], output_format)


def _without_password(value: Json) -> Json:
    return _PASSWORD.sub(r"\1***@", value) if isinstance(value, str) else value


def _to_json(value: object) -> Json:
    match value:
        case BucketSettings():
            rights = ", ".join(sorted(value.allow))
            return f"{value.name} = {place_of(value)} ({rights}; {', '.join(value.stores)})"
        case OidcIssuer():
            return (
                f"{value.issuer} (for {', '.join(value.audiences)}; {', '.join(value.algorithms)})"
            )
        case Policy():
            granted = (f"{each.role}: {', '.join(each.members)}" for each in value.bindings)
            return "; ".join(granted)
        case Mapping():
            told = (f"{name} ({_to_json(each)})" for name, each in value.items())
            return ", ".join(told) or None
        case tuple():
            return ", ".join(str(_to_json(each)) for each in value) or None
        case int():
            return value
        case None:
            return None
        case _:
            return str(value)
