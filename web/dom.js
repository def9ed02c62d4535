// Small helpers to build and touch the document. Text always goes in as text, never as markup.

/** Makes an element: `h('li', {class: 'block', title: 'x'}, child, 'text')`. Absent (null) attributes are left out. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** The element with this id; a page without it is a bug, so say which. */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`index.html has no element with id "${id}"`);
  return element;
}

/** Sets text only when it differs, so that unchanged nodes are not laid out again or read out twice. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets a tooltip only when it differs. */
export function setTitle(element, text) {
  if (element.title !== text) element.title = text;
}

const still = matchMedia('(prefers-reduced-motion: reduce)');

/** Plays a short animation unless the reader asked for less motion. */
export function animate(element, keyframes, duration) {
  if (still.matches || document.hidden) return;
  element.animate(keyframes, { duration, easing: 'ease-out' });
}

/** Copies text; true when it worked. The clipboard needs a secure origin, so there is a second way for plain HTTP. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = h('textarea', { class: 'sr', 'aria-hidden': 'true' });
    area.value = text;
    document.body.append(area);
    area.select();
    const worked = document.execCommand('copy');
    area.remove();
    return worked;
  }
}
