# Makes one work list for each region, of different lengths.
set -eu
n=24
for region in north east south west; do
  seq 1 "$n" > "$region.list"
  printf '\033[36m%-6s\033[0m %s plots to visit\n' "$region" "$n"
  n=$((n + 8))
done
