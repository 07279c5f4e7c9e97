#!/bin/sh
# A stand-in for cellos-supervisor, for the demo and for trying things by hand. It reads a spec from
# the file named by its argument, /dev/stdin without one, and does the two things that a spec can ask
# of it:
#
#     {"spec": {"sleep": 2, "exit": 3}}     run for two seconds, then exit with code 3
#
# A spec that is not a JSON object (by a glance at its ends) is refused with exit code 65.

spec=$(sed '' "${1:-/dev/stdin}") || exit 66
id=${CELLOS_FLEET_SPEC_ID:-spec}

case $spec in
  '{'*'}') ;;
  *)
    echo "$id: refused" >&2
    echo "$id: not a JSON object" >&2
    exit 65
    ;;
esac

# The whole number that a field of the spec has; nothing when there is no such field.
field() {
  printf '%s\n' "$spec" | sed -n "s/.*\"$1\" *: *\([0-9][0-9]*\).*/\1/p" | sed -n 1p
}

seconds=$(field sleep)
code=$(field exit)
echo "$id: working for ${seconds:-0} s, process $$"
sleep "${seconds:-0}"
echo "$id: done, exit code ${code:-0}"
exit "${code:-0}"
