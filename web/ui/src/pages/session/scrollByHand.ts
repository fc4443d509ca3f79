import type { Terminal } from '@xterm/xterm';

// Scrolling up by hand means reading, coming back to the end means following. xterm hides
// wheel events and its scrollbar, so this watches them on their way in; and xterm does not
// scroll by touch at all, so this does.

interface Wishes {
  follow: (wish: boolean) => void;
}

export interface Hand {
  readonly holds: boolean; // the user holds the scrollbar, a selection or the text: nothing else may move it
  stop: () => void;
}

const SLOWEST = 0.02; // px per ms at which a fling ends
const FRICTION = 0.996; // per ms

export function watchHand(element: HTMLElement, terminal: Terminal, { follow }: Wishes): Hand {
  const ending = new AbortController();
  const { signal } = ending;
  let holds = false;
  let thrown: number | null = null;
  const rowHeight = () => Math.max(1, element.clientHeight / Math.max(1, terminal.rows));
  const place = () => terminal.buffer.active;
  const judge = () => follow(place().viewportY >= place().baseY);
  const soon = () => requestAnimationFrame(() => requestAnimationFrame(judge)); // xterm moves in the next frame
  const halt = () => {
    if (thrown !== null) cancelAnimationFrame(thrown);
    thrown = null;
  };

  element.addEventListener(
    'wheel',
    (event) => {
      halt();
      if (event.deltaY < 0 && place().baseY > 0) follow(false); // before the next output can scroll back
      else soon();
    },
    { capture: true, passive: true, signal },
  );
  element.addEventListener('keydown', soon, { capture: true, signal });
  element.addEventListener('pointerdown', () => (holds = true), { capture: true, signal });
  window.addEventListener(
    'pointermove',
    () => {
      if (holds) requestAnimationFrame(() => place().viewportY < place().baseY && follow(false)); // dragged away from the end
    },
    { capture: true, passive: true, signal },
  );
  for (const type of ['pointerup', 'pointercancel'] as const) {
    window.addEventListener(
      type,
      (event) => {
        if (!holds) return;
        holds = false;
        if (event.pointerType !== 'touch') soon();
      },
      { capture: true, signal },
    );
  }

  // By touch: the text moves with the finger, and goes on for a while after a fling. At its ends
  // the page moves instead.
  let touch: { y: number; at: number; speed: number; rest: number } | null = null;
  const scroll = (px: number): boolean => {
    if (touch !== null) px += touch.rest;
    const lines = Math.trunc(px / rowHeight());
    if (touch !== null) touch.rest = px - lines * rowHeight();
    const before = place().viewportY;
    if (lines !== 0) terminal.scrollLines(lines);
    return lines === 0 || place().viewportY !== before;
  };
  const canMove = (px: number) => (px < 0 ? place().viewportY > 0 : place().viewportY < place().baseY);
  element.addEventListener(
    'touchstart',
    (event) => {
      halt();
      const [finger] = event.touches;
      touch = finger === undefined || event.touches.length > 1 ? null : { y: finger.clientY, at: event.timeStamp, speed: 0, rest: 0 };
    },
    { capture: true, passive: true, signal },
  );
  element.addEventListener(
    'touchmove',
    (event) => {
      const [finger] = event.touches;
      if (touch === null || finger === undefined) return;
      const moved = touch.y - finger.clientY;
      if (moved === 0 || !canMove(moved)) return;
      if (event.cancelable) event.preventDefault();
      event.stopPropagation();
      if (moved < 0) follow(false);
      touch.speed = moved / Math.max(1, event.timeStamp - touch.at);
      touch.y = finger.clientY;
      touch.at = event.timeStamp;
      scroll(moved);
    },
    { capture: true, passive: false, signal },
  );
  const released = (event: TouchEvent) => {
    holds = false;
    const speed = touch === null || event.timeStamp - touch.at > 60 ? 0 : touch.speed;
    const glide = (last: number, now: number, pace: number) => {
      const passed = Math.min(50, now - last);
      const next = pace * FRICTION ** passed;
      if (Math.abs(next) < SLOWEST || !scroll(next * passed)) {
        halt();
        touch = null;
        judge();
        return;
      }
      thrown = requestAnimationFrame((time) => glide(now, time, next));
    };
    if (touch !== null) glide(performance.now(), performance.now() + 1, speed);
  };
  element.addEventListener('touchend', released, { capture: true, passive: true, signal });
  element.addEventListener('touchcancel', released, { capture: true, passive: true, signal });

  return {
    get holds() {
      return holds || thrown !== null;
    },
    stop: () => {
      halt();
      ending.abort();
    },
  };
}
