// Reads the REST API. Answers keep their prices as decimal text.

import { parseLossless } from './format.js';

const TIMEOUT_MS = 10_000;

/** GET under /api/v1; throws an Error that says what was asked and what came back, with the answer's `status` if there was one. */
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
    throw new Error(`GET ${path}: the answer is no JSON`, { cause });
  }
}

/** The rows of a page, be it {data: […]} or a bare list. */
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
