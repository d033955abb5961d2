/** Values as rows: a name at either end and a mark between them. */

import { element } from "../panel.js";

/** positions: [{id, name, place -1..1 or null, low, high}]; `pointed(id or null)` is called as in the radar. */
export function opposites(positions, pointed) {
  return rows(positions.map(({ id, name, place, low, high }) => {
    const told = place === null ? "not measured" : place.toFixed(2);
    const title = `${name}: ${told}, from -1 (${low}) to 1 (${high})`;
    return { id, title, share: place === null ? null : (place + 1) / 2, low: first(low), high: first(high) };
  }), pointed);
}

/** criteria: [{id, name, value 0..100}], for as few as make no radar. */
export function levels(criteria, pointed) {
  return rows(criteria.map(({ id, name, value }) => (
    { id, title: `${name}: ${Math.round(value)} of 100`, share: value / 100, low: name, high: String(Math.round(value)) }
  )), pointed);
}

function rows(ends, pointed) {
  const made = element("div", "opposites");
  made.append(...ends.map((each) => row(each, pointed)));
  return made;
}

function row({ id, title, share, low, high }, pointed) {
  const made = element("div", "pair");
  Object.assign(made, { tabIndex: 0, title });
  made.dataset.id = id;
  const track = element("div", "track");
  if (share !== null) {
    const mark = element("span", "mark");
    mark.style.left = `${share * 100}%`;
    track.append(mark);
  }
  made.append(element("span", "low", low), track, element("span", "high", high));
  for (const [event, value] of [["pointerenter", id], ["pointerleave", null], ["focus", id], ["blur", null]]) {
    made.addEventListener(event, () => pointed(value));
  }
  return made;
}

/** "linear: firm outlines" -> "linear"; the whole is in the row's title. */
function first(words) {
  return words.split(":")[0];
}
