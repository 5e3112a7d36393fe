"""What goes wrong, in one exception."""

from __future__ import annotations

import json


class ModelyardError(Exception):
    """A request that was refused, or a server that could not be reached.

    ``kind`` is the server's own word (``invalid_argument``, ``not_found``, ``resource_exhausted``, …),
    ``unreachable`` where no answer came, ``bad_answer`` where it made no sense. ``status`` is HTTP's.
    ``changed_nothing`` where that is certain: the request never reached the server, or the server itself says
    that it failed, and not that its sequence is lost by that. Whatever stands between may refuse a request that it had passed on.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: str,
        status: int | None = None,
        hint: str | None = None,
        request_id: str | None = None,
        changed_nothing: bool = False,
    ) -> None:
        super().__init__(message if hint is None else f"{message} ({hint})")
        self.message = message
        self.kind = kind
        self.status = status
        self.hint = hint
        self.request_id = request_id
        self.changed_nothing = changed_nothing

    @classmethod
    def from_answer(cls, status: int, body: bytes) -> ModelyardError:
        """The error that a server answered; whoever answered in another form stands between."""
        try:
            told = json.loads(body)
            message, kind = str(told["error"]), str(told["kind"])
        except (ValueError, KeyError, TypeError):
            text = body[:200].decode("utf-8", "replace")
            return cls(f"HTTP {status}: {text}", kind="bad_answer", status=status)
        hint, request_id = told.get("hint"), told.get("request_id")
        sure = isinstance(request_id, str) and told.get("sequence_lost") is not True
        return cls(message, kind=kind, status=status, hint=hint, request_id=request_id, changed_nothing=sure)
