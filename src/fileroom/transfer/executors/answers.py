"""What a worker answers, given to whoever waits for it."""

from __future__ import annotations

import logging
import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from fileroom.errors import Internal

if TYPE_CHECKING:
    from concurrent.futures import Future

_T = TypeVar("_T")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Task(Generic[_T]):
    """A call that waits for a worker, or is with one."""

    future: Future[_T]
    content: bytes
    """The function and its arguments, pickled."""

    def finish(self, answer: bytes) -> None:
        """Give the worker's answer to the future."""
        try:
            error, result = pickle.loads(answer)  # noqa: S301 - from our own worker
        except Exception as unreadable:
            logger.exception("the answer of a worker cannot be read")
            kind = type(unreadable).__name__
            error, result = Internal(f"the answer of a worker cannot be read ({kind})"), None
        if error is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)
