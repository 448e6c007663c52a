"""A body that is sent block by block, each drawn in a thread while the one before is on its way."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import anyio

from fileroom.closing import close_pieces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from anyio.streams.memory import MemoryObjectSendStream
    from starlette.types import Receive, Send

logger = logging.getLogger(__name__)

_T = TypeVar("_T")
_Block = list[bytes]

BLOCK_BYTES: Final = 2 << 20
"""What is drawn with each change of threads, which takes 0.1 ms."""
JOINED_BYTES: Final = 64 << 10
"""What is shorter is joined with its neighbours: to send it takes 10 µs, more than to copy it."""
BLOCK_SECONDS: Final = 0.05
"""What is drawn slowly is sent as it comes."""
SEND_IDLE_SECONDS: Final = 300.0


class InThread(Protocol):
    """Runs synchronous work in a thread."""

    async def __call__(self, work: Callable[[], _T], /) -> _T:
        """Give what the work gives."""


@dataclass(slots=True)
class Channel:
    """The way to the client."""

    receive: Receive
    send: Send
    method_id: str
    sent_bytes: int = 0


async def send_pieces(pieces: Iterator[bytes], channel: Channel, in_thread: InThread) -> bool:
    """Send piece by piece, and close the pieces in the end; tell whether all was sent.

    Without the closing message the server cuts the connection, so that a client never takes a part
    for the whole.
    """
    whole = False
    drawn, blocks = anyio.create_memory_object_stream[_Block](0)
    try:
        async with drawn, blocks, anyio.create_task_group() as group:
            group.start_soon(_cancel_when_gone, channel.receive, group.cancel_scope)
            group.start_soon(_draw, pieces, drawn, in_thread)
            # That nothing more comes may also mean that drawing failed: the end is told.
            while block := await blocks.receive():
                for piece in block:  # joined, each byte would be copied once more
                    with anyio.fail_after(SEND_IDLE_SECONDS):
                        await channel.send(
                            {"type": "http.response.body", "body": piece, "more_body": True}
                        )
                    channel.sent_bytes += len(piece)
            await channel.send({"type": "http.response.body", "body": b""})
            whole = True
            group.cancel_scope.cancel()
    except* TimeoutError:
        logger.warning("a client stopped reading", extra={"method": channel.method_id})
    except* Exception:
        logger.exception("an answer broke off", extra={"method": channel.method_id})
    finally:
        with anyio.CancelScope(shield=True):
            await in_thread(partial(close_pieces, pieces))
    return whole


async def _draw(
    pieces: Iterator[bytes], drawn: MemoryObjectSendStream[_Block], in_thread: InThread
) -> None:
    """Draw block by block, the last of which is empty."""
    block = None
    while block != []:
        block = await in_thread(partial(_block, pieces))
        await drawn.send(block)


def _block(pieces: Iterator[bytes]) -> _Block:
    """Give the next pieces, small neighbours as one; none after the last."""
    block: _Block = []
    small: _Block = []
    size = 0
    began = time.monotonic()
    for piece in pieces:
        if len(piece) < JOINED_BYTES:
            small.append(piece)
        else:
            block += [b"".join(small), piece]
            small = []
        size += len(piece)
        if size >= BLOCK_BYTES or (size and time.monotonic() - began > BLOCK_SECONDS):
            break
    return [piece for piece in (*block, b"".join(small)) if piece]


async def _cancel_when_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
