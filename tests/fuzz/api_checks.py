"""What every answer to a generated request must hold; schemathesis reads it as its hooks."""

from __future__ import annotations

import json
import os
from typing import Any

import schemathesis

THERE = json.loads(os.environ.get("FUZZ_THERE", "{}"))
"""What is there on the server, by the variables of paths."""


@schemathesis.hook
def map_path_parameters(
    context: schemathesis.HookContext, path_parameters: dict[str, Any] | None
) -> dict[str, Any] | None:
    """Have most requests be about what is there: generated names are refused before all else."""
    operation = context.operation
    if not path_parameters or operation is None or operation.method.upper() == "DELETE":
        return path_parameters
    if len(repr(path_parameters)) % 4 == 0:
        return path_parameters
    return {name: THERE.get(name, value) for name, value in path_parameters.items()}


@schemathesis.check
def answers_as_google(
    ctx: schemathesis.CheckContext,
    response: schemathesis.Response,
    case: schemathesis.Case[Any],
) -> None:
    """No fault of the server, and an error is told as ``google.rpc.Status``."""
    del ctx
    code = response.status_code
    # 501 is for what the API documents and this server does not offer.
    assert code < 500 or code == 501, f"{code}: {response.content[:300]!r}"
    if code < 400 or case.method == "HEAD":
        return
    assert response.headers["content-type"][0].startswith("application/json"), code
    told = json.loads(response.content)["error"]
    assert told["code"] == code
    assert told["status"].isupper()
    assert told["message"]
