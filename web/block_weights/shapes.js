/** Shapes that a row of blocks can take, each between two ratios. */

const round = (value) => Math.round(value * 100) / 100;

/** Name, what it is called, and the share of the way from low to high at position 0..1 along the row. */
const SHAPES = {
  hump: (x) => Math.sin(Math.PI * x),
  valley: (x) => 1 - Math.sin(Math.PI * x),
};

/** Edits, for `change`, that give the blocks a shape: flat (all high), rise, fall, hump or valley. */
export function shape(name, aliases, low, high) {
  if (name === "flat") return [{ aliases, value: high }];
  if (name === "rise") return [{ aliases, from: low, to: high }];
  if (name === "fall") return [{ aliases, from: high, to: low }];
  const groups = new Map();
  aliases.forEach((alias, i) => {
    const x = aliases.length > 1 ? i / (aliases.length - 1) : 0.5;
    const value = round(low + (high - low) * SHAPES[name](x));
    groups.set(value, [...(groups.get(value) ?? []), alias]);
  });
  return [...groups].map(([value, members]) => ({ aliases: members, value }));
}
