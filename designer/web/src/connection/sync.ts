// Keeps this editor's text and Python's the same: push, pull, rebase (@codemirror/collab). Python is the authority: it
// orders all changes. Unconfirmed changes stay in the collab state and are pushed again, so no input is lost.

import { collab, getClientID, getSyncedVersion, receiveUpdates, sendableUpdates, type Update as Received } from "@codemirror/collab";
import { ChangeSet, type Extension } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import type { Update } from "../protocol";
import type { Wire } from "./wire";

const KERNEL = "kernel";
const FILE = "file";

export class Sync {
  private pushing: Promise<void> | null = null;
  private connected = false;

  constructor(
    private readonly wire: () => Wire,
    private readonly view: () => EditorView | null,
    private readonly onRemoteChange: (who: string) => void,
  ) {}

  /** For an editor that starts with Python's text of `version`. */
  extension(version: number): Extension {
    return [
      collab({ startVersion: version }),
      EditorView.updateListener.of((update) => {
        if (update.docChanged) void this.push();
      }),
    ];
  }

  get version(): number {
    const view = this.view();
    return view ? getSyncedVersion(view.state) : 0;
  }

  get clean(): boolean {
    const view = this.view();
    return !view || sendableUpdates(view.state).length === 0;
  }

  /** Once connected (again): pulls the changes that were missed, then pushes those not sent yet. */
  async connect(): Promise<void> {
    this.connected = true;
    await this.pull();
    await this.push();
  }

  disconnect(): void {
    this.connected = false;
    this.pushing = null;
  }

  /** Resolves when Python has all input (true), or the connection is lost (false). */
  async flush(): Promise<boolean> {
    while (!this.clean && this.connected) await this.push();
    return this.clean;
  }

  /** One push at a time; a refused one pulls and tries again. */
  push(): Promise<void> {
    if (!this.pushing && this.connected) {
      this.pushing = this.pushAll().finally(() => {
        this.pushing = null;
      });
    }
    return this.pushing ?? Promise.resolve();
  }

  /** Updates that Python sends by itself; `version` is the one after them. Overlaps with what a push or pull brought. */
  receive(version: number, updates: Update[]): void {
    const known = this.version - (version - updates.length);
    // Example: the editor is at 5. version 6 with one update is new; version 5 is known; version 8 with one lacks two.
    if (known < 0) void this.pull();
    else this.apply(updates.slice(known));
  }

  /** Local changes that Python does not have yet: they map its offsets to the editor's. */
  unconfirmed(): ChangeSet | null {
    const view = this.view();
    const [first, ...others] = view ? sendableUpdates(view.state) : [];
    return first ? others.reduce((all, next) => all.compose(next.changes), first.changes) : null;
  }

  private async pushAll(): Promise<void> {
    for (let view = this.view(); view && this.connected; view = this.view()) {
      const updates = sendableUpdates(view.state);
      if (updates.length === 0) return;
      const version = getSyncedVersion(view.state);
      const plain = updates.map((one) => ({ clientID: one.clientID, changes: one.changes.toJSON() as unknown[] }));
      try {
        await this.wire().ask("push", { version, updates: plain });
        // The event with these updates may have come before the reply; then they are applied already.
        if (getSyncedVersion(view.state) === version) this.apply(plain);
      } catch {
        if (!this.connected) return;
        await this.pull();
        if (getSyncedVersion(view.state) === version) return; // refused for another reason; the next change tries again
      }
    }
  }

  private async pull(): Promise<void> {
    const version = this.version;
    try {
      const { updates } = await this.wire().ask("pull", { version });
      this.apply(updates.slice(this.version - version));
    } catch {
      // The connection is gone; connect() pulls again.
    }
  }

  private apply(updates: Update[]): void {
    const view = this.view();
    if (!view || updates.length === 0) return;
    const received: Received[] = updates.map((one) => ({ clientID: one.clientID, changes: ChangeSet.fromJSON(one.changes) }));
    view.dispatch(receiveUpdates(view.state, received));
    const mine = getClientID(view.state);
    const who = received.map((one) => one.clientID).find((id) => id !== mine);
    if (who) this.onRemoteChange(who === KERNEL ? "the notebook" : who === FILE ? "an edit of the file on disk" : "another window");
  }
}
