"""Series in pieces: who remembers which request begins a sequence, which ends it, and whether it can go on."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

import numpy.typing as npt

from ._errors import ModelyardError
from ._wire import InferResult, SequencePlace

if TYPE_CHECKING:
    from ._client import AsyncClient, Client

# Models that are told the number of a sequence take it as a signed one.
_NUMBER_MAX = 2**63 - 1


class _Course:
    """How far a sequence has come. Its first step chooses the version, which it stays with."""

    def __init__(self, model: str, version: str | int | None, sequence_id: int | str | None) -> None:
        self.model = model
        self.version = version
        self.id = 1 + secrets.randbelow(_NUMBER_MAX) if sequence_id is None else sequence_id
        self._begun = False
        self._over = False
        self._in_doubt = False

    @contextmanager
    def _step(self, end: bool) -> Iterator[SequencePlace]:
        """Around the request of a step: its place, and what its outcome says of the sequence."""
        if self._over:
            raise self._refused("has ended", "sequence_over")
        if self._in_doubt:
            raise self._refused("is in doubt: it is not known whether its last step was taken", "sequence_lost")
        # One that begins anew is never in doubt.
        self._in_doubt = self._begun
        place = SequencePlace(self.id, start=not self._begun, end=end)
        try:
            yield place
        except Exception as error:
            unfit = isinstance(error, (TypeError, ValueError))  # Values that cannot be sent.
            if unfit or (isinstance(error, ModelyardError) and error.changed_nothing):
                self._in_doubt = False
            raise
        self._begun, self._over, self._in_doubt = True, place.end, False

    def _refused(self, what: str, kind: str) -> ModelyardError:
        message = f"sequence {self.id} of model {self.model} {what}"
        return ModelyardError(message, kind=kind, hint="begin another sequence", changed_nothing=True)

    def _last(self) -> SequencePlace | None:
        """What ends it without a step, where the server remembers it."""
        over, self._over = self._over, True
        return SequencePlace(self.id, end=True) if self._begun and not over else None


class ModelSequence(_Course):
    """A sequence on one server: every step is answered by what came before it.

    A step that certainly changed nothing (``ModelyardError.changed_nothing``) leaves the sequence as it was and
    may be sent again. Of every other failure it is not known whether the step was taken, and the sequence cannot
    be gone on with."""

    def __init__(
        self, client: Client, model: str, version: str | int | None, sequence_id: int | str | None
    ) -> None:
        super().__init__(model, version, sequence_id)
        self._client = client

    def __enter__(self) -> ModelSequence:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.end()
        except ModelyardError:
            # All answers are there; what the server still remembers expires by itself.
            pass

    def step(
        self,
        inputs: Mapping[str, npt.ArrayLike],
        *,
        end: bool = False,
        outputs: Sequence[str] | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
        priority: int | None = None,
    ) -> InferResult:
        """The next piece, of one row; with ``end`` the last one. The rest is as with :meth:`Client.infer`."""
        with self._step(end) as place:
            return self._client.infer(
                self.model,
                inputs,
                version=self.version if place.start else None,
                outputs=outputs,
                request_id=request_id,
                timeout_s=timeout_s,
                priority=priority,
                sequence=place,
            )

    def end(self) -> None:
        """Ends it without a further step, where it has not ended yet."""
        place = self._last()
        if place is not None:
            self._client.infer(self.model, {}, sequence=place)


class AsyncModelSequence(_Course):
    """As :class:`ModelSequence`, to be awaited."""

    def __init__(
        self, client: AsyncClient, model: str, version: str | int | None, sequence_id: int | str | None
    ) -> None:
        super().__init__(model, version, sequence_id)
        self._client = client

    async def __aenter__(self) -> AsyncModelSequence:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.end()
        except ModelyardError:
            # All answers are there; what the server still remembers expires by itself.
            pass

    async def step(
        self,
        inputs: Mapping[str, npt.ArrayLike],
        *,
        end: bool = False,
        outputs: Sequence[str] | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
        priority: int | None = None,
    ) -> InferResult:
        """The next piece, of one row; with ``end`` the last one. The rest is as with :meth:`Client.infer`."""
        with self._step(end) as place:
            return await self._client.infer(
                self.model,
                inputs,
                version=self.version if place.start else None,
                outputs=outputs,
                request_id=request_id,
                timeout_s=timeout_s,
                priority=priority,
                sequence=place,
            )

    async def end(self) -> None:
        """Ends it without a further step, where it has not ended yet."""
        place = self._last()
        if place is not None:
            await self._client.infer(self.model, {}, sequence=place)
