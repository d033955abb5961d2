/** What is known of a LoRA's blocks: from the server before anything ran, and from the node once it has run. */

const answers = new Map(); // address -> promise of the answer, which all nodes of the page share until one fails

/** The JSON of one of the pack's routes. The browser keeps it and asks again only whether it has changed. */
async function ask(api, address) {
  const response = await api.fetchApi(address, { cache: "no-cache" });
  if (response.ok) return response.json();
  const { error } = await response.json().catch(() => ({}));
  throw new Error(error ?? `the server answered ${response.status}`);
}

async function shared(api, address) {
  if (!answers.has(address)) answers.set(address, ask(api, address));
  const answer = answers.get(address);
  try {
    return await answer;
  } catch (error) {
    if (answers.get(address) === answer) answers.delete(address); // the next one to ask may get an answer
    throw error;
  }
}

const PRESETS = "/bottega/presets";

/** Asks for the presets again next time: a person may have written some of their own. */
export const forgetPresets = () => answers.delete(PRESETS);

const told = ({ message }) => ({ error: message });

/** What the server says of a file; {error} where it says nothing. */
export const lora = (api, name) => ask(api, `/bottega/lora?name=${encodeURIComponent(name)}`).catch(told);

/** The presets of every family; {error} where the server says nothing. */
export const presets = (api) => shared(api, PRESETS).catch(told);

/** The blocks of each architecture by its name; none where the server says nothing. */
export const architectures = (api) => shared(api, "/bottega/architectures").catch(() => ({}));

/**
 * One list of blocks from three sources, and which of them it is from: {blocks, from: "run", "table" or "names"}.
 *
 * file: the server's answer for the chosen LoRA, or null. ran: {lora, blocks} of the node's last run, or null.
 * chosen: the blocks of an architecture picked by hand, or null. What ran knows the model and wins, unless the file
 * is another one and has blocks that the model of that run did not have. "names": the names in the file alone, whose
 * model no table knows and may have more.
 */
export function merge(file, ran, chosen, name) {
  const fromFile = new Map((file?.blocks ?? []).map((entry) => [entry.block, entry]));
  const has = new Set([...fromFile.values()].filter(({ in_file }) => in_file).map(({ block }) => block));
  const sameFile = ran && (!name || ran.lora === name); // a link may bring the file: then nothing is known of another
  const fits = ran && [...has].every((block) => block.startsWith("TE.") || ran.blocks.some((other) => other.block === block));
  if (ran && (sameFile || fits || !file?.blocks?.length)) {
    const said = (entry) => (sameFile || !file?.blocks ? entry.in_file : has.has(entry.block));
    const told = (entry) => (sameFile && entry.energy !== undefined ? { energy: entry.energy } : {});
    return { from: "run", blocks: ran.blocks.map((entry) => ({
      ...fromFile.get(entry.block), block: entry.block, in_file: said(entry), ...told(entry),
    })) };
  }
  if (fromFile.size && (file.architecture || !chosen)) {
    return { from: file.architecture ? "table" : "names", blocks: [...fromFile.values()] };
  }
  const within = (block) => (has.size ? { in_file: has.has(block) } : {});
  return { from: "table", blocks: (chosen ?? []).map((entry) => (
    { ...entry, ...within(entry.block), ...fromFile.get(entry.block) })) };
}

/** The presets and layouts of vectors that fit a list of blocks: those of its family, and those of any model. */
export function fitting(all, blocks) {
  const counts = {};
  for (const { block } of blocks) {
    const letters = block.replace(/^([A-Z]+)\d+$/, "$1"); // a block without a number counts under its own name
    counts[letters] = (counts[letters] ?? 0) + 1;
  }
  const fits = (sizes) => Object.entries(sizes).every(([letters, size]) => counts[letters] === size);
  const own = all.families?.find(({ blocks: sizes }) => Object.keys(sizes).length && fits(sizes))?.family;
  const families = (all.families ?? []).filter(({ family, blocks: sizes }) => family === own || !Object.keys(sizes).length);
  return {
    menu: families.flatMap(({ family, presets: found }) => found.map((preset) => ({ ...preset, family }))),
    layouts: all.layouts?.[own],
    texts: new Map((all.families ?? []).flatMap(({ presets: found }) => found.map(({ name, blocks: text }) => [name.toLowerCase(), text]))),
  };
}

/**
 * What an editor of block weights learns. found, all, table: the answers of lora, presets and architectures; ran, chosen, file:
 * as for `merge`, `chosen` by name; settings: {vectorMode, a, b} of the node.
 */
export function knowledge({ found, all, table, ran, chosen, file, settings: { vectorMode, a, b } }) {
  const { blocks, from } = merge(found, ran ?? null, table[chosen] ?? null, file);
  const partial = from === "names";
  const { menu, layouts, texts } = fitting(all, partial ? [] : blocks);
  return {
    blocks, partial, architecture: found?.architecture || (blocks.length && !ran ? chosen : ""),
    message: found?.error ?? (all.error ? `No presets: ${all.error}` : ""),
    presets: menu, texts, layouts: vectorMode === "inspire" ? undefined : layouts,
    letters: a === undefined ? {} : { A: a, a: a / 2, B: b, b: b / 2 }, // small letters are half of them
  };
}
