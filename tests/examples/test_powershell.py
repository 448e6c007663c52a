"""What PowerShell's web cmdlets send, byte for byte, for every call of the example script.

PowerShell 7 sends through HttpClient. Windows PowerShell 5.1, for which the same commands are
written, sends through HttpWebRequest: a request with a body asks with ``Expect: 100-continue``, and
the body follows when the server has said so, or after 350 ms all the same. Neither program is
needed here: the requests are laid out as the programs lay them out and go over a plain socket.
"""

from __future__ import annotations

import json
import re
import socket
import time
from dataclasses import dataclass, replace
from http.client import HTTPResponse
from string import Template
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import pytest

from fileroom.closing import Closing
from tests import corpus
from tests.end_to_end.conftest import slices
from tests.tools import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from tests.end_to_end.conftest import Place
    from tests.server import RunningServer

SCRIPT: Final = ROOT / "examples" / "powershell" / "dicom.ps1"
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
JSON: Final = "application/json; charset=utf-8"
DICOM_JSON: Final = "application/dicom+json"
INSTANCE: Final = "studies/$Study/series/$Series/instances/$Instance"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a cmdlet, as the script writes it."""

    method: str
    uri: str
    """With PowerShell's variables, which are written as those of a Template are."""
    accept: str | None = None
    content_type: str | None = None
    content: str | None = None
    """The parameter that the body comes from."""
    fields: tuple[str, ...] = ()
    """The names in the JSON body."""


CALLS: Final = {
    "Import-DicomData": Call(
        method="Post",
        uri="$Endpoint/${Store}:import",
        content_type=JSON,
        content="Body",
        fields=("gcsSource", "uri"),
    ),
    "Export-DicomData": Call(
        method="Post",
        uri="$Endpoint/${Store}:export",
        content_type=JSON,
        content="Body",
        fields=("uriPrefix", "mimeType", "gcsDestination"),
    ),
    "Send-Instance": Call(
        method="Post",
        uri="$Endpoint/$Store/dicomWeb/studies",
        accept=DICOM_JSON,
        content_type="application/dicom",
        content="InFile",
    ),
    "Find-Study": Call(
        method="Get", uri="$Endpoint/$Store/dicomWeb/studies$Search", accept=DICOM_JSON
    ),
    "Save-Instance": Call(
        method="Get",
        uri=f"$Endpoint/$Store/dicomWeb/{INSTANCE}",
        accept="application/dicom; transfer-syntax=*",
    ),
    "Save-Rendered": Call(
        method="Get", uri=f"$Endpoint/$Store/dicomWeb/{INSTANCE}/rendered", accept="image/png"
    ),
    "Remove-Study": Call(method="Delete", uri="$Endpoint/$Store/dicomWeb/studies/$Study"),
    "Wait-Operation": Call(method="Get", uri="$Endpoint/$Name"),
}
"""What the tests below send, by the function of the script that sends it."""


def written_calls() -> Iterator[tuple[str, Call]]:
    """Give the calls of the script: one in a function, its parameters perhaps on several lines."""
    text = SCRIPT.read_text(encoding="utf-8").replace("`\n", " ")
    functions = re.findall(
        r"^function ([\w-]+)\(.*?\) \{\n(.*?)^\}", text, re.DOTALL | re.MULTILINE
    )
    for name, body in functions:
        values = dict(re.findall(r"(\w+) = [\"'](.*?)[\"']", body))
        for line in re.findall(r"Invoke-(?:RestMethod|WebRequest) (.*)", body):
            given = {
                parameter: value.strip("\"'")
                for parameter, value in re.findall(r"-(\w+) (\(.*?\)|\".*?\"|'.*?'|\S+)", line)
            }
            yield (
                name,
                Call(
                    method=given["Method"],
                    uri=given["Uri"].replace("$Path", values.get("Path", "")),
                    accept=values.get("Accept") if "$Accept" in given["Headers"] else None,
                    content_type=given.get("ContentType"),
                    content=next((each for each in ("Body", "InFile") if each in given), None),
                    fields=tuple(re.findall(r"(?:@\{ |\$Destination\.)(?!Accept)(\w+) =", body)),
                ),
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back."""

    continued: bool
    """The server said 100 before it had the body."""
    status: int
    media_type: str | None
    content: bytes
    closed: bool
    """Nothing more can be sent on the connection."""

    @property
    def json(self) -> Any:
        return json.loads(self.content)


class PowerShell(Closing):
    """PowerShell 7 on one connection, which its web cmdlets keep when they are given a session."""

    user_agent = "Mozilla/5.0 (Linux; Ubuntu 24.04.1 LTS; en-US) PowerShell/7.4.6"
    waits = False

    def __init__(self, server: RunningServer, token: str | None = None) -> None:
        self.host = urlsplit(server.url).netloc
        self.token = token or server.token
        self.is_new = True
        name, _, port = self.host.partition(":")
        self.socket = socket.create_connection((name, int(port)), timeout=30)

    def close(self) -> None:
        """End the connection."""
        self.socket.close()

    def send(self, name: str, content: bytes = b"", **variables: str) -> Answer:
        """Send one call of the script; a refusal may come before the body went."""
        call = CALLS[name]
        path = Template(call.uri).substitute(variables, Endpoint="/v1")
        self.socket.sendall(self._head(call, path, len(content)))
        self.is_new = False
        continued = self.waits and bool(content) and self._is_told_to_continue()
        if continued or not self.waits:
            self.socket.sendall(content)
        answer = self._read(call.method, continued=continued)
        if content and self.waits and not continued:
            # The server still reads a body; HttpWebRequest sends it none, and closes.
            return replace(answer, closed=True)
        return answer

    def wait(self, started: Answer) -> Any:
        """Poll an operation as the script does."""
        assert started.status == 200, started.content
        for _ in range(200):
            operation = self.send("Wait-Operation", Name=started.json["name"]).json
            if operation.get("done"):
                return operation
            time.sleep(0.1)
        raise AssertionError(f"{started.json['name']} is not done after 20 s")

    def _headers(self, call: Call, length: int) -> dict[str, str | None]:
        return {
            "Host": self.host,
            "Authorization": f"Bearer {self.token}",
            "Accept": call.accept,
            "User-Agent": self.user_agent,
            "Accept-Encoding": "gzip, deflate, br",
            "Content-Type": call.content_type,
            "Content-Length": None if call.method == "Get" else str(length),
        }

    def _head(self, call: Call, path: str, length: int) -> bytes:
        lines = [f"{call.method.upper()} {path} HTTP/1.1"]
        headers = self._headers(call, length)
        lines += [f"{name}: {value}" for name, value in headers.items() if value is not None]
        return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("ascii")

    def _is_told_to_continue(self) -> bool:
        if self.socket.recv(len(CONTINUE), socket.MSG_PEEK) != CONTINUE:
            return False
        return self.socket.recv(len(CONTINUE)) == CONTINUE

    def _read(self, method: str, *, continued: bool) -> Answer:
        with HTTPResponse(self.socket, method=method.upper()) as answer:
            answer.begin()
            return Answer(
                continued=continued,
                status=answer.status,
                media_type=answer.getheader("Content-Type"),
                content=answer.read(),
                closed=answer.will_close,
            )


class WindowsPowerShell(PowerShell):
    """Windows PowerShell 5.1."""

    user_agent = "Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.19041.4522"
    waits = True

    def _headers(self, call: Call, length: int) -> dict[str, str | None]:
        return {
            "Authorization": f"Bearer {self.token}",
            "Accept": call.accept,
            "User-Agent": self.user_agent,
            "Content-Type": call.content_type,
            "Host": self.host,
            "Content-Length": None if call.method == "Get" else str(length),
            "Expect": "100-continue" if length else None,
            "Connection": "Keep-Alive" if self.is_new else None,
        }


both_editions = pytest.mark.parametrize("edition", [PowerShell, WindowsPowerShell])


def request_json(edition: type[PowerShell], request: dict[str, Any]) -> bytes:
    """Give the body as the script makes it, or as a documented command for 5.1 spells it."""
    if edition is PowerShell:
        return json.dumps(request, separators=(",", ":")).encode()
    return json.dumps(request, indent=2).replace('"', "'").replace("\n", "\r\n").encode()


def test_the_script_makes_the_calls_that_are_tested_here() -> None:
    text = SCRIPT.read_text(encoding="utf-8")

    assert list(written_calls()) == list(CALLS.items())
    assert text.count("Invoke-") == len(CALLS)
    assert text.count("-Headers $Headers") + text.count("-Headers ($Headers +") == len(CALLS)
    assert '$Endpoint = "$env:FILEROOM_SERVER/v1"' in text
    assert '$Headers = @{ Authorization = "Bearer $Token" }' in text


@both_editions
@pytest.mark.clause(
    "PowerShell web cmdlets",
    "Invoke-RestMethod of PowerShell 7 and, with Expect: 100-continue, of 5.1 imports, polls and "
    "exports over one connection",
)
def test_powershell_imports_and_exports(edition: type[PowerShell], place: Place) -> None:
    contents = list(slices(3))
    for index, content in enumerate(contents):
        place.put(f"{index}.dcm", content)
    source = {"gcsSource": {"uri": f"gs://{place.bucket_id}/*.dcm"}}
    files = {"gcsDestination": {"uriPrefix": f"gs://{place.bucket_id}/files"}}
    pictures = {
        "gcsDestination": {
            "uriPrefix": f"gs://{place.bucket_id}/pictures",
            "mimeType": "image/png",
        }
    }

    with edition(place.server) as shell:
        answers, counters = [], []
        for name, body in (
            ("Import-DicomData", source),
            ("Export-DicomData", files),
            ("Export-DicomData", pictures),
        ):
            started = shell.send(name, request_json(edition, body), Store=place.dicom_store)
            answers.append(started)
            counters.append(shell.wait(started)["metadata"]["counter"])

    assert [each.status for each in answers] == [200, 200, 200]
    assert [each.continued for each in answers] == [edition.waits] * 3
    assert {each.media_type for each in answers} == {"application/json; charset=UTF-8"}
    assert counters == [{"success": "3"}] * 3
    written = (place.bucket / "files").glob("*/*/*.dcm")
    assert sorted(file.read_bytes() for file in written) == sorted(contents)
    assert len(list((place.bucket / "pictures").glob("*/*/*.png"))) == 3


@both_editions
@pytest.mark.clause(
    "PowerShell web cmdlets",
    "Invoke-RestMethod reads from the operation of a partly failed import its counters, its "
    "message and the sample errors",
)
def test_powershell_sees_what_failed(edition: type[PowerShell], place: Place) -> None:
    for index, content in enumerate(slices(2)):
        place.put(f"{index}.dcm", content)
    place.put("notes.txt", b"no DICOM at all" * 20)
    source = {"gcsSource": {"uri": f"gs://{place.bucket_id}/**"}}

    with edition(place.server) as shell:
        started = shell.send(
            "Import-DicomData", request_json(edition, source), Store=place.dicom_store
        )
        operation = shell.wait(started)

    assert operation["metadata"]["counter"] == {"success": "2", "failure": "1"}
    assert operation["error"]["message"]
    [sample] = operation["error"]["details"][0]["sampleErrors"]
    assert sample["resource"] == f"gs://{place.bucket_id}/notes.txt"
    assert sample["error"]["message"]


@both_editions
@pytest.mark.clause(
    "PowerShell web cmdlets",
    "Invoke-WebRequest stores a file (-InFile), finds it, fetches its bytes and a picture "
    "(-OutFile) and deletes the study over one connection",
)
def test_powershell_stores_searches_fetches_and_deletes(
    edition: type[PowerShell], place: Place
) -> None:
    [content] = slices(1)
    store = place.dicom_store

    with edition(place.server) as shell:
        stored = shell.send("Send-Instance", content, Store=store)
        found = shell.send("Find-Study", Store=store, Search="?PatientID=*&limit=5")
        study = found.json[0]["0020000D"]["Value"][0]
        names = {
            "Store": store,
            "Study": study,
            "Series": f"{corpus.UID_ROOT}.5.1",
            "Instance": f"{corpus.UID_ROOT}.5.1.1",
        }
        retrieved = shell.send("Save-Instance", **names)
        rendered = shell.send("Save-Rendered", **names)
        deleted = shell.send("Remove-Study", Store=store, Study=study)
        operation = shell.wait(deleted)
        gone = shell.send("Find-Study", Store=store, Search="")

    assert (stored.status, stored.continued) == (200, edition.waits)
    assert (stored.media_type, found.media_type) == (DICOM_JSON, DICOM_JSON)
    [reference] = stored.json["00081199"]["Value"]
    assert reference["00081155"]["Value"] == [names["Instance"]]
    assert (retrieved.status, retrieved.content) == (200, content)
    assert (rendered.status, rendered.media_type) == (200, "image/png")
    assert rendered.content.startswith(b"\x89PNG")
    assert "error" not in operation
    assert (gone.status, gone.content) == (204, b"")


@pytest.mark.clause(
    "RFC 9110 10.1.1",
    "a body that follows Expect: 100-continue without waiting, as of Windows PowerShell after "
    "350 ms, is read, and the connection serves the next request",
)
def test_a_body_that_did_not_wait_to_be_asked_for_is_stored(place: Place) -> None:
    class Impatient(WindowsPowerShell):
        waits = False

    with Impatient(place.server) as shell:
        for content in slices(2):
            assert shell.send("Send-Instance", content, Store=place.dicom_store).status == 200

    assert place.client.get_dicom_store_metrics(place.dicom_store).instance_count == 2


@both_editions
@pytest.mark.parametrize(
    ("status", "token", "store", "uri", "said"),
    [
        (401, "wrong", "store", "gs://bucket/**", "access token"),
        (404, None, "missing", "gs://bucket/**", "dicomStores/missing"),
        (403, None, "store", "gs://no-such-bucket/**", "gs://no-such-bucket"),
        (400, None, "store", "bucket/**", "bucket/**"),
    ],
)
@pytest.mark.clause(
    "PowerShell web cmdlets",
    "an import that is refused answers with Google's error body, which ErrorDetails.Message gives; "
    "the connection serves the next request if the body has been sent",
)
def test_powershell_sees_why_an_import_is_refused(
    edition: type[PowerShell],
    place: Place,
    *,
    status: int,
    token: str | None,
    store: str,
    uri: str,
    said: str,
) -> None:
    stores = {"store": place.dicom_store, "missing": f"{place.dataset}/dicomStores/missing"}
    body = request_json(
        edition, {"gcsSource": {"uri": uri.replace("//bucket", f"//{place.bucket_id}")}}
    )

    with edition(place.server, token) as shell:
        refused = shell.send("Import-DicomData", body, Store=stores[store])
        if not refused.closed:
            shell.token = place.server.token
            found = shell.send("Find-Study", Store=place.dicom_store, Search="")

    assert refused.status == refused.json["error"]["code"] == status
    assert said in refused.json["error"]["message"]
    assert refused.closed == (edition.waits and not refused.continued)
    assert refused.closed or found.status == 204


@both_editions
@pytest.mark.clause(
    "PowerShell web cmdlets",
    "a file that is refused answers 409 with its reason; the connection serves the next request",
)
def test_powershell_sees_why_a_file_is_refused(edition: type[PowerShell], place: Place) -> None:
    with edition(place.server) as shell:
        refused = shell.send("Send-Instance", b"no DICOM at all" * 20, Store=place.dicom_store)
        found = shell.send("Find-Study", Store=place.dicom_store, Search="")

    assert (refused.status, refused.media_type) == (409, DICOM_JSON)
    [failed] = refused.json["00081198"]["Value"]
    assert "not a DICOM file" in failed["00091097"]["Value"][0]
    assert (found.status, found.content) == (204, b"")
