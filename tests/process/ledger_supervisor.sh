#!/bin/sh
# A supervisor for the tests of whole agents. It keeps a ledger that no agent can touch up, and does
# what its spec says in the member "run", a line of shell script without double quotes:
#
#     {"spec": {}, "run": "gate go; exit 3"}      wait until the file `go` is there, then exit with 3
#
# The ledger is $FLEET_TEST_FOLDER/ledger, one line for each event, its fields separated by tabs:
# what happened, a detail, the process, attempt, claim, node and spec id. Lines are appended in one
# write each, so their order is the order of the events.
#
#     start            the run began
#     running          it has read its spec
#     overlap          it began while a process of another run of the spec was still there
#     term             SIGTERM came
#     end <code>       the run ended by itself, or after a SIGTERM that it heard
#
# Whether another run is still there is told by a lock that every process of a run holds, for as long
# as it lives, whether or not the agent knows of it.

note() {
  printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$$" "$CELLOS_FLEET_ATTEMPT" \
    "$CELLOS_FLEET_CLAIM" "$CELLOS_FLEET_NODE_ID" "$CELLOS_FLEET_SPEC_ID" \
    >> "$FLEET_TEST_FOLDER/ledger"
}

gate() {
  until [ -e "$FLEET_TEST_FOLDER/$1" ]; do sleep 0.05; done
}

# A file name of the spec id: each slash becomes a plus sign.
set -f
IFS=/
set -- $CELLOS_FLEET_SPEC_ID
IFS=+
exec 9> "$FLEET_TEST_FOLDER/lock of $*"
unset IFS
set +f

note start
flock -n 9 || note overlap

trap 'note end $?' EXIT
trap 'note term; exit 143' TERM
script=$(sed -n 's/.*"run":"\([^"]*\)".*/\1/p')
[ -n "$script" ] || exit 65
note running
eval "$script"
