import { useConnection } from './live';
import { outageOf } from './outage';
import type { Outage } from './outage';

export function useOutage(): Outage | null {
  return outageOf(useConnection().health);
}

// Why no command can be given now; null when one can.
export function useCommandsBlocked(): string | null {
  return useOutage()?.waits ?? null;
}
