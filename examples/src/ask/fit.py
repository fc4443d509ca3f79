"""Fits a line and a parabola to noisy points, and tells how far it has come."""
import json
import random
import sys
import time

random.seed(4)
x = [i / 20 for i in range(101)]
y = [1 + 2 * v - 0.15 * v * v + random.gauss(0, 0.3) for v in x]


def misfit(p):
    return sum((p[0] + p[1] * a + p[2] * a * a - b) ** 2 for a, b in zip(x, y)) / 0.09


def fit(free, name, start):
    p, best, steps = [0.0, 0.0, 0.0], float("inf"), 40
    for i in range(1, steps + 1):
        for _ in range(60):
            trial = [v + random.gauss(0, 2 / i) if k < free else 0.0 for k, v in enumerate(p)]
            m = misfit(trial)
            if m < best:
                p, best = trial, m
        time.sleep(0.05)
        print(f"\r{name}: step {i} of {steps}, chi2 {best:.1f}   ", end="")  # one line that is written again
        # Taken out of the output, moves the step's bar; on stderr, where the other one's line does not matter.
        print(f'##holdfast progress={start + i / steps / 2:.3f} note="{name}, {i} of {steps}"', file=sys.stderr)
    print()
    return {"chi2": round(best, 1), "free parameters": free}


line, parabola = fit(2, "line", 0), fit(3, "parabola", 0.5)
with open("fit.json", "w") as out:
    json.dump({"chi2 of the line": line["chi2"], "chi2 of the parabola": parabola["chi2"], "points": len(x)}, out)
