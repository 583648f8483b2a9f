// Keeps the text reachable when drawing it goes wrong: a mistake of ours in a component must not take the page away.

import { Component, type ReactNode } from "react";

export class Boundary extends Component<{ children: ReactNode }, { problem: string | null }> {
  override state = { problem: null };

  static getDerivedStateFromError(problem: unknown): { problem: string } {
    return { problem: problem instanceof Error ? problem.message : String(problem) };
  }

  override render(): ReactNode {
    if (this.state.problem === null) return this.props.children;
    return (
      <div className="pw-boundary" role="alert">
        <p>This part of the page has gone wrong: {this.state.problem}</p>
        <p>The text is not touched by it.</p>
        <button type="button" className="pw-button" onClick={() => this.setState({ problem: null })}>
          Show it again
        </button>
      </div>
    );
  }
}
