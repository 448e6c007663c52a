"""One request for each route of the API, about a hospital's own things or about others."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fileroom.api.describe import root_of

if TYPE_CHECKING:
    from fileroom.api.routing import Route
    from tests.security.conftest import Hospital


def path_of(route: Route, hospital: Hospital, **changed: str) -> str:
    """Give the path of a route, its variables being what a hospital has."""
    values = {
        "project": hospital.project,
        "location": "us-central1",
        "dataset": hospital.dataset.rpartition("/")[2],
        "dicomStore": hospital.dicom_store.rpartition("/")[2],
        "operation": hospital.operation.rpartition("/")[2],
        "bucket": hospital.bucket,
        "object": "a.dcm",
        "study": "1.2.3",
        "series": "1.2.3.4",
        "instance": "1.2.3.4.5",
        "frames": "1",
        "tag": "7FE00010",
        "rest": "0",
        "account": f"nobody-here@{hospital.project}.iam.gserviceaccount.com",
        "key": "0a1b",
    } | changed
    filled = re.sub(r"\{(\w+)\+?\}", lambda match: values[match[1]], route.template)
    return f"/{root_of(route)}/{filled}"
