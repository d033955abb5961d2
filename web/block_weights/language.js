/**
 * The language of block weights, as far as bars can show it: the twin of block_language.py, selectors.py and weights.py
 * in nodes/lora/block_weights.
 *
 * What the bars cannot express (parts of blocks, letters, vectors, names of presets) is told apart, not interpreted.
 */

const NUMBER = /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i;
const LINEAR = /^linear\s*\(([^,()]*),([^,()]*)\)$/i;
const LETTER = /^[AaBbRrUu]$/;

/** Lower case and without leading zeros, so that D7 and d07 are one name. */
const plain = (name) => name.toLowerCase().replace(/(?<!\d)0+(?=\d)/g, "");

/** Characters of a text that are read, and of one that a sentence about it quotes, as on the server. */
const LONGEST = 20000;
const QUOTED = 120;

const cut = (text) => (text.length <= QUOTED ? text : `${text.slice(0, QUOTED - 3)}...`);

/**
 * Whether a name is that of a pattern, in which * stands for any characters. Each piece between two stars is looked for
 * once, after the one before, so many stars take no longer than few.
 */
export function fits(pattern, name) {
  const [first, ...inner] = pattern.split("*");
  if (!inner.length) return pattern === name;
  const last = inner.pop();
  if (!name.startsWith(first) || !name.endsWith(last) || name.length < first.length + last.length) return false;
  const end = name.length - last.length;
  let at = first.length;
  for (const piece of inner) {
    const found = name.indexOf(piece, at);
    if (found < 0 || found + piece.length > end) return false;
    at = found + piece.length;
  }
  return true;
}

/** Letters of an alias without its number: S for S07. */
export const stem = (alias) => alias.replace(/\d+$/, "");

/** Family that an alias is drawn in: IN, MID, S, BASE, TE.clip_l. */
export function family(alias) {
  if (alias.startsWith("TE.")) return alias.split(".").slice(0, 2).join(".");
  return alias.startsWith("BASE.") ? "BASE" : stem(alias).replace(/\.$/, "");
}

/**
 * The items of a text, in order: {kind, text, start, end}, where start and end are offsets.
 * kind "weights" has selectors and value; "default" has value; "other" is left to the server; "bad" has problem.
 */
export function parse(text) {
  if (text.length > LONGEST) return [tooLong(text)];
  const bare = text.replace(/#[^\r\n]*/g, (note) => " ".repeat(note.length));
  const items = [];
  let start = 0;
  for (const piece of bare.split(";")) {
    items.push(...readPiece(piece, start));
    start += piece.length + 1;
  }
  return items;
}

function tooLong(text) {
  const problem = `expected at most ${LONGEST} characters, got ${text.length}`;
  return { kind: "bad", text: cut(text), start: 0, end: text.length, problem };
}

function readPiece(piece, offset) {
  if (piece.trim().startsWith("%")) return [span("other", piece, offset)];
  const items = [];
  let open = null; // lines without "=" that may be one vector
  let start = offset;
  for (const line of piece.split(/(?<=\r\n|\n|\r(?!\n))/)) {
    if (line.includes("=")) {
      open = null;
      items.push(readStatement(span("weights", line, start)));
    } else if (line.trim()) {
      const item = span("other", line, start);
      if (open) Object.assign(open, { end: item.end, text: piece.slice(open.start - offset, item.end - offset) });
      else items.push((open = item));
    }
    start += line.length;
  }
  return items;
}

function span(kind, text, offset) {
  const start = offset + text.length - text.trimStart().length;
  return { kind, text: text.trim(), start, end: start + text.trim().length };
}

function readStatement(item) {
  const [left, ...rest] = item.text.split("=");
  const right = rest.join("=").trim();
  const selectors = left.split(",").map((name) => name.trim());
  const value = readValue(right);
  const bad = (problem) => ({ ...item, kind: "bad", problem });
  if (!selectors.every(Boolean)) return bad(`"${cut(item.text)}" is not of the form NAME=NUMBER, such as IN04=0.5`);
  if (!value) return bad(`"${cut(right)}" in "${cut(item.text)}" is not a number, nor A, B, R or U`);
  const valueStart = item.end - right.length;
  if (selectors.some((name) => name.toLowerCase() === "default")) {
    if (selectors.length > 1 || value.to !== undefined) {
      return bad(`"${cut(item.text)}" asks too much of default, which stands alone and takes one number`);
    }
    return { ...item, kind: "default", value, valueStart };
  }
  return { ...item, selectors, value, valueStart };
}

/** {number}, {from, to} for linear(from, to), {letter} for what the server fills in; null if it is none of these. */
function readValue(text) {
  if (LETTER.test(text)) return { letter: text };
  if (NUMBER.test(text) && Number.isFinite(Number(text))) return { number: Number(text) };
  const ends = LINEAR.exec(text)?.slice(1).map((end) => readValue(end.trim()));
  if (!ends || !ends.every((end) => end && end.to === undefined)) return null;
  if (ends.every((end) => end.number !== undefined)) return { from: ends[0].number, to: ends[1].number };
  return { letter: text };
}

/** What a selector names: {whole: aliases} or {parts: aliases}; null if no block known here answers to it. */
export function select(selector, blocks) {
  const every = partOfEveryBlock(selector, blocks);
  if (every) return every;
  const words = selector.split(".");
  // No block, and no two that a range joins, has more dots: longer beginnings are not tried.
  const dots = Math.max(0, ...blocks.flatMap(({ block, path }) => [block, path ?? ""]).map((n) => n.split(".").length - 1));
  for (let end = Math.min(words.length, 2 * dots + 1); end > 0; end--) {
    const name = words.slice(0, end).join(".");
    const found = named(name, blocks) ?? range(name, blocks) ?? group(name, blocks);
    if (found) return end === words.length ? { whole: found } : { parts: found };
  }
  return null;
}

/** What * or a family before a dotted part means: the part of every block, and after * also what is named so outside. */
function partOfEveryBlock(selector, blocks) {
  const [name, ...part] = selector.split(".");
  const aliases = name === "*" ? blocks.map(({ block }) => block) : ofFamily(name, blocks);
  if (!part.length || !aliases?.length) return null;
  const outside = (name === "*" && fitting(selector, blocks)) || [];
  return { parts: aliases.filter((alias) => !outside.includes(alias)), whole: outside };
}

const some = (list) => (list.length ? list : null);

function named(name, blocks) {
  const key = plain(name);
  const exact = (test) => some(blocks.filter(test).map(({ block }) => block));
  return exact(({ block }) => plain(block) === key) ?? exact(({ path }) => path != null && plain(path) === key)
    ?? ofFamily(name, blocks) ?? fitting(name, blocks);
}

function ofFamily(name, blocks) {
  if (!/^[a-z]+\*$/i.test(name)) return null;
  const letters = name.slice(0, -1).toLowerCase();
  return some(blocks.map(({ block }) => block).filter((block) => stem(block).toLowerCase() === letters));
}

const firstLetters = (name) => /^[a-z]*/.exec(name.toLowerCase())[0];

/** Blocks whose alias, or else whose path, a pattern fits. Letters before its first * are a family's: B* is not BASE. */
function fitting(name, blocks) {
  const pattern = name.toLowerCase();
  const letters = firstLetters(name);
  const other = (block) => block.includes(".") && letters && name[letters.length] === "*" && firstLetters(block) !== letters;
  const aliases = blocks.map(({ block }) => block);
  const found = some(aliases.filter((block) => fits(pattern, block.toLowerCase()) && !other(block)));
  if (found || /^[A-Z]+\*$/.test(name)) return found;
  return some(blocks.filter(({ path }) => path != null && fits(pattern, path.toLowerCase())).map(({ block }) => block));
}

function group(name, blocks) {
  const start = `${plain(name)}.`;
  const inside = (key) => some(blocks.filter((b) => b[key] != null && plain(b[key]).startsWith(start)));
  return (inside("block") ?? inside("path"))?.map(({ block }) => block) ?? null;
}

function range(name, blocks) {
  const dash = name.indexOf("-");
  if (dash < 0) return null;
  const ends = [name.slice(0, dash), name.slice(dash + 1)].map((end) => named(end.trim(), blocks));
  if (!ends.every((end) => end?.length === 1)) return null;
  const [first, last] = ends.map(([alias]) => blocks.findIndex(({ block }) => block === alias));
  return first > last ? null : blocks.slice(first, last + 1).map(({ block }) => block);
}

/**
 * The items with what they mean for a book: whole (aliases they set), parts (aliases of which they set a part), lost
 * (selectors that name nothing), unknown (they may set any block). Vectors and presets become the statements they stand
 * for, which are `borrowed`: all have the span of the one item.
 *
 * book: {blocks: [{block, path}], texts: Map of lower-case preset names to texts, layouts: {length: {words, rest}}}, the last two
 * where they are known, letters: {A: number}, and rowLetters: whether the text itself may say what A and B are.
 */
export function understand(text, book) {
  const found = new Map(); // what is written again means the same
  const lookup = (selector) => {
    if (!found.has(selector)) found.set(selector, select(selector, book.blocks));
    return found.get(selector);
  };
  return parse(text).flatMap((item) => (item.kind === "other" && expand(item, book)) || [item])
    .map((item) => (book.rowLetters && saysLetter(item) ? { ...item, kind: "letter", selectors: [] } : item))
    .map((item) => ({ ...item, ...reach(item, lookup) }));
}

/** Whether an item says what a letter is, as the Inspire Pack lets a tag: `1,0,A,...;A=2;B=1`. */
const saysLetter = ({ kind, selectors, value }) => (
  kind === "weights" && /^[AB]$/.test(selectors.join()) && value.number !== undefined);

/** The book with the letters that the text of a row gives itself. */
export function withOwnLetters(text, book) {
  if (!book.rowLetters) return book;
  const said = parse(text).filter(saysLetter).map(({ selectors: [letter], value: { number } }) => (
    { [letter]: number, [letter.toLowerCase()]: number / 2 })); // as those of the node
  return { ...book, letters: Object.assign({}, book.letters, ...said) };
}

function reach(item, lookup) {
  const reached = { whole: new Set(), parts: new Set(), lost: [], unknown: item.kind === "other" };
  for (const selector of item.selectors ?? []) {
    const found = lookup(selector);
    found?.whole?.forEach((alias) => reached.whole.add(alias));
    found?.parts?.forEach((alias) => reached.parts.add(alias));
    if (!found) reached.lost.push(selector);
  }
  return reached;
}

function expand(item, book) {
  const { text, start, end } = item;
  const borrow = (found) => found.map((inner) => ({ ...inner, text, start, end, borrowed: true }));
  const preset = book.texts?.get(text.toLowerCase());
  if (preset !== undefined) {
    const inside = parse(preset);
    return inside.every(({ kind }) => kind === "weights" || kind === "default") ? borrow(inside) : null;
  }
  const values = text.replace(/^\s*[^\s,:;=][^,:;=]*:/, "").split(",").map((word) => readValue(word.trim()));
  const layout = book.layouts?.[values.length];
  if (!layout || !values.every((value) => value && value.to === undefined)) return null;
  const known = (name) => !name.startsWith("TE") || group(name, book.blocks);
  const statement = (names, value) => ({ kind: "weights", selectors: names.filter(known), value });
  const unnamed = layout.rest ? [statement(layout.rest.split(","), { number: 0 })] : [];
  return borrow([...unnamed, ...layout.words.map((names, i) => statement(names.split(","), values[i]))]);
}

/** The number an item gives to each of its blocks, as a function of the alias; null where only the server knows. */
export function numbers(item, { blocks, letters }) {
  if (item.value?.number !== undefined) return () => item.value.number;
  if (item.value?.letter in (letters ?? {})) return () => letters[item.value.letter];
  if (item.value?.from === undefined || item.parts.size) return () => null;
  const order = blocks.map(({ block }) => block).filter((alias) => item.whole.has(alias));
  const { from, to } = item.value;
  return (alias) => from + ((to - from) * order.indexOf(alias)) / Math.max(order.length - 1, 1);
}

/** The number of the blocks that no item speaks of; null where only the server knows it. */
export function rest(items, book) {
  const said = items.findLast((item) => item.kind === "default");
  return said ? numbers(said, book)() : 1;
}

/**
 * For each alias {value, decider, parts, text}: its ratio (null if only the server knows it), the index of the item
 * that decides it (-1 for none), the items that set parts of it, and what to show in place of an unknown ratio.
 */
export function resolve(text, known) {
  const book = withOwnLetters(text, known);
  const items = understand(text, book);
  const usual = rest(items, book);
  const last = items.findLast((item) => item.kind === "default")?.value;
  const valueOf = items.map((item) => numbers(item, book));
  const ratios = new Map();
  for (const { block } of book.blocks) {
    const decider = decides(items, block, items.length);
    const item = items[decider];
    const value = item ? (item.whole.has(block) ? valueOf[decider](block) : null) : usual;
    const parts = items.filter((other, i) => i > decider && other.parts.has(block));
    ratios.set(block, { value, decider, parts, text: item?.value?.letter ?? last?.letter ?? "?" });
  }
  return { items, ratios };
}

/** Index of the last item before another that sets the whole block, or may do so; -1 if there is none. */
export function decides(items, alias, before) {
  return items.findLastIndex((item, i) => i < before && (item.whole.has(alias) || item.unknown));
}
