"""``updateMask``: which fields a patch replaces.

References
----------
AIP-134; ``google.protobuf.FieldMask``: what the mask names and the body lacks is cleared, what the
body holds and the mask does not name is ignored.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, get_args, get_origin

import msgspec

from fileroom.api.wire import message_fields
from fileroom.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Sequence

JsonObject = dict[str, Any]
Mask = tuple[str, ...]


def parse_update_mask(
    text: str | None, kind: type[msgspec.Struct], *, mutable: Sequence[str]
) -> tuple[Mask, ...]:
    """Give the paths of a mask in camelCase, each a tuple of names; ``*`` is every mutable field.

    Raises
    ------
    InvalidArgument
        If the mask is missing, or names what the message does not have or a patch cannot change.
    """
    if not text or not text.strip(" ,"):
        raise InvalidArgument(
            f"update_mask is required; it names what to change, as in updateMask={mutable[0]}",
            "update_mask",
        )
    masks: list[Mask] = []
    for path in (part.strip() for part in text.split(",") if part.strip()):
        if path == "*":
            masks += [(name,) for name in mutable]
            continue
        mask = _resolve(path, kind)
        if mask[0] not in mutable:
            raise InvalidArgument(
                f"update_mask: '{path[:100]}' cannot be changed; what can is {', '.join(mutable)}",
                "update_mask",
            )
        masks.append(mask)
    return tuple(masks)


def apply_update_mask(old: JsonObject, new: JsonObject, masks: Sequence[Mask]) -> JsonObject:
    """Give ``old`` with what the masks name taken from ``new``."""
    merged = copy.deepcopy(old)
    for mask in masks:
        value: Any = new
        for name in mask:
            value = value.get(name) if isinstance(value, dict) else None
        target = merged
        for name in mask[:-1]:
            target = target.setdefault(name, {})
        if value is None:
            target.pop(mask[-1], None)
        else:
            target[mask[-1]] = copy.deepcopy(value)
    return merged


def _resolve(path: str, kind: type[msgspec.Struct]) -> Mask:
    names: list[str] = []
    current: object = kind
    for name in path.split("."):
        if isinstance(current, type) and issubclass(current, msgspec.Struct):
            known = message_fields(current)
            if name not in known:
                raise InvalidArgument(
                    f"update_mask: there is no field '{path[:100]}'", "update_mask"
                )
            field, current = known[name]
            names.append(field.encode_name)
        elif get_origin(current) is dict:
            names.append(name)
            current = get_args(current)[1]
        else:
            raise InvalidArgument(f"update_mask: there is no field '{path[:100]}'", "update_mask")
    return tuple(names)
