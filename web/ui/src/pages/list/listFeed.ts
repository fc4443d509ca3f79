import type { ListFrame } from '@holdfast/client';
import type { SessionList } from '../../api/types';
import { foldList, foldSnapshot } from './foldList';
import type { ListFilter } from './foldList';

// Where the loaded pages of a list are kept.
export interface ListPages {
  get: () => SessionList[] | undefined; // undefined until they are read
  put: (pages: SessionList[]) => void;
  reading: () => boolean;
  reread: () => void;
}

// Folds the frames of a list into its pages, in the order in which they come. Those that come while an answer is under
// way, which may be older, wait for it.
export class ListFeed {
  private waiting: ListFrame[] = [];

  constructor(
    private readonly pages: ListPages,
    private readonly filter: ListFilter,
  ) {}

  take(frame: ListFrame): void {
    this.waiting.push(frame);
    this.settle();
  }

  // Folds what waited, unless it has to wait longer.
  settle(): void {
    while (this.waiting.length > 0) {
      const pages = this.pages.get();
      if (pages === undefined || this.pages.reading()) return;
      const frame = this.waiting.shift();
      if (frame !== undefined) this.fold(pages, frame);
    }
  }

  // Changes may have been missed before a snapshot. What became of rows older than those that it holds only the server
  // can say, also at the first one: the pages may have been read before it was taken.
  private fold(pages: SessionList[], frame: ListFrame): void {
    if (frame.event_type !== 'sessions') {
      this.pages.put(foldList(pages, frame, this.filter));
      return;
    }
    const after = foldSnapshot(pages, frame.data, this.filter);
    this.pages.put(after.pages);
    if (!after.whole) this.pages.reread();
  }
}
