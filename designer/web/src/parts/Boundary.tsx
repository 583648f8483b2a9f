// Catches an exception of a component, so that the rest of the page, above all the text, stays usable.

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
        <p>This part of the page failed: {this.state.problem}</p>
        <p>The program text is not affected.</p>
        <button type="button" className="pw-button" onClick={() => this.setState({ problem: null })}>
          Try again
        </button>
      </div>
    );
  }
}
