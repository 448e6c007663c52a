"""Work through rows in slices, each in one transaction with the progress it means.

A slice is short, so that no store waits long behind it; a crash between two leaves nothing half
done, and whoever takes the operation up goes on with what is left.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from fileroom.database import operations

if TYPE_CHECKING:
    from collections.abc import Callable

    from fileroom.database.engine import Connection
    from fileroom.operations.runner import Run

    Advance = Callable[[Connection], bool]


def run_slices(run: Run, advance: Advance) -> bool:
    """Advance until nothing is left; False if the server stops before.

    ``advance`` does one slice with its progress and tells whether more are left.

    Raises
    ------
    Aborted
        If another coordinator took over.
    Cancelled
        If somebody asked for it.
    """
    more = True
    while more:
        if run.stopping:
            return False
        run.check()
        more = run.database.write(partial(_advance, run=run, advance=advance), lane="batch")
    return True


def _advance(transaction: Connection, *, run: Run, advance: Advance) -> bool:
    operations.lock_operation(transaction, run.operation)
    return advance(transaction)
