/** Whether two prompts, in the form that the host's server gets, ask the same of a node. */

/** Whether a node, and every node before it, is of the same class and has the same inputs in both prompts. */
export function sameBefore(id, one, other, seen = new Set()) {
  if (seen.has(id)) return true;
  seen.add(id);
  const [first, second] = [one?.[id], other?.[id]];
  if (!first || !second || first.class_type !== second.class_type) return false;
  const names = Object.keys(first.inputs);
  return names.length === Object.keys(second.inputs).length && names.every((name) => {
    const value = first.inputs[name];
    if (!(name in second.inputs) || !same(value, second.inputs[name])) return false;
    return (!isLink(value, one) && !isLink(value, other)) || sameBefore(value[0], one, other, seen);
  });
}

/** The page wraps a list that is no link, and the server takes it out again. */
const bare = (value) => (Array.isArray(value?.__value__) ? value.__value__ : value);

const same = (one, other) => JSON.stringify(bare(one)) === JSON.stringify(bare(other));

const isLink = (value, prompt) => Array.isArray(value) && value.length === 2 && Object.hasOwn(prompt, value[0]);
