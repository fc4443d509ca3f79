"""Visits the plots of one region and counts the trees in each, with a progress bar."""

import random
import sys
import time

region = sys.argv[1]
random.seed(region)
with open(f"{region}.list") as f:
    plots = [int(line) for line in f]

GREEN, YELLOW, BOLD, PLAIN = "\033[32m", "\033[33m", "\033[1m", "\033[0m"
print(f"{BOLD}{region}{PLAIN}: {len(plots)} plots")
trees = []
width = 24
for done, plot in enumerate(plots, 1):
    time.sleep(0.12)
    trees.append(max(0, round(random.gauss(40, 12))))
    if trees[-1] < 18:
        print(f"\r\033[K{YELLOW}plot {plot} has only {trees[-1]} trees{PLAIN}")
    filled = width * done // len(plots)
    print(f"\r{GREEN}{'█' * filled}{PLAIN}{'░' * (width - filled)} {done}/{len(plots)}", end="")
print()
with open(f"{region}.csv", "w") as out:
    out.write("plot,trees\n")
    for plot, count in zip(plots, trees):
        out.write(f"{plot},{count}\n")
print(f"{GREEN}done{PLAIN}: {sum(trees)} trees, {sum(trees) / len(trees):.1f} a plot")
