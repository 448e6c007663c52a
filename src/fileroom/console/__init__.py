"""The console: pages in a browser over the public REST API, as ES modules that need no build.

``static/app.js`` is where they begin; ``static/vendor`` holds what is not ours, with its licences.
"""

from fileroom.console.files import load_files

__all__ = ["load_files"]
