// The line between a page and its kernel. It sends what the learner does, never more than one wish of a kind at a time:
// while one is on its way, only the newest of the next is kept. So a slider that is dragged is never behind the hand.

import { h } from "./controls.js";

const SILENCE = 6000; // milliseconds without an answer, after which the page says so

export class Link {
  /** `hear(message, buffers)` is called with everything the kernel sends; below `root` a silent kernel is told of. */
  constructor(model, hear, root) {
    this.model = model;
    this.root = root;
    this.complaint = h("p", { class: "note problem", role: "alert" });
    this.name = crypto.randomUUID?.() ?? String(Math.random());
    this.sent = 0;
    this.heard = 0;
    this.waiting = new Map();
    this.onMessage = (message, buffers) => {
      if (message.is === "picture") return void keep(model, message);
      this.heard = message.state?.heard?.[this.name] ?? this.heard;
      if (this.heard >= this.sent) this.answered();
      hear(message, buffers);
      this.flush();
    };
    model.on("msg:custom", this.onMessage);
    // A closed or reloaded page never runs its clean-up, but it does hide.
    this.onHide = () => this.say({ do: "goodbye" });
    this.onShow = (event) => event.persisted && this.say({ do: "hello" });
    addEventListener("pagehide", this.onHide);
    addEventListener("pageshow", this.onShow);
    this.say({ do: "hello" });
  }

  say(message) {
    this.model.send({ ...message, view: this.name });
  }

  /** Ask for something. Of several wishes with the same `about`, only the newest matters. */
  ask(message, about = `${this.sent}/${this.waiting.size}`) {
    this.waiting.set(about, message);
    this.flush();
  }

  /** Whether the kernel has yet to answer: what it says in the meantime is older than what the hand has done. */
  get behind() {
    return this.heard < this.sent || this.waiting.size > 0;
  }

  flush() {
    if (this.heard < this.sent || !this.waiting.size) return;
    const [about, message] = this.waiting.entries().next().value;
    this.waiting.delete(about);
    this.sent += 1;
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.complain(), SILENCE);
    try {
      this.say({ ...message, seq: this.sent });
    } catch {
      this.complain(); // nobody is left to say it to
    }
  }

  /** A wish is not answered: the page looks alive, but its buttons do nothing. */
  complain() {
    this.root?.append(this.complaint);
    this.complaint.textContent = "The kernel does not answer. It is busy with another cell, or it was restarted: then run this cell again.";
  }

  answered() {
    clearTimeout(this.silence);
    this.complaint.remove();
  }

  dispose() {
    clearTimeout(this.silence);
    this.model.off("msg:custom", this.onMessage);
    removeEventListener("pagehide", this.onHide);
    removeEventListener("pageshow", this.onShow);
    try {
      this.say({ do: "goodbye" });
    } catch {
      // The kernel was restarted: nobody is left to say it to.
    }
  }
}

/**
 * Put the picture into the notebook, behind the widget. Jupyter does so itself until the page is reloaded: then it does
 * not know any more which output is meant. Where there is no notebook to reach (Voilà, say), nothing is kept.
 */
function keep(model, { widget, data, metadata }) {
  for (const { outputs } of model.widget_manager?.context?.model?.cells ?? []) {
    for (let i = 0; i + 1 < (outputs?.length ?? 0); i++) {
      const [view, picture] = [outputs.get(i).data, outputs.get(i + 1).data];
      const ours = view["application/vnd.jupyter.widget-view+json"]?.model_id === widget;
      const place = /lrlab-picture|<img alt=/.test(picture["text/html"]);
      if (ours && place) outputs.set(i + 1, { output_type: "display_data", data, metadata });
    }
  }
}

/** Whether the learner asked for less motion. */
export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** What anywidget is told of a page: how to build it, and how to end it. */
export const widget = (Page) => ({
  render({ model, el }) {
    const page = new Page(model, el);
    return () => page.dispose();
  },
});
