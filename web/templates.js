/** The order of the pack's templates in the page's dialog: the host's server lists files as the disk happens to have them. */

const PACK = decodeURIComponent(/\/extensions\/([^/]+)\//.exec(import.meta.url)?.[1] ?? ""); // the folder it lies in

/** Those that are named after their job alone first, then those for one model each; both by name, in place. */
export function inOrder(names) {
  const forOneModel = (name) => name.includes(" ");
  return names.sort((a, b) => forOneModel(a) - forOneModel(b) || a.localeCompare(b, "en"));
}

/** Puts them in order wherever the page asks for templates, once a page. */
export function orderTemplates({ api }) {
  const ask = api.getWorkflowTemplates;
  if (!ask) return;
  api.getWorkflowTemplates = async function (...args) {
    const templates = await ask.apply(this, args);
    if (Array.isArray(templates?.[PACK])) inOrder(templates[PACK]);
    return templates;
  };
}
