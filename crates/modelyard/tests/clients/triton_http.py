"""NVIDIA's own HTTP client against a running server: sync, async, asyncio, binary and JSON tensors, packed
bodies, every extension. Usage: triton_http.py HOST:PORT"""

import asyncio
import sys

import numpy as np
import regions
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

ADDRESS = sys.argv[1]
A = np.arange(32, dtype=np.int32).reshape(2, 16)
B = np.ones((2, 16), dtype=np.int32)


def inputs(module, binary=True):
    both = []
    for name, values in (("INPUT0", A), ("INPUT1", B)):
        tensor = module.InferInput(name, values.shape, "INT32")
        tensor.set_data_from_numpy(values, binary_data=binary)
        both.append(tensor)
    return both


def check_simple(result):
    assert (result.as_numpy("OUTPUT0") == A + B).all()
    assert (result.as_numpy("OUTPUT1") == A - B).all()


def check_about(client):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("simple") and client.is_model_ready("simple", "1")
    extensions = client.get_server_metadata()["extensions"]
    assert "binary_tensor_data" in extensions and "model_repository" in extensions, extensions
    metadata = client.get_model_metadata("simple")
    assert metadata["inputs"][0] == {"name": "INPUT0", "datatype": "INT32", "shape": [-1, 16]}, metadata
    config = client.get_model_config("simple")
    assert config["max_batch_size"] > 0 and config["input"][0]["dims"] == [16], config
    assert config["input"][0]["data_type"] == "TYPE_INT32"


def check_infer(client):
    check_simple(client.infer("simple", inputs(triton)))
    check_simple(client.infer("simple", inputs(triton, binary=False)))
    outputs = [
        triton.InferRequestedOutput("OUTPUT1", binary_data=False),
        triton.InferRequestedOutput("OUTPUT0", binary_data=True),
    ]
    result = client.infer("simple", inputs(triton), outputs=outputs, request_id="7", priority=1, timeout=5_000_000)
    check_simple(result)
    assert result.get_response()["id"] == "7"
    for coding in ("gzip", "deflate"):
        check_simple(client.infer("simple", inputs(triton), request_compression_algorithm=coding))
    waiting = [client.async_infer("simple", inputs(triton)) for _ in range(8)]
    for one in waiting:
        check_simple(one.get_result())


def check_identities(client):
    for model, values in (
        ("identity_fp32", np.array([[1.5, -2e-8]], np.float32)),
        ("identity_fp16", np.array([[0.5, -2.0, 65504]], np.float16)),
        ("identity_int64", np.array([[-(2**63), 2**63 - 1]], np.int64)),
        ("identity_bool", np.array([[True, False, True]])),
        ("identity_bytes", np.array([[b"", "h\u00fcllo".encode(), b"x" * 1000]], np.object_)),
    ):
        datatype = client.get_model_metadata(model)["inputs"][0]["datatype"]
        tensor = triton.InferInput("INPUT0", values.shape, datatype)
        tensor.set_data_from_numpy(values)
        back = client.infer(model, [tensor]).as_numpy("OUTPUT0")
        assert back.shape == values.shape and (back == values).all(), (model, back)


def check_classes(client):
    values = np.array([[0.1, 0.7, 0.2]], np.float32)
    tensor = triton.InferInput("INPUT0", values.shape, "FP32")
    tensor.set_data_from_numpy(values)
    wanted = [triton.InferRequestedOutput("OUTPUT0", class_count=2)]
    best = client.infer("identity_fp32", [tensor], outputs=wanted).as_numpy("OUTPUT0")
    assert best.tolist() == [[b"0.700000:1", b"0.200000:2"]], best


def check_string(client):
    """As NVIDIA's string example: numbers as texts, added and subtracted."""
    tensors = []
    for name, values in (("INPUT0", A), ("INPUT1", B)):
        texts = np.array([str(value).encode() for value in values.ravel()], np.object_).reshape(values.shape)
        tensor = triton.InferInput(name, values.shape, "BYTES")
        tensor.set_data_from_numpy(texts)
        tensors.append(tensor)
    result = client.infer("simple_string", tensors)
    assert (result.as_numpy("OUTPUT0").astype(np.int32) == A + B).all(), result.as_numpy("OUTPUT0")
    assert (result.as_numpy("OUTPUT1").astype(np.int32) == A - B).all()
    blobs = np.array([b"he\x00llo", b"\x00\x01\x02\x03", b"", "车".encode()], np.object_).reshape(1, 4)
    tensor = triton.InferInput("INPUT0", blobs.shape, "BYTES")
    tensor.set_data_from_numpy(blobs)
    assert (client.infer("simple_identity", [tensor]).as_numpy("OUTPUT0") == blobs).all()


def check_shared_memory(client):
    infer_again = regions.check(triton, client)
    refused("no shared memory region", infer_again)
    refused("shares no CUDA memory", lambda: client.register_cuda_shared_memory("gpu", b"", 0, 4))


def check_repository(client):
    index = {entry["name"]: entry for entry in client.get_model_repository_index()}
    assert index["simple"]["state"] == "READY", index
    client.unload_model("identity_int64")
    assert not client.is_model_ready("identity_int64")
    refused("was unloaded", lambda: client.get_model_metadata("identity_int64"))
    client.load_model("identity_int64")
    assert client.is_model_ready("identity_int64")
    client.load_model("identity_int64", config='{"max_batch_size": "16"}')
    assert client.get_model_config("identity_int64")["max_batch_size"] == 16
    refused("failed to load", lambda: client.load_model("identity_int64", config="{{"))
    refused("optimization", lambda: client.load_model("identity_int64", config='{"optimization": {}}'))
    wrong = '{"max_batch_size": 4, "input": [{"name": "nobody", "data_type": "TYPE_INT64", "dims": [-1]}]}'
    refused('declares the input "nobody"', lambda: client.load_model("identity_int64", config=wrong))
    assert client.is_model_ready("identity_int64")
    client.load_model("identity_int64")
    assert client.get_model_config("identity_int64")["max_batch_size"] != 16
    refused("failed to load", lambda: client.load_model("nobody"))
    stats = client.get_inference_statistics("simple")["model_stats"][0]
    assert stats["inference_stats"]["success"]["count"] >= 12 and stats["execution_count"] > 0, stats


def refused(text, call):
    try:
        call()
    except InferenceServerException as error:
        assert text in error.message(), error
    else:
        raise AssertionError(f"{text}: it was answered")


def check_sequence(client):
    """A series step by step, by a sequence with a text for a name, against the whole at once."""
    series = np.sin(np.arange(6, dtype=np.float32)).reshape(1, 6, 1)

    def ask(values, **place):
        tensor = triton.InferInput("input", values.shape, "FP32")
        tensor.set_data_from_numpy(values)
        return client.infer("pulse", [tensor], **place).as_numpy("output")

    whole = ask(series)
    for step in range(6):
        place = {"sequence_id": "mine", "sequence_start": step == 0, "sequence_end": step == 5}
        last = ask(series[:, step : step + 1], **place)
    assert np.abs(last - whole).max() <= 1e-6, (last, whole)
    refused("no live sequence", lambda: ask(series[:, :1], sequence_id="mine"))


def check_settings(client):
    extensions = client.get_server_metadata()["extensions"]
    assert "trace" in extensions and "logging" in extensions, extensions
    before = client.get_trace_settings()
    assert before["trace_level"] == ["TIMESTAMPS"] and before["trace_rate"] == "2", before
    # At the rate 0 no trace begins here, so that these requests do not count as some of the seven.
    after = client.update_trace_settings(settings={"trace_rate": "0", "trace_count": "7", "log_frequency": "5"})
    assert (after["trace_rate"], after["trace_count"], after["log_frequency"]) == ("0", "7", "5"), after
    own = client.update_trace_settings("simple", {"trace_level": ["OFF"], "trace_rate": "3"})
    assert own["trace_level"] == ["OFF"] and own["trace_rate"] == "3" and own["trace_count"] == "7", own
    own = client.update_trace_settings("simple", {"trace_level": None, "trace_rate": None})
    assert own["trace_level"] == ["TIMESTAMPS"] and own["trace_rate"] == "0", own
    assert client.get_trace_settings("simple") == own
    cleared = client.update_trace_settings(settings=dict.fromkeys(["trace_rate", "trace_count", "log_frequency"]))
    assert cleared == before, cleared
    refused("trace_file", lambda: client.update_trace_settings(settings={"trace_file": "/tmp/x"}))
    refused("TENSORS", lambda: client.update_trace_settings(settings={"trace_level": ["TENSORS"]}))
    refused("there is no model", lambda: client.get_trace_settings("nobody"))
    log = client.get_log_settings()
    assert log["log_error"] and log["log_verbose_level"] == 0 and log["log_format"] == "ISO8601", log
    changed = client.update_log_settings({"log_info": True, "log_verbose_level": 1})
    assert changed["log_info"] and changed["log_verbose_level"] == 1, changed
    assert client.update_log_settings({"log_info": log["log_info"], "log_verbose_level": 0}) == log
    refused("log_file", lambda: client.update_log_settings({"log_file": "x"}))


async def check_asyncio():
    async with triton_aio.InferenceServerClient(ADDRESS) as client:
        assert await client.is_server_ready()
        results = await asyncio.gather(*(client.infer("simple", inputs(triton)) for _ in range(8)))
        for result in results:
            check_simple(result)


def main():
    with triton.InferenceServerClient(ADDRESS, concurrency=4) as client:
        check_about(client)
        check_infer(client)
        check_identities(client)
        check_classes(client)
        check_string(client)
        check_shared_memory(client)
        check_repository(client)
        check_sequence(client)
        check_settings(client)
        refused("Request for unknown model", lambda: client.get_model_metadata("nobody"))
        refused("INPUT1", lambda: client.infer("simple", inputs(triton)[:1]))
    asyncio.run(check_asyncio())
    print("tritonclient.http: all well")


main()
