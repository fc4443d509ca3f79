import { Component } from 'react';
import type { ReactNode } from 'react';
import { PageError } from './PageError';

interface State {
  error: Error | null;
}

export class ErrorBoundary extends Component<{ children: ReactNode; fallback?: ReactNode }, State> {
  override state: State = { error: null };

  static getDerivedStateFromError(error: unknown): State {
    return { error: error instanceof Error ? error : new Error(String(error)) };
  }

  override render() {
    if (this.state.error === null) return this.props.children;
    if (this.props.fallback !== undefined) return this.props.fallback;
    return <PageError error={this.state.error} onRetry={() => this.setState({ error: null })} />;
  }
}
