import { uuid } from './uuid';

// One key as long as the request stays the same: a double click or a retry
// makes one session, an edited plan makes another.
export class IdempotencyKey {
  private body = '';
  private key = '';

  constructor(private readonly make: () => string = uuid) {}

  for(body: unknown): string {
    const text = JSON.stringify(body);
    if (this.key === '' || text !== this.body) {
      this.body = text;
      this.key = this.make();
    }
    return this.key;
  }
}
