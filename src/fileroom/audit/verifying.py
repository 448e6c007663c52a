"""Whether the lines are those that were written, all of them and in their order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fileroom.audit.chain import BEGINNING, Head, digest_of, find_line, segments_of
from fileroom.audit.entries import Note
from fileroom.audit.reading import whole_lines

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from fileroom.audit.chain import Link, Segment
    from fileroom.audit.entries import JsonObject


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What came of looking."""

    lines: int = 0
    segments: int = 0
    began_at: str = ""
    """The time of the first line."""
    ended_at: str = ""
    head: Head | None = None
    """How far the chain goes; to be compared with what was noted elsewhere."""
    missed: int = 0
    """Accesses of which the log says itself that they have no line."""
    broken: str | None = None
    """Where the chain breaks first, and how; None where it is whole."""


@dataclass(slots=True)
class _Walk:
    """One pass over the lines; it ends where the chain breaks."""

    verdict: Verdict
    anchors: dict[int, str]
    first: int = 0
    dropped: int = 0
    amiss: str | None = None
    """What the notes of the log tell of it that should not be, the first of it."""

    def segment(self, segment: Segment) -> str | None:
        """Follow a segment; give how it breaks, if it does."""
        self.verdict.segments += 1
        head, number = self.verdict.head, 0
        if head is not None and segment.first != head.sequence + 1:
            return f"{segment.path.name}: line {head.sequence + 1} should come, in a segment before"
        for number, line in enumerate(whole_lines(segment.path), 1):
            where = f"{segment.path.name}, line {number}"
            found = find_line(line)
            if found is None:
                return f"{where}: not a line of an audit log"
            told, link = found
            why = self._place(link, segment.first + number - 1)
            if why is not None:
                return f"{where}: {why}"
            self._take(line, told, link)
            why = self._anchored(link.sequence)
            if why is not None:
                return f"{where}: {why}"
        return None

    def _place(self, link: Link, sequence: int) -> str | None:
        head = self.verdict.head
        if link.sequence != sequence:
            return f"it is line {link.sequence} of the log where line {sequence} should be"
        if head is None:
            self.first = sequence
            if sequence == 1 and link.previous != BEGINNING:
                return "the first line follows another"
            return None
        if link.chain != head.chain:
            return "it is of another log"
        if link.previous != head.digest:
            return f"line {head.sequence} is not the one that was there when this was written"
        return None

    def _take(self, line: bytes, told: JsonObject, link: Link) -> None:
        verdict = self.verdict
        verdict.head = Head(chain=link.chain, sequence=link.sequence, digest=digest_of(line))
        verdict.lines += 1
        verdict.ended_at = str(told.get("timestamp", ""))
        verdict.began_at = verdict.began_at or verdict.ended_at
        payload = told.get("protoPayload")
        if not isinstance(payload, dict) or payload.get("serviceName") != "fileroom":
            return
        metadata = payload.get("metadata", {})
        match payload.get("methodName"), metadata:
            case Note.MISSED, {"accesses": int(accesses)}:
                verdict.missed += accesses
            case Note.DROPPED, {"through": int(through)}:
                self.dropped = max(self.dropped, through)
            case Note.SHORTENED, {"found": int(found), "written": int(written)} if (
                self.amiss is None
            ):
                self.amiss = (
                    f"line {link.sequence} tells that a server found the lines after"
                    f" {found} gone, of {written} that were written"
                )
            case ((Note.MISSED | Note.DROPPED | Note.SHORTENED), _):
                odd = f"line {link.sequence} is a note that no server wrote"
                self.amiss = self.amiss or odd

    def _anchored(self, sequence: int) -> str | None:
        noted = self.anchors.get(sequence)
        head = self.verdict.head
        if noted is None or head is None or noted == head.digest:
            return None
        return "the database has noted another hash for it"


def verify(directory: Path, anchors: Iterable[Head] = (), *, is_only_one: bool = True) -> Verdict:
    """Follow the chain of a directory from its first line to its last.

    ``anchors`` are heads that were noted elsewhere, of this chain or of others: a log that ends
    before one of them has lost lines. Where it ``is_only_one`` of which heads are noted, all of
    them must be of it. A server may write on meanwhile.
    """
    noted = list(anchors)
    verdict = Verdict()
    segments = segments_of(directory)
    chain = _chain_of(segments)
    walk = _Walk(verdict, {each.sequence: each.digest for each in noted if each.chain == chain})
    for segment in segments:
        verdict.broken = walk.segment(segment)
        if verdict.broken is not None:
            return verdict
    if walk.first > walk.dropped + 1:
        verdict.broken = (
            f"the log begins with line {walk.first}, and does not tell that those before were old"
            " and deleted"
        )
    elif walk.amiss is not None:
        verdict.broken = walk.amiss
    else:
        verdict.broken = _too_short(
            verdict.head, [each for each in noted if is_only_one or each.chain == chain], chain
        )
    return verdict


def _chain_of(segments: list[Segment]) -> str:
    for segment in segments:
        for line in whole_lines(segment.path):
            found = find_line(line)
            if found is not None:
                return found[1].chain
    return ""


def _too_short(head: Head | None, noted: list[Head], chain: str) -> str | None:
    furthest = max((each.sequence for each in noted if each.chain == chain), default=0)
    reached = 0 if head is None else head.sequence
    if furthest > reached:
        return f"the log ends with line {reached}; the database knows of line {furthest}"
    other = max((each.sequence for each in noted if each.chain != chain), default=0)
    if other:
        return f"the log is not the one that the database knows up to line {other}: that is gone"
    return None
