"""What the API documents and this version does not offer: 501, saying what to use meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from fileroom.errors import Unimplemented

if TYPE_CHECKING:
    from fileroom.api.calls import Call


@dataclass(frozen=True, slots=True)
class Later:
    """The handler of a method that is not there yet."""

    meanwhile: str
    """What to do instead."""

    def __call__(self, call: Call) -> NoReturn:
        """Refuse, naming the method."""
        raise Unimplemented(f"{call.method_id} is not offered by this version: {self.meanwhile}")
