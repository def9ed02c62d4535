import type { Failure } from "./core/types.js";

/** The problem document of an HTTP response (RFC 9457). */
interface Problem {
  /** With status 410: the seqs that are still stored, and the parameter that names others. */
  parameter?: string;
  oldest?: number;
  newest?: number;
}

/** A request, a subscription or a read that failed. `code` is for programs, `message` for people. */
export class ChaincastError extends Error {
  declare name: "ChaincastError";
  /** A code of the protocol; `DISCONNECTED` without a connection. */
  declare readonly code: Failure["code"];
  declare readonly retryAfterMs: number | undefined;
  /** Of an HTTP response. */
  declare readonly status: number | undefined;
  declare readonly problem: Problem;

  constructor({ code, message, retryAfterMs }: Failure, status?: number, problem: Problem = {}) {
    super(message);
    Object.assign(this, { name: "ChaincastError", code, retryAfterMs, status, problem });
  }
}

/** What a refused HTTP request says. */
export async function refusal(response: Response): Promise<ChaincastError> {
  const { status, headers } = response;
  const problem = await response.json().catch(() => ({}));
  const wait = headers.get("retry-after");
  const { code = "INTERNAL", detail = `HTTP ${status}` } = problem;
  return new ChaincastError({ code, message: detail, retryAfterMs: wait ? +wait * 1000 : undefined }, status, problem);
}
