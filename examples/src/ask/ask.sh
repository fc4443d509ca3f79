# Asks a person whether to publish, with curl alone. Exits with 0 when approved.
answer=$(curl --silent --show-error --fail-with-body --retry 10 --retry-connrefused --unix-socket "$HOLDFAST_SOCKET" \
  --json '{"question": "Publish it?", "timeout_seconds": 3600, "id": "publish-'"$HOLDFAST_ATTEMPT"'"}' http://step/ask)
echo "$answer"
case $answer in
  *'"outcome":"approved"'*) exit 0 ;;
  *) exit 1 ;;
esac
