"""Writes signal.csv: time in s, and the sum of a few tones and Gaussian noise."""

import math
import random
import time

from signal_model import NOISE, RATE, SAMPLES, SEED, TONES

random.seed(SEED)
print(f"{SAMPLES} samples at {RATE:g} Hz: {SAMPLES / RATE:g} s of signal")
for frequency, amplitude in TONES:
    print(f"  tone at {frequency:7.2f} Hz, amplitude {amplitude:.2f}")
print(f"  white noise, standard deviation {NOISE:.2f}")

chunks = 8
total = 0.0
with open("signal.csv", "w") as out:
    out.write("time_s,value\n")
    for chunk in range(chunks):
        for i in range(chunk * SAMPLES // chunks, (chunk + 1) * SAMPLES // chunks):
            t = i / RATE
            value = sum(a * math.sin(2 * math.pi * f * t) for f, a in TONES) + random.gauss(0, NOISE)
            total += value * value
            out.write(f"{t:.6f},{value:.6f}\n")
        done = (chunk + 1) * 100 // chunks
        print(f"\r[{'#' * (done // 4):<25}] {done:3d} %", end="", flush=True)
        time.sleep(0.15)  # long enough to be watched
print(f"\nWrote signal.csv; its root mean square is {math.sqrt(total / SAMPLES):.3f}.")
