"""What an operation's row means to whoever asks: its account and how it ended (pure).

References
----------
AIP-151; Cloud Healthcare v1 OperationMetadata and ProgressCounter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fileroom.database.operations import Kind, State
from fileroom.errors import Code

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fileroom.database.operations import Counters, Json, Operation
    from fileroom.errors import FileroomError, ObjectFailure, Reason

SAMPLE_ERRORS_MAX: Final = 10

_TERMS: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.IMPORT: ("imported", "identical", "kept", "replaced", "failed"),
    Kind.EXPORT: ("exported", "unchanged", "failed"),
    Kind.DELETE_STUDY: ("deleted",),
    Kind.DELETE_SERIES: ("deleted",),
    Kind.SET_STORAGE_CLASS: ("updated", "unchanged"),
    Kind.UPDATE_STUDY: ("updated", "unchanged", "failed"),
    Kind.UPDATE_SERIES: ("updated", "unchanged", "failed"),
    Kind.PROMOTE: ("updated", "unchanged", "failed"),
    Kind.UNDO_IMPORT: ("deleted", "updated", "unchanged", "failed"),
}
_NOUNS: Final = {
    Kind.IMPORT: "imported",
    Kind.EXPORT: "exported",
    Kind.UPDATE_STUDY: "updated",
    Kind.UPDATE_SERIES: "updated",
    Kind.PROMOTE: "copied",
    Kind.UNDO_IMPORT: "brought back",
}


def account(operation: Operation) -> dict[str, int]:
    """Give what became of every object: the terms after ``listed`` sum to it at every moment.

    While the operation runs, objects that are known of but not worked on are ``pending``; what a
    cancelled or failed one left undone is ``notStarted``.
    """
    terms = {name: getattr(operation.counters, name) for name in _TERMS.get(operation.kind, ())}
    settled = sum(terms.values())
    known = max(operation.counters.listed, settled + operation.counters.deferred)
    if operation.state is not State.DONE:
        known = max(known, operation.total or 0)
    rest = known - settled
    running = operation.state is not State.DONE
    return {
        "listed": known,
        **terms,
        "pending": rest if running else 0,
        "notStarted": 0 if running else rest,
    }


def seconds_left(operation: Operation) -> float | None:
    """Give how long the rest takes at the present pace; None where nobody can tell."""
    if operation.pace is None or operation.total is None or not operation.pace.objects_per_second:
        return None
    return account(operation)["pending"] / operation.pace.objects_per_second


def ended_well(operation: Operation) -> Json:
    """Give the response of an operation without failures."""
    if operation.kind in {Kind.DELETE_STUDY, Kind.DELETE_SERIES}:
        return {"@type": "type.googleapis.com/google.protobuf.Empty"}
    package = f"google.cloud.healthcare.{operation.api_version}.dicom"
    return {"@type": f"type.googleapis.com/{package}.{operation.kind}Response"}


def ended_with_failures(
    operation: Operation,
    counters: Counters,
    reasons: Mapping[Reason, int],
    first: Sequence[ObjectFailure],
    logs_url: str,
) -> Json:
    """Give the error of an operation of which some objects failed.

    References
    ----------
    Google publishes no code for it; the samples read ``details[0].sampleErrors``.
    """
    total = counters.succeeded + counters.failed
    causes = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    message = (
        f"{counters.failed} of {total} objects could not be {_NOUNS[operation.kind]} ({causes}). "
        f"First: {first[0].source}: {first[0].message.rstrip('.')}. All failures: {logs_url}"
    )
    return {
        "code": int(Code.UNKNOWN),
        "message": message,
        "details": [_error_details(operation, first)],
    }


def ended_by(
    operation: Operation, error: FileroomError, first: Sequence[ObjectFailure] = ()
) -> Json:
    """Give the error of an operation that an error or a cancellation ended."""
    status: Json = {"code": int(error.code), "message": error.message}
    if first:
        status["details"] = [_error_details(operation, first)]
    return status


def _error_details(operation: Operation, failures: Sequence[ObjectFailure]) -> Json:
    package = "google.cloud.healthcare.v1beta1.dicom"
    samples: list[Json] = [
        {
            "resource": failure.source,
            "error": {"code": int(failure.code), "message": failure.message},
        }
        for failure in failures[:SAMPLE_ERRORS_MAX]
    ]
    # msgspec and json write both alike; mypy wants the union's invariant list spelled out.
    return {
        "@type": f"type.googleapis.com/{package}.{operation.kind}ErrorDetails",
        "sampleErrors": list(samples),
    }
