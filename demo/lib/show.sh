# shellcheck shell=bash
# How the demo speaks: what it does, how long that takes, and what went wrong.

BOLD='' DIM='' GREEN='' RED='' OFF=''
if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
  BOLD=$'\e[1m' DIM=$'\e[2m' GREEN=$'\e[32m' RED=$'\e[31m' OFF=$'\e[0m'
fi

clock() { printf '%d:%02d' $((SECONDS / 60)) $((SECONDS % 60)); }
title() { printf '\n%s[%s] %s%s\n' "$BOLD" "$(clock)" "$*" "$OFF"; }
tell() { printf '  %s\n' "$*"; }
ok() { printf '  %s✓%s %s\n' "$GREEN" "$OFF" "$*"; }
# What a command printed, behind a margin.
quote() { sed "s/^/    /; s/ *$//"; }
# A command as it would be typed.
prompt() { printf '  %s$ %s%s\n' "$DIM" "$*" "$OFF"; }

# The last line of a log, as long as a line of the terminal has room.
last_line() {
  local line
  line=$(tr '\r' '\n' <"$1" 2>/dev/null | grep -v '^[[:space:]]*$' | tail -n 1)
  printf '%s' "${line:0:90}"
}

# start_group LOG CMD…: in the background, in a process group of its own, so that it can be stopped with all
# that it started. Leaves the id in $!.
start_group() {
  local log=$1
  shift
  set -m
  "$@" </dev/null >>"$log" 2>&1 &
  set +m
}

# step WHAT CMD…: runs a command, its output in a log; shows that it goes on, and the log's end if it fails.
STEP=
step() {
  local what=$1 log=$DEMO_DIR/log/step.log start=$SECONDS told=$SECONDS code=0
  shift
  : >"$log"
  start_group "$log" "$@"
  STEP=$!
  while kill -0 "$STEP" 2>/dev/null; do
    if [[ -t 1 ]]; then
      printf '\r\e[K  … %s, %s s %s%s%s' "$what" $((SECONDS - start)) "$DIM" "$(last_line "$log")" "$OFF"
    elif ((SECONDS - told >= 20)); then
      told=$SECONDS
      tell "… $what, $((SECONDS - start)) s: $(last_line "$log")"
    fi
    sleep 0.2
  done
  wait "$STEP" || code=$?
  STEP=
  [[ ! -t 1 ]] || printf '\r\e[K'
  if ((code != 0)); then
    tell "${RED}✗${OFF} $what failed; the end of its output:"
    tail -n 30 "$log" | quote
    return "$code"
  fi
  ok "$what ($((SECONDS - start)) s)"
}

# wait_for SECONDS WHAT CMD…: until CMD succeeds.
wait_for() {
  local seconds=$1 what=$2 deadline=$((SECONDS + $1))
  shift 2
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || fail "$what: not within $seconds s"
    sleep 0.1
  done
}

fail() {
  printf '  %s✗ %s%s\n' "$RED" "$*" "$OFF"
  exit 1
}
