"""Objects that come one after another, piece by piece, and are published together or never."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fileroom.objectstore.local.durable import check_right_to_write, translating
from fileroom.objectstore.local.syncing import LaggingSyncs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fileroom.objectstore.local.writing import Directories, Draft


class Drafts:
    """Objects of a managed bucket that come one after another and are published together.

    Few files are open at a time, however many objects there are; what is not published is gone
    once this is closed.
    """

    def __init__(self, directories: Directories) -> None:
        check_right_to_write()
        self._directories = directories
        self._open: dict[str, Draft] = {}

    def begin(self, key: str) -> Draft:
        """Begin an object; ``rest`` closes its file once its bytes are all there."""
        with translating(key):
            draft = self._directories.draft(key)
        self._open[draft.temporary] = draft
        return draft

    def discard(self, draft: Draft) -> None:
        """Throw one away."""
        temporary = draft.temporary
        draft.discard()
        del self._open[temporary]

    def publish(self, drafts: Sequence[Draft]) -> None:
        """Make some of them durable and give them their names."""
        if len(drafts) == 1:
            drafts[0].sync()
        else:
            with LaggingSyncs() as syncs:
                for draft in drafts:
                    syncs.add(draft, draft.size)
                syncs.finish()
        for draft in drafts:
            temporary = draft.temporary
            draft.publish()
            del self._open[temporary]
        self._directories.sync_parents(drafts)

    def close(self) -> None:
        """Throw away what is not published; a second call does nothing."""
        for draft in self._open.values():
            draft.discard()
        self._open.clear()
        self._directories.close()
