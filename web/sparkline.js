// A small line of recent prices. Owns its SVG and its points; pixels are doubles, prices are not.

import { decimal } from './format.js';

const NS = 'http://www.w3.org/2000/svg';
const WIDTH = 240;
const HEIGHT = 48;
const PAD = 3;
const MAX_POINTS = 120;
const WINDOW_MS = 120_000;
let made = 0;

function svg(tag, attributes) {
  const element = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** The last points within the window; if there are fewer than two, the last ones of any age. */
export function visible(points) {
  const newest = points.at(-1)?.time ?? 0;
  const recent = points.filter((point) => point.time >= newest - WINDOW_MS);
  return (recent.length >= 2 ? recent : points.slice(-2)).slice(-MAX_POINTS);
}

/** Points {seq, time, text} merged by seq: sorted, without duplicates, bounded. */
export function join(points, more) {
  const bySeq = new Map(points.map((point) => [point.seq, point]));
  for (const point of more) if (!bySeq.has(point.seq)) bySeq.set(point.seq, point);
  return [...bySeq.values()].sort((a, b) => a.seq - b.seq).slice(-MAX_POINTS);
}

export class Sparkline {
  constructor(label) {
    const gradient = `spark-${(made += 1)}`;
    this.element = svg('svg', { class: 'spark', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': label });
    const fade = svg('linearGradient', { id: gradient, x1: 0, y1: 0, x2: 0, y2: 1 });
    fade.append(svg('stop', { offset: 0, class: 'spark-top' }), svg('stop', { offset: 1, class: 'spark-bottom' }));
    this.area = svg('path', { class: 'spark-area', fill: `url(#${gradient})` });
    this.line = svg('path', { class: 'spark-line', 'vector-effect': 'non-scaling-stroke' });
    const defs = svg('defs', {});
    defs.append(fade);
    this.element.append(defs, this.area, this.line);
  }

  draw(points) {
    const shown = visible(points);
    if (shown.length < 2) {
      this.area.setAttribute('d', '');
      this.line.setAttribute('d', `M0 ${HEIGHT / 2}H${WIDTH}`);
      return;
    }
    const first = shown[0].time;
    const span = Math.max(1, shown.at(-1).time - first);
    const heights = shown.map((point) => toDouble(point.text));
    const low = Math.min(...heights);
    const range = Math.max(...heights) - low;
    const at = (point, index) => {
      const x = ((point.time - first) / span) * WIDTH;
      const y = range === 0 ? HEIGHT / 2 : HEIGHT - PAD - ((heights[index] - low) / range) * (HEIGHT - 2 * PAD);
      return `${x.toFixed(1)} ${y.toFixed(1)}`;
    };
    const path = `M${shown.map(at).join('L')}`;
    this.line.setAttribute('d', path);
    this.area.setAttribute('d', `${path}L${WIDTH} ${HEIGHT}L0 ${HEIGHT}Z`);
  }
}

function toDouble(text) {
  return decimal(text) ? Number(text) : 0;
}
