import { describe, expect, it } from 'vitest';
import { foldFiles, wasWritten } from './foldFiles';
import type { KnownFile } from './foldFiles';
import type { WrittenFile } from './store';

const listed = (modified_at: string, size = 1) => [{ path: 'a', size, media_type: 'text/plain', modified_at }];
const by = (seq: number, size = 1) => new Map<string, WrittenFile>([['a', { seq, size, at: 'committed' }]]);
const one = (...of: Parameters<typeof foldFiles>) => foldFiles(...of)[0] as KnownFile;

describe('the files', () => {
  it('are those of the list, with what was written since', () => {
    const files = foldFiles(listed('m'), 5, new Map([['a', { seq: 5, size: 9, at: 't' }], ['b', { seq: 6, size: 2, at: 't' }]]));
    expect(files.map(({ path, size, listed: from }) => [path, size, from])).toEqual([['a', 1, true], ['b', 2, false]]);
  });
});

describe('a file', () => {
  it.each<[string, KnownFile, KnownFile, boolean]>([
    ['that an event told of, when the list is read', one([], 0, by(3)), one(listed('m'), 5, by(3)), false],
    ['that was listed, when the list is read again', one(listed('m'), 5, by(3)), one(listed('m'), 9, by(3)), false],
    ['whose time is another in the next list', one(listed('m'), 5, by(3)), one(listed('n'), 9, by(3)), true],
    ['whose size is another in the next list', one(listed('m'), 5, by(3)), one(listed('m', 2), 9, by(3)), true],
    ['that an event tells of after the list', one(listed('m'), 5, by(3)), one(listed('m'), 5, by(7)), true],
    ['that a later event tells of', one([], 0, by(3)), one([], 0, by(7)), true],
    ['that was written between two lists', one(listed('m'), 5, by(3)), one(listed('n'), 9, by(7)), true],
  ])('%s', (_name, shown, latest, written) => {
    expect(wasWritten(shown, latest)).toBe(written);
  });
});
