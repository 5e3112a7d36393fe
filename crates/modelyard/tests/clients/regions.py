"""Tensors in shared memory, by NVIDIA's client of either wire."""

import os

import numpy as np
from tritonclient.utils import shared_memory


def check(triton, client):
    """Two inputs, then their sum and their difference, in one object of shared memory."""
    data = np.arange(16, dtype=np.int32).reshape(1, 16)
    size = data.nbytes
    client.unregister_system_shared_memory()
    client.unregister_cuda_shared_memory()
    key = f"/modelyard-{triton.__name__}-{os.getpid()}"
    memory = shared_memory.create_shared_memory_region("both", key, 4 * size)
    try:
        shared_memory.set_shared_memory_region(memory, [data, np.ones_like(data)])
        client.register_system_shared_memory("both", key, 4 * size)
        assert "both" in str(client.get_system_shared_memory_status())
        inputs = [triton.InferInput(name, [1, 16], "INT32") for name in ("INPUT0", "INPUT1")]
        outputs = [triton.InferRequestedOutput(name) for name in ("OUTPUT0", "OUTPUT1")]
        for at, tensor in enumerate([*inputs, *outputs]):
            tensor.set_shared_memory("both", size, offset=at * size)
        answer = client.infer("simple", inputs, outputs=outputs)
        for at, (name, want) in enumerate([("OUTPUT0", data + 1), ("OUTPUT1", data - 1)], 2):
            told = answer.get_output(name)
            assert "shared_memory_region" in str(told), told
            got = shared_memory.get_contents_as_numpy(memory, np.int32, [1, 16], offset=at * size)
            assert (got == want).all(), got
        mixed = client.infer("simple", inputs, outputs=[outputs[0], triton.InferRequestedOutput("OUTPUT1")])
        assert (mixed.as_numpy("OUTPUT1") == data - 1).all()
        client.unregister_system_shared_memory("both")
    finally:
        shared_memory.destroy_shared_memory_region(memory)
    return lambda: client.infer("simple", inputs, outputs=outputs)
