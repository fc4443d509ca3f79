import type { Hole, Presence } from '@holdfast/client';
import type { CancelReceipt, Plan, Session, StoredEvent } from '../api/types';
import { foldStep, stepKey } from './fold';
import type { StepFolds } from './fold';
import { OutputBuffer } from './output';
import { appendToTimeline } from './timeline';
import type { TimelineRow } from './timeline';

export interface LiveStatus {
  seq: number;
  status: Session['status'];
  phase: Session['phase'];
}

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

// What React sees: replaced as a whole, at most once per frame.
export interface SessionSnapshot {
  seq: number; // of the latest event that has arrived
  head: number; // of the latest event that exists, as far as the server has said
  deleted: string | null; // when the session was deleted; '' if unknown
  holes: readonly Hole[]; // events that the server has lost
  rewound: Rewind | null; // the log was rewound, and this is its new beginning
  loaded: boolean; // everything up to the head known at opening has arrived
  steps: StepFolds;
  status: LiveStatus | null;
  receipt: CancelReceipt | null;
  plans: Readonly<Record<string, PlanFold>>; // by run id
  extensions: Readonly<Record<string, Extension>>; // by approval id
  forkedAt: string | null; // the step that a fork continues from
  presence: Presence; // who views the session now
  timelineVersion: number;
  structureVersion: number; // grows with every event that may change REST's answers
  approvalVersion: number;
  fileVersion: number;
  messageVersion: number;
}

const FILE_EVENTS = new Set(['file_created', 'file_updated', 'step_completed', 'step_failed']);

// Events after which a message may be in a different place.
const MESSAGE_EVENTS = new Set(['agent_message', 'workflow_started', 'workflow_cancelled', 'workflow_state_changed']);

const EMPTY: SessionSnapshot = {
  seq: 0,
  head: 0,
  deleted: null,
  holes: [],
  rewound: null,
  loaded: false,
  steps: {},
  status: null,
  receipt: null,
  plans: {},
  extensions: {},
  forkedAt: null,
  presence: { viewers: [], count: 0 },
  timelineVersion: 0,
  structureVersion: 0,
  approvalVersion: 0,
  fileVersion: 0,
  messageVersion: 0,
};

// The state of one session, outside React. Events come in thousands; listeners
// are called once per animation frame.
export class SessionStore {
  readonly output = new OutputBuffer();
  readonly timeline: TimelineRow[] = [];
  private live: SessionSnapshot = EMPTY;
  private shown: SessionSnapshot = EMPTY;
  private readonly listeners = new Set<() => void>();
  private scheduled = false;
  private seq = 0;
  private older = 0;

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

  startsAt(seq: number): void {
    this.older = seq;
  }

  // Puts an older part of the story, which begins at since, before what is there.
  prepend(events: readonly StoredEvent[], since: number): void {
    this.older = since;
    const rows: TimelineRow[] = [];
    const change: Partial<SessionSnapshot> = { timelineVersion: this.live.timelineVersion + 1 };
    for (const event of events) {
      appendToTimeline(rows, event);
      if ((event.event_type === 'plan_proposed' || event.event_type === 'plan_updated') && event.run_id && !(event.run_id in this.live.plans)) {
        change.plans = { ...(change.plans ?? this.live.plans), [event.run_id]: { seq: event.seq, plan: event.data.plan } };
      }
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

  setDeleted(at: string): void {
    if (!this.live.deleted) this.change({ deleted: at });
  }

  // Events that cannot be read. The output of what ran then says so in that place.
  addHole(hole: Hole): void {
    if (hole.to <= this.seq) return;
    this.seq = hole.to;
    for (const [key, step] of Object.entries(this.live.steps)) {
      if (step.status !== 'running' && step.status !== 'frozen') continue;
      const attempt = step.attempts.at(-1)?.number ?? 1;
      this.output.append({ seq: hole.to, key, stepId: key.slice(key.indexOf('/') + 1), attempt, text: `\n── lines missing: ${holeWords(hole)} ──\n` });
    }
    this.change({ seq: hole.to, holes: [...this.live.holes, hole], structureVersion: this.live.structureVersion + 1 });
  }

  apply(event: StoredEvent): void {
    if (event.seq <= this.seq) return;
    this.seq = event.seq;
    this.change({ seq: event.seq });
    appendToTimeline(this.timeline, event);
    if (event.event_type === 'output') {
      if (event.data.text !== '') {
        const { run_id: runId = '', step_id: stepId = '' } = event;
        this.output.append({ seq: event.seq, key: stepKey(runId, stepId), stepId, attempt: event.data.attempt, text: event.data.text });
      }
      this.change({ timelineVersion: this.live.timelineVersion + 1 });
      return;
    }
    if (event.event_type === 'step_progress') { // once a second: nothing that REST would say differently
      this.change({ timelineVersion: this.live.timelineVersion + 1, steps: foldStep(this.live.steps, event) });
      return;
    }
    const change: Partial<SessionSnapshot> = {
      timelineVersion: this.live.timelineVersion + 1,
      structureVersion: this.live.structureVersion + 1,
      steps: foldStep(this.live.steps, event),
    };
    if (event.event_type.startsWith('approval_')) change.approvalVersion = this.live.approvalVersion + 1;
    if (MESSAGE_EVENTS.has(event.event_type)) change.messageVersion = this.live.messageVersion + 1;
    Object.assign(change, this.foldRest(event));
    if (FILE_EVENTS.has(event.event_type)) change.fileVersion = this.live.fileVersion + 1;
    this.change(change);
  }

  private foldRest(event: StoredEvent): Partial<SessionSnapshot> {
    const { plans, extensions } = this.live;
    switch (event.event_type) {
      case 'workflow_state_changed':
        return { status: { seq: event.seq, ...event.data } };
      case 'workflow_cancelled':
        return { receipt: event.data.receipt };
      case 'plan_proposed':
      case 'plan_updated':
        return event.run_id ? { plans: { ...plans, [event.run_id]: { seq: event.seq, plan: event.data.plan } } } : {};
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
