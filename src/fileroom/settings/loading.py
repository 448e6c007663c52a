"""Find what the operator gave, in order of precedence."""

from __future__ import annotations

import tomllib
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, cast

from fileroom.errors import InvalidArgument
from fileroom.settings.access import check_tls_files
from fileroom.settings.parsing import Given, guess, merge_buckets, parse_setting
from fileroom.settings.table import SETTINGS
from fileroom.settings.values import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fileroom.objectstore.buckets import BucketSettings

CONFIG_FILE: Final = "fileroom.toml"
_BY_NAME: Final = {setting.name: setting for setting in SETTINGS}


def load_settings(
    flags: Mapping[str, object], environ: Mapping[str, str], config: Path | None = None
) -> Settings:
    """Give the settings of this start.

    Parameters
    ----------
    flags
        By setting name; ``None`` and empty tuples count as not given.
    environ
        The process's environment.
    config
        The file; without it ``FILEROOM_CONFIG``, then ``fileroom.toml`` in the working directory.

    Raises
    ------
    InvalidArgument
        If a value is wrong or a key unknown; the message names value, place and remedy.
    Unimplemented
        If values together ask for what this version cannot do.
    """
    given: dict[str, Given] = {}
    file = _find_config(environ, config)
    if file is not None:
        given |= _read_config(file)
    given |= {
        setting.name: Given(
            value=environ[setting.variable], origin=setting.variable, directory=Path.cwd()
        )
        for setting in SETTINGS
        if environ.get(setting.variable)
    }
    from_file = given.get("buckets")
    given |= {
        name: Given(value=value, origin=_BY_NAME[name].flag or name, directory=Path.cwd())
        for name, value in flags.items()
        if value is not None and value != () and name in _BY_NAME
    }
    values: dict[str, object] = {
        name: parse_setting(_BY_NAME[name], item) for name, item in given.items()
    }
    if from_file is not None and from_file is not given["buckets"]:
        # A bucket named by flag joins those of the file; one of the same name takes its place.
        values["buckets"] = merge_buckets(
            cast("tuple[BucketSettings, ...]", parse_setting(_BY_NAME["buckets"], from_file)),
            cast("tuple[BucketSettings, ...]", values["buckets"]),
        )
    values.setdefault("data", default_data_directory(environ))
    origins = {
        setting.name: given[setting.name].origin if setting.name in given else "default"
        for setting in SETTINGS
    }
    settings = cast(
        "Settings",
        cast("Callable[..., object]", Settings)(**values, origins=MappingProxyType(origins)),
    )
    if settings.tls is not None:
        check_tls_files(*settings.tls)
    return settings


def default_data_directory(environ: Mapping[str, str]) -> Path:
    """Give the data directory of a user who chose none."""
    root = environ.get("XDG_DATA_HOME")
    return (Path(root) if root else Path.home() / ".local" / "share") / "fileroom"


def _find_config(environ: Mapping[str, str], config: Path | None) -> Path | None:
    if config is None and environ.get("FILEROOM_CONFIG"):
        config = Path(environ["FILEROOM_CONFIG"])
    if config is not None:
        return config
    default = Path(CONFIG_FILE)
    return default if default.is_file() else None


def _read_config(file: Path) -> dict[str, Given]:
    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise InvalidArgument(f"{file} cannot be read: {error.strerror}", "config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"{file} is not valid TOML: {error}", "config") from error
    for name in content:
        if name not in _BY_NAME:
            raise InvalidArgument(
                f"{file}: there is no setting {name!r}{guess(name, tuple(_BY_NAME))}", name
            )
    directory = file.resolve().parent
    return {
        name: Given(value=value, origin=str(file), directory=directory)
        for name, value in content.items()
    }
