"""The two clients: the same requests, sent by a thread that waits or by one that does other things meanwhile."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx
import numpy.typing as npt

from ._errors import ModelyardError
from ._retries import Retries
from ._sequence import AsyncModelSequence, ModelSequence
from ._wire import InferResult, ModelMetadata, SequencePlace, decode, encode

# A request says itself how long its answer may take; the connection waits a little longer for it.
_GRACE_S = 2.0

Row = Mapping[str, Any]


@dataclass(frozen=True)
class _Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None
    timeout_s: float
    # Whether running it twice changes nothing.
    repeatable: bool = True


def _path(model: str, version: str | int | None, rest: str, root: str = "/v2/models") -> str:
    middle = "" if version is None else f"/versions/{quote(str(version), safe='')}"
    return f"{root}/{quote(model, safe='')}{middle}{rest}"


class _Requests:
    """What both clients ask, and how they read the answers."""

    def __init__(self, timeout_s: float, retries: Retries) -> None:
        self._timeout_s = timeout_s
        self._retries = retries

    def _get(self, path: str) -> _Request:
        return _Request("GET", path, {}, None, self._timeout_s)

    def _infer(
        self,
        model: str,
        inputs: Mapping[str, npt.ArrayLike],
        version: str | int | None,
        outputs: Sequence[str] | None,
        request_id: str | None,
        timeout_s: float | None,
        priority: int | None,
        sequence: SequencePlace | None,
    ) -> _Request:
        headers, body = encode(inputs, outputs, request_id, timeout_s, priority, sequence)
        waits = self._timeout_s if timeout_s is None else timeout_s + _GRACE_S
        # A sequence would go on twice; one that begins begins anew.
        repeatable = sequence is None or sequence.start
        return _Request("POST", _path(model, version, "/infer"), headers, body, waits, repeatable)

    def _predict(self, model: str, rows: Sequence[Row], version: str | int | None) -> _Request:
        body = json.dumps({"instances": list(rows)}, allow_nan=False).encode()
        path = _path(model, version, ":predict", "/v1/models")
        return _Request("POST", path, {"content-type": "application/json"}, body, self._timeout_s)

    def _delay_s(
        self, attempt: int, request: _Request, error: ModelyardError, headers: Mapping[str, str]
    ) -> float | None:
        """How long to wait after this attempt that failed; none to give up."""
        if request.repeatable or error.changed_nothing:
            return self._retries.delay_s(attempt, error.status, headers)
        return None

    @staticmethod
    def _unreachable(cause: httpx.TransportError) -> ModelyardError:
        never_sent = isinstance(cause, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout))
        message = f"no answer: {cause or type(cause).__name__}"
        error = ModelyardError(message, kind="unreachable", changed_nothing=never_sent)
        error.__cause__ = cause
        return error

    @staticmethod
    def _is_ready(status: int) -> bool:
        return status == httpx.codes.OK


class Client(_Requests):
    """Speaks to one server over kept connections; safe to share between threads."""

    def __init__(
        self, url: str = "http://127.0.0.1:8080", *, timeout_s: float = 30.0, retries: Retries | None = None
    ) -> None:
        super().__init__(timeout_s, retries or Retries())
        self._http = httpx.Client(base_url=url)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def ready(self, model: str | None = None, version: str | int | None = None) -> bool:
        """Whether the server, or a model of it, answers now."""
        path = "/v2/health/ready" if model is None else _path(model, version, "/ready")
        try:
            return self._is_ready(self._once(self._get(path)).status_code)
        except httpx.TransportError:
            return False

    def models(self) -> list[str]:
        """The names of the served models."""
        return list(self._send(self._get("/v1/models")).json()["models"])

    def metadata(self, model: str, version: str | int | None = None) -> ModelMetadata:
        """What a model takes and gives."""
        return ModelMetadata.from_json(self._send(self._get(_path(model, version, ""))).json())

    def infer(
        self,
        model: str,
        inputs: Mapping[str, npt.ArrayLike],
        *,
        version: str | int | None = None,
        outputs: Sequence[str] | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
        priority: int | None = None,
        sequence: SequencePlace | None = None,
    ) -> InferResult:
        """Tensors in, tensors out: rows first. Of ``priority`` 1 goes first, 255 last. For a ``sequence``
        :meth:`sequence` is the easier way."""
        request = self._infer(model, inputs, version, outputs, request_id, timeout_s, priority, sequence)
        answer = self._send(request)
        return decode(answer.headers, answer.content)

    def sequence(
        self, model: str, *, version: str | int | None = None, sequence_id: int | str | None = None
    ) -> ModelSequence:
        """A series in pieces, which the model remembers from step to step; for use by ``with``."""
        return ModelSequence(self, model, version, sequence_id)

    def predict(
        self, model: str, rows: Sequence[Row], *, version: str | int | None = None
    ) -> list[dict[str, Any]]:
        """Rows by name in, one answer by name for each."""
        return list(self._send(self._predict(model, rows, version)).json()["predictions"])

    def _once(self, request: _Request) -> httpx.Response:
        return self._http.request(
            request.method,
            request.path,
            headers=dict(request.headers),
            content=request.body,
            timeout=request.timeout_s,
        )

    def _send(self, request: _Request) -> httpx.Response:
        attempt = 1
        while True:
            headers: Mapping[str, str] = {}
            try:
                answer = self._once(request)
                if answer.is_success:
                    return answer
                error = ModelyardError.from_answer(answer.status_code, answer.content)
                headers = answer.headers
            except httpx.TransportError as cause:
                error = self._unreachable(cause)
            delay = self._delay_s(attempt, request, error, headers)
            if delay is None:
                raise error
            time.sleep(delay)
            attempt += 1


class AsyncClient(_Requests):
    """As :class:`Client`, to be awaited."""

    def __init__(
        self, url: str = "http://127.0.0.1:8080", *, timeout_s: float = 30.0, retries: Retries | None = None
    ) -> None:
        super().__init__(timeout_s, retries or Retries())
        self._http = httpx.AsyncClient(base_url=url)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def ready(self, model: str | None = None, version: str | int | None = None) -> bool:
        """Whether the server, or a model of it, answers now."""
        path = "/v2/health/ready" if model is None else _path(model, version, "/ready")
        try:
            return self._is_ready((await self._once(self._get(path))).status_code)
        except httpx.TransportError:
            return False

    async def models(self) -> list[str]:
        """The names of the served models."""
        return list((await self._send(self._get("/v1/models"))).json()["models"])

    async def metadata(self, model: str, version: str | int | None = None) -> ModelMetadata:
        """What a model takes and gives."""
        return ModelMetadata.from_json((await self._send(self._get(_path(model, version, "")))).json())

    async def infer(
        self,
        model: str,
        inputs: Mapping[str, npt.ArrayLike],
        *,
        version: str | int | None = None,
        outputs: Sequence[str] | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
        priority: int | None = None,
        sequence: SequencePlace | None = None,
    ) -> InferResult:
        """Tensors in, tensors out: rows first. Of ``priority`` 1 goes first, 255 last. For a ``sequence``
        :meth:`sequence` is the easier way."""
        request = self._infer(model, inputs, version, outputs, request_id, timeout_s, priority, sequence)
        answer = await self._send(request)
        return decode(answer.headers, answer.content)

    def sequence(
        self, model: str, *, version: str | int | None = None, sequence_id: int | str | None = None
    ) -> AsyncModelSequence:
        """A series in pieces, which the model remembers from step to step; for use by ``async with``."""
        return AsyncModelSequence(self, model, version, sequence_id)

    async def predict(
        self, model: str, rows: Sequence[Row], *, version: str | int | None = None
    ) -> list[dict[str, Any]]:
        """Rows by name in, one answer by name for each."""
        return list((await self._send(self._predict(model, rows, version))).json()["predictions"])

    async def _once(self, request: _Request) -> httpx.Response:
        return await self._http.request(
            request.method,
            request.path,
            headers=dict(request.headers),
            content=request.body,
            timeout=request.timeout_s,
        )

    async def _send(self, request: _Request) -> httpx.Response:
        attempt = 1
        while True:
            headers: Mapping[str, str] = {}
            try:
                answer = await self._once(request)
                if answer.is_success:
                    return answer
                error = ModelyardError.from_answer(answer.status_code, answer.content)
                headers = answer.headers
            except httpx.TransportError as cause:
                error = self._unreachable(cause)
            delay = self._delay_s(attempt, request, error, headers)
            if delay is None:
                raise error
            await asyncio.sleep(delay)
            attempt += 1
