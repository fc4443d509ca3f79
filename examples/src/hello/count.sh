# Counts to the number given, one a second, and leaves the numbers in numbers.txt.
set -eu
: > numbers.txt
i=1
while [ "$i" -le "$1" ]; do
  echo "$i of $1"
  echo "$i" >> numbers.txt
  sleep 1
  i=$((i + 1))
done
echo "Wrote numbers.txt ($(wc -l < numbers.txt | tr -d ' ') lines)."
