/** A client for models served by Modelyard. */

export { Client } from "./client.js";
export type { Answer, ClientOptions, ModelMetadata, Row, TensorMetadata } from "./client.js";
export { ModelyardError } from "./errors.js";
export { ModelSequence } from "./sequence.js";
export type { SequenceOptions, StepOptions } from "./sequence.js";
export type { DataType, InferOptions, InferResult, Input, SequencePlace, Tensor, Values } from "./wire.js";
