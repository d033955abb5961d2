/** The text of LoRA rows, one LoRA a line: the twin of nodes/lora/applying/lora_rows.py. */

const NUMBER = "[+-]?(?:\\d+(?:\\.\\d*)?|\\.\\d+)(?:e[+-]?\\d+)?";
// One way to match at every character: whoever opens a workflow reads its texts.
const ROW = new RegExp(
  `^(#\\s*)?<lora:(\\s*"[^"]*"\\s*|[^<>:]+)(?::\\s*(${NUMBER})\\s*)?(?::\\s*(${NUMBER})\\s*)?(?::\\s*lbw=([^<>:]*))?>$`, "i");

/**
 * The rows of a text. A LoRA is {name, muted, model, clip, blocks}, where clip is null when it is that of the model; a note, and
 * a line that only the server can read, is {line, muted}.
 */
export function readRows(text) {
  return text.split(/\r\n|\n|\r/).map((line) => line.trim()).filter(Boolean).map(readRow);
}

function readRow(line) {
  const [, mute, quoted, model, clip, blocks] = ROW.exec(line) ?? [];
  const name = quoted?.trim().replace(/^"/, "").replace(/"$/, "");
  if (!name || name.includes('"')) return { line: line.replace(/^#\s*(?=<)/, ""), muted: /^#\s*</.test(line) };
  return { name, muted: Boolean(mute), model: Number(model ?? 1), clip: clip === undefined ? null : Number(clip), blocks: blocks ?? "" };
}

export const writeRows = (rows) => rows.map(writeRow).join("\n");

function writeRow({ line, name, muted, model, clip, blocks }) {
  const mute = muted ? "# " : "";
  if (line !== undefined) return mute + line;
  // Two equal numbers are two: a step of the one that passes the other must not take it along from there on.
  const strengths = clip === null ? [plain(model)] : [plain(model), plain(clip)];
  return `${mute}<lora:${[/[<>:]/.test(name) ? `"${name}"` : name, ...strengths, ...(blocks.trim() ? [`lbw=${blocks}`] : [])].join(":")}>`;
}

/** The shortest form of a number that reads as the same one. */
export const plain = (value) => String(value);

/** Block weights on one line, without what would end a row: notes, labels of vectors, brackets, colons. */
export function oneLine(blocks) {
  return blocks.replace(/#[^\r\n]*/g, "").replace(/(^|[;\r\n])[^,:;=\r\n]*:/g, "$1").replace(/[<>:]/g, "")
    .replace(/,\s*[\r\n]+\s*/g, ", ").replace(/\s*[\r\n]+/g, "; ");
}

/** The same of a text that is still being typed: a # or : that was meant otherwise takes nothing else along. */
export function whileTyped(blocks) {
  if (/[\r\n]/.test(blocks)) return oneLine(blocks);
  return blocks.replace(/(^|;)[^,:;=#]*:(?=[^:;=]*,)/g, "$1").replace(/[<>:]/g, ""); // a label is pasted with its vector
}

/** The listed file that a name means, as the server finds it: whole or without ending and folder; null if not just one. */
export function listed(name, files) {
  const bare = (file) => file.replaceAll("\\", "/").toLowerCase();
  const short = (file) => bare(file).replace(/\.[^./]+$/, "");
  const wanted = bare(name).replace(/^\/+|\/+$/g, "");
  const tests = [(file) => file === name, (file) => [bare(file), short(file)].includes(wanted),
    (file) => [bare(file), short(file)].some((each) => each.endsWith(`/${wanted}`))];
  const found = tests.map((test) => files.filter(test)).find(({ length }) => length) ?? [];
  return found.length === 1 ? found[0] : null;
}

/** Whether a row can name the file. */
export const canStand = (file) => !/["\r\n]/.test(file);
