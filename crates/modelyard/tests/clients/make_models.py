"""Makes the small ONNX models that foreign clients are tried with: identities of several types, and NVIDIA's
`simple`, `simple_int8`, `simple_string` (the sum and the difference of two vectors, of numbers or of their
texts) and `simple_identity`. With configurations beside them, as a repository of Triton's: `simple_sequence`,
`simple_dyna_sequence` and `simple_string_dyna_sequence`, which belong to requests of sequences.
Usage: make_models.py FOLDER"""

import pathlib
import sys

from onnx import TensorProto, checker, helper


def save(folder, name, nodes, inputs, outputs):
    graph = helper.make_graph(nodes, name, inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    (folder / f"{name}.onnx").write_bytes(model.SerializeToString())


SEQUENCE = """max_batch_size: 8
input { name: "INPUT" data_type: TYPE_INT32 dims: 1 }
output { name: "OUTPUT" data_type: TYPE_INT32 dims: 1 }
sequence_batching {
  max_sequence_idle_microseconds: 60000000
%s}
"""
START = """  control_input { name: "START" control { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } }
"""
READY = """  control_input { name: "READY" control { kind: CONTROL_SEQUENCE_READY fp32_false_true: [ 0, 1 ] } }
"""
END = """  control_input { name: "END" control { kind: CONTROL_SEQUENCE_END bool_false_true: [ false, true ] } }
"""
CORRELATION = """  control_input { name: "CORRID" control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_%s } }
"""
STATE = """  state { input_name: "STATE" output_name: "NEXT" data_type: TYPE_INT32 dims: 1
    initial_state { name: "zero" data_type: TYPE_INT32 dims: 1 zero_data: true } }
"""


def save_sequence_model(folder, name, batching, nodes, controls):
    """`controls` are the inputs beside INPUT, by name; a state's successor is an output beside OUTPUT."""
    into = folder / name
    (into / "1").mkdir(parents=True, exist_ok=True)
    shape = ["rows", 1]
    inputs = [helper.make_tensor_value_info(n, kind, shape) for n, kind in (("INPUT", TensorProto.INT32), *controls)]
    names = ["OUTPUT", "NEXT"] if "STATE" in dict(controls) else ["OUTPUT"]
    outputs = [helper.make_tensor_value_info(n, TensorProto.INT32, shape) for n in names]
    save(into / "1", "model", nodes, inputs, outputs)
    (into / "config.pbtxt").write_text(SEQUENCE % batching)


def save_sequence_models(folder):
    """NVIDIA's example clients want what `src/custom/sequence` did: an input comes back, the first one with 1 more.
    The dynamic ones add the sequence's name to the last; the one of texts adds all inputs up before."""
    node, int32 = helper.make_node, TensorProto.INT32
    cast = lambda name: node("Cast", [name], [name.lower()], to=int32)  # noqa: E731
    nodes = [
        cast("READY"),
        node("Add", ["INPUT", "START"], ["sum"]),
        node("Mul", ["sum", "ready"], ["OUTPUT"]),
    ]
    controls = (("START", int32), ("READY", TensorProto.FLOAT))
    save_sequence_model(folder, "simple_sequence", "  direct { }\n" + START + READY, nodes, controls)
    name_at_end = [cast("END"), cast("CORRID"), node("Mul", ["end", "corrid"], ["last"])]
    nodes = [*name_at_end, node("Add", ["INPUT", "START"], ["sum"]), node("Add", ["sum", "last"], ["OUTPUT"])]
    batching = "  oldest { max_candidate_sequences: 4 }\n" + START + END + CORRELATION % "UINT64"
    controls = (("START", int32), ("END", TensorProto.BOOL), ("CORRID", TensorProto.UINT64))
    save_sequence_model(folder, "simple_dyna_sequence", batching, nodes, controls)
    nodes = [
        *name_at_end,
        node("Add", ["INPUT", "STATE"], ["sum"]),
        node("Add", ["sum", "last"], ["OUTPUT"]),
        node("Identity", ["OUTPUT"], ["NEXT"]),
    ]
    controls = (("END", TensorProto.BOOL), ("CORRID", TensorProto.STRING), ("STATE", int32))
    batching = "  oldest { max_candidate_sequences: 4 }\n" + END + CORRELATION % "STRING" + STATE
    save_sequence_model(folder, "simple_string_dyna_sequence", batching, nodes, controls)


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
    save_sequence_models(folder)


main()
