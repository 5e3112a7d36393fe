"""NVIDIA's own gRPC client against a running server: sync, async, streaming, asyncio, deadlines, every
extension. Usage: triton_grpc.py HOST:PORT"""

import asyncio
import queue
import sys

import grpc
import numpy as np
import regions
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException

ADDRESS = sys.argv[1]
A = np.arange(32, dtype=np.int32).reshape(2, 16)
B = np.ones((2, 16), dtype=np.int32)


def inputs(first=A):
    both = []
    for name, values in (("INPUT0", first), ("INPUT1", B)):
        tensor = triton.InferInput(name, values.shape, "INT32")
        tensor.set_data_from_numpy(values)
        both.append(tensor)
    return both


def check_simple(result, first=A):
    assert (result.as_numpy("OUTPUT0") == first + B).all()
    assert (result.as_numpy("OUTPUT1") == first - B).all()


def check_about(client):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("simple") and client.is_model_ready("simple", "1")
    assert not client.is_model_ready("nobody")
    assert "statistics" in client.get_server_metadata().extensions
    metadata = client.get_model_metadata("simple")
    assert (metadata.inputs[0].name, list(metadata.inputs[0].shape)) == ("INPUT0", [-1, 16]), metadata
    config = client.get_model_config("simple").config
    assert config.max_batch_size > 0 and list(config.input[0].dims) == [16], config
    assert triton.model_config_pb2.DataType.Name(config.input[0].data_type) == "TYPE_INT32"


def check_identities(client):
    for model, datatype, values in (
        ("identity_fp32", "FP32", np.array([[1.5, -2e-8]], np.float32)),
        ("identity_fp16", "FP16", np.array([[0.5, -2.0, 65504]], np.float16)),
        ("identity_bool", "BOOL", np.array([[True, False, True]])),
        ("identity_bytes", "BYTES", np.array([[b"", "h\u00fcllo".encode(), b"x" * 1000]], np.object_)),
        ("identity_fp32", "FP32", np.ones((1, 1_000_000), np.float32)),
    ):
        tensor = triton.InferInput("INPUT0", values.shape, datatype)
        tensor.set_data_from_numpy(values)
        back = client.infer(model, [tensor]).as_numpy("OUTPUT0")
        assert back.shape == values.shape and (back == values).all(), (model, back)


def check_stream(client):
    answers = queue.Queue()
    client.start_stream(callback=lambda result, error: answers.put((result, error)))
    for number in range(20):
        client.async_stream_infer("simple", inputs(A + number), request_id=str(number))
    client.async_stream_infer("nobody", inputs(), request_id="wrong")
    client.async_stream_infer("simple", inputs(), request_id="last")
    for number in range(20):
        result, error = answers.get(timeout=20)
        assert error is None and result.get_response().id == str(number), error
        check_simple(result, A + number)
    _, error = answers.get(timeout=20)
    assert "Request for unknown model" in error.message(), error
    result, _ = answers.get(timeout=20)
    check_simple(result)
    client.stop_stream()


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
    refused("NOT_FOUND", infer_again)
    refused("UNIMPLEMENTED", lambda: client.register_cuda_shared_memory("gpu", b"", 0, 4))


def check_repository(client):
    states = {entry.name: entry.state for entry in client.get_model_repository_index().models}
    assert states["simple"] == "READY", states
    client.unload_model("identity_int64")
    assert not client.is_model_ready("identity_int64")
    client.load_model("identity_int64")
    assert client.is_model_ready("identity_int64")
    client.load_model("identity_int64", config='{"max_batch_size": "16"}')
    assert client.get_model_config("identity_int64").config.max_batch_size == 16
    refused("INVALID_ARGUMENT", lambda: client.load_model("identity_int64", config="{{"))
    refused("UNIMPLEMENTED", lambda: client.load_model("identity_int64", config="{}", files={"file:1/m.onnx": b"x"}))
    refused("NOT_FOUND", lambda: client.load_model("nobody"))
    stats = client.get_inference_statistics("simple").model_stats[0]
    assert stats.inference_stats.success.count >= 20 and stats.last_inference > 0, stats


def check_sequences(client):
    """As NVIDIA's sequence example: two series step by step over one stream, in order, without waiting."""
    def piece(values):
        tensor = triton.InferInput("input", values.shape, "FP32")
        tensor.set_data_from_numpy(values)
        return [tensor]

    series = [np.sin(start + np.arange(6, dtype=np.float32)).reshape(1, 6, 1) for start in (0, 2)]
    wholes = [client.infer("pulse", piece(one)).as_numpy("output") for one in series]
    answers = queue.Queue()
    client.start_stream(callback=lambda result, error: answers.put((result, error)))
    for step in range(6):
        for sequence_id, one in zip((1000, 1001), series):
            place = {"sequence_id": sequence_id, "sequence_start": step == 0, "sequence_end": step == 5}
            client.async_stream_infer("pulse", piece(one[:, step : step + 1]), **place)
    for _ in range(6):
        last = [answers.get(timeout=20) for _ in series]
        assert all(error is None for _, error in last), last
    client.stop_stream()
    for (result, _), whole in zip(last, wholes):
        assert np.abs(result.as_numpy("output") - whole).max() <= 1e-6, (result.as_numpy("output"), whole)
    refused("NOT_FOUND", lambda: client.infer("pulse", piece(series[0][:, :1]), sequence_id=1000))


def check_settings(client):
    before = client.get_trace_settings().settings
    assert list(before["trace_level"].value) == ["TIMESTAMPS"] and list(before["trace_rate"].value) == ["2"], before
    own = client.update_trace_settings("simple", {"trace_level": ["OFF"], "trace_count": "9"}).settings
    assert list(own["trace_level"].value) == ["OFF"] and list(own["trace_count"].value) == ["9"], own
    own = client.update_trace_settings("simple", {"trace_level": None, "trace_count": None}).settings
    assert own == before, own
    refused("INVALID_ARGUMENT", lambda: client.update_trace_settings("simple", {"log_frequency": "5"}))
    refused("NOT_FOUND", lambda: client.update_trace_settings("nobody", {"trace_rate": "5"}))
    log = client.get_log_settings(as_json=True)["settings"]
    assert log["log_error"]["bool_param"] and log["log_format"]["string_param"] == "ISO8601", log
    changed = client.update_log_settings({"log_verbose_level": 1, "log_info": True}, as_json=True)["settings"]
    assert changed["log_verbose_level"]["uint32_param"] == 1 and changed["log_info"]["bool_param"], changed
    info = log["log_info"].get("bool_param", False)
    assert client.update_log_settings({"log_verbose_level": 0, "log_info": info}, as_json=True)["settings"] == log
    refused("INVALID_ARGUMENT", lambda: client.update_log_settings({"log_format": "default"}))


def refused(status, call):
    try:
        call()
    except InferenceServerException as error:
        assert error.status() == f"StatusCode.{status}", error
    else:
        raise AssertionError(f"{status}: it was answered")


def check_standards():
    """Health and reflection, spoken by hand: their packages would be two more to install."""
    with grpc.insecure_channel(ADDRESS) as channel:
        def bare(data):
            return data

        check = channel.unary_unary("/grpc.health.v1.Health/Check", bare, bare)
        assert check(b"") == b"\x08\x01", "serving"
        assert check(b"\x0a\x06simple") == b"\x08\x01"
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch", bare, bare)(b"")
        assert next(iter(watch)) == b"\x08\x01"
        watch.cancel()
        for version in ("v1", "v1alpha"):
            path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
            told = next(iter(channel.stream_stream(path, bare, bare)(iter([b"\x3a\x00"]))))
            assert b"inference.GRPCInferenceService" in told and b"grpc.health.v1.Health" in told, told
        try:
            check(b"\x0a\x06nobody")
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND, error


async def check_asyncio():
    async with triton_aio.InferenceServerClient(ADDRESS) as client:
        results = await asyncio.gather(*(client.infer("simple", inputs()) for _ in range(8)))
        for result in results:
            check_simple(result)

        async def requests():
            for number in range(5):
                yield {"model_name": "simple", "inputs": inputs(A + number)}

        number = 0
        async for result, error in client.stream_infer(requests()):
            assert error is None, error
            check_simple(result, A + number)
            number += 1
        assert number == 5


def main():
    with triton.InferenceServerClient(ADDRESS) as client:
        check_about(client)
        outputs = [triton.InferRequestedOutput("OUTPUT1"), triton.InferRequestedOutput("OUTPUT0")]
        check_simple(client.infer("simple", inputs(), outputs=outputs, client_timeout=20, priority=1))
        answers = queue.Queue()
        for _ in range(8):
            client.async_infer("simple", inputs(), lambda result, error: answers.put((result, error)))
        for _ in range(8):
            result, error = answers.get(timeout=20)
            assert error is None, error
            check_simple(result)
        check_simple(client.infer("simple", inputs(), compression_algorithm="gzip"))
        refused("UNIMPLEMENTED", lambda: client.infer("simple", inputs(), compression_algorithm="deflate"))
        check_identities(client)
        wanted = [triton.InferRequestedOutput("OUTPUT0", class_count=1)]
        tensor = triton.InferInput("INPUT0", [1, 3], "FP32")
        tensor.set_data_from_numpy(np.array([[0.1, 0.7, 0.2]], np.float32))
        best = client.infer("identity_fp32", [tensor], outputs=wanted).as_numpy("OUTPUT0")
        assert best.tolist() == [[b"0.700000:1"]], best
        check_stream(client)
        check_string(client)
        check_shared_memory(client)
        check_repository(client)
        check_sequences(client)
        check_settings(client)
        refused("NOT_FOUND", lambda: client.get_model_metadata("nobody"))
        refused("INVALID_ARGUMENT", lambda: client.infer("simple", inputs()[:1]))
        large = triton.InferInput("INPUT0", [1, 1_000_000], "FP32")
        large.set_data_from_numpy(np.ones((1, 1_000_000), np.float32))
        refused("DEADLINE_EXCEEDED", lambda: client.infer("identity_fp32", [large], timeout=1))
    asyncio.run(check_asyncio())
    check_standards()
    print("tritonclient.grpc: all well")


main()
