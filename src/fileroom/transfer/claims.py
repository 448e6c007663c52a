"""What a claim of an operation is called where its workers leave files that are not whole.

Whoever claims the operation next, or sees such a worker lost, knows those files from others' by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fileroom.database.values.operations import Operation


def every_claim(operation: Operation) -> str:
    """Give what the names of all claims of an operation begin with."""
    return f"{operation.name.operation_id}-"


def this_claim(operation: Operation) -> str:
    """Give the name of the claim by which an operation is worked on."""
    return f"{every_claim(operation)}{operation.fence}"
