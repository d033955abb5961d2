/** Places between two poles: a row for each pair, its ends in words and a mark from -1 to 1. */

import { element } from "../panel.js";

/** positions: [{id, name, place -1..1 or null, low, high}]; `pointed(id or null)` is called as in the radar. */
export function poles(positions, pointed) {
  const rows = element("div", "poles");
  rows.append(...positions.map((each) => row(each, pointed)));
  return rows;
}

function row({ id, name, place, low, high }, pointed) {
  const made = element("div", "pair");
  made.tabIndex = 0;
  made.dataset.id = id;
  made.title = `${name}: ${place === null ? "not measured" : place.toFixed(2)}, from -1 (${low}) to 1 (${high})`;
  const track = element("div", "track");
  if (place !== null) {
    const mark = element("span", "mark");
    mark.style.left = `${(place + 1) * 50}%`;
    track.append(mark);
  }
  made.append(element("span", "low", first(low)), track, element("span", "high", first(high)));
  for (const [event, value] of [["pointerenter", id], ["pointerleave", null], ["focus", id], ["blur", null]]) {
    made.addEventListener(event, () => pointed(value));
  }
  return made;
}

/** "linear: firm outlines" -> "linear"; the whole is in the row's title. */
function first(words) {
  return words.split(":")[0];
}
