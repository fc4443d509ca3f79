import type { CancelReceipt, StoredEvent } from '../api/types';
import { foldStep, stepKey } from './fold';
import type { StepFolds } from './fold';
import { OutputBuffer } from './output';
import { appendToTimeline } from './timeline';
import type { TimelineRow } from './timeline';

export interface LiveStatus {
  seq: number;
  status: string;
  phase: string;
}

// What React sees: replaced as a whole, at most once per frame.
export interface SessionSnapshot {
  loaded: boolean; // everything up to the head known at opening has arrived
  steps: StepFolds;
  status: LiveStatus | null;
  receipt: CancelReceipt | null;
  timelineVersion: number;
  structureVersion: number; // grows with every event that may change what REST says
  approvalVersion: number;
  fileVersion: number;
  serverTime: { at: number; monotonic: number } | null;
}

const FILE_EVENTS = new Set(['file_created', 'file_updated', 'step_completed', 'step_failed']);

const EMPTY: SessionSnapshot = {
  loaded: false,
  steps: {},
  status: null,
  receipt: null,
  timelineVersion: 0,
  structureVersion: 0,
  approvalVersion: 0,
  fileVersion: 0,
  serverTime: null,
};

// The state of one session, outside React. Events come in by the thousand;
// listeners hear of them once per animation frame.
export class SessionStore {
  readonly output = new OutputBuffer();
  readonly timeline: TimelineRow[] = [];
  private live: SessionSnapshot = EMPTY;
  private shown: SessionSnapshot = EMPTY;
  private readonly listeners = new Set<() => void>();
  private scheduled = false;
  private seq = 0;

  constructor(private readonly schedule: (run: () => void) => void = onNextFrame) {}

  get lastSeq(): number {
    return this.seq;
  }

  readonly getSnapshot = (): SessionSnapshot => this.shown;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  markLoaded(): void {
    if (!this.live.loaded) this.change({ loaded: true });
  }

  apply(event: StoredEvent): void {
    if (event.seq <= this.seq) return;
    this.seq = event.seq;
    appendToTimeline(this.timeline, event);
    if (event.event_type === 'output') {
      this.applyOutput(event);
      this.change({ timelineVersion: this.live.timelineVersion + 1 });
      return;
    }
    const change: Partial<SessionSnapshot> = {
      timelineVersion: this.live.timelineVersion + 1,
      structureVersion: this.live.structureVersion + 1,
      steps: foldStep(this.live.steps, event),
    };
    const data = event.data ?? {};
    if (event.event_type === 'workflow_state_changed') {
      const before = this.live.status;
      change.status = {
        seq: event.seq,
        status: String(data['status'] ?? before?.status ?? ''),
        phase: String(data['phase'] ?? before?.phase ?? ''),
      };
    }
    if (event.event_type.startsWith('approval_')) change.approvalVersion = this.live.approvalVersion + 1;
    if (FILE_EVENTS.has(event.event_type)) change.fileVersion = this.live.fileVersion + 1;
    if (event.event_type === 'workflow_cancelled' && typeof data['receipt'] === 'object') {
      change.receipt = data['receipt'] as CancelReceipt;
    }
    this.change(change);
  }

  private applyOutput(event: StoredEvent): void {
    const data = event.data ?? {};
    const text = data['text'];
    if (typeof text !== 'string' || text === '') return;
    const stepId = event.step_id ?? '';
    this.output.append({
      seq: event.seq,
      key: stepKey(event.run_id ?? '', stepId),
      stepId,
      attempt: typeof data['attempt'] === 'number' ? data['attempt'] : 1,
      text,
    });
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

// A hidden page gets no animation frames; a timer keeps its state moving.
function onNextFrame(run: () => void): void {
  if (typeof document !== 'undefined' && document.visibilityState === 'visible') requestAnimationFrame(run);
  else setTimeout(run, 200);
}
