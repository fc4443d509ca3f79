import type { Health } from '@holdfast/client';

// Which parts of the server do not work, what still does, and what on this page has to wait.

export interface Outage {
  what: string;
  works: string;
  waits: string; // what cannot be done meanwhile; the reason beside a disabled control
}

export function outageOf(health: Health | null): Outage | null {
  if (health === null) return null;
  if (health.postgres === 'down') {
    return {
      what: 'The database does not answer.',
      works: 'Running steps go on and keep their output. What this page has shown stays; nothing new can be read.',
      waits: 'The database does not answer; this waits until it is back.',
    };
  }
  if (health.temporal === 'down') {
    return {
      what: 'Temporal does not answer.',
      works: 'Running steps go on, and output, files and the timeline can be read. Decisions, messages and new sessions wait until it is back.',
      waits: 'Temporal does not answer; this waits until it is back.',
    };
  }
  if (health.worker === 'down') {
    return {
      what: 'No worker is running.',
      works: 'Steps that had started go on by themselves, and everything can be read. Nothing new starts, and decisions and messages wait until a worker is back.',
      waits: 'No worker is running; this waits until one is back.',
    };
  }
  return null;
}
