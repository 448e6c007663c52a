from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from fileroom.objectstore.cloud.faults import Kind, answered, retry_after


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "", Kind.CREDENTIALS),
        (403, "AccessDenied", Kind.DENIED),
        (403, "InvalidAccessKeyId", Kind.CREDENTIALS),
        (403, "AuthenticationFailed", Kind.CREDENTIALS),
        (400, "ExpiredToken", Kind.CREDENTIALS),
        (404, "NoSuchKey", Kind.ABSENT),
        (412, "", Kind.CHANGED),
        (429, "", Kind.BUSY),
        (503, "SlowDown", Kind.BUSY),
        (400, "RequestTimeout", Kind.PASSING),
        (500, "", Kind.PASSING),
        (504, "", Kind.PASSING),
        (507, "", Kind.FULL),
        (400, "InvalidArgument", Kind.REFUSED),
        (301, "PermanentRedirect", Kind.ELSEWHERE),
        (400, "AuthorizationHeaderMalformed", Kind.ELSEWHERE),
    ],
)
def test_an_answer_is_of_the_kind_that_says_what_to_do(status: int, code: str, kind: Kind) -> None:
    fault = answered(status, code, "why\n it is")
    assert fault.kind is kind
    assert fault.message == " ".join(f"{status} {code} why it is".split())


@pytest.mark.parametrize(
    ("header", "seconds"), [("3", 3.0), ("0", 0.0), ("", None), ("soon", None), ("9" * 20, None)]
)
def test_a_wait_is_read_as_it_is_asked_for(header: str, seconds: float | None) -> None:
    assert retry_after({"Retry-After": header}) == seconds


def test_a_wait_may_be_a_moment() -> None:
    assert retry_after({}) is None
    assert retry_after({"retry-after": formatdate(time.time() - 100, usegmt=True)}) == 0.0
    asked = retry_after({"retry-after": formatdate(time.time() + 100, usegmt=True)})
    assert asked is not None
    assert 97 < asked <= 100
