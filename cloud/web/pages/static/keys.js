// Keys of a page, and the list of them.

const dialog = document.getElementById("keys");

/** Calls `actions[key]` for a key that is pressed outside of fields. */
export function keys(actions) {
  const all = { "?": () => dialog?.showModal(), "/": focusSearch, ...actions };
  document.addEventListener("keydown", (event) => {
    const field = event.target.closest("input:not([type=range]), select, textarea");
    const act = all[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey || dialog?.open) return;
    if (field) {
      if (event.key === "Escape") field.blur();
      return;
    }
    // A slider, or a video's own controls, move by arrows themselves.
    if (event.key.startsWith("Arrow") && event.target.closest("input, video")) return;
    if (event.key === " " && event.target.closest("a, button, summary, video")) return;
    if (act(event) !== false) event.preventDefault();
  });
}

function focusSearch() {
  const field = document.getElementById("q");
  if (field) field.focus();
  else document.getElementById("list")?.click();
}

/** Follows the link with this id, if it is there. */
export function follow(id) {
  return () => document.getElementById(id)?.click();
}
