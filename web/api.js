// Reads the REST API. Prices stay decimal text.

import { parseLossless } from './format.js';

const TIMEOUT_MS = 10_000;

/** GET under /api/v1; throws an Error with the request and the problem, and the `status` if there was an answer. */
export async function get(path) {
  let response;
  try {
    response = await fetch(`/api/v1${path}`, { signal: AbortSignal.timeout(TIMEOUT_MS), headers: { accept: 'application/json' } });
  } catch (cause) {
    throw new Error(`GET ${path}: no answer`, { cause });
  }
  const text = await response.text();
  if (!response.ok) throw Object.assign(new Error(`GET ${path}: ${problem(text) ?? `status ${response.status}`}`), { status: response.status });
  try {
    return parseLossless(text);
  } catch (cause) {
    throw new Error(`GET ${path}: the answer is not JSON`, { cause });
  }
}

/** The rows of a page, which is {data: […]} or a list. */
export function rows(page) {
  const list = Array.isArray(page) ? page : page?.data;
  return Array.isArray(list) ? list : [];
}

function problem(text) {
  try {
    const { detail, title } = JSON.parse(text);
    return detail ?? title ?? null;
  } catch {
    return null;
  }
}
