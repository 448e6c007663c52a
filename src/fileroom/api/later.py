"""What the API documents and this version does not offer: 501, saying what to use meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from fileroom.errors import Unimplemented

if TYPE_CHECKING:
    from fileroom.api.calls import Call, Handler


def later(meanwhile: str) -> Handler:
    """Give the handler of a method that is not there yet."""

    def answer(call: Call) -> NoReturn:
        raise Unimplemented(f"{call.method_id} is not offered by this version: {meanwhile}")

    return answer
