import type { Hole, Presence } from '@holdfast/client';
import type { CancelReceipt, Plan, Projection, StoredEvent } from '../api/types';
import { ServerClock } from './clock';
import { foldLive, stepKey } from './fold';
import type { LiveSteps } from './fold';
import { isSaid } from './messages';
import { OutputBuffer } from './output';
import { foldProjection } from './projection';
import { appendToTimeline } from './timeline';
import type { TimelineRow } from './timeline';

// A run's plan according to the log, and the event that it came with.
export interface PlanFold {
  seq: number;
  plan: Plan;
}

// How much time people added to an approval, in seconds, and who did so last.
export interface Extension {
  seconds: number;
  actor: string;
}

// The log ended at head when this page had seen events up to seen.
export interface Rewind {
  seen: number;
  head: number;
}

// A file that a step wrote, as the log tells it.
export interface WrittenFile {
  seq: number;
  size: number;
  at: string;
}

// What only grows is kept in one place, so that an event costs the same however much there is. What holds it is replaced
// when it changes, so that React sees that.
export interface Growing<T> {
  readonly all: T;
}

// What React sees: replaced as a whole, at most once per frame.
export interface SessionSnapshot {
  seq: number; // of the latest event that has arrived
  head: number; // of the latest event that exists, as far as the server has said
  deleted: string | null; // when the session was deleted; '' if unknown
  holes: readonly Hole[]; // events that the server has lost
  rewound: Rewind | null; // the log was rewound, and this is its new beginning
  loaded: boolean; // everything up to the head known at opening has arrived
  projection: Projection | null; // null until it is read
  error: unknown; // why it cannot be read; null if it can
  live: LiveSteps;
  receipt: CancelReceipt | null;
  plans: Growing<ReadonlyMap<string, PlanFold>>; // by run id
  extensions: Readonly<Record<string, Extension>>; // by approval id
  forkedAt: string | null; // the step that a fork continues from
  presence: Presence; // who views the session now
  timelineVersion: number;
  changes: number; // how many events came that are neither output nor progress
  historyNeeded: boolean; // messages were waiting when the projection was read
  said: Growing<readonly StoredEvent[]>; // what happened to messages since then
  written: Growing<ReadonlyMap<string, WrittenFile>>; // by path
}

const EMPTY: SessionSnapshot = {
  seq: 0,
  head: 0,
  deleted: null,
  holes: [],
  rewound: null,
  loaded: false,
  projection: null,
  error: null,
  live: {},
  receipt: null,
  plans: { all: new Map() },
  extensions: {},
  forkedAt: null,
  presence: { viewers: [], count: 0 },
  timelineVersion: 0,
  changes: 0,
  historyNeeded: false,
  said: { all: [] },
  written: { all: new Map() },
};

// The state of one session, outside React. Events come in thousands; listeners
// are called once per animation frame.
export class SessionStore {
  readonly output = new OutputBuffer();
  readonly timeline: TimelineRow[] = [];
  readonly clock = new ServerClock();
  private readonly plans = new Map<string, PlanFold>();
  private readonly written = new Map<string, WrittenFile>();
  private said: StoredEvent[] = [];
  private live: SessionSnapshot = EMPTY;
  private shown: SessionSnapshot = EMPTY;
  private readonly listeners = new Set<() => void>();
  private scheduled = false;
  private seq = 0;
  private older = 0;
  private opened = 0;
  private waiting: StoredEvent[] | null = []; // events that the projection being read may lack; null while none is read
  private least = 0; // the seq that it must have: what came before is not in waiting
  private missing = 0; // events up to this seq are neither in the projection nor to be had

  constructor(private readonly schedule: (run: () => void) => void = onNextFrame, rewound: Rewind | null = null) {
    if (rewound !== null) this.live = this.shown = { ...EMPTY, rewound };
  }

  get lastSeq(): number {
    return this.seq;
  }

  // The story up to this seq was not read; 0 when the whole of it was.
  get olderUntil(): number {
    return this.older;
  }

  // The seq of the projection that was read last. What the log told before may have holes.
  get openedAt(): number {
    return this.opened;
  }

  // How far the projection is, and how far it has to be read again; 0 if it has not.
  get projectedSeq(): number {
    return this.live.projection?.seq ?? 0;
  }

  get missingUntil(): number {
    return this.missing;
  }

  get failed(): boolean {
    return this.live.error !== null;
  }

  // A projection is about to be read: what comes from now on is kept for it.
  reloads(): void {
    if (this.waiting !== null) return;
    this.waiting = [];
    this.least = Math.max(this.seq, this.projectedSeq);
  }

  // Takes a projection in, and folds into it what came while it was read. One that is older than what is shown is no
  // news, and one that lacks lost events is not the last to be read.
  load(projection: Projection): void {
    const events = this.waiting?.filter((event) => event.seq > projection.seq) ?? [];
    if (projection.seq >= this.missing) {
      this.missing = 0;
      this.waiting = null;
    }
    if (projection.seq < this.least) return;
    this.opened = projection.seq;
    this.clock.read(Date.parse(projection.at));
    this.said = this.said.filter((event) => event.seq > projection.seq);
    this.change({
      projection: events.reduce(foldProjection, projection),
      error: null,
      head: Math.max(this.live.head, projection.seq),
      historyNeeded: this.live.historyNeeded || projection.session.queued_messages > 0,
      said: { all: this.said },
      ...this.latestPlan(projection),
    });
  }

  // The projection cannot be read, or (null) is about to be tried again.
  fail(error: unknown): void {
    this.waiting = null;
    this.change({ error });
  }

  // The story up to this seq was not read. What is known of it from before makes way: the rows have no gap, and the
  // older ones can be read again.
  startsAt(seq: number): void {
    this.older = seq;
    const after = this.timeline.findIndex((row) => row.firstSeq > seq);
    this.timeline.splice(0, after < 0 ? this.timeline.length : after);
    this.change({ timelineVersion: this.live.timelineVersion + 1 });
  }

  // Puts an older part of the story, which begins at since, before what is there.
  prepend(events: readonly StoredEvent[], since: number): void {
    this.older = since;
    const rows: TimelineRow[] = [];
    const change: Partial<SessionSnapshot> = { timelineVersion: this.live.timelineVersion + 1 };
    for (const event of events) {
      appendToTimeline(rows, event);
      if (event.event_type === 'plan_proposed' || event.event_type === 'plan_updated') Object.assign(change, this.foldRest(event));
      if (event.event_type === 'session_forked') Object.assign(change, this.foldRest(event));
      if (event.event_type === 'step_started') this.output.markPartial(stepKey(event.run_id ?? '', event.step_id ?? ''));
    }
    this.timeline.unshift(...rows);
    this.change(change);
  }

  readonly getSnapshot = (): SessionSnapshot => this.shown;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  markLoaded(): void {
    if (!this.live.loaded) this.change({ loaded: true });
  }

  setPresence(presence: Presence): void {
    this.change({ presence });
  }

  setHead(head: number): void {
    if (head > this.live.head) this.change({ head });
  }

  // The clock of the web server that a connection leads to shows now.
  hear(now: number, connection: string): void {
    const before = this.clock.moved;
    this.clock.heard(now, connection);
    if (this.clock.moved !== before) this.change({}); // deadlines are told anew
  }

  setDeleted(at: string): void {
    if (!this.live.deleted) this.change({ deleted: at });
  }

  // Events that cannot be read. The output of what ran then says so in that place.
  addHole(hole: Hole): void {
    if (hole.to <= this.seq) return;
    this.seq = hole.to;
    this.markOutput(hole.to, `lines missing: ${holeWords(hole)}`);
    if (hole.to > this.projectedSeq) this.missing = hole.to;
    this.change({ seq: hole.to, holes: [...this.live.holes, hole] });
  }

  // Says that what steps printed before seq, since the last line that is shown, is not read.
  leavesOut(seq: number): void {
    this.markOutput(seq, 'some output is not shown here; the download has all of it');
    this.change({});
  }

  // Puts words into the output of the steps that run.
  private markOutput(seq: number, words: string): void {
    const run = this.live.projection?.runs.at(-1);
    for (const step of run?.steps ?? []) {
      if (step.status !== 'running' && step.status !== 'frozen') continue;
      const attempt = step.attempts.at(-1)?.number ?? 1;
      this.output.append({ seq, key: stepKey(run?.id ?? '', step.id), stepId: step.id, attempt, text: `\n── ${words} ──\n` });
    }
  }

  apply(event: StoredEvent): void {
    if (event.seq <= this.seq) return;
    this.seq = event.seq;
    this.waiting?.push(event);
    const { projection } = this.live;
    const change: Partial<SessionSnapshot> = { seq: event.seq, timelineVersion: this.live.timelineVersion + 1 };
    if (projection !== null) change.projection = foldProjection(projection, event);
    appendToTimeline(this.timeline, event);
    if (event.event_type === 'output') {
      if (event.data.text !== '') {
        const { run_id: runId = '', step_id: stepId = '' } = event;
        this.output.append({ seq: event.seq, key: stepKey(runId, stepId), stepId, attempt: event.data.attempt, text: event.data.text });
      }
      this.change(change);
      return;
    }
    this.clock.atLeast(Date.parse(event.timestamp));
    change.live = foldLive(this.live.live, event);
    if (event.event_type !== 'step_progress') change.changes = this.live.changes + 1;
    if (isSaid(event)) {
      this.said.push(event);
      change.said = { all: this.said };
    }
    if (event.event_type === 'file_created' || event.event_type === 'file_updated') {
      this.written.set(event.data.path, { seq: event.seq, size: event.data.size, at: event.timestamp });
      change.written = { all: this.written };
    }
    this.change({ ...change, ...this.foldRest(event) });
  }

  private foldRest(event: StoredEvent): Partial<SessionSnapshot> {
    const { extensions } = this.live;
    switch (event.event_type) {
      case 'workflow_cancelled':
        return { receipt: event.data.receipt };
      case 'plan_proposed':
      case 'plan_updated':
        return event.run_id ? this.putPlan(event.run_id, { seq: event.seq, plan: event.data.plan }) : {};
      case 'approval_extended': {
        const { approval_id: id, seconds, actor } = event.data;
        return { extensions: { ...extensions, [id]: { seconds: (extensions[id]?.seconds ?? 0) + seconds, actor } } };
      }
      case 'session_forked':
        return event.data.direction === 'from' && event.data.step_id ? { forkedAt: event.data.step_id } : {};
      default:
        return {};
    }
  }

  private putPlan(runId: string, plan: PlanFold): Partial<SessionSnapshot> {
    if ((this.plans.get(runId)?.seq ?? 0) >= plan.seq) return {};
    this.plans.set(runId, plan);
    return { plans: { all: this.plans } };
  }

  // The latest run's plan as a projection has it: the log's may have been replaced by an event that was lost.
  private latestPlan({ seq, session, runs }: Projection): Partial<SessionSnapshot> {
    const run = runs.at(-1);
    return run !== undefined && session.plan && this.plans.has(run.id) ? this.putPlan(run.id, { seq, plan: session.plan }) : {};
  }

  private change(change: Partial<SessionSnapshot>): void {
    this.live = { ...this.live, ...change };
    if (this.scheduled) return;
    this.scheduled = true;
    this.schedule(() => {
      this.scheduled = false;
      this.shown = this.live;
      for (const listener of this.listeners) listener();
    });
  }
}

// Events that cannot be read, in words.
export function holeWords({ from, to }: Hole): string {
  return from === to ? `event ${from} cannot be read` : `events ${from}–${to} cannot be read`;
}

// A hidden page gets no animation frames; a timer keeps its state moving.
function onNextFrame(run: () => void): void {
  if (typeof document !== 'undefined' && document.visibilityState === 'visible') requestAnimationFrame(run);
  else setTimeout(run, 200);
}
