"""KServe's own client against a running server: both protocols over REST, and gRPC. Usage:
kserve_client.py HOST:PORT"""

import asyncio
import sys

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

ADDRESS = sys.argv[1]
URL = f"http://{ADDRESS}"
A = np.arange(32, dtype=np.int32).reshape(2, 16)
B = np.ones((2, 16), dtype=np.int32)


def request(binary):
    both = []
    for name, values in (("INPUT0", A), ("INPUT1", B)):
        tensor = InferInput(name, list(values.shape), "INT32")
        tensor.set_data_from_numpy(values, binary_data=binary)
        both.append(tensor)
    return InferRequest("simple", both)


def check_simple(answer):
    outputs = {output.name: output.as_numpy() for output in answer.outputs}
    assert (outputs["OUTPUT0"] == A + B).all() and (outputs["OUTPUT1"] == A - B).all()


async def main():
    second = InferenceRESTClient(RESTConfig(protocol="v2"))
    assert await second.is_server_live(URL) and await second.is_server_ready(URL)
    assert await second.is_model_ready(URL, "simple")
    for binary in (True, False):
        check_simple(await second.infer(URL, request(binary), model_name="simple"))
    await second.close()
    first = InferenceRESTClient(RESTConfig(protocol="v1"))
    assert await first.is_model_ready(URL, "identity_fp32")
    answer = await first.infer(URL, {"instances": [[1.0, 2.0]]}, model_name="identity_fp32")
    assert answer == {"predictions": [[1.0, 2.0]]}, answer
    await first.close()
    calls = InferenceGRPCClient(ADDRESS)
    assert await calls.is_server_live() and await calls.is_server_ready()
    assert await calls.is_model_ready("simple")
    check_simple(await calls.infer(request(True)))
    await calls.close()
    print("kserve: all well")


asyncio.run(main())
