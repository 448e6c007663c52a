"""Each caller's share of a server: requests a second, requests at a time, failed attempts.

References
----------
RFC 6585 4
"""

from __future__ import annotations

import ipaddress
import time
from collections import Counter, OrderedDict
from typing import TYPE_CHECKING, Final

from fileroom.errors import ResourceExhausted

if TYPE_CHECKING:
    from collections.abc import Callable

AT_A_TIME_MAX: Final = 256
"""Requests of one principal that are worked on or wait: half of what a server takes at all."""
BURST_SECONDS: Final = 10
"""For how long a caller who was quiet may ask at once what comes to this many seconds."""
FAILURES_PER_SECOND: Final = 1.0
FAILURES_AT_ONCE: Final = 60
"""Attempts without a valid token of one address; then one a second."""
CALLERS_MAX: Final = 10_000
"""Remembered; who asked longest ago is forgotten first, and so begins anew."""


def _neighbourhood(address: str) -> str:
    """Give an address, of IPv6 the network of 64 bits from which one host may choose any."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4 or parsed.ipv4_mapped is not None:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False))


class Rate:
    """A bucket of tokens for each caller, filled at one rate."""

    def __init__(
        self, per_second: float, at_once: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second = per_second
        self._at_once = at_once
        self._clock = clock
        self._callers: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """What each has left, and when that was."""

    def take(self, caller: str) -> float:
        """Take one token; give 0, or in how many seconds there will be one."""
        now = self._clock()
        left, at = self._callers.pop(caller, (self._at_once, now))
        left = min(self._at_once, left + (now - at) * self._per_second)
        wait = 0.0 if left >= 1 else (1 - left) / self._per_second
        self._callers[caller] = (left if wait else left - 1, now)
        if len(self._callers) > CALLERS_MAX:
            self._callers.popitem(last=False)
        return wait


class Shares:
    """What each caller may take of one server; used by the one thread that serves."""

    def __init__(
        self, requests_per_second: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._requests = (
            Rate(requests_per_second, requests_per_second * BURST_SECONDS, clock)
            if requests_per_second
            else None
        )
        self._failures = Rate(FAILURES_PER_SECOND, FAILURES_AT_ONCE, clock)
        self._at_a_time: Counter[str] = Counter()

    def begin(self, principal: str, address: str) -> None:
        """Count a request of a principal from an address until it ends.

        Raises
        ------
        ResourceExhausted
            If it is one too many, at a time or in a second.
        """
        if self._at_a_time[principal] >= AT_A_TIME_MAX:
            raise ResourceExhausted(
                f"Quota exceeded: {AT_A_TIME_MAX} requests of {principal} at a time; wait for some"
                " to end.",
                "requests",
            )
        wait = 0.0 if self._requests is None else self._requests.take(f"{principal} {address}")
        if wait:
            raise ResourceExhausted(
                f"Quota exceeded: requests of {principal} in a second; the setting"
                " requests_per_second says how many.",
                "requests",
            )
        self._at_a_time[principal] += 1

    def end(self, principal: str) -> None:
        """Take note of the end of a request that was begun; of another it is nothing."""
        self._at_a_time[principal] -= 1
        if self._at_a_time[principal] <= 0:
            del self._at_a_time[principal]

    def fail(self, address: str) -> None:
        """Count an attempt without a valid token.

        Raises
        ------
        ResourceExhausted
            If there were too many from the address: what was guessed is not even told.
        """
        if self._failures.take(_neighbourhood(address)):
            raise ResourceExhausted(
                f"Quota exceeded: requests from {address} without a valid token; wait, and see that"
                " the token is right.",
                "token",
            )
