"""Keys, as ``metadata.counter.success`` or ``name.basename()``: where a value is in a resource.

References
----------
``gcloud topic resource-keys``, ``gcloud topic projections``
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from fileroom.cli.output.transforms import Transform, make_transform

if TYPE_CHECKING:
    from fileroom.cli.output.expressions import Scanner
    from fileroom.client import Json

Step: TypeAlias = str | int | None
"""A name, a place in a list, or each element of one."""

STEPS_MAX = 64
_STEP_ENDS = " \t\r\n.,:=<>!~()[]"


@dataclass(frozen=True, slots=True)
class Key:
    """The way to a value, and what is made of it."""

    path: tuple[Step, ...]
    transforms: tuple[Transform, ...] = ()

    def find(self, body: Json) -> Json:
        """Give the value as it is; ``None`` if there is none."""
        value = body
        for step in self.path:
            value = step_into(value, step)
        return value

    def pick(self, body: Json) -> Json:
        """Give what is made of the value."""
        value = self.find(body)
        for transform in self.transforms:
            value = transform(value)
        return value

    def __str__(self) -> str:
        """Give the path as it is written."""
        told = ""
        for step in self.path:
            told += f".{step}" if isinstance(step, str) else f"[{'' if step is None else step}]"
        return told.removeprefix(".")


def step_into(value: Json, step: Step) -> Json:
    """Go one step; a name goes into each element of a list, as the API's messages nest."""
    if isinstance(value, dict) and isinstance(step, str):
        return value[step] if step in value else _find_alike(value, step)
    if not isinstance(value, list) or step is None:
        return value if step is None and isinstance(value, list) else None
    if isinstance(step, int):
        return value[step] if -len(value) <= step < len(value) else None
    found = [inner for element in value if (inner := step_into(element, step)) is not None]
    return [*found] or None


def _find_alike(value: dict[str, Json], name: str) -> Json:
    """Find ``timeZone`` by ``time_zone`` or ``TIMEZONE`` too."""
    wanted = _fold(name)
    return next((inner for key, inner in value.items() if _fold(key) == wanted), None)


def _fold(name: str) -> str:
    return name.replace("_", "").lower()


def take_key(scanner: Scanner) -> Key:
    """Take a key with its transforms."""
    path: list[Step] = []
    transforms: list[Transform] = []
    while True:
        start = scanner.position
        name = scanner.take_until(_STEP_ENDS)
        if start == scanner.position:
            raise scanner.wrong("a key is missing")
        if scanner.take("("):
            transforms.append(_take_transform(scanner, name, start))
        elif transforms:
            raise scanner.wrong("no key can follow a transform", start)
        else:
            path.append(name)
            while scanner.take("["):
                path.append(_take_index(scanner))
            if len(path) > STEPS_MAX:
                raise scanner.wrong(f"a key has at most {STEPS_MAX} steps", start)
        if not scanner.take("."):
            return Key(tuple(path), tuple(transforms))


def _take_transform(scanner: Scanner, name: str, start: int) -> Transform:
    arguments = scanner.take_arguments()
    try:
        return make_transform(name, arguments)
    except ValueError as error:
        raise scanner.wrong(str(error), start) from error


def _take_index(scanner: Scanner) -> int | None:
    start = scanner.position
    text = scanner.take_until("]")
    if not scanner.take("]"):
        raise scanner.wrong("a bracket is not closed", start - 1)
    try:
        return int(text) if text else None
    except ValueError as error:
        raise scanner.wrong("a place in a list is a number", start) from error
