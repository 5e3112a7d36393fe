"""Between NumPy and the Open Inference Protocol, version 2, with raw tensors behind the JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ._errors import ModelyardError

JSON_BYTES = "inference-header-content-length"

_TYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
_NAMES = {kind: name for name, kind in _TYPES.items()}

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class TensorMetadata:
    """An input or output: its name, its protocol type, its shape with -1 for any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ModelMetadata:
    """What a model takes and gives."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> ModelMetadata:
        """Reads the protocol's document."""

        def tensors(key: str) -> tuple[TensorMetadata, ...]:
            return tuple(TensorMetadata(t["name"], t["datatype"], tuple(t["shape"])) for t in told[key])

        versions = tuple(told.get("versions", ()))
        return cls(told["name"], versions, told["platform"], tensors("inputs"), tensors("outputs"))


@dataclass(frozen=True)
class InferResult(Mapping[str, Array]):
    """The outputs by name, and the version that computed them."""

    model: str
    version: str
    id: str | None
    outputs: dict[str, Array]

    def __getitem__(self, name: str) -> Array:
        return self.outputs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.outputs)

    def __len__(self) -> int:
        return len(self.outputs)


@dataclass(frozen=True)
class SequencePlace:
    """A request's place in a sequence: which, and whether that begins or ends with the request."""

    id: int | str
    start: bool = False
    end: bool = False


def encode(
    inputs: Mapping[str, npt.ArrayLike],
    outputs: Sequence[str] | None,
    request_id: str | None,
    timeout_s: float | None,
    priority: int | None,
    sequence: SequencePlace | None,
) -> tuple[dict[str, str], bytes]:
    """The headers and the body of an inference."""
    parameters: dict[str, Any] = {"binary_data_output": True}
    if timeout_s is not None:
        parameters["timeout"] = max(1, round(timeout_s * 1e6))
    if priority is not None:
        parameters["priority"] = priority
    if sequence is not None:
        parameters["sequence_id"] = sequence.id
        parameters["sequence_start"] = sequence.start
        parameters["sequence_end"] = sequence.end
    tensors, raw = [], []
    for name, values in inputs.items():
        array = np.asarray(values)
        datatype, data = _encode_array(name, array)
        shape = list(array.shape)
        size = {"binary_data_size": len(data)}
        tensors.append({"name": name, "shape": shape, "datatype": datatype, "parameters": size})
        raw.append(data)
    head: dict[str, Any] = {"parameters": parameters, "inputs": tensors}
    if request_id is not None:
        head["id"] = request_id
    if outputs:
        head["outputs"] = [{"name": name} for name in outputs]
    text = json.dumps(head).encode()
    headers = {JSON_BYTES: str(len(text)), "content-type": "application/octet-stream"}
    return headers, b"".join([text, *raw])


def _encode_array(name: str, array: Array) -> tuple[str, bytes]:
    if array.dtype.kind in "OSU":
        elements = [_element(name, value) for value in array.ravel()]
        return "BYTES", b"".join(len(e).to_bytes(4, "little") + e for e in elements)
    little = array.dtype.newbyteorder("<")
    datatype = _NAMES.get(little)
    if datatype is None:
        raise TypeError(f"input {name!r}: the protocol has no type for {array.dtype}")
    return datatype, np.ascontiguousarray(array, little).tobytes()


def _element(name: str, value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    raise TypeError(f"input {name!r}: an element is {type(value).__name__}, not text or bytes")


def decode(headers: Mapping[str, str], body: bytes) -> InferResult:
    """The answer of an inference."""
    try:
        length = headers.get(JSON_BYTES)
        split = len(body) if length is None else int(length)
        told, rest = json.loads(body[:split]), memoryview(body)[split:]
        outputs = {}
        for tensor in told["outputs"]:
            size = tensor.get("parameters", {}).get("binary_data_size")
            if size is None:
                array = _from_json(tensor)
            else:
                array, rest = _from_raw(tensor, rest[:size]), rest[size:]
            outputs[tensor["name"]] = array.reshape(tensor["shape"])
        return InferResult(told["model_name"], told["model_version"], told.get("id"), outputs)
    except (ValueError, KeyError, TypeError) as error:
        raise ModelyardError(f"the answer is no inference: {error}", kind="bad_answer") from error


def _from_json(tensor: dict[str, Any]) -> Array:
    if tensor["datatype"] == "BYTES":
        return np.array([value.encode() for value in tensor["data"]], np.object_)
    return np.array(tensor["data"], _TYPES[tensor["datatype"]])


def _from_raw(tensor: dict[str, Any], data: memoryview) -> Array:
    if tensor["datatype"] != "BYTES":
        return np.frombuffer(data, _TYPES[tensor["datatype"]])
    elements, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        elements.append(bytes(data[at + 4 : at + 4 + size]))
        at += 4 + size
    array = np.empty(len(elements), np.object_)
    array[:] = elements
    return array
