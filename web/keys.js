/** Which keys a field of ours has for itself, and which are the page's although it has the focus. */

const WITH_CTRL = /^([acvxyz]|Arrow.*|Home|End|Backspace|Delete)$/i; // what edits a text or moves in it

/** Keeps a key that is typed from the page, and lets through what is for the page, such as Ctrl+Enter and Ctrl+S. */
export function keepTyping(event) {
  if (!(event.ctrlKey || event.metaKey) || WITH_CTRL.test(event.key)) event.stopPropagation();
}
