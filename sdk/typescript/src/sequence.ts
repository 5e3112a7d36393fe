/** Series in pieces: who remembers which request begins a sequence, which ends it, and whether it can go on. */

import { ModelyardError } from "./errors.js";
import type { InferOptions, InferResult, Input } from "./wire.js";

/** How a sequence begins. */
export interface SequenceOptions {
  /** The version's number or an alias; the live one without. A sequence stays with the version that it began on. */
  version?: string | number;
  /** A number other than 0, or a text; a number by chance without. */
  id?: number | string;
}

/** What may be asked of a step beside its inputs. */
export interface StepOptions extends Omit<InferOptions, "sequence" | "version"> {
  /** Whether it is the last one. */
  end?: boolean;
}

type Infer = (
  model: string,
  inputs: Readonly<Record<string, Input>>,
  options: InferOptions,
) => Promise<InferResult>;

/**
 * A sequence on one server: every step is answered by what came before it.
 *
 * A step that certainly changed nothing (`ModelyardError.changedNothing`) leaves the sequence as it was and may be sent
 * again. Of every other failure it is not known whether the step was taken, and the sequence cannot be gone on with.
 * Await each step before the next.
 */
export class ModelSequence {
  readonly model: string;
  readonly id: number | string;
  readonly #infer: Infer;
  readonly #version: string | number | undefined;
  #state: "new" | "begun" | "in doubt" | "over" = "new";

  /** Made by `Client.sequence`. */
  constructor(infer: Infer, model: string, { version, id }: SequenceOptions) {
    this.model = model;
    this.id = id ?? chance();
    this.#infer = infer;
    this.#version = version;
  }

  /** The next piece, of one row. */
  async step(
    inputs: Readonly<Record<string, Input>>,
    { end = false, ...options }: StepOptions = {},
  ): Promise<InferResult> {
    const before = this.#state;
    if (before === "over") throw this.#refused("has ended", "sequence_over");
    if (before === "in doubt") {
      throw this.#refused("is in doubt: it is not known whether its last step was taken", "sequence_lost");
    }
    const start = before === "new";
    const version = start && this.#version !== undefined ? { version: this.#version } : {};
    // One that begins anew is never in doubt.
    this.#state = start ? "new" : "in doubt";
    try {
      const sequence = { id: this.id, start, end };
      const result = await this.#infer(this.model, inputs, { ...options, ...version, sequence });
      this.#state = end ? "over" : "begun";
      return result;
    } catch (error) {
      if (wasNotTaken(error)) this.#state = before;
      throw error;
    }
  }

  /** Ends it without a further step, where it has not ended yet. */
  async end(): Promise<void> {
    const before = this.#state;
    this.#state = "over";
    if (before === "new" || before === "over") return;
    await this.#infer(this.model, {}, { sequence: { id: this.id, end: true } });
  }

  #refused(what: string, kind: string): ModelyardError {
    const message = `sequence ${this.id} of model ${this.model} ${what}`;
    return new ModelyardError(message, { kind, hint: "begin another sequence", changedNothing: true });
  }
}

/** Whether the step was certainly not taken; some values cannot be sent. */
function wasNotTaken(error: unknown): boolean {
  return error instanceof TypeError || (error instanceof ModelyardError && error.changedNothing);
}

/** A number from 1 that JSON carries whole. */
function chance(): number {
  const [high = 0, low = 0] = crypto.getRandomValues(new Uint32Array(2));
  return 1 + (high % 2 ** 20) * 2 ** 32 + low;
}
