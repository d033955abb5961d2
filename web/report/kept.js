/**
 * The reports of this browser tab, so that undo and a reload of the page keep what a node said.
 *
 * They are not part of the workflow: a file that somebody else opens, and a copy of a node, have said nothing yet.
 */

const KEY = "bottega.reports";
const MOST = 100; // the oldest goes first
const LONGEST = 50_000; // characters: a tab keeps about five million

/** Which node of which graph this is; null while it is in none. A graph made from a prompt has its id once it is saved. */
const place = (node) => (node.graph ? `${node.graph.id}/${node.id}/${node.comfyClass}` : null);

export function recall(node) {
  return read().find(([name]) => name === place(node))?.[1] ?? null;
}

/** Keeps {text, open} of a node; null forgets it. */
export function keep(node, report) {
  const name = place(node);
  if (!name) return;
  const others = read().filter(([other]) => other !== name);
  if (report && report.text.length <= LONGEST) others.push([name, report]);
  try {
    sessionStorage.setItem(KEY, JSON.stringify(others.slice(-MOST)));
  } catch {
    // The tab keeps nothing, or is full: then the report is gone with the page.
  }
}

function read() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY));
    return Array.isArray(kept) ? kept : [];
  } catch {
    return [];
  }
}
