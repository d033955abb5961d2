/**
 * What the nodes of this browser tab have shown, so that undo and a reload of the page keep it.
 *
 * It is no part of the workflow: a file that somebody else opens, and a copy of a node, have shown nothing yet.
 */

const KEY = "bottega.shown";
const MOST = 100; // the oldest goes first
const LONGEST = 50_000; // characters: a tab keeps about five million

/**
 * Which panel of which node of which graph this is; null while it is in none. A graph made from a prompt has its id once
 * it is saved, and two tabs of one template have graphs of the same id.
 */
const place = (app, node, panel) => (
  node.graph ? `${tab(app)}/${node.graph.id}/${node.id}/${node.comfyClass}/${panel}` : null
);

const tab = (app) => app.extensionManager?.workflow?.activeWorkflow?.path ?? "";

export function recall(app, node, panel) {
  return read().find(([name]) => name === place(app, node, panel))?.[1] ?? null;
}

/** Keeps what can be JSON for a panel of a node; null forgets it. */
export function keep(app, node, panel, shown) {
  const name = place(app, node, panel);
  if (!name) return;
  const others = read().filter(([other]) => other !== name);
  if (shown && JSON.stringify(shown).length <= LONGEST) others.push([name, shown]);
  try {
    sessionStorage.setItem(KEY, JSON.stringify(others.slice(-MOST)));
  } catch {
    // The tab keeps nothing, or is full: then it is gone with the page.
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
