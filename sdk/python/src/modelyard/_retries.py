"""When a request is sent again, and after how long."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

# Too many requests, bad gateway, unavailable: another moment may do.
_LATER = frozenset({429, 502, 503})


@dataclass(frozen=True)
class Retries:
    """How often and how patiently a request is tried: ``attempts`` in all, waiting ``first_delay_s`` and then
    twice as long each time up to ``delay_max_s``, with some chance in it, or as long as the server says."""

    attempts: int = 3
    first_delay_s: float = 0.1
    delay_max_s: float = 5.0

    def delay_s(self, attempt: int, status: int | None, headers: Mapping[str, str]) -> float | None:
        """How long to wait after this attempt, counted from 1, that failed; none to give up. Without a
        status the server gave no answer."""
        if attempt >= self.attempts or (status is not None and status not in _LATER):
            return None
        try:
            return min(max(float(headers["retry-after"]), 0.0), self.delay_max_s)
        except (KeyError, ValueError):
            longest = min(self.first_delay_s * 2.0 ** (attempt - 1), self.delay_max_s)
            return float(longest * random.uniform(0.5, 1.0))
