/** The client: requests by `fetch`, sent again where another moment may do. */

import { ModelyardError } from "./errors.js";
import { ModelSequence } from "./sequence.js";
import type { SequenceOptions } from "./sequence.js";
import { decode, encode } from "./wire.js";
import type { InferOptions, InferResult, Input } from "./wire.js";

/** Too many requests, bad gateway, unavailable: another moment may do. */
const LATER = new Set([429, 502, 503]);
/** A request says itself how long its answer may take; the connection waits a little longer for it. */
const GRACE_MS = 2000;

/** A row by its inputs' names, as the model was trained on them. */
export type Row = Readonly<Record<string, unknown>>;

/** A row's answer, by its outputs' names. */
export type Answer = Readonly<Record<string, unknown>>;

/** An input or output: its name, its protocol type, its shape with -1 for any size. */
export interface TensorMetadata {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
}

/** What a model takes and gives. */
export interface ModelMetadata {
  readonly name: string;
  readonly versions?: readonly string[];
  readonly platform: string;
  readonly inputs: readonly TensorMetadata[];
  readonly outputs: readonly TensorMetadata[];
}

/** How a client behaves. */
export interface ClientOptions {
  /** How long a request may take; 30,000 without. */
  timeoutMs?: number;
  /** How often a request is tried in all; 3 without. */
  attempts?: number;
  /** The wait before the second attempt, which doubles with each further one; 100 without. */
  firstDelayMs?: number;
  /** The longest wait, whatever the server says; 5,000 without. */
  delayMaxMs?: number;
  /** What sends requests; the platform's own `fetch` without. */
  fetch?: typeof fetch;
}

interface Sent {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Uint8Array;
}

/** Speaks to one server. */
export class Client {
  readonly #url: string;
  readonly #options: Required<ClientOptions>;

  constructor(url = "http://127.0.0.1:8080", options: ClientOptions = {}) {
    this.#url = url.replace(/\/+$/, "");
    const defaults = { timeoutMs: 30_000, attempts: 3, firstDelayMs: 100, delayMaxMs: 5_000 };
    this.#options = { ...defaults, fetch: globalThis.fetch, ...options };
  }

  /** Whether the server, or a model of it, answers now. */
  async ready(model?: string, version?: string | number): Promise<boolean> {
    const path = model === undefined ? "/v2/health/ready" : `${modelPath(model, version)}/ready`;
    try {
      return (await this.#once(path, {}, this.#options.timeoutMs)).status === 200;
    } catch {
      return false;
    }
  }

  /** The names of the served models. */
  async models(): Promise<string[]> {
    return (await this.#json("/v1/models")).models as string[];
  }

  /** What a model takes and gives. */
  async metadata(model: string, version?: string | number): Promise<ModelMetadata> {
    return (await this.#json(modelPath(model, version))) as unknown as ModelMetadata;
  }

  /** Tensors in, tensors out, as raw bytes both ways. */
  async infer(
    model: string,
    inputs: Readonly<Record<string, Input>>,
    options: InferOptions = {},
  ): Promise<InferResult> {
    const { headers, body } = encode(inputs, options);
    const waits = options.timeoutMs === undefined ? this.#options.timeoutMs : options.timeoutMs + GRACE_MS;
    const path = `${modelPath(model, options.version)}/infer`;
    // A sequence would go on twice; one that begins begins anew.
    const repeatable = options.sequence === undefined || options.sequence.start === true;
    const request = { method: "POST", headers, body: body as BodyInit };
    const sent = await this.#send(path, request, waits, repeatable);
    return decode(sent.headers, sent.body);
  }

  /** A series in pieces, which the model remembers from step to step until its `end` is called. */
  sequence(model: string, options: SequenceOptions = {}): ModelSequence {
    return new ModelSequence((...request) => this.infer(...request), model, options);
  }

  /** As `sequence`, ended when `use` is done, well or not. */
  async withSequence<T>(
    model: string,
    use: (sequence: ModelSequence) => Promise<T>,
    options: SequenceOptions = {},
  ): Promise<T> {
    const sequence = this.sequence(model, options);
    try {
      return await use(sequence);
    } finally {
      // All answers are there; what the server still remembers expires by itself.
      await sequence.end().catch(() => {});
    }
  }

  /** Rows by name in, an answer for each. */
  async predict(model: string, rows: readonly Row[], version?: string | number): Promise<Answer[]> {
    const request = { method: "POST", headers: { "content-type": "application/json" } };
    const path = `${modelPath(model, version, "/v1/models")}:predict`;
    return (await this.#json(path, { ...request, body: JSON.stringify({ instances: rows }) }))
      .predictions as Answer[];
  }

  async #json(path: string, request: RequestInit = {}): Promise<Record<string, unknown>> {
    const { body } = await this.#send(path, request, this.#options.timeoutMs);
    try {
      return JSON.parse(new TextDecoder().decode(body));
    } catch (cause) {
      throw new ModelyardError("the answer is no JSON", { kind: "bad_answer", cause });
    }
  }

  async #send(path: string, request: RequestInit, timeoutMs: number, repeatable = true): Promise<Sent> {
    for (let attempt = 1; ; attempt += 1) {
      let failure: ModelyardError;
      let wait: string | null = null;
      try {
        const sent = await this.#once(path, request, timeoutMs);
        if (sent.status === 200) return sent;
        failure = ModelyardError.fromAnswer(sent.status, sent.body);
        wait = sent.headers.get("retry-after");
      } catch (cause) {
        failure = ModelyardError.unreachable(cause);
      }
      const mayPass = failure.status === undefined || LATER.has(failure.status);
      const mayRepeat = repeatable || failure.changedNothing;
      if (!mayPass || !mayRepeat || attempt >= this.#options.attempts) throw failure;
      await new Promise((later) => setTimeout(later, this.#delayMs(attempt, wait)));
    }
  }

  async #once(path: string, request: RequestInit, timeoutMs: number): Promise<Sent> {
    const signal = AbortSignal.timeout(timeoutMs);
    const answer = await this.#options.fetch(`${this.#url}${path}`, { ...request, signal });
    const body = new Uint8Array(await answer.arrayBuffer());
    return { status: answer.status, headers: answer.headers, body };
  }

  #delayMs(attempt: number, told: string | null): number {
    const { firstDelayMs, delayMaxMs } = this.#options;
    const seconds = told === null ? Number.NaN : Number(told);
    if (Number.isFinite(seconds)) return Math.min(Math.max(seconds * 1000, 0), delayMaxMs);
    return Math.min(firstDelayMs * 2 ** (attempt - 1), delayMaxMs) * (0.5 + Math.random() / 2);
  }
}

function modelPath(model: string, version?: string | number, root = "/v2/models"): string {
  const middle = version === undefined ? "" : `/versions/${encodeURIComponent(version)}`;
  return `${root}/${encodeURIComponent(model)}${middle}`;
}
