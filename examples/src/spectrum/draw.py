"""Draws spectrum.svg: the power spectrum with its peaks, readable in light and dark."""

import csv
import math

W, H = 960, 540
LEFT, RIGHT, TOP, BOTTOM = 84, 28, 84, 70
INK, QUIET, LINE, MARK = "#1f2937", "#6b7280", "#2563eb", "#d9480f"

with open("spectrum.csv") as f:
    points = [(float(r["frequency_hz"]), float(r["power_per_hz"])) for r in csv.DictReader(f)][1:]
with open("peaks.csv") as f:
    peaks = [(float(r["frequency_hz"]), float(r["amplitude"])) for r in csv.DictReader(f)]

top_f = points[-1][0]
decibel = [(f, 10 * math.log10(max(p, 1e-12))) for f, p in points]
high = 10 * math.ceil(max(d for _, d in decibel) / 10 + 0.4)
low = high - 60


def x(f):
    return LEFT + (W - LEFT - RIGHT) * f / top_f


def y(d):
    return TOP + (H - TOP - BOTTOM) * (high - max(d, low)) / (high - low)


def text(px, py, s, size=13, colour=QUIET, anchor="middle", extra=""):
    return f'<text x="{px:.1f}" y="{py:.1f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}"{extra}>{s}</text>'


svg = [
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {W} {H}" width="{W}" height="{H}" role="img"'
    ' font-family="Inter, Helvetica, Arial, sans-serif">',
    "<title>Power spectrum of the simulated signal</title>",
    '<defs><linearGradient id="under" x1="0" y1="0" x2="0" y2="1">'
    f'<stop offset="0" stop-color="{LINE}" stop-opacity="0.30"/><stop offset="1" stop-color="{LINE}" stop-opacity="0.02"/>'
    "</linearGradient></defs>",
    f'<rect width="{W}" height="{H}" rx="10" fill="#ffffff"/>',
    text(LEFT, 36, "Power spectrum of the simulated signal", 20, INK, "start", ' font-weight="600"'),
    text(LEFT, 58, f"Periodogram with a Hann window, {len(points)} frequencies; {len(peaks)} tones stand above the noise",
         13, QUIET, "start"),
]

for d in range(low, high + 1, 10):
    svg.append(f'<line x1="{LEFT}" x2="{W - RIGHT}" y1="{y(d):.1f}" y2="{y(d):.1f}" stroke="#e5e7eb" stroke-width="1"/>')
    svg.append(text(LEFT - 10, y(d) + 4, str(d).replace("-", "−"), 12, QUIET, "end"))
f = 0
while f <= top_f:
    svg.append(f'<line x1="{x(f):.1f}" x2="{x(f):.1f}" y1="{H - BOTTOM}" y2="{H - BOTTOM + 5}" stroke="{QUIET}"/>')
    svg.append(text(x(f), H - BOTTOM + 21, f"{f:g}", 12))
    f += 32
svg.append(f'<line x1="{LEFT}" x2="{W - RIGHT}" y1="{H - BOTTOM}" y2="{H - BOTTOM}" stroke="{QUIET}"/>')
svg.append(text((LEFT + W - RIGHT) / 2, H - 22, "Frequency (Hz)", 14, INK))
svg.append(text(26, (TOP + H - BOTTOM) / 2, "Power density (dB relative to 1/Hz)", 14, INK, "middle",
                f' transform="rotate(-90 26 {(TOP + H - BOTTOM) / 2:.1f})"'))

path = " L".join(f"{x(f):.1f},{y(d):.1f}" for f, d in decibel)
svg.append(f'<path d="M{x(decibel[0][0]):.1f},{H - BOTTOM} L{path} L{x(top_f):.1f},{H - BOTTOM} Z" fill="url(#under)"/>')
svg.append(f'<path d="M{path}" fill="none" stroke="{LINE}" stroke-width="0.9" stroke-opacity="0.8" stroke-linejoin="round"/>')

floor = sorted(d for _, d in decibel)[len(decibel) // 2]
svg.append(f'<line x1="{LEFT}" x2="{W - RIGHT}" y1="{y(floor):.1f}" y2="{y(floor):.1f}" stroke="{INK}" stroke-width="1.4" stroke-dasharray="6 5"/>')
svg.append(f'<rect x="{W - RIGHT - 152}" y="{TOP + 8}" width="146" height="24" rx="4" fill="#ffffff" stroke="#e5e7eb"/>')
svg.append(f'<line x1="{W - RIGHT - 142}" x2="{W - RIGHT - 112}" y1="{TOP + 20}" y2="{TOP + 20}" stroke="{INK}" stroke-width="1.4" stroke-dasharray="6 5"/>')
svg.append(text(W - RIGHT - 104, TOP + 24, "median of noise", 12, QUIET, "start"))

for frequency, amplitude in peaks:
    at = max((d, f) for f, d in decibel if abs(f - frequency) < 1)
    px, py = x(at[1]), y(at[0])
    svg.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="4" fill="#ffffff" stroke="{MARK}" stroke-width="2"/>')
    svg.append(f'<line x1="{px + 5:.1f}" y1="{py - 5:.1f}" x2="{px + 17:.1f}" y2="{py - 17:.1f}" stroke="{MARK}" stroke-width="1.4"/>')
    svg.append(text(px + 21, py - 19, f"{frequency:.2f} Hz", 14, MARK, "start", ' font-weight="600"'))
    svg.append(text(px + 21, py - 4, f"amplitude {amplitude:.2f}", 12, QUIET, "start"))
    print(f"Marked the peak at {frequency:.2f} Hz.")
svg.append("</svg>")

with open("spectrum.svg", "w") as out:
    out.write("\n".join(svg) + "\n")
print(f"Wrote spectrum.svg ({W} × {H}).")
