/** Between typed arrays and the Open Inference Protocol, version 2, with raw tensors behind the JSON. */

import { ModelyardError } from "./errors.js";

export const JSON_BYTES = "inference-header-content-length";

/** The types whose raw values a typed array holds as they are. */
const ARRAYS = {
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  UINT64: BigUint64Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
  FP32: Float32Array,
  FP64: Float64Array,
} as const;

/** The protocol's names of types. FP16 is carried as its bits, BOOL as 0 and 1, BYTES as byte strings. */
export type DataType = keyof typeof ARRAYS | "BOOL" | "FP16" | "BYTES";

/** The values of a tensor, flat and in row-major order. */
export type Values =
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Float32Array
  | Float64Array
  | Uint8Array[];

/** A tensor. */
export interface Tensor {
  readonly datatype: DataType;
  readonly shape: readonly number[];
  readonly data: Values;
}

/** An input: a tensor, with texts allowed among the values of BYTES. */
export type Input = Tensor | { datatype: "BYTES"; shape: readonly number[]; data: readonly (string | Uint8Array)[] };

/** The outputs by name, and the version that computed them. */
export interface InferResult {
  readonly model: string;
  readonly version: string;
  readonly id: string | undefined;
  readonly outputs: Readonly<Record<string, Tensor>>;
}

/** A request's place in a sequence: which, and whether that begins or ends with the request. */
export interface SequencePlace {
  /** A number other than 0, or a text. */
  readonly id: number | string;
  readonly start?: boolean;
  readonly end?: boolean;
}

/** What may be asked of an inference beside its inputs. */
export interface InferOptions {
  /** The version's number or an alias; the live one without. */
  version?: string | number;
  /** The outputs wanted; all without. */
  outputs?: readonly string[];
  /** A name for the request, given back with the answer. */
  id?: string;
  /** How long the answer may take, in milliseconds. */
  timeoutMs?: number;
  /** 1 goes first, 255 last; 100 without. */
  priority?: number;
  /** For a request that belongs to a sequence; `Client.sequence` is the easier way. */
  sequence?: SequencePlace;
}

/** The headers and the body of an inference. */
export function encode(
  inputs: Readonly<Record<string, Input>>,
  options: InferOptions,
): { headers: Record<string, string>; body: Uint8Array } {
  const raw = Object.entries(inputs).map(([name, input]) => bytesOf(name, input));
  const tensors = Object.entries(inputs).map(([name, { datatype, shape }], at) => ({
    name,
    datatype,
    shape,
    parameters: { binary_data_size: raw[at]?.length ?? 0 },
  }));
  const parameters: Record<string, unknown> = { binary_data_output: true };
  if (options.timeoutMs !== undefined) parameters["timeout"] = Math.max(1, Math.round(options.timeoutMs * 1000));
  if (options.priority !== undefined) parameters["priority"] = options.priority;
  if (options.sequence !== undefined) {
    const { id, start = false, end = false } = options.sequence;
    Object.assign(parameters, { sequence_id: id, sequence_start: start, sequence_end: end });
  }
  const head: Record<string, unknown> = { parameters, inputs: tensors };
  if (options.id !== undefined) head["id"] = options.id;
  if (options.outputs?.length) head["outputs"] = options.outputs.map((name) => ({ name }));
  const text = new TextEncoder().encode(JSON.stringify(head));
  const headers = { [JSON_BYTES]: String(text.length), "content-type": "application/octet-stream" };
  return { headers, body: joined([text, ...raw]) };
}

function bytesOf(name: string, { datatype, data }: Input): Uint8Array {
  if (datatype !== "BYTES") {
    const wanted = datatype === "BOOL" ? Uint8Array : datatype === "FP16" ? Uint16Array : ARRAYS[datatype];
    if (!(data instanceof wanted)) {
      throw new TypeError(`input "${name}": ${datatype} is carried by ${wanted.name}`);
    }
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  }
  if (!Array.isArray(data)) throw new TypeError(`input "${name}": BYTES are an array of texts or byte strings`);
  const parts = (data as readonly (string | Uint8Array)[]).flatMap((element) => {
    const bytes = typeof element === "string" ? new TextEncoder().encode(element) : element;
    const size = new Uint8Array(4);
    new DataView(size.buffer).setUint32(0, bytes.length, true);
    return [size, bytes];
  });
  return joined(parts);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** The answer of an inference. */
export function decode(headers: Headers, body: Uint8Array): InferResult {
  try {
    const length = headers.get(JSON_BYTES);
    const split = length === null ? body.length : Number(length);
    const told = JSON.parse(new TextDecoder().decode(body.subarray(0, split)));
    const outputs: Record<string, Tensor> = {};
    let at = split;
    for (const { name, datatype, shape, parameters, data } of told.outputs) {
      const size: number | undefined = parameters?.binary_data_size;
      if (size === undefined) {
        outputs[name] = { datatype, shape, data: fromJson(datatype, data) };
      } else {
        // Copied, so that every typed array begins where its type allows.
        outputs[name] = { datatype, shape, data: fromRaw(datatype, body.slice(at, at + size)) };
        at += size;
      }
    }
    return { model: told.model_name, version: told.model_version, id: told.id, outputs };
  } catch (cause) {
    throw new ModelyardError(`the answer is no inference: ${String(cause)}`, { kind: "bad_answer", cause });
  }
}

function fromJson(datatype: DataType, data: readonly (number | boolean | string)[]): Values {
  switch (datatype) {
    case "BYTES":
      return data.map((text) => new TextEncoder().encode(String(text)));
    case "BOOL":
      return Uint8Array.from(data, Number);
    case "INT64":
      return BigInt64Array.from(data as number[], BigInt);
    case "UINT64":
      return BigUint64Array.from(data as number[], BigInt);
    case "FP16":
      throw new TypeError("FP16 came as JSON, though raw values were asked for");
    default:
      return ARRAYS[datatype].from(data as number[]);
  }
}

function fromRaw(datatype: DataType, bytes: Uint8Array<ArrayBuffer>): Values {
  if (datatype === "BOOL") return bytes;
  if (datatype === "FP16") return new Uint16Array(bytes.buffer);
  if (datatype !== "BYTES") return new ARRAYS[datatype](bytes.buffer);
  const elements: Uint8Array[] = [];
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < bytes.length; ) {
    const size = view.getUint32(at, true);
    elements.push(bytes.subarray(at + 4, at + 4 + size));
    at += 4 + size;
  }
  return elements;
}
