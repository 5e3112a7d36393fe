"""A client for models served by Modelyard: NumPy arrays or rows in, answers out."""

from ._client import AsyncClient, Client
from ._errors import ModelyardError
from ._retries import Retries
from ._wire import InferResult, ModelMetadata, TensorMetadata

__all__ = [
    "AsyncClient",
    "Client",
    "InferResult",
    "ModelMetadata",
    "ModelyardError",
    "Retries",
    "TensorMetadata",
]
