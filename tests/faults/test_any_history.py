"""In any history of what clients ask, and of servers that die, the store is as a dictionary says.

Operations go on by one transaction at a time, so that whatever is asked falls between any two.
"""

from __future__ import annotations

import hashlib
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import update

from fileroom.archive.retrieve import find_instance, open_as_stored
from fileroom.archive.storing import StoreRules, StoringRequest
from fileroom.database import operations, schema
from fileroom.database.operations import Kind, State, running
from fileroom.errors import FailedPrecondition, NotFound
from fileroom.names import InstancePath, Uid
from fileroom.operations.operation import account
from fileroom.transfer.changing.deletion import request_delete
from fileroom.transfer.changing.undoing import request_undo
from fileroom.transfer.exporting.job import request_export
from fileroom.transfer.importing.job import request_import
from fileroom.transfer.ledger import DEFERRED, LedgerLine, decode_chunk
from fileroom.transfer.options import ImportOptions
from tests.faults import flows
from tests.faults.stepping import Stepped, claim_next
from tests.unit.database.rows import STORE
from tests.unit.transfer.site import UIDS, instance, opened_site, uids

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fileroom.database.engine import Connection
    from fileroom.database.operations import Operation
    from fileroom.names import OperationName

KEYS: Final = [
    uids(n, series=series, study=study) for study in (1, 2) for series in (1, 2) for n in (1, 2)
]
PATIENTS: Final = "abc"
FILES: Final = {
    (key, patient): instance(key, patient_id=patient) for key in KEYS for patient in PATIENTS
}
SHAS: Final = {
    hashlib.sha256(content).hexdigest(): patient for (_, patient), content in FILES.items()
}
RUNNING_MAX: Final = 3
keys = st.sampled_from(KEYS)
patients = st.sampled_from(PATIENTS)
_directories = count()


class Machine(RuleBasedStateMachine):
    """A server, its clients, and the plainest model of a store."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._opened = opened_site(directory / f"{next(_directories)}")
        self.site = self._opened.__enter__()
        self.model: dict[UIDS, str] = {}
        self.writer: dict[UIDS, int | str] = {}
        """Which operation an instance's bytes are of, as far as one is."""
        self.before: dict[int, dict[UIDS, str | None]] = {}
        """What an import replaced, or None where it created."""
        self.files: dict[str, tuple[UIDS, str]] = {}
        self.policies: dict[int, str] = {}
        self.deletions: dict[int, tuple[str, ...]] = {}
        """What is being deleted, by operation."""
        self.deleted_under: dict[int, list[tuple[str, ...]]] = {}
        """What was deleted since an import began."""
        self.undone: dict[int, int] = {}
        self.lines: dict[int, int] = {}
        self.told: dict[int, Operation] = {}
        self.running: dict[int, Stepped] = {}
        self.halted: list[Stepped] = []
        """Servers that went on after another had claimed their operation."""

    # ------------------------------------------------------------------ what clients ask

    @rule(key=keys, patient=patients)
    def store(self, key: UIDS, patient: str) -> None:
        site = self.site
        request = StoringRequest(site.facilities.requests, site.content, StoreRules())
        try:
            part = request.begin_part()
            part.write(FILES[key, patient])
            part.end()
            (outcome,) = request.store()
        finally:
            request.close()
        if self.doomed(key):
            if outcome.failure is None:
                self.adopt(key)
            return
        assert (outcome.failure is None) == (self.model.get(key, patient) == patient)
        if outcome.failure is None and key not in self.model:
            self.model[key], self.writer[key] = patient, "a client"

    @rule(
        wanted=st.dictionaries(keys, patients, min_size=1, max_size=6),
        policy=st.sampled_from(["", "KEEP_FIRST", "REPLACE"]),
    )
    def ask_import(self, wanted: dict[UIDS, str], policy: Any) -> None:
        directory = f"in{next(_directories)}"
        for number, (key, patient) in enumerate(wanted.items()):
            file = f"{directory}/{number}.dcm"
            self.site.put(file, FILES[key, patient])
            self.files[f"gs://bucket/{file}"] = (key, patient)
        options = ImportOptions(duplicate_policy=policy)
        uri = f"gs://bucket/{directory}/**"
        name = request_import(self.site.facilities, STORE, uri, options=options, api_version="v1")
        operation = self.named(name)
        self.policies[operation.id] = policy
        self.before[operation.id] = {}
        self.deleted_under[operation.id] = []

    @rule()
    def ask_export(self) -> None:
        prefix = f"gs://bucket/out{next(_directories)}"
        request_export(self.site.facilities, STORE, prefix, api_version="v1")

    @rule(key=keys, levels=st.sampled_from([1, 2]))
    def ask_delete(self, key: UIDS, levels: int) -> None:
        prefix = key[:levels]
        path = InstancePath(*map(Uid, prefix))
        try:
            name = request_delete(self.site.facilities, STORE, path, api_version="v1")
        except NotFound:
            assert not any(one[:levels] == prefix for one in self.model)
            return
        self.deletions[self.named(name).id] = prefix
        for one in self.all():
            if one.id in self.deleted_under and one.start_seq is not None:
                self.deleted_under[one.id].append(prefix)
        for key in [key for key in self.model if key[:levels] == prefix]:
            del self.model[key]

    @precondition(lambda self: any(self.may_be_undone(one) for one in self.all()))
    @rule(data=st.data())
    def ask_undo(self, data: st.DataObject) -> None:
        ended = [one for one in self.all() if self.may_be_undone(one)]
        one = data.draw(st.sampled_from([each.id for each in ended]))
        (undone,) = (each for each in ended if each.id == one)
        name = request_undo(
            self.site.facilities,
            undone.name,
            api_version="v1",
            permission="healthcare.dicomStores.dicomWebDelete",
        )
        self.undone[self.named(name).id] = one

    @precondition(lambda self: bool(self.all()))
    @rule(data=st.data(), what=st.sampled_from(["cancel", "pause", "resume"]))
    def ask_of_one(self, data: st.DataObject, what: str) -> None:
        name = data.draw(st.sampled_from([one.id for one in self.all()]))
        (operation,) = (one for one in self.all() if one.id == name)
        try:
            self.ask(operation, getattr(operations, f"request_{what}"))
        except FailedPrecondition:
            assert what == "pause"
            assert not operation.kind.can_be_cancelled

    # ------------------------------------------------------------------ what servers do

    @precondition(lambda self: len(self.running) < RUNNING_MAX)
    @rule()
    def begin(self) -> None:
        operation = claim_next(self.site, list(self.running))
        if operation is not None:
            self.running[operation.id] = Stepped(self.site, operation)

    @precondition(lambda self: bool(self.running))
    @rule(data=st.data(), steps=st.integers(1, 4))
    def go_on(self, data: st.DataObject, steps: int) -> None:
        one = data.draw(st.sampled_from(sorted(self.running)))
        for _ in range(steps):
            if one in self.running:
                self.step(one)

    @precondition(lambda self: bool(self.running))
    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        self.running.pop(data.draw(st.sampled_from(sorted(self.running)))).kill()

    @precondition(lambda self: bool(self.running))
    @rule(data=st.data())
    def halt(self, data: st.DataObject) -> None:
        """Have a server halt past its lease: another one may claim what it runs."""
        self.halted.append(self.running.pop(data.draw(st.sampled_from(sorted(self.running)))))

    @precondition(lambda self: bool(self.halted))
    @rule()
    def wake(self) -> None:
        """Have a halted server go on: if another has claimed it, nothing it writes counts."""
        woken = self.halted.pop()
        before = self.named_by_id(woken.operation.id)
        if before.fence == woken.operation.fence and before.id not in self.running:
            self.running[before.id] = woken
            return
        for _ in range(3):
            woken.step()
            assert self.named_by_id(woken.operation.id) == before
        woken.kill()

    @rule()
    def collect(self) -> None:
        flows.collect(None, self.site)

    # ------------------------------------------------------------------ the model

    def step(self, one: int) -> None:
        stepped = self.running[one]
        doomed = self.deletions.get(one)
        stepped.step()
        self.absorb(one)
        if doomed is not None:
            self.absorb_deletion(one)
        if one in self.undone:
            self.absorb_undo(self.undone[one])
        if stepped.ended:
            del self.running[one]

    def absorb(self, one: int) -> None:
        """Have the model follow the ledger, line by line, each as its policy allows."""
        with self.site.database.read() as connection:
            chunks = operations.ledger_chunks(connection, one, after=(-1, 0), at_most=1000)
        lines = [line for *_, chunk in chunks for line in decode_chunk(chunk)]
        for line in lines[self.lines.get(one, 0) :]:
            if one in self.policies and line.result != DEFERRED:
                self.follow(one, line)
        self.lines[one] = len(lines)

    def follow(self, one: int, line: LedgerLine) -> None:
        key, patient = self.files[line.source]
        has, policy = self.model.get(key), self.policies[one]
        if self.doomed(key):
            if line.result in ("imported", "replaced"):
                self.adopt(key)
            return
        gone = any(key[: len(prefix)] == prefix for prefix in self.deleted_under[one])
        match line.result:
            case "imported":
                assert has is None
                assert not gone, "a deleted instance came back"
            case "replaced":
                assert policy == "REPLACE"
                assert has not in (None, patient)
            case "identical":
                assert has == patient
            case "kept":
                assert gone or (policy == "KEEP_FIRST" and has not in (None, patient))
            case _:
                assert policy == ""
                assert has not in (None, patient)
        if line.result in ("imported", "replaced"):
            self.before[one][key] = has
            self.model[key], self.writer[key] = patient, one

    def absorb_deletion(self, one: int) -> None:
        if self.named_by_id(one).state is State.DONE:
            del self.deletions[one]

    def absorb_undo(self, undone: int) -> None:
        for key, earlier in self.before[undone].items():
            has, found = self.model.get(key), self.get(key)
            if found != has:
                assert found == earlier, "undone to something else"
                assert self.writer.get(key) in (undone, "an undo"), "it was changed since"
                self.adopt(key)
                self.writer[key] = "an undo"

    def adopt(self, key: UIDS) -> None:
        found = self.get(key)
        self.writer[key] = "an undo"
        if found is None:
            self.model.pop(key, None)
        else:
            self.model[key] = found

    def doomed(self, key: UIDS) -> bool:
        return any(key[: len(prefix)] == prefix for prefix in self.deletions.values())

    def get(self, key: UIDS) -> str | None:
        content = self.site.content
        try:
            stored = find_instance(content, InstancePath(*map(Uid, key)))
        except NotFound:
            return None
        pieces = open_as_stored(content, stored).pieces
        return SHAS[hashlib.sha256(b"".join(pieces)).hexdigest()]

    def all(self) -> list[Operation]:
        return flows.all_operations(self.site)

    def ask(self, one: Operation, what: Callable[[Connection, OperationName], None]) -> None:
        self.site.database.write(lambda transaction: what(transaction, one.name))

    def named(self, name: OperationName) -> Operation:
        with self.site.database.read() as connection:
            return operations.get_operation(connection, name)

    def named_by_id(self, one: int) -> Operation:
        return next(each for each in self.all() if each.id == one)

    def may_be_undone(self, operation: Operation) -> bool:
        return operation.kind is Kind.IMPORT and operation.state is State.DONE

    # ------------------------------------------------------------------ what always holds

    @invariant()
    def clients_get_what_the_model_says(self) -> None:
        for key in KEYS:
            if not self.doomed(key):
                assert self.get(key) == self.model.get(key), key

    @invariant()
    def operations_only_go_forward(self) -> None:
        for one in self.all():
            told = account(one)
            assert sum(told.values()) == 2 * told["listed"]
            flows.ledger_of(self.site, one)
            assert (one.error is None) or (one.response is None)
            earlier = self.told.get(one.id)
            if earlier is not None:
                assert one.state is State.DONE or earlier.state is not State.DONE
                for term in flows.TERMS:
                    assert getattr(one.counters, term) >= getattr(earlier.counters, term)
            self.told[one.id] = one

    def teardown(self) -> None:
        try:
            while self.halted:
                self.halted.pop().kill()
            for one in self.all():
                self.ask(one, operations.request_resume)
            while self.running or not all(one.state is State.DONE for one in self.all()):
                if self.running:
                    self.step(min(self.running))
                else:
                    self.begin()
                self.clients_get_what_the_model_says()
            self.operations_only_go_forward()
            self.collect()
            flows.check_at_the_end(self.site)
        finally:
            for stepped in [*self.running.values(), *self.halted]:
                stepped.kill()
            self._opened.__exit__(None, None, None)


def run_machine(directory: Path, *, examples: int, steps: int, shrunk: bool = True) -> None:
    class Here(Machine):
        def __init__(self) -> None:
            super().__init__(directory)

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            phases=(Phase.generate, Phase.shrink)[: 1 + shrunk],
            derandomize=not shrunk,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make few objects several batches and slices, and have requests heard at once."""
    monkeypatch.setattr("fileroom.transfer.pipeline.batches.FIRST_BATCHES", (1, 2, 1))
    monkeypatch.setattr("fileroom.transfer.pipeline.coordinator.CHECK_SECONDS", 0.01)
    monkeypatch.setattr("fileroom.database.instances.deleting.SLICE_MAX", 1)
    monkeypatch.setattr("fileroom.transfer.changing.rewriting.SLICE_PARTS", 1)


@pytest.mark.clause(
    "Fileroom invariants",
    "whatever clients store, import, export, delete, undo, cancel, pause and resume between any "
    "two transactions, and whichever server dies, they get what a dictionary would give them",
    holds="own rule",
)
def test_any_history_of_operations_is_that_of_a_dictionary(tmp_path: Path) -> None:
    run_machine(tmp_path, examples=12, steps=30)


def test_a_fence_that_is_not_asked_for_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def update_anyhow(tx: Connection, one: Operation, values: dict[str, object]) -> None:
        table = schema.operations
        tx.execute(update(table).where(table.c.id == one.id).values(**values))

    monkeypatch.setattr(operations, "lock_operation", lambda *_, **__: None)
    monkeypatch.setattr(running, "_update_claimed", update_anyhow)
    with pytest.raises((AssertionError, ExceptionGroup)):
        run_machine(tmp_path, examples=60, steps=30, shrunk=False)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_many_histories_of_operations_are_those_of_a_dictionary(tmp_path: Path) -> None:
    run_machine(tmp_path, examples=300, steps=50)
