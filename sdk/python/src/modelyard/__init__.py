"""A client for models served by Modelyard: NumPy arrays or rows in, answers out."""

from ._client import AsyncClient, Client
from ._errors import ModelyardError
from ._retries import Retries
from ._sequence import AsyncModelSequence, ModelSequence
from ._wire import InferResult, ModelMetadata, SequencePlace, TensorMetadata

__all__ = [
    "AsyncClient",
    "AsyncModelSequence",
    "Client",
    "InferResult",
    "ModelMetadata",
    "ModelSequence",
    "ModelyardError",
    "Retries",
    "SequencePlace",
    "TensorMetadata",
]
