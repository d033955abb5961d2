/** Changes of a text of block weights that leave alone what they are not about: its notes, its order, its spelling. */

import { decides, numbers, resolve, rest, stem, withOwnLetters } from "./language.js";

/** The shortest usual form of a number: 0.7, not 0.7000000000000001. */
export const plainNumber = (value) => String(Number(value.toFixed(4)) + 0);

/** Aliases as selectors, neighbours joined: IN00-IN02,MID. A complete family is S*, all of BASE.* is BASE. */
export function selectors(aliases, { blocks }) {
  const order = blocks.map(({ block }) => block);
  const chosen = new Set(aliases);
  const complete = (test) => order.filter(test).every((alias) => chosen.has(alias));
  const words = [];
  let run = [];
  const close = () => {
    if (run.length) words.push(run.length < 2 ? run[0] : `${run[0]}-${run.at(-1)}`);
    run = [];
  };
  const skip = new Set();
  for (const alias of order) {
    if (!chosen.has(alias) || skip.has(alias)) {
      close();
      continue;
    }
    const whole = wholeFamily(alias, order, complete);
    if (whole) {
      close();
      words.push(whole.word);
      whole.members.forEach((member) => skip.add(member));
      continue;
    }
    if (run.length && stem(run[0]) !== stem(alias)) close();
    run.push(alias);
    if (!/\d$/.test(alias)) close();
  }
  close();
  return words.join(",");
}

function wholeFamily(alias, order, complete) {
  const same = alias.startsWith("BASE.") ? (other) => other.startsWith("BASE.") : (other) => stem(other) === stem(alias);
  const members = order.filter(same);
  const word = alias.startsWith("BASE.") ? "BASE" : /^[A-Za-z]+\d+$/.test(alias) ? `${stem(alias)}*` : null;
  return word && members.length > 2 && complete(same) ? { word, members } : null;
}

/** The text with other ratios for some blocks. edits: [{aliases, value: number}] or {aliases, from, to} for a ramp. */
export function change(text, known, edits) {
  const book = withOwnLetters(text, known);
  const [now, left] = edits.every((edit) => edit.from === undefined) ? replace(text, book, edits) : [text, edits];
  return left.flatMap((edit) => split(edit, now, book)).reduce((sofar, edit) => changeOne(sofar, book, edit), now);
}

/** Puts several edits in the place of the one statement they replace: [text, edits that are left]. */
function replace(text, book, edits) {
  const { items, ratios } = resolve(text, book);
  const edited = new Set(edits.flatMap(({ aliases }) => aliases));
  const index = edits.length < 2 ? -1 : items.findIndex((item, i) => isPlain(item) && item.whole.size > 1
    && [...item.whole].every((alias) => edited.has(alias) && ratios.get(alias).decider === i));
  if (index < 0) return [text, edits];
  const item = items[index];
  const inside = edits.map((edit) => ({ ...edit, aliases: edit.aliases.filter((alias) => item.whole.has(alias)) }));
  const left = edits.map((edit) => ({ ...edit, aliases: edit.aliases.filter((alias) => !item.whole.has(alias)) }));
  const kept = inside.filter((edit) => edit.aliases.length && !droppable(items, index, edit, book));
  const words = kept.map((edit) => `${selectors(edit.aliases, book)}=${written(edit)}`).join("; ");
  const now = words ? text.slice(0, item.start) + words + text.slice(item.end) : remove(text, items, index);
  return replace(now, book, left.filter(({ aliases }) => aliases.length));
}

/** A ramp over blocks whose statements other statements separate becomes one edit a block. */
function split(edit, text, book) {
  if (edit.from === undefined) return [edit];
  if (edit.aliases.length > 2 && meetingPoint(edit.aliases, resolve(text, book)) !== null) return [edit];
  const step = (edit.to - edit.from) / Math.max(edit.aliases.length - 1, 1);
  return edit.aliases.map((alias, i) => ({ aliases: [alias], value: edit.from + step * i }));
}

function changeOne(text, book, edit) {
  const { items, ratios } = resolve(text, book);
  const exact = items.findIndex((item, i) => isPlain(item) && sameSet(item.whole, edit.aliases)
    && edit.aliases.every((alias) => ratios.get(alias).decider === i));
  if (exact >= 0 && !droppable(items, exact, edit, book)) {
    const item = items[exact];
    return text.slice(0, item.valueStart) + written(edit) + text.slice(item.end);
  }
  const point = meetingPoint(edit.aliases, { items, ratios });
  if (point === null) {
    return byDecider(edit.aliases, ratios).reduce((now, aliases) => changeOne(now, book, { ...edit, aliases }), text);
  }
  return rewrite(text, book, items, ratios, edit, point);
}

const isPlain = (item) => item.kind === "weights" && !item.borrowed && !item.lost.length && !item.parts.size;
const isNumber = (item) => isPlain(item) && item.value.number !== undefined;
const sameSet = (set, list) => set.size === list.length && list.every((member) => set.has(member));
const written = (edit) => edit.from === undefined ? plainNumber(edit.value)
  : `linear(${plainNumber(edit.from)}, ${plainNumber(edit.to)})`;

/** The index after which a statement reaches all of these blocks and hides no part of them; null if there is none. */
function meetingPoint(aliases, { items, ratios }) {
  const point = Math.max(...aliases.map((alias) => ratios.get(alias).decider));
  const hides = aliases.some((alias) => {
    const { decider } = ratios.get(alias);
    return items.some((item, i) => i > decider && i <= point && item.parts.has(alias));
  });
  return hides ? null : point;
}

function byDecider(aliases, ratios) {
  const groups = new Map();
  for (const alias of aliases) {
    const { decider } = ratios.get(alias);
    groups.set(decider, [...(groups.get(decider) ?? []), alias]);
  }
  return [...groups.values()];
}

/** Whether the blocks would get this number anyway if the item did not speak of them. */
function droppable(items, index, edit, book) {
  if (edit.from !== undefined) return false;
  const usual = rest(items, book);
  return edit.aliases.every((alias) => {
    const lower = decides(items, alias, index);
    const below = lower < 0 ? usual : items[lower].unknown ? null : numbers(items[lower], book)(alias);
    const between = items.some((item, i) => i > lower && i < index && item.parts.has(alias));
    return below === edit.value && !between;
  });
}

function rewrite(text, book, items, ratios, edit, point) {
  const spelled = new Map(); // index -> what the item becomes
  const placed = new Set(edit.aliases);
  for (const aliases of byDecider(edit.aliases, ratios)) {
    const index = ratios.get(aliases[0]).decider;
    if (index < 0) {
      if (edit.value === rest(items, book)) aliases.forEach((alias) => placed.delete(alias));
      continue;
    }
    const shorter = without(items[index], aliases, book);
    if (shorter === null) continue;
    spelled.set(index, shorter);
    if (droppable(items, index, { ...edit, aliases }, book)) aliases.forEach((alias) => placed.delete(alias));
  }
  return render(text, items, spelled, place(items, spelled, [...placed], edit, point, book));
}

/** The item without some of its blocks: its new text, "" if nothing is left, null if it had better stay as it is. */
function without(item, aliases, book) {
  if (!isNumber(item)) return isPlain(item) && sameSet(item.whole, aliases) ? "" : null;
  const left = [...item.whole].filter((alias) => !aliases.includes(alias));
  const shorter = left.length ? `${selectors(left, book)}=${plainNumber(item.value.number)}` : "";
  return shorter.length <= item.text.length && !(left.length && item.text.includes("*")) ? shorter : null;
}

/** Adds the blocks to a neighbouring statement of the same number, or returns what to insert: {after, text}. */
function place(items, spelled, aliases, edit, point, book) {
  if (!aliases.length) return null;
  let end = point;
  const follows = (i) => isPlain(items[i]) || items[i].kind === "default" || items[i].end === items[end]?.end;
  for (let i = point + 1; i < items.length && follows(i); i++) end = i;
  if (edit.from === undefined) {
    for (let i = Math.max(point, 0); i <= end; i++) {
      const mergeable = isNumber(items[i]) && spelled.get(i) === undefined && !items[i].text.includes("*");
      if (mergeable && plainNumber(items[i].value.number) === plainNumber(edit.value)) {
        const { value } = items[i];
        spelled.set(i, `${selectors([...items[i].whole, ...aliases], book)}=${plainNumber(value.number)}`);
        return null;
      }
    }
  }
  return { after: end, text: `${selectors(aliases, book)}=${written(edit)}` };
}

function render(text, items, spelled, insertion) {
  const lined = /[\r\n]/.test(text) && !text.includes(";");
  const separator = lined && !items.some((item) => item.text.startsWith("%")) ? "\n" : "; "; // only ; ends a % item
  let result = text;
  for (let i = items.length - 1; i >= -1; i--) {
    if (insertion?.after === i) result = insert(result, items[i], insertion.text, separator);
    if (spelled.get(i) === "") result = remove(result, items, i);
    else if (spelled.has(i)) result = result.slice(0, items[i].start) + spelled.get(i) + result.slice(items[i].end);
  }
  return result;
}

/** Whether what follows on the next line may be read as more of the item: of a vector, a preset, an Inspire `%` text. */
const isOpen = (item) => Boolean(item) && (item.kind === "other" || Boolean(item.borrowed));

function insert(text, item, added, separator) {
  if (item) return text.slice(0, item.end) + separator + added + text.slice(item.end);
  return text.trim() ? added + separator + text : added;
}

function remove(text, items, index) {
  const before = text.slice(0, items[index].start);
  const after = text.slice(items[index].end);
  const ends = /;\s*$/.test(before) && !/#[^\r\n]*;\s*$/.test(before); // that of a note ends nothing
  const keeps = isOpen(items[index - 1]) && after.trim(); // the ; that stands between the two
  if (/^\s*;/.test(after)) return before + (keeps && !ends ? after : after.replace(/^\s*;[^\S\r\n]*/, ""));
  if (ends && !keeps) return before.replace(/;\s*$/, "") + after;
  return /^\s*$/.test(after) ? before.trimEnd() : before + after.replace(/^[^\S\r\n]*\r?\n/, "");
}
