"""Policies, and what else gcloud sends that Fileroom itself answers with 501."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml
from click.testing import CliRunner, Result

from fileroom.cli.deidentifying import to_config
from fileroom.cli.program import program
from tests.unit.client.scripted_server import Scripted, scripted_server

if TYPE_CHECKING:
    from pathlib import Path

    from fileroom.client import JsonObject

DATASET = "projects/p/locations/us-central1/datasets/d"
STORE = f"{DATASET}/dicomStores/s"
CONDITION: JsonObject = {"expression": "a == 'b, c'", "title": "t"}
PLAIN: JsonObject = {
    "etag": "BwU=",
    "bindings": [{"role": "roles/x", "members": ["user:a@x.org"]}],
}
CONDITIONAL: JsonObject = {
    "etag": "BwU=",
    "version": 3,
    "bindings": [
        {"role": "roles/x", "members": ["user:a@x.org"]},
        {"role": "roles/x", "members": ["user:a@x.org"], "condition": CONDITION},
    ],
}
ADD = ("dicom-stores", "add-iam-policy-binding", STORE)
REMOVE = ("dicom-stores", "remove-iam-policy-binding", STORE)
MEMBER = ("--member=user:a@x.org", "--role=roles/x")


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(program, arguments)
    if isinstance(result.exception, Exception):
        raise result.exception
    return result


def run_with(policy: JsonObject, *arguments: str) -> tuple[Result, list[JsonObject]]:
    """Run a command against a server with a policy, and give what it wrote too."""
    with scripted_server(Scripted(200, json.dumps(policy).encode())) as script:
        result = run(*arguments, f"--server={script.url}")
    bodies = [json.loads(body) for verb, _, body in script.requests if verb == "POST"]
    return result, bodies


def test_policy_is_printed() -> None:
    for line in (
        ("datasets", "get-iam-policy", DATASET),
        ("dicom-stores", "get-iam-policy", STORE),
    ):
        result, _ = run_with(PLAIN, *line)
        assert yaml.safe_load(result.stdout) == PLAIN


@pytest.mark.parametrize("content", [json.dumps(PLAIN), yaml.safe_dump(PLAIN)])
def test_policy_file_is_written_whole(tmp_path: Path, content: str) -> None:
    (tmp_path / "policy").write_text(content)
    result, bodies = run_with(
        PLAIN, "datasets", "set-iam-policy", DATASET, str(tmp_path / "policy"), "--format=json"
    )
    assert bodies == [{"policy": PLAIN, "updateMask": "bindings,etag"}]
    assert result.stderr == "Updated IAM policy for dataset [d].\n"
    assert json.loads(result.stdout) == PLAIN


def test_policy_file_without_etag_is_asked_about(tmp_path: Path) -> None:
    (tmp_path / "policy").write_text("bindings: []")
    line = ("datasets", "set-iam-policy", DATASET, str(tmp_path / "policy"))
    refused, bodies = run_with(PLAIN, *line)
    assert (refused.exit_code, bodies) == (2, [])
    _, bodies = run_with(PLAIN, *line, "--quiet")
    assert bodies == [{"policy": {"bindings": []}, "updateMask": "bindings"}]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "No such file"),
        ("a: [", "is neither JSON nor YAML"),
        ("[1]", "holds no object"),
        ("a: 2026-01-02", "such as a date without quotes"),
    ],
)
def test_policy_file_that_is_none_is_one_line(
    tmp_path: Path, content: str | None, told: str
) -> None:
    if content is not None:
        (tmp_path / "policy").write_text(content)
    result = run("dicom-stores", "set-iam-policy", STORE, str(tmp_path / "policy"))
    assert result.exit_code == 2
    assert told in result.stderr
    assert result.stderr.count("\n") == 1


def test_binding_is_added_to_the_policy_that_was_read() -> None:
    result, bodies = run_with(PLAIN, *ADD, "--member=user:b@x.org", "--role=roles/x")
    expected = {"role": "roles/x", "members": ["user:a@x.org", "user:b@x.org"]}
    assert bodies == [{"policy": {"etag": "BwU=", "bindings": [expected]}}]
    assert result.stderr == "Updated IAM policy for dicomStore [s].\n"


@pytest.mark.parametrize(
    "flag",
    [
        "--condition=^:^expression=a == 'b, c':title=t",
        "--condition-from-file={file}",
    ],
)
def test_binding_is_removed_under_its_condition(tmp_path: Path, flag: str) -> None:
    file = tmp_path / "condition.json"
    file.write_text(json.dumps(CONDITION))
    _, bodies = run_with(CONDITIONAL, *REMOVE, *MEMBER, flag.format(file=file))
    (body,) = bodies
    assert body["policy"] == PLAIN | {"version": 3}


def test_binding_is_removed_under_whichever_condition() -> None:
    _, bodies = run_with(CONDITIONAL, *REMOVE, *MEMBER, "--all")
    assert bodies == [{"policy": CONDITIONAL | {"bindings": []}}]


def test_policy_with_conditions_is_changed_only_with_a_word_on_them() -> None:
    for line, more in ((ADD, ""), (REMOVE, ", or --all for any")):
        result, bodies = run_with(CONDITIONAL, *line, *MEMBER)
        assert (result.exit_code, bodies) == (1, [])
        assert f"--condition=None for none{more}; nothing was changed" in result.stderr
    _, bodies = run_with(CONDITIONAL, *REMOVE, *MEMBER, "--condition=None")
    (body,) = bodies
    policy = body["policy"]
    assert isinstance(policy, dict)
    assert policy["bindings"] == [CONDITIONAL["bindings"][1]]  # type: ignore[index]


def test_binding_that_is_not_there_cannot_be_removed() -> None:
    result, bodies = run_with(PLAIN, *REMOVE, "--member=user:b@x.org", "--role=roles/x")
    assert (result.exit_code, bodies) == (1, [])
    assert "NOT_FOUND: the policy gives user:b@x.org no roles/x" in result.stderr


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--condition=foo=1"], "'foo=1' is none of expression=, title= and description="),
        (["--condition=title=t"], "a condition needs its expression"),
        (["--condition=expression=true"], "a condition needs its title"),
        (["--condition=None", "--condition-from-file=x"], "not both"),
        (["--all", "--condition=None"], "leave out --condition"),
        (["--role=roles/owner", "--condition=expression=true,title=t"], "is a basic role"),
    ],
)
def test_wrong_condition_is_one_line(flags: list[str], told: str) -> None:
    line = REMOVE if "--all" in flags else ADD
    result = run(*line, *MEMBER, *flags)
    assert result.exit_code == 2
    assert told in result.stderr
    assert result.stderr.count("\n") == 1


def test_tags_hold_commas_of_their_own() -> None:
    assert to_config("PatientID, 0010,0010,StudyDate", "all", has_fhir=True) == {
        "dicom": {"keepList": {"tags": ["PatientID", "0010,0010", "StudyDate"]}},
        "image": {"textRedactionMode": "REDACT_ALL_TEXT"},
        "fhir": {},
    }
    assert to_config(None, None) == {}


@pytest.mark.parametrize(
    ("line", "path", "body"),
    [
        (
            ["datasets", "deidentify", DATASET, f"--destination-dataset={DATASET}2"],
            f"{DATASET}:deidentify",
            {"destinationDataset": f"{DATASET}2", "config": {}},
        ),
        (
            [
                "dicom-stores",
                "deidentify",
                STORE,
                "--destination-store=out",
                "--dicom-filter-tags=PatientID",
                "--text-redaction-mode=all",
            ],
            f"{STORE}:deidentify",
            {
                "destinationStore": f"{DATASET}/dicomStores/out",
                "config": {
                    "dicom": {"keepList": {"tags": ["PatientID"]}},
                    "image": {"textRedactionMode": "REDACT_ALL_TEXT"},
                },
            },
        ),
        (
            [
                "dicom-stores",
                "export",
                "bq",
                STORE,
                "--bq-table=bq://a.b.c",
                "--write-disposition=write-append",
                "--filter-config-gcs-uri=gs://bkt/f",
            ],
            f"{STORE}:export",
            {
                "bigqueryDestination": {
                    "tableUri": "bq://a.b.c",
                    "writeDisposition": "WRITE_APPEND",
                },
                "filterConfig": {"resourcePathsGcsUri": "gs://bkt/f"},
            },
        ),
        (
            ["dicom-stores", "export", "bq", STORE, "--bq-table=bq://a.b.c", "--overwrite-table"],
            f"{STORE}:export",
            {"bigqueryDestination": {"tableUri": "bq://a.b.c", "force": True}},
        ),
        (
            ["datasets", "create", DATASET, "--encryption-key=projects/p/k"],
            f"{DATASET.removesuffix('/d')}?datasetId=d",
            {"encryptionSpec": {"kmsKeyName": "projects/p/k"}},
        ),
    ],
)
def test_request_is_that_of_gcloud(line: list[str], path: str, body: JsonObject) -> None:
    started = Scripted(200, json.dumps({"name": f"{DATASET}/operations/7"}).encode())
    with scripted_server(started) as script:
        result = run(*line, "--async", f"--server={script.url}")
    assert result.stdout == f"name: {DATASET}/operations/7\n"
    ((verb, asked, sent),) = script.requests
    assert (verb, asked, json.loads(sent)) == ("POST", f"/v1/{path}", body)
