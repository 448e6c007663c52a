"""Objects that come one after another, piece by piece, and are published together or never."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from fileroom.closing import Closing
from fileroom.objectstore.local.durable import check_right_to_write, translating
from fileroom.objectstore.local.parts import Part, PartTaken
from fileroom.objectstore.local.syncing import LaggingSyncs
from fileroom.objectstore.local.writing import TEMPORARY_DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fileroom.objectstore.local.draft import Draft
    from fileroom.objectstore.local.parts import Hear
    from fileroom.objectstore.local.writing import Directories

_UNNAMED: Final = "unnamed"


class Drafts(Closing):
    """Objects of a managed bucket that come one after another and are published together.

    Few files are open at a time, however many objects there are; what is not published is gone
    once this is closed.
    """

    def __init__(self, directories: Directories) -> None:
        check_right_to_write()
        self._directories = directories
        self._open: set[Draft] = set()

    def begin(self, directory: str) -> Draft:
        """Begin an object that will lie in a directory; ``rest`` once its bytes are all there."""
        with translating(directory):
            draft = self._directories.draft(f"{directory}/{_UNNAMED}" if directory else _UNNAMED)
        self._open.add(draft)
        return draft

    def take_up(self, directory: str, name: str, of: str, hear: Hear) -> Part:
        """Begin a large object, or go on where its last writer ended; see ``Part``.

        Of what is discarded, or left by a crash, the next writer takes up what was noted. While
        another one holds it, it is begun again, under another name.
        """
        key = f"{directory}/{_UNNAMED}" if directory else _UNNAMED
        with translating(directory):
            own = self._directories.open(directory), self._directories.open(TEMPORARY_DIRECTORY)
            try:
                part = Part(key, *own, name, of, hear=hear)
            except PartTaken:
                other = f"{name}-{secrets.token_hex(8)}"
                part = Part(key, *own, other, of, hear=hear, is_kept=False)
        self._open.add(part)
        return part

    def discard(self, draft: Draft) -> None:
        """Throw one away."""
        draft.discard()
        self._open.discard(draft)

    def forget(self, draft: Draft) -> None:
        """Throw one away, so that nobody takes it up again."""
        draft.forget()
        self._open.discard(draft)

    def publish(
        self, named: Sequence[tuple[Draft, str]], *, alive: Callable[[], None] = lambda: None
    ) -> None:
        """Make some of them durable under these keys, which are in the directories they have."""
        alive()
        drafts = [draft for draft, _ in named]
        for draft, key in named:
            draft.rename(key)
        if len(drafts) == 1:
            drafts[0].sync()
        else:
            with LaggingSyncs() as syncs:
                for draft in drafts:
                    syncs.add(draft, draft.size)
                syncs.finish()
        for draft in drafts:
            draft.publish()
            self._open.discard(draft)
        self._directories.sync_parents(drafts)

    def close(self) -> None:
        """Throw away what is not published; a second call does nothing."""
        for draft in self._open:
            draft.discard()
        self._open.clear()
        self._directories.close()
