from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

import click
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fileroom.cli.output.printable import printable
from fileroom.cli.output.projections import parse_columns, parse_format
from fileroom.cli.output.rendering import (
    FormatType,
    csv_lines,
    field,
    table_lines,
    to_yaml,
    write_many,
    write_one,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fileroom.client import Json, JsonObject

STORE: JsonObject = {
    "name": "projects/p/locations/l/datasets/d/dicomStores/s",
    "notificationConfig": {"pubsubTopic": "projects/p/topics/t"},
    "labels": {"b": "2", "a": "1"},
    "instanceCount": "60",
}
COLUMNS = parse_columns(
    "name.scope(dicomStores):label=ID, name.scope(locations).segment(0):label=LOCATION,"
    "notificationConfig.pubsubTopic:label=TOPIC, done"
)


def test_yaml_has_sorted_keys_and_quoted_counters() -> None:
    assert to_yaml(STORE) == (
        "instanceCount: '60'\n"
        "labels:\n"
        "  a: '1'\n"
        "  b: '2'\n"
        "name: projects/p/locations/l/datasets/d/dicomStores/s\n"
        "notificationConfig:\n"
        "  pubsubTopic: projects/p/topics/t\n"
    )


def test_yaml_writes_text_of_several_lines_as_a_block() -> None:
    assert to_yaml({"message": "one\ntwo"}) == "message: |-\n  one\n  two\n"


@settings(max_examples=50)
@given(
    st.dictionaries(
        st.text(),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=5,
        ),
    )
)
def test_yaml_says_what_the_server_said(body: JsonObject) -> None:
    assert yaml.safe_load(to_yaml(body)) == body


def test_table_aligns_columns_and_leaves_absent_fields_blank() -> None:
    rows: list[JsonObject] = [
        STORE,
        {"name": "projects/p/locations/l-2/datasets/d/dicomStores/s-2"},
    ]
    assert list(table_lines(rows, COLUMNS)) == [
        "ID   LOCATION  TOPIC                DONE",
        "s    l         projects/p/topics/t",
        "s-2  l-2",
    ]


def test_table_shows_true_and_lists() -> None:
    columns = [field("DONE", "done"), field("LIST", "list")]
    assert list(table_lines([{"done": True, "list": ["a", "b"]}], columns)) == [
        "DONE  LIST",
        "True  ['a', 'b']",
    ]


def test_table_of_any_length_holds_one_block_of_rows() -> None:
    taken = 0

    def rows() -> Iterator[JsonObject]:
        nonlocal taken
        for taken in itertools.count(1):
            yield {"id": taken}

    lines = table_lines(rows(), [field("ID", "id")])
    assert list(itertools.islice(lines, 3)) == ["ID", "1", "2"]
    assert taken == 1000


def test_csv_quotes_what_needs_it() -> None:
    columns = [field("source", "source"), field("offset", "offset")]
    rows: list[JsonObject] = [{"source": 'a,"b"', "offset": 0}, {"source": "c"}]
    assert list(csv_lines(rows, columns)) == ["source,offset", '"a,""b""",0', "c,"]


def test_object_name_cannot_command_the_terminal() -> None:
    assert printable("gs://b/\x1b[2Jä\n") == "gs://b/\\x1b[2Jä\\n"


def test_csv_cell_neither_commands_a_terminal_nor_breaks_a_line() -> None:
    rows: list[JsonObject] = [{"a": "x\x1b]0;y\x07\rz"}]
    assert list(csv_lines(rows, parse_columns("a"))) == ["a", "x\\x1b]0;y\\x07\\rz"]


def test_csv_cell_is_no_formula_for_a_spreadsheet() -> None:
    rows: list[JsonObject] = [{"source": "=1+1"}]
    assert list(csv_lines(rows, [field("source", "source")])) == ["source", "'=1+1"]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_json_list_is_one_document(count: int, capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[JsonObject] = [{"id": number, "a": {"b": "c"}} for number in range(count)]
    write_many(rows, COLUMNS, "json")
    text = capsys.readouterr().out
    assert json.loads(text) == rows
    expected: Json = [*rows]
    assert text == json.dumps(expected, indent=2, sort_keys=True) + "\n"


def test_yaml_list_is_one_document_for_each_item(capsys: pytest.CaptureFixture[str]) -> None:
    write_many([{"b": "1", "a": "x"}, {"a": "y"}], COLUMNS, "yaml")
    assert capsys.readouterr().out == "---\na: x\nb: '1'\n---\na: y\n"


def test_empty_list_says_so_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    write_many([], COLUMNS, "table")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "Listed 0 items.\n"


def test_one_resource_as_a_table_has_a_row_for_each_field(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_one({"name": "n", "empty": {}, "labels": {"a": "1"}}, "table")
    assert capsys.readouterr().out == "FIELD     VALUE\nempty     {}\nlabels.a  1\nname      n\n"


@pytest.mark.parametrize(
    ("output_format", "expected"),
    [
        ("table(name)", "ID\ns\n"),
        ("table(name.segment(1):label=PROJECT, labels)", "PROJECT  LABELS\np        {A}\n"),
        ("table[no-heading](instanceCount)", "60\n"),
        ("csv(name,labels)", "id,labels\ns,a=1;b=2\n"),
        ("csv[no-heading,separator=;](labels.a,labels.b)", "1;2\n"),
        ("value(name.basename(),absent,labels.list())", "s\t\ta=1,b=2\n"),
        ("value", "s\tl\tprojects/p/topics/t\t\n"),
        ("json(labels.a)", '[\n  {\n    "labels": {\n      "a": "1"\n    }\n  }\n]\n'),
        ("json(absent)", "[\n  null\n]\n"),
        ("yaml(name.basename(),absent)", "---\nname: s\n"),
        ("yaml(absent)", "---\nnull\n"),
        ("none", ""),
        ("disable", ""),
    ],
)
def test_format_names_fields_and_what_is_made_of_them(
    output_format: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_many([STORE], COLUMNS, parse_format(output_format))
    assert capsys.readouterr().out == expected.replace("{A}", "{'b': '2', 'a': '1'}")


@pytest.mark.parametrize(
    ("output_format", "expected"),
    [
        ("json(labels.b)", '{\n  "labels": {\n    "b": "2"\n  }\n}\n'),
        ("yaml(name.basename())", "name: s\n"),
        ("csv(name,instanceCount)", f"name,instance_count\n{STORE['name']},60\n"),
        ("value(name)", f"{STORE['name']}\n"),
        ("none", ""),
    ],
)
def test_format_of_one_resource_names_fields_too(
    output_format: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_one(STORE, parse_format(output_format))
    assert capsys.readouterr().out == expected


def test_value_is_one_line_whatever_it_holds(capsys: pytest.CaptureFixture[str]) -> None:
    write_many([{"a": "one\ntwo\x1b[2J"}], [], parse_format("value(a)"))
    assert capsys.readouterr().out == "one\\ntwo\\x1b[2J\n"


def test_json_keeps_letters_and_escapes_what_commands_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_one({"a": "é\x9b2J\u202e"}, "json")
    text = capsys.readouterr().out
    assert text == '{\n  "a": "é\\u009b2J\\u202e"\n}\n'
    assert json.loads(text) == {"a": "é\x9b2J\u202e"}


def test_shell_completes_the_names_of_formats() -> None:
    context = click.Context(click.Command("list"))
    found = FormatType().shell_complete(context, click.Option(["--format"]), "c")
    assert [item.value for item in found] == ["csv"]
