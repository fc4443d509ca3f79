import { HoldfastClient } from '@holdfast/client';
import type { ConnectionState, Viewer } from '@holdfast/client';
import { useSyncExternalStore } from 'react';
import { uuid } from '../lib/uuid';

// The id lives in memory, not in session storage: a duplicated tab would take
// the stored id along and the two would push each other out.
const clientId = uuid();

function socketURL(): string {
  const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
  return `${scheme}://${location.host}/ws`;
}

export const live = new HoldfastClient({ url: socketURL(), clientId });

export function startLive(): void {
  live.start();
  window.addEventListener('online', () => live.nudge());
  window.addEventListener('offline', () => live.cut());
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'visible') live.nudge();
  });
}

const subscribe = (listener: () => void) => live.onState(listener);
const getState = () => live.state;

export function useConnection(): ConnectionState {
  return useSyncExternalStore(subscribe, getState);
}

// Whether a viewer is this tab.
export function isSelf(viewer: Viewer): boolean {
  return viewer.connection_id === live.identity?.connectionId || viewer.client_id === clientId;
}
