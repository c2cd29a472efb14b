import type { Clock } from "../../../platform/clock.ts";

/** Time that jumps: a timer is due as soon as everything else had its turn, and brings its delay with it. */
export function hastyClock(onTimer: (nowMs: number) => void = () => {}): Clock {
  let nowMs = 0;
  return {
    wallMs: () => nowMs,
    monotonicMs: () => nowMs,
    timer(delayMs, fn) {
      let live = true;
      setImmediate(() => {
        if (!live) return;
        nowMs += delayMs;
        onTimer(nowMs);
        fn();
      });
      return {
        cancel() {
          live = false;
        },
      };
    },
  };
}
