/** What goes wrong, in one error. */

/**
 * A request that was refused, or a server that could not be reached. `kind` is the server's own word
 * (`invalid_argument`, `not_found`, `resource_exhausted`, …), `unreachable` where no answer came, `bad_answer`
 * where it made no sense. `status` is HTTP's. `changedNothing` where that is certain: the request never reached the
 * server, or the server itself says that it failed, and not that its sequence is lost by that. Whatever stands between
 * may refuse a request that it had passed on.
 */
export class ModelyardError extends Error {
  readonly kind: string;
  readonly status: number | undefined;
  readonly hint: string | undefined;
  readonly requestId: string | undefined;
  readonly changedNothing: boolean;

  constructor(
    message: string,
    told: {
      kind: string;
      status?: number;
      hint?: string;
      requestId?: string;
      changedNothing?: boolean;
      cause?: unknown;
    },
  ) {
    super(told.hint === undefined ? message : `${message} (${told.hint})`, { cause: told.cause });
    this.name = "ModelyardError";
    this.kind = told.kind;
    this.status = told.status;
    this.hint = told.hint;
    this.requestId = told.requestId;
    this.changedNothing = told.changedNothing ?? false;
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
      const { error, kind, hint, request_id: id, sequence_lost: lost } = told as Record<string, unknown>;
      return new ModelyardError(String(error), {
        kind: String(kind),
        status,
        ...(typeof hint === "string" ? { hint } : {}),
        ...(typeof id === "string" ? { requestId: id, changedNothing: lost !== true } : {}),
      });
    }
    return new ModelyardError(`HTTP ${status}: ${text.slice(0, 200)}`, { kind: "bad_answer", status });
  }

  /** The error of a `fetch` that failed. */
  static unreachable(cause: unknown): ModelyardError {
    const changedNothing = neverConnected(cause);
    return new ModelyardError(`no answer: ${String(cause)}`, { kind: "unreachable", changedNothing, cause });
  }
}

/** Whether `fetch` failed before there was a connection, as far as the platform tells: Node does, browsers do not. */
function neverConnected(failed: unknown): boolean {
  const { code, syscall, errors = [] } = (Object(failed).cause ?? {}) as {
    code?: unknown;
    syscall?: unknown;
    errors?: readonly { syscall?: unknown }[];
  };
  const early = (call: unknown) => call === "connect" || call === "getaddrinfo";
  // One of several addresses each, where a name has them.
  const all = errors.length > 0 ? errors.every((error) => early(error.syscall)) : early(syscall);
  return all || code === "UND_ERR_CONNECT_TIMEOUT";
}
