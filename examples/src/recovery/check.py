"""Checks the rows of data.csv. The first time it finds a bad one, it stops and a person is asked.

Retry leaves the bad rows out, as the file skip-bad-rows says; skip goes on without this step
and what needs it; abort ends the run.
"""

import os
import sys

bad, clean = [], []
with open("data.csv") as f:
    for line in f:
        try:
            float(line.split(",")[1])
            clean.append(line)
        except ValueError:
            bad.append(line.strip())
print(f"{len(clean)} rows are good, {len(bad)} bad.")
if bad and not os.path.exists("skip-bad-rows"):
    for row in bad:
        print(f"\033[31mbad row:\033[0m {row}", file=sys.stderr)
    open("skip-bad-rows", "w").close()
    print("Retry to leave it out, skip to go on without the check, abort to end the run.", file=sys.stderr)
    sys.exit(3)
with open("clean.csv", "w") as out:
    out.writelines(clean)
print(f"Wrote clean.csv without the bad row{'' if len(bad) == 1 else 's'}." if bad else "Wrote clean.csv.")
