"""Stands for a download that fails now and then: the first attempt breaks off in the middle.

HOLDFAST_ATTEMPT says which attempt this is. What an attempt leaves in the workspace is there
for the next one, so this goes on where the last one stopped.
"""

import os
import random
import sys
import time

ROWS = 200
attempt = int(os.environ.get("HOLDFAST_ATTEMPT", "1"))
done = 0
if os.path.exists("data.csv"):
    with open("data.csv") as f:
        done = sum(1 for _ in f)
print(f"Attempt {attempt}: {done} of {ROWS} rows are here already." if done else f"Attempt {attempt}: starting from nothing.")

random.seed(7)
rows = [f"{i},{random.gauss(20, 3):.2f}" for i in range(ROWS)]
rows[57] = "57,not measured"
with open("data.csv", "a") as out:
    for i in range(done, ROWS):
        out.write(rows[i] + "\n")
        if i % 25 == 0:
            print(f"  row {i}")
            time.sleep(0.2)
        if attempt == 1 and i == 120:
            out.flush()
            print("the connection was reset", file=sys.stderr)
            sys.exit(1)
print(f"All {ROWS} rows are here.")
