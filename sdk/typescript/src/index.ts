/** A client for models served by Modelyard. */

export { Client } from "./client.js";
export type { Answer, ClientOptions, ModelMetadata, Row, TensorMetadata } from "./client.js";
export { ModelyardError } from "./errors.js";
export type { DataType, InferOptions, InferResult, Input, Tensor, Values } from "./wire.js";
