"""De-identification of datasets and DICOM stores, as gcloud asks for it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from fileroom.cli.following import detach_option
from fileroom.cli.output.rendering import result_format_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from fileroom.client import JsonObject

# A tag such as 0010,0010 holds a comma itself.
_TAG = re.compile(r"[0-9A-Fa-f]{4},[0-9A-Fa-f]{4}|[^\s,]+")


def deidentify_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add what both commands take."""
    for option in (
        result_format_option,
        detach_option,
        click.option(
            "--text-redaction-mode",
            type=click.Choice(["all"]),
            help="Redact all text that is burnt into pictures.",
        ),
        click.option(
            "--dicom-filter-tags",
            help="Attributes to keep, by keyword or tag, separated by commas.",
        ),
    ):
        command = option(command)
    return command


def to_config(
    dicom_filter_tags: str | None, text_redaction_mode: str | None, *, has_fhir: bool = False
) -> JsonObject:
    """Give a ``DeidentifyConfig`` of the flags that were given."""
    config: JsonObject = {}
    if dicom_filter_tags is not None:
        config["dicom"] = {"keepList": {"tags": [*_TAG.findall(dicom_filter_tags)]}}
    if text_redaction_mode is not None:
        config["image"] = {"textRedactionMode": "REDACT_ALL_TEXT"}
    if has_fhir:
        config["fhir"] = {}
    return config
