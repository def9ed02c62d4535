// Small DOM helpers. Text is always inserted as text, never as markup.

/** Creates an element: `h('li', {class: 'block', title: 'x'}, child, 'text')`. Null attributes are omitted. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** The element with this id. A missing element is a bug, so the error names it. */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`index.html has no element with id "${id}"`);
  return element;
}

/** Sets text only when it differs, to avoid layout work and repeated screen-reader output. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets a tooltip only when it differs. */
export function setTitle(element, text) {
  if (element.title !== text) element.title = text;
}

const reducedMotion = matchMedia('(prefers-reduced-motion: reduce)');

/** Plays a short animation, unless the user prefers reduced motion. */
export function animate(element, keyframes, duration) {
  if (reducedMotion.matches || document.hidden) return;
  element.animate(keyframes, { duration, easing: 'ease-out' });
}

/** Copies text; true on success. The clipboard API needs a secure origin, so plain HTTP uses a fallback. */
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
