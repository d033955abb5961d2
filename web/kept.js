/**
 * What the nodes of this browser tab have shown, so that undo and a reload of the page keep it.
 *
 * It is no part of the workflow: a file that somebody else opens, and a copy of a node, have shown nothing yet.
 */

import { isMine } from "./prompts.js";

const KEY = "bottega.shown.2"; // the number of the form that it is kept in
const MOST = 100; // the oldest goes first
const LONGEST = 50_000; // characters: a tab keeps about five million
const FILLED = "bottega.filled";
const MOST_FILLED = 300;

/**
 * Which node of which graph this is; null while it is in none. A graph made from a prompt has its id once it is saved, and
 * two tabs of one template have graphs of the same id.
 */
const place = (app, node) => (node.graph ? `${tab(app)}/${node.graph.id}/${node.id}/${node.comfyClass}` : null);

const tab = (app) => app.extensionManager?.workflow?.activeWorkflow?.path ?? "";

/** Gives `show` what was kept for a panel of a node, unless it is of a run of another workflow; it goes if it cannot be shown. */
export function recall(app, node, panel, show) {
  const name = `${place(app, node)}/${panel}`;
  const [, shown, prompt] = read(KEY).find(([each]) => each === name) ?? [];
  if (!shown || !isMine(app, prompt)) return;
  try {
    show(shown, prompt);
  } catch (error) {
    console.warn(`bottega: what ${node.title} showed is kept in a form that is not known`, error);
    keep(app, node, panel, null);
  }
}

/** Keeps what can be JSON for a panel of a node, which a prompt gave it; null forgets it. */
export function keep(app, node, panel, shown, prompt) {
  if (!node.graph) return;
  const name = `${place(app, node)}/${panel}`;
  const fits = shown && JSON.stringify(shown).length <= LONGEST;
  write(KEY, name, fits ? [shown, prompt] : null, MOST);
}

/** Forgets what a panel of any node, in any workflow, was given by the prompts of which `isOver` is true. */
export function forget(panel, isOver) {
  for (const [name, , prompt] of read(KEY)) if (name.endsWith(`/${panel}`) && isOver(prompt)) write(KEY, name, null, MOST);
}

/** Notes the prompt whose output a node shows now. */
export function fill(app, node, prompt) {
  if (node.graph) write(FILLED, place(app, node), [prompt], MOST_FILLED);
}

/** The prompt whose output each node showed last, as a function of the node: as it is now, whatever comes later. */
export function fillings(app) {
  const filled = new Map(read(FILLED));
  return (node) => filled.get(place(app, node)) ?? null;
}

function write(key, name, value, most) {
  const others = read(key).filter(([other]) => other !== name);
  if (value) others.push([name, ...value]);
  try {
    sessionStorage.setItem(key, JSON.stringify(others.slice(-most)));
  } catch {
    // The tab keeps nothing, or is full: then it is gone with the page.
  }
}

function read(key) {
  try {
    const kept = JSON.parse(sessionStorage.getItem(key));
    return Array.isArray(kept) ? kept.filter(Array.isArray) : [];
  } catch {
    return [];
  }
}
