/** A radar of criteria as SVG: typicality from the middle outwards, 100 at the rim. */

import { shape } from "./svg.js";

const SIZE = 200;
const RADIUS = 64;
const BESIDE = 42; // room for names on either side
const LINE = 11; // height of a line of a name
const LONGEST = 11; // characters of a line
const RINGS = [25, 50, 75, 100];

/** criteria: [{id, name, value 0..100}]; `pointed(id or null)` is called as the pointer or the focus comes and goes. */
export function radar(criteria, pointed) {
  const svg = shape("svg", { viewBox: `${-BESIDE} 0 ${SIZE + 2 * BESIDE} ${SIZE}`, class: "radar", role: "img",
    "aria-label": criteria.map(({ name, value }) => `${name} ${Math.round(value)}`).join(", ") });
  const at = (i, value, scale = 1) => point(i / criteria.length, (value / 100) * RADIUS * scale);
  for (const ring of RINGS) svg.append(shape("polygon", { class: "ring", points: outline(criteria, () => ring, at) }));
  criteria.forEach((_, i) => svg.append(line(at(i, 0), at(i, 100))));
  svg.append(shape("polygon", { class: "shape", points: outline(criteria, (each) => each.value, at) }));
  criteria.forEach((each, i) => svg.append(...axis(each, at(i, each.value), at(i, 100, 1.2), pointed)));
  return svg;
}

function axis({ id, name, value }, [x, y], [labelX, labelY], pointed) {
  const dot = shape("circle", { class: "dot", cx: x, cy: y, r: 3.2, "data-id": id });
  const lines = broken(name);
  const label = shape("text", { class: "label", "data-id": id, tabindex: 0,
    "text-anchor": Math.abs(labelX - SIZE / 2) < 12 ? "middle" : labelX > SIZE / 2 ? "start" : "end" });
  lines.forEach((line, i) => {
    const span = shape("tspan", { x: labelX, y: labelY + 4 + LINE * (i - (lines.length - 1) / 2) });
    span.textContent = line;
    label.append(span);
  });
  label.append(titled(`${name}: ${Math.round(value)} of 100`));
  for (const part of [dot, label]) {
    part.addEventListener("pointerenter", () => pointed(id));
    part.addEventListener("pointerleave", () => pointed(null));
    part.addEventListener("focus", () => pointed(id));
    part.addEventListener("blur", () => pointed(null));
  }
  return [dot, label];
}

/** A name in at most two lines; what does not fit in is in its title. */
function broken(name) {
  const lines = [];
  for (const word of name.split(" ")) {
    if (lines.length && `${lines.at(-1)} ${word}`.length <= LONGEST) lines.push(`${lines.pop()} ${word}`);
    else lines.push(word);
  }
  const [first, second, ...rest] = lines.map((line) => (line.length > LONGEST ? `${line.slice(0, LONGEST - 1)}…` : line));
  return second === undefined ? [first] : [first, rest.length ? `${second.slice(0, LONGEST - 1)}…` : second];
}

function titled(words) {
  const title = shape("title", {});
  title.textContent = words;
  return title;
}

function outline(criteria, value, at) {
  return criteria.map((each, i) => at(i, value(each)).join(",")).join(" ");
}

function point(turn, radius) {
  const angle = 2 * Math.PI * turn;
  return [SIZE / 2 + radius * Math.sin(angle), SIZE / 2 - radius * Math.cos(angle)];
}

function line([x1, y1], [x2, y2]) {
  return shape("line", { class: "spoke", x1, y1, x2, y2 });
}
