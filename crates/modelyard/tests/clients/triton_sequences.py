"""NVIDIA's clients over models that are told of sequences, and one whose state the server keeps: one call at a time
over HTTP and gRPC, and all at once in a stream. Usage: triton_sequences.py HOST:PORT"""

import queue
import sys

import numpy as np
import tritonclient.grpc as grpc
import tritonclient.http as http
from tritonclient.utils import InferenceServerException

URL = sys.argv[1]
VALUES = [20, -11, 7, 5, 0, 1]


def request(client, value, rows=1):
    values = np.full((rows, 1), value, np.int32)
    tensor = client.InferInput("INPUT", values.shape, "INT32")
    tensor.set_data_from_numpy(values)
    return [tensor]


def place(at, name):
    return {"sequence_id": name, "sequence_start": at == 0, "sequence_end": at == len(VALUES) - 1}


def expected(model, name):
    """What each request of a sequence is answered."""
    sums = np.cumsum(VALUES).tolist() if model == "simple_string_dyna_sequence" else VALUES.copy()
    if model != "simple_string_dyna_sequence":
        sums[0] += 1
    if model != "simple_sequence":
        sums[-1] += int(name)
    return sums


CASES = [
    ("simple_sequence", 7),
    ("simple_sequence", "a text"),
    ("simple_dyna_sequence", 1000),
    ("simple_string_dyna_sequence", "1002"),
    ("simple_string_dyna_sequence", "41"),
]


def check_one_by_one(module):
    client = module.InferenceServerClient(URL)
    answers = {case: [] for case in CASES}
    # Interleaved, so that each has its own state.
    for at, value in enumerate(VALUES):
        for model, name in CASES:
            result = client.infer(model, request(module, value), **place(at, name))
            answers[model, name].append(int(result.as_numpy("OUTPUT")[0][0]))
    for (model, name), own in answers.items():
        assert own == expected(model, name), (model, name, own)
    client.close()


def check_stream():
    done = queue.Queue()
    with grpc.InferenceServerClient(URL) as client:
        client.start_stream(callback=lambda result, error: done.put((result, error)))
        for case, (model, name) in enumerate(CASES):
            for at, value in enumerate(VALUES):
                id = f"{case}_{at}"
                client.async_stream_infer(model, request(grpc, value), request_id=id, **place(at, name))
        answers = {}
        for _ in range(len(CASES) * len(VALUES)):
            result, error = done.get(timeout=30)
            assert error is None, error
            answers[result.get_response().id] = int(result.as_numpy("OUTPUT")[0][0])
    for case, (model, name) in enumerate(CASES):
        own = [answers[f"{case}_{at}"] for at in range(len(VALUES))]
        assert own == expected(model, name), (model, name, own)


def refused(says, call):
    try:
        call()
    except InferenceServerException as error:
        assert says in str(error), error
    else:
        raise AssertionError(f"{says}: it was answered")


def check_refusals():
    client = http.InferenceServerClient(URL)
    one = request(http, 1)
    refused("sequence_id", lambda: client.infer("simple_sequence", one))
    refused("has one row", lambda: client.infer("simple_sequence", request(http, 1, 2), **place(0, 7)))
    refused("not known", lambda: client.infer("simple_sequence", [*one, http.InferInput("START", [1, 1], "INT32").set_data_from_numpy(np.ones((1, 1), np.int32))], **place(0, 7)))
    refused("a number", lambda: client.infer("simple_dyna_sequence", one, **place(0, "a")))
    refused("a text", lambda: client.infer("simple_string_dyna_sequence", one, **place(0, 5)))
    refused("no live sequence", lambda: client.infer("simple_sequence", one, **place(1, 99)))
    client.close()


def check_what_is_told():
    client = http.InferenceServerClient(URL)
    metadata = client.get_model_metadata("simple_string_dyna_sequence")
    assert [tensor["name"] for tensor in metadata["inputs"]] == ["INPUT"], metadata
    assert [tensor["name"] for tensor in metadata["outputs"]] == ["OUTPUT"], metadata
    batching = client.get_model_config("simple_string_dyna_sequence")["sequence_batching"]
    assert batching["max_sequence_idle_microseconds"] == 60_000_000, batching
    assert batching["state"][0]["input_name"] == "STATE" and batching["state"][0]["dims"] == [1], batching
    kinds = [control["control"][0]["kind"] for control in batching["control_input"]]
    assert kinds == ["CONTROL_SEQUENCE_END", "CONTROL_SEQUENCE_CORRID"], batching
    client.close()
    client = grpc.InferenceServerClient(URL)
    config = client.get_model_config("simple_dyna_sequence").config
    assert config.WhichOneof("scheduling_choice") == "sequence_batching", config
    assert config.sequence_batching.control_input[2].control[0].data_type == 5, config
    client.close()


check_one_by_one(http)
check_one_by_one(grpc)
check_stream()
check_refusals()
check_what_is_told()
print("sequences: all well")
