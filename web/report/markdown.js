/**
 * The Markdown that the pack's reports use, as elements: headings, lists, tables, rules, **bold** and `code`.
 *
 * Every other sign means itself, because reports quote block weights (S*=0.5) and names of files, which may say anything:
 * text only ever becomes text. A line of a report is a line on the node.
 */

import { element } from "../panel.js";

const HEADING = /^(#{1,6})\s+(.*)$/;
const ITEM = /^(\s*)([-*]|\d+[.)])\s+(.*)$/;
const RULE = /^\s*(-{3,}|\*{3,})\s*$/;
const TABLE_RULE = /^\s*\|?(\s*:?-+:?\s*\|)+\s*(:?-+:?\s*)?$/;
const SPANS = /\*\*(\S|\S.*?\S)\*\*|`([^`]+)`/g;

/** The elements of a report, in order. */
export function blocks(text) {
  const lines = text.replace(/\r\n?/g, "\n").trim().split("\n");
  const made = [];
  for (let at = 0; at < lines.length; at++) {
    const rows = tableAt(lines, at);
    if (rows) {
      made.push(table(rows));
      at += rows.length; // the rule below the head is no row
    } else made.push(line(lines[at]));
  }
  return made;
}

function line(text) {
  if (!text.trim()) return element("div", "gap");
  if (RULE.test(text)) return element("hr");
  const heading = HEADING.exec(text);
  if (heading) return spans(element("div", "heading"), heading[2]);
  const item = ITEM.exec(text);
  if (!item) return spans(element("p"), text);
  const made = element("div", "item");
  made.style.setProperty("--depth", Math.floor(item[1].length / 2));
  made.append(element("span", "mark", item[2] === "-" || item[2] === "*" ? "•" : item[2]), spans(element("span"), item[3]));
  return made;
}

/** The rows of the table that begins with a line: its head, then what comes below its rule; null if none begins there. */
function tableAt(lines, at) {
  if (!lines[at].includes("|") || !TABLE_RULE.test(lines[at + 1] ?? "")) return null;
  let end = at + 2;
  while (lines[end]?.includes("|")) end++;
  return [lines[at], ...lines.slice(at + 2, end)].map(cells);
}

/** The cells of a row; `\|` is a bar that belongs to a cell. */
const cells = (row) => row.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "").split(/(?<!\\)\|/)
  .map((cell) => cell.trim().replaceAll("\\|", "|"));

function table([head, ...rows]) {
  const made = element("table");
  made.append(row(head, "th"), ...rows.map((each) => row(each, "td")));
  return made;
}

function row(texts, tag) {
  const made = element("tr");
  made.append(...texts.map((text) => spans(element(tag, /^[-+]?[\d.,]+( ?%)?$/.test(text) ? "number" : ""), text)));
  return made;
}

/** Puts a line into an element, its bold and its code as elements of their own. */
function spans(into, text) {
  let from = 0;
  for (const match of text.matchAll(SPANS)) {
    into.append(text.slice(from, match.index));
    into.append(match[1] === undefined ? element("code", "", match[2]) : element("b", "", match[1]));
    from = match.index + match[0].length;
  }
  into.append(text.slice(from));
  return into;
}
