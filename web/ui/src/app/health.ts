import { useConnection } from './live';
import { outageOf } from './outage';
import type { Outage } from './outage';

export function useOutage(): Outage | null {
  return outageOf(useConnection().health);
}

// Why the user cannot give commands now; null when they can.
export function useCommandsBlocked(): string | null {
  return useOutage()?.waits ?? null;
}
