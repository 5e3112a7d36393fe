"""FastAPI and ONNX Runtime's side of the serving benchmark: JSON in, JSON out, one process, one thread.

usage: serve_fastapi.py MODEL.onnx PORT      (needs `pip install fastapi uvicorn onnxruntime`)

POST /predict {"input": [[number, …], …]} -> {"output": [[number, …], …]}, checked by pydantic both ways, as the
framework's own guide has it.
"""

import sys

import numpy
import onnxruntime
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

MODEL, PORT = sys.argv[1], int(sys.argv[2])

settings = onnxruntime.SessionOptions()
settings.intra_op_num_threads = 1
settings.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(MODEL, settings, providers=["CPUExecutionProvider"])

app = FastAPI()


class Rows(BaseModel):
    input: list[list[float]]


class Answers(BaseModel):
    output: list[list[float]]


@app.post("/predict")
async def predict(rows: Rows) -> Answers:
    inputs = {"input": numpy.asarray(rows.input, dtype=numpy.float32)}
    (output,) = session.run(["output"], inputs)
    return Answers(output=output.tolist())


uvicorn.run(app, host="127.0.0.1", port=PORT, workers=1, access_log=False, log_level="warning")
