"""Writes the seeds of the fuzz targets: small right inputs from which the fuzzer starts to break things.

Run it here after a format has changed: python3 make_seeds.py
"""

import gzip
import json
import pathlib
import struct
import zlib

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent


def seed(target, name, data):
    folder = HERE / "seeds" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)


def tables():
    """Two settings bytes, then the rows; see src/lib.rs."""
    header = "c0,c1,c2,c3,c4,c5,c6\n"
    rows = [
        '1.5,red,2024-02-29,0,1,2,yes',
        '-3e4,"blue ""x""",2024-03-01T12:00:00Z,3,4,5,no',
        'NA,,1700000000,NaN,1e-9,?,yes',
        '7,"two\nlines",2024-12-31 23:59,6,7,8,no',
    ]
    text = header + "\n".join(rows) + "\n"
    seed("csv", "plain", b"\x00\x00" + text.encode())
    seed("csv", "no_header", b"\x01\x00" + text[len(header):].encode())
    seed("csv", "marked_crlf", b"\x00\x00\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    seed("csv", "semicolons", b"\x02\x10" + text.replace(",", ";").replace("yes", "1").replace("no", "0").encode())
    seed("csv", "gzipped", b"\x00\x00" + gzip.compress(text.encode(), mtime=0))
    lines = [
        {"c0": 1.5, "c1": "red", "c2": "2024-02-29", "c3": 0, "c4": 1, "c5": 2, "c6": "yes"},
        {"c0": None, "c1": "blue", "c2": 1700000000, "c3": 3, "c4": 4, "c5": 5, "c6": "no"},
        {"c1": "\u00fc", "c2": "2024-12-31T00:00:00+02:00", "c3": 6, "c4": 7, "c5": 8, "c6": "no"},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    seed("jsonl", "plain", b"\x00\x00" + text.encode())
    seed("jsonl", "gzipped", b"\x00\x00" + gzip.compress(text.encode(), mtime=0))


def arrays():
    for name, code, kind, size in [("u8", 0x08, "B", 1), ("i16", 0x0B, "h", 2), ("f32", 0x0D, "f", 4), ("f64", 0x0E, "d", 8)]:
        values = struct.pack(f">6{kind}", *range(6))
        data = bytes([0, 0, code, 2]) + struct.pack(">2I", 2, 3) + values
        seed("idx", name, data)
        seed("idx", name + "_gz", gzip.compress(data, mtime=0))
    for name, descr, kind in [("f4", "<f4", "<6f"), ("i8", "<i8", "<6q"), ("u1", "|u1", "<6B"), ("big", ">f8", ">6d")]:
        header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': (2, 3), }}"
        header = header.ljust(117) + "\n"
        data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()
        seed("npy", name, data + struct.pack(kind, *range(6)))
    header = "{'descr': '<f4', 'fortran_order': True, 'shape': (1,), }".ljust(115) + "\n"
    data = b"\x93NUMPY\x02\x00" + struct.pack("<I", len(header)) + header.encode() + struct.pack("<f", 1)
    seed("npy", "version_2", data)


def images():
    def png(colour_type, channels):
        def chunk(kind, data):
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        pixels = b"".join(b"\x00" + bytes(range(4 * channels)) for _ in range(3))
        header = struct.pack(">2I5B", 4, 3, 8, colour_type, 0, 0, 0)
        parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(pixels)), chunk(b"IEND", b"")]
        return b"\x89PNG\r\n\x1a\n" + b"".join(parts)

    for name, colour_type, channels in [("grey", 0, 1), ("rgb", 2, 3), ("rgba", 6, 4)]:
        seed("image", name + ".png", png(colour_type, channels))
    # One grey 8 x 8 block: quantisation of ones, one DC and one AC code, a difference of 0 and the block's end.
    table = b"\xff\xdb\x00\x43\x00" + b"\x01" * 64
    frame = b"\xff\xc0\x00\x0b\x08\x00\x08\x00\x08\x01\x01\x11\x00"
    codes = b"".join(b"\xff\xc4\x00\x14" + kind + b"\x01" + b"\x00" * 15 + b"\x00" for kind in (b"\x00", b"\x10"))
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + b"\x3f"
    seed("image", "grey.jpg", b"\xff\xd8" + table + frame + codes + scan + b"\xff\xd9")


def sounds():
    def wav(kind, channels, rate, bits, data):
        head = struct.pack("<HHIIHH", kind, channels, rate, rate * channels * bits // 8, channels * bits // 8, bits)
        body = b"WAVE" + b"fmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", len(data)) + data
        return b"RIFF" + struct.pack("<I", len(body)) + body

    seed("wav", "bits_8", wav(1, 1, 8_000, 8, bytes(range(100, 156))))
    seed("wav", "bits_16", wav(1, 2, 44_100, 16, struct.pack("<64h", *range(-3200, 3200, 100))))
    seed("wav", "bits_24", wav(1, 1, 11_025, 24, bytes(range(96))))
    seed("wav", "floats", wav(3, 1, 16_000, 32, struct.pack("<32f", *(i / 32 for i in range(-16, 16)))))
    seed("wav", "silent", wav(1, 1, 8_000, 16, b""))


def requests():
    def body(datatype, data, shape=(1, 2)):
        tensor = {"name": "input", "shape": list(shape), "datatype": datatype, "data": data}
        return {"id": "7", "inputs": [tensor], "outputs": [{"name": "output"}]}

    seed("json_tensors", "floats", json.dumps(body("FP32", [1.5, -2e3])))
    seed("json_tensors", "nested", json.dumps(body("FP64", [[1, 2], [3, 4]], (2, 2))))
    seed("json_tensors", "integers", json.dumps(body("INT64", [-(2**63), 2**63 - 1])))
    seed("json_tensors", "booleans", json.dumps(body("BOOL", [True, False])))
    seed("json_tensors", "texts", json.dumps(body("BYTES", ["a", "\u00fc"])))
    def with_raw(datatype, values, *sizes):
        head = body(datatype, None, sizes)
        del head["inputs"][0]["data"]
        head["inputs"][0]["parameters"] = {"binary_data_size": len(values)}
        text = json.dumps({"parameters": {"binary_data_output": True}, **head}).encode()
        return struct.pack("<H", len(text)) + text + values

    seed("binary_tensors", "floats", with_raw("FP32", struct.pack("<2f", 1.5, -2e3), 1, 2))
    seed("binary_tensors", "texts", with_raw("BYTES", b"\x01\0\0\0a\0\0\0\0", 2))
    seed("binary_tensors", "halves", with_raw("FP16", b"\0\x3c", 1, 1))
    tensor = field(1, "input") + field(2, "FP32") + field(3, 1) + field(3, 2)
    floats = struct.pack("<2f", 1.5, -2e3)
    seed("grpc_infer", "raw", field(1, "m") + field(3, "7") + field(5, tensor) + field(7, floats))
    seed("grpc_infer", "typed", field(1, "m") + field(5, tensor + field(5, field(6, floats))) + field(6, field(1, "y")))
    seed("json_tensors", "parameters", json.dumps({"parameters": {"x": 1}, **body("UINT8", [0, 255])}))


def answers():
    """Two bytes that say how many are JSON, or 0xFFFF for all, then the body."""
    def answer(tensors, values=b""):
        head = {"model_name": "m", "model_version": "1", "id": "7", "outputs": tensors}
        text = json.dumps(head).encode()
        return struct.pack("<H", len(text) if values else 0xFFFF) + text + values

    def tensor(datatype, shape, **rest):
        return {"name": "y", "datatype": datatype, "shape": shape, **rest}

    floats = struct.pack("<2f", 1.5, -2e3)
    seed("client_answer", "json", answer([tensor("FP32", [1, 2], data=[1.5, -2e3])]))
    seed("client_answer", "texts", answer([tensor("BYTES", [2], data=["a", "\u00fc"])]))
    raw = [tensor("FP32", [1, 2], parameters={"binary_data_size": 8}), tensor("BOOL", [1], data=[True])]
    seed("client_answer", "raw", answer(raw, floats))
    metadata = {"name": "m", "versions": ["1"], "platform": "p", "inputs": [tensor("FP32", [-1, 2])], "outputs": []}
    seed("client_answer", "metadata", b"\xff\xff" + json.dumps(metadata).encode())
    refusal = {"error": "full", "kind": "resource_exhausted", "hint": "wait", "request_id": "7"}
    seed("client_answer", "refusal", b"\xff\xff" + json.dumps(refusal).encode())
    for name, which, count, values in [("bool", 0, 2, b"\0\1"), ("fp32", 10, 2, floats), ("bytes", 12, 2, b"\x01\0\0\0a\0\0\0\0")]:
        seed("raw_tensors", name, bytes([which]) + struct.pack("<H", count) + values)
    output = field(1, "y") + field(2, "FP32") + field(3, 1) + field(3, 2)
    seed("remote_answer", "raw", field(1, "m") + field(2, "1") + field(5, output) + field(6, floats))
    seed("remote_answer", "typed", field(1, "m") + field(5, output + field(5, field(6, floats))))
    takes = field(1, "x") + field(2, "FP32") + field(3, b"\xff" * 9 + b"\x01" + b"\x02")
    seed("remote_answer", "metadata", field(1, "m") + field(2, "1") + field(3, "p") + field(4, takes) + field(5, takes))


def field(number, value):
    """One field of a protobuf message: an integer, or bytes, or a text."""
    def varint(value):
        out = b""
        while value > 0x7F:
            out += bytes([value & 0x7F | 0x80])
            value >>= 7
        return out + bytes([value])

    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def onnx():
    def value_info(name, *dims):
        shape = b"".join(field(1, field(2, d) if isinstance(d, str) else field(1, d)) for d in dims)
        return field(1, name) + field(2, field(1, field(1, 1) + field(2, shape)))

    def constant(name, dims, values):
        raw = struct.pack(f"<{len(values)}f", *values)
        return b"".join(field(1, d) for d in dims) + field(2, 1) + field(8, name) + field(9, raw)

    def node(kind, inputs, output, attributes=b""):
        return b"".join(field(1, i) for i in inputs) + field(2, output) + field(4, kind) + attributes

    def attribute(name, integers):
        return field(5, field(1, name) + b"".join(field(8, i) for i in integers) + field(20, 7))

    def model(nodes, constants, inputs, outputs):
        graph = b"".join(field(1, n) for n in nodes) + field(2, "g")
        graph += b"".join(field(5, c) for c in constants)
        graph += b"".join(field(11, i) for i in inputs) + b"".join(field(12, o) for o in outputs)
        return field(1, 8) + field(2, "seed") + field(7, graph) + field(8, field(1, "") + field(2, 17))

    dense = [node("MatMul", ["input", "w"], "h"), node("Add", ["h", "b"], "s"), node("Relu", ["s"], "output")]
    constants = [constant("w", [3, 2], range(6)), constant("b", [2], [0.5, -0.5])]
    whole = model(dense, constants, [value_info("input", "batch", 3)], [value_info("output", "batch", 2)])
    seed("onnx_walk", "dense", whole)
    pads = attribute("pads", [1, 1, 1, 1]) + attribute("strides", [1, 1]) + attribute("kernel_shape", [3, 3])
    conv = [node("Conv", ["input", "w"], "c", pads), node("GlobalAveragePool", ["c"], "output")]
    weights = [constant("w", [2, 1, 3, 3], range(18))]
    whole = model(conv, weights, [value_info("input", "n", 1, 8, 8)], [value_info("output", "n", 2, 1, 1)])
    seed("onnx_walk", "conv", whole)


def networks():
    """The length of network.json in two bytes, then it, then the weights in the form of safetensors."""
    def files(input_shape, layers, tensors):
        document = json.dumps({"format_version": 1, "network": {"input": input_shape, "layers": layers}}).encode()
        header, offset = {}, 0
        for name, shape in tensors:
            size = 4
            for dimension in shape:
                size *= dimension
            header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size]}
            offset += size
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        values = struct.pack(f"<{offset // 4}f", *range(offset // 4))
        return struct.pack("<H", len(document)) + document + struct.pack("<Q", len(text)) + text + values

    dense = [{"type": "dense", "units": 2, "activation": "softmax"}]
    seed("network_files", "dense", files([3], dense, [("0.dense.kernel", [3, 2]), ("0.dense.bias", [2])]))
    layers = [
        {"type": "conv2d", "filters": 2, "kernel_size": 3, "activation": "relu"},
        {"type": "max_pool2d"},
        {"type": "flatten"},
        {"type": "dropout", "rate": 0.5},
        {"type": "dense", "units": 1},
    ]
    tensors = [("0.conv2d.kernel", [3, 3, 1, 2]), ("0.conv2d.bias", [2])]
    tensors += [("4.dense.kernel", [8, 1]), ("4.dense.bias", [1])]
    seed("network_files", "conv", files([6, 6, 1], layers, tensors))


def stored():
    for name in ["signature", "scores", "lineage"]:
        seed("documents", name, (ROOT / "testdata/formats/1" / f"{name}.json").read_bytes())
    for example in sorted((ROOT / "examples").glob("*/modelyard.toml")):
        seed("project_file", example.parent.name, example.read_bytes())


def orders():
    """What a client sends with the order to load."""
    def order(case, **fields):
        seed("config_override", case, json.dumps(fields))

    order("batches", name="m", max_batch_size="16", instance_group=[{"count": 2, "kind": "KIND_CPU"}],
          dynamic_batching={"preferred_batch_size": [4, 8], "max_queue_delay_microseconds": "500"},
          parameters={"intra_op_thread_count": {"string_value": "2"}}, input=None)
    control = {"name": "START", "control": [{"kind": "CONTROL_SEQUENCE_START", "fp32_false_true": [0, 1.5]}]}
    state = {"input_name": "a", "output_name": "b", "data_type": "TYPE_FP32", "dims": ["2"]}
    order("sequences", max_batch_size=8, sequence_batching={"oldest": {"max_candidate_sequences": 4},
          "control_input": [control], "state": [state]})
    order("tensors", input=[{"name": "x", "data_type": "TYPE_FP32", "dims": [1, "-1"]}],
          output=[{"name": "y", "data_type": "TYPE_STRING", "dims": [10]}])


def graphs():
    seed("graph", "kept", (ROOT / "testdata/formats/1/graph.json").read_bytes())
    seed("graph", "declared", """[outputs]
scores = "verdict"

[[steps]]
name = "small"
model = "head-small"
inputs = { x = "request.x" }

[[steps]]
name = "large"
model = "head-large"
version = "challenger"
inputs = { x = "request.x" }

[[steps]]
name = "verdict"
combine = "weighted"
of = ["small", "large"]
weights = [1, 3]
""")
    route = {"format_version": 1, "canary": {"version": 2, "percent": 12.5, "sticky": "x-user",
             "guard": {"disagreement_max": 0.1}}, "shadow": {"version": 3, "percent": 50.0, "tolerance": 0.001}}
    seed("documents", "route", json.dumps(route))
    seed("documents", "route-of-a-folder", json.dumps({**route, "format_version": 2, "live": 1}))


def configs():
    seed("triton_config", "batches", """# What most models say.
name: "digits"
platform: "onnxruntime_onnx"
max_batch_size: 16
input [ { name: "x" data_type: TYPE_FP32 format: FORMAT_NCHW dims: [ 1, 8, -1 ] } ]
output [ { name: "y" data_type: TYPE_STRING dims: [ 10 ] label_filename: "labels.txt" } ]
version_policy: { specific: { versions: [1, 3] } }
instance_group [ { count: 2 kind: KIND_CPU }, { kind: KIND_AUTO } ]
dynamic_batching { preferred_batch_size: [ 8, 4 ] max_queue_delay_microseconds: 100 }
parameters { key: "intra_op_thread_count" value: { string_value: "3" } }
response_cache { enable: false }
model_warmup [ { name: "w" batch_size: 2 count: 3
  inputs { key: "x" value: { data_type: TYPE_FP32 dims: [1, 8, 2] random_data: true } } } ]
""")
    seed("triton_config", "sequences", """backend: "onnx" "runtime", default_model_filename: 'a.onnx';
sequence_batching <
  max_sequence_idle_microseconds: 16
  oldest { max_candidate_sequences: 4 preferred_batch_size: [ 4, 2 ] max_queue_delay_microseconds: 100 }
  control_input [
    { name: "START" control [ { kind: CONTROL_SEQUENCE_START fp32_false_true: [ -0.5, 1e0 ] } ] },
    { name: "END" control { kind: CONTROL_SEQUENCE_END bool_false_true: [ false, true ] } },
    { name: "CORRID" control [ { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_INT64 } ] }
  ]
  state { input_name: "in" output_name: "out" data_type: TYPE_INT32 dims: [ 2, -1 ]
    initial_state { name: "none" data_type: TYPE_INT32 dims: [ 2, 3 ] zero_data: true } }
>
""")


tables()
arrays()
images()
sounds()
requests()
onnx()
networks()
answers()
orders()
graphs()
configs()
stored()
