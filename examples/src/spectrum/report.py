"""Writes report.md: the found tones against those that were put in, and the figure."""

import csv

from signal_model import NOISE, RATE, SAMPLES, TONES

with open("peaks.csv") as f:
    peaks = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(f)]

rows = []
for frequency, amplitude in TONES:
    found = min(peaks, key=lambda p: abs(p["frequency_hz"] - frequency), default=None)
    if found is None or abs(found["frequency_hz"] - frequency) > 1:
        rows.append(f"| {frequency:.2f} | not found | | {amplitude:.2f} | |")
        print(f"{frequency:.2f} Hz was not found.")
        continue
    error = found["frequency_hz"] - frequency
    rows.append(f"| {frequency:.2f} | {found['frequency_hz']:.2f} | {error:+.3f} | {amplitude:.2f} | {found['amplitude']:.2f} |")
    print(f"{frequency:.2f} Hz was found at {found['frequency_hz']:.2f} Hz ({error:+.3f} Hz).")

lines = [
    "# Tones in a noisy signal",
    "",
    f"A signal of {SAMPLES} samples at {RATE:g} Hz holds {len(TONES)} tones in white noise with standard",
    f"deviation {NOISE:g}. In its power spectrum {len(peaks)} peaks stand clearly above the noise.",
    "",
    "![Power spectrum with the peaks marked](spectrum.svg)",
    "",
    "| put in (Hz) | found (Hz) | error (Hz) | amplitude put in | amplitude found |",
    "|---:|---:|---:|---:|---:|",
    *rows,
    "",
    f"Frequencies are {RATE / SAMPLES:g} Hz apart; the centre of a peak is found by weighting its bins.",
    "The data are in [signal.csv](signal.csv), [spectrum.csv](spectrum.csv) and [peaks.csv](peaks.csv).",
    "",
]
with open("report.md", "w") as out:
    out.write("\n".join(lines))
print("Wrote report.md. It waits to be published.")
