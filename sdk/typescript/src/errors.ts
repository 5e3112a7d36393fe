/** What goes wrong, in one error. */

/**
 * A request that was refused, or a server that could not be reached. `kind` is the server's own word
 * (`invalid_argument`, `not_found`, `resource_exhausted`, …), `unreachable` where no answer came, `bad_answer`
 * where it made no sense. `status` is HTTP's.
 */
export class ModelyardError extends Error {
  readonly kind: string;
  readonly status: number | undefined;
  readonly hint: string | undefined;
  readonly requestId: string | undefined;

  constructor(
    message: string,
    told: { kind: string; status?: number; hint?: string; requestId?: string; cause?: unknown },
  ) {
    super(told.hint === undefined ? message : `${message} (${told.hint})`, { cause: told.cause });
    this.name = "ModelyardError";
    this.kind = told.kind;
    this.status = told.status;
    this.hint = told.hint;
    this.requestId = told.requestId;
  }

  /** The error that a server answered; whoever answered in another form stands between. */
  static fromAnswer(status: number, body: Uint8Array): ModelyardError {
    const text = new TextDecoder().decode(body);
    let told: unknown;
    try {
      told = JSON.parse(text);
    } catch {
      told = undefined;
    }
    if (typeof told === "object" && told !== null && "error" in told && "kind" in told) {
      const { error, kind, hint, request_id: id } = told as Record<string, unknown>;
      return new ModelyardError(String(error), {
        kind: String(kind),
        status,
        ...(typeof hint === "string" ? { hint } : {}),
        ...(typeof id === "string" ? { requestId: id } : {}),
      });
    }
    return new ModelyardError(`HTTP ${status}: ${text.slice(0, 200)}`, { kind: "bad_answer", status });
  }
}
