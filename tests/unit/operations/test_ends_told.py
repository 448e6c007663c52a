"""The audit log tells of each operation's end, whenever the server that saw it died."""

from __future__ import annotations

import json
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update

from fileroom.crashpoints import listen
from fileroom.database import operations, schema, stores
from fileroom.database.operations import Kind
from fileroom.operations import auditing
from fileroom.operations.auditing import UNTOLD_SECONDS, open_audit, tell_end
from tests.unit.database.rows import DATASET, claimed

if TYPE_CHECKING:
    from pathlib import Path

    from fileroom.audit import AuditLog
    from fileroom.database.engine import Connection, Database
    from fileroom.database.operations import Operation

WHO = "someone@example.org"


class Died(BaseException):
    """What ends a server wherever it is."""


def ended(database: Database) -> Operation:
    """Give an import that somebody asked for and that has come to its end."""

    def end(transaction: Connection) -> Operation:
        if stores.find_dataset(transaction, DATASET) is None:
            stores.insert_dataset(transaction, DATASET)
        operations.insert_operation(
            transaction,
            stores.get_dataset(transaction, DATASET).id,
            kind=Kind.IMPORT,
            api_version="v1",
            principal=WHO,
            request={"name": f"{DATASET}/dicomStores/s"},
        )
        operation = claimed(transaction)
        operations.finish_operation(
            transaction, operation, listed=0, response={}, retention_microseconds=10**12
        )
        return operation

    return database.write(end)


def let_time_pass(database: Database) -> None:
    """Have all that ended do so long enough ago that no living server is about to tell it."""
    back = schema.operations.c.ended_at - (UNTOLD_SECONDS + 1) * 1_000_000
    database.write(lambda tx: tx.execute(update(schema.operations).values(ended_at=back)))


def opened(database: Database, directory: Path) -> AuditLog:
    return open_audit(database, directory, segment_bytes=1 << 20, retention_days=0)


def told(directory: Path) -> list[dict[str, Any]]:
    """Give the entries of ends."""
    lines = [
        json.loads(line) for file in directory.iterdir() for line in file.read_bytes().splitlines()
    ]
    return [line for line in lines if line.get("operation", {}).get("last")]


def test_an_end_is_told_by_who_saw_it(database: Database, tmp_path: Path) -> None:
    with closing(opened(database, tmp_path / "audit")) as audit:
        operation = ended(database)
        tell_end(database, audit, operation)
        (entry,) = told(tmp_path / "audit")
    assert entry["operation"]["id"] == str(operation.name)
    payload = entry["protoPayload"]
    assert payload["authenticationInfo"] == {"principalEmail": WHO}
    assert payload["methodName"] == (
        "google.cloud.healthcare.v1.dicom.DicomService.ImportDicomData"
    )
    let_time_pass(database)
    opened(database, tmp_path / "audit").close()
    assert len(told(tmp_path / "audit")) == 1


def test_ends_that_nobody_came_to_are_told_by_the_next_server(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "UNTOLD_MAX", 2)
    names = [str(ended(database).name) for _ in range(5)]
    let_time_pass(database)
    opened(database, tmp_path / "audit").close()
    assert [each["operation"]["id"] for each in told(tmp_path / "audit")] == names
    opened(database, tmp_path / "audit").close()
    assert len(told(tmp_path / "audit")) == len(names)


@pytest.mark.parametrize("step", ["audit.written", "audit.synced"])
def test_a_death_between_end_and_entry_leaves_none_out(
    database: Database, tmp_path: Path, step: str
) -> None:
    def die(heard: str) -> None:
        if heard == step:
            raise Died

    with closing(opened(database, tmp_path / "audit")) as audit:
        operation = ended(database)
        with suppress(Died), listen(die):
            tell_end(database, audit, operation)
            pytest.fail(f"nothing came to {step}")
    let_time_pass(database)
    opened(database, tmp_path / "again").close()
    assert [each["operation"]["id"] for each in told(tmp_path / "again")] == [str(operation.name)]


def test_what_may_be_told_by_a_living_server_is_left_to_it(
    database: Database, tmp_path: Path
) -> None:
    ended(database)
    opened(database, tmp_path / "audit").close()
    assert len(told(tmp_path / "audit")) == (0 if database.is_shared else 1)
