"""Writes spectrum.csv (frequency in Hz, power per Hz) and peaks.csv.

The power spectral density is the periodogram with a Hann window, one-sided and scaled so
that its integral over frequency is the signal's mean square (Press et al., Numerical
Recipes, 13.4). A tone of amplitude A has the power A**2 / 2.
"""

import cmath
import csv
import math

from signal_model import RATE


def fft(x):
    """The discrete Fourier transform of x by the radix-2 algorithm of Cooley and Tukey."""
    n = len(x)
    if n == 1:
        return x
    even, odd = fft(x[0::2]), fft(x[1::2])
    half = n // 2
    turned = [cmath.exp(-2j * cmath.pi * k / n) * odd[k] for k in range(half)]
    return [even[k] + turned[k] for k in range(half)] + [even[k] - turned[k] for k in range(half)]


def local_noise(power, k):
    """The median power around bin k, which a narrow peak does not move."""
    around = sorted(power[max(0, k - 60) : k + 61])
    return around[len(around) // 2] / math.log(2)  # median to mean of an exponential


with open("signal.csv") as f:
    values = [float(row["value"]) for row in csv.DictReader(f)]
n = len(values)
print(f"Read signal.csv: {n} samples.")
if n & (n - 1):
    raise SystemExit(f"the number of samples must be a power of two, not {n}")

window = [0.5 - 0.5 * math.cos(2 * math.pi * i / n) for i in range(n)]
norm = RATE * sum(w * w for w in window)
transformed = fft([complex(v * w) for v, w in zip(values, window)])
power = [(2 if 0 < k < n // 2 else 1) * abs(transformed[k]) ** 2 / norm for k in range(n // 2 + 1)]
step = RATE / n
print(f"Transformed it: {len(power)} frequencies, {step:g} Hz apart.")

mean_square = sum(v * v for v in values) / n
integral = sum(power) * step
print(f"Power in the signal {mean_square:.4f}, under the spectrum {integral:.4f} ({integral / mean_square - 1:+.1%}).")

peaks = []
for k in range(3, len(power) - 3):
    if power[k] == max(power[k - 3 : k + 4]) and power[k] > 25 * local_noise(power, k):
        weights = power[k - 2 : k + 3]
        centre = sum(w * (k + i - 2) for i, w in enumerate(weights)) / sum(weights) * step
        above = sum(w - local_noise(power, k) for w in weights) * step
        peaks.append((centre, math.sqrt(2 * above), power[k] / local_noise(power, k)))
print(f"Found {len(peaks)} peaks:")
for centre, amplitude, ratio in peaks:
    print(f"  \033[1m{centre:7.2f} Hz\033[0m  amplitude {amplitude:.2f}  {10 * math.log10(ratio):.0f} dB above the noise")

with open("spectrum.csv", "w") as out:
    out.write("frequency_hz,power_per_hz\n")
    for k, p in enumerate(power):
        out.write(f"{k * step:.6f},{p:.9e}\n")
with open("peaks.csv", "w") as out:
    out.write("frequency_hz,amplitude,signal_to_noise\n")
    for peak in peaks:
        out.write("%.4f,%.4f,%.1f\n" % peak)
print("Wrote spectrum.csv and peaks.csv.")
