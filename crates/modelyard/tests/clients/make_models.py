"""Makes the small ONNX models that foreign clients are tried with: identities of several types, and NVIDIA's
`simple`, `simple_int8`, `simple_string` (the sum and the difference of two vectors, of numbers or of their
texts) and `simple_identity`. Usage: make_models.py FOLDER"""

import pathlib
import sys

from onnx import TensorProto, checker, helper


def save(folder, name, nodes, inputs, outputs):
    graph = helper.make_graph(nodes, name, inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    (folder / f"{name}.onnx").write_bytes(model.SerializeToString())


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    value = helper.make_tensor_value_info
    types = {
        "identity_fp32": TensorProto.FLOAT,
        "identity_fp16": TensorProto.FLOAT16,
        "identity_int64": TensorProto.INT64,
        "identity_bool": TensorProto.BOOL,
        "identity_bytes": TensorProto.STRING,
        "simple_identity": TensorProto.STRING,
    }
    for name, kind in types.items():
        tensors = [[value(side, kind, ["rows", "width"])] for side in ("INPUT0", "OUTPUT0")]
        save(folder, name, [helper.make_node("Identity", ["INPUT0"], ["OUTPUT0"])], *tensors)
    shape = ["rows", 16]
    nodes = [
        helper.make_node("Add", ["INPUT0", "INPUT1"], ["OUTPUT0"]),
        helper.make_node("Sub", ["INPUT0", "INPUT1"], ["OUTPUT1"]),
    ]
    for name, kind in (("simple", TensorProto.INT32), ("simple_int8", TensorProto.INT8)):
        inputs = [value(name, kind, shape) for name in ("INPUT0", "INPUT1")]
        outputs = [value(name, kind, shape) for name in ("OUTPUT0", "OUTPUT1")]
        save(folder, name, nodes, inputs, outputs)
    numbers = [helper.make_node("Cast", [f"INPUT{n}"], [f"number{n}"], to=TensorProto.INT32) for n in (0, 1)]
    sums = [helper.make_node(op, ["number0", "number1"], [op]) for op in ("Add", "Sub")]
    texts = [helper.make_node("Cast", [op], [f"OUTPUT{n}"], to=TensorProto.STRING) for n, op in enumerate(("Add", "Sub"))]
    inputs = [value(name, TensorProto.STRING, shape) for name in ("INPUT0", "INPUT1")]
    outputs = [value(name, TensorProto.STRING, shape) for name in ("OUTPUT0", "OUTPUT1")]
    save(folder, "simple_string", [*numbers, *sums, *texts], inputs, outputs)


main()
