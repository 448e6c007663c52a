"""Settings: flag over ``FILEROOM_*`` over ``fileroom.toml`` over default, each with its origin.

``SETTINGS`` is the whole list; documentation and tests walk it. What a later version will offer is
refused by name, never ignored: a server must not seem to do what it does not.
"""

from fileroom.settings.loading import default_data_directory, load_settings
from fileroom.settings.table import SETTINGS, Setting
from fileroom.settings.values import Search, Settings

__all__ = [
    "SETTINGS",
    "Search",
    "Setting",
    "Settings",
    "default_data_directory",
    "load_settings",
]
