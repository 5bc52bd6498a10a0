// What a hand does on a canvas, with the mouse or with the keyboard: look at values along an axis of steps, drag a place
// about. Each page says what that means there.

/** Where the arrow keys point: to the right, and up. */
export const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

/**
 * Let the pointer and the arrow keys move a cursor along an axis of steps; with Shift by one step, Escape takes it away.
 *
 * `under(event)`: the step under the pointer (null: none); `at()`: where the keys start from; `stride()`: how far one of
 * them goes; `first`: where Home goes; `look(step)`: put the cursor there (null: away); `say()`: read out where it is.
 */
export function lookAlong(canvas, { under, at, stride, first = 1, look, say }) {
  canvas.addEventListener("pointermove", (event) => look(under(event)));
  for (const end of ["pointerleave", "blur"]) canvas.addEventListener(end, () => look(null));
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "Escape") look(null);
    const by = event.shiftKey ? 1 : stride();
    const goal = { ArrowLeft: at() - by, ArrowRight: at() + by, Home: first, End: Infinity }[event.key];
    if (goal === undefined) return;
    event.preventDefault();
    look(goal);
    say();
  });
}

/** Let the mouse drag something about: `move(event)` at the press and as long as it lasts, `hold(whether)` at both ends. */
export function drag(canvas, { may, hold, move }) {
  let held = false;
  const change = (now) => hold((held = now));
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button || !may()) return;
    canvas.setPointerCapture(event.pointerId);
    change(true);
    move(event);
  });
  canvas.addEventListener("pointermove", (event) => held && move(event));
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => held && change(false));
}
