# shellcheck shell=bash
# Messages, processes, ports and deadlines.

say() { printf '[stack %3ds] %s\n' "$SECONDS" "$*" >&2; }
die() { printf '[stack] error: %s\n' "$*" >&2; exit 1; }

# The run directory of the stack that is up, and everything `up` wrote into its env file.
load_env() {
  [[ -n ${STACK_DIR:-} ]] || die "STACK_DIR is not set: run eval \"\$($STACK up)\" first"
  [[ -f $STACK_DIR/env ]] || die "no stack in $STACK_DIR"
  # shellcheck disable=SC1091
  source "$STACK_DIR/env"
}

# Runs a command in a session of its own, so that Ctrl-C in the caller's terminal and the end of the
# caller do not reach it, and so that its whole process group can be stopped by one id.
# Must be started with &: the process then keeps the id in $!.
new_session() {
  trap - INT QUIT
  if command -v setsid >/dev/null; then exec setsid "$@"; fi
  exec perl -e 'use POSIX "setsid"; setsid(); exec @ARGV or die "$ARGV[0]: $!\n"' "$@"
}

# launch NAME CMD…: in the background, with its log in log/NAME.log and its process id in NAME.pid.
launch() {
  local name=$1
  shift
  # A lock that this process holds (9) must not live on in a server.
  new_session "$@" </dev/null >>"$STACK_DIR/log/$name.log" 2>&1 9>&- &
  echo $! >"$STACK_DIR/$name.pid"
}

# spawn NAME CMD…: a server, which this process forgets about.
spawn() {
  launch "$@"
  disown $!
}

# A process that ended but that nobody has waited for (no init in some containers) counts as gone; not while other
# threads of it than the first are still about to end (Zl): they hold its ports.
alive() {
  kill -0 "$1" 2>/dev/null || return 1
  case $(ps -o stat= -p "$1" 2>/dev/null) in
    Z*l*) ;;
    Z* | '') return 1 ;;
  esac
}

pid_of() { cat "$STACK_DIR/$1.pid" 2>/dev/null; }

running() {
  local pid
  pid=$(pid_of "$1") && alive "$pid"
}

# stop_servers SECONDS NAME…: TERM to all, then KILL to those that are still there.
stop_servers() {
  local seconds=$1 name pid
  shift
  for name in "$@"; do
    pid=$(pid_of "$name") || continue
    kill -TERM "$pid" 2>/dev/null || true
    kill -CONT "$pid" 2>/dev/null || true # a paused one would never see the TERM
  done
  local deadline=$((SECONDS + seconds))
  for name in "$@"; do
    pid=$(pid_of "$name") || continue
    while alive "$pid" && ((SECONDS < deadline)); do sleep 0.05; done
    kill_server "$name"
  done
}

kill_server() {
  local pid
  pid=$(pid_of "$1") || return 0
  kill -KILL "$pid" 2>/dev/null || true
  while alive "$pid"; do sleep 0.02; done
  rm -f "$STACK_DIR/$1.pid"
}

# wait_ready SECONDS NAME CMD…: until CMD succeeds. Shows the end of NAME's log when the server ends
# or the deadline passes.
wait_ready() {
  local seconds=$1 name=$2 deadline
  deadline=$((SECONDS + $1))
  shift 2
  until "$@" >/dev/null 2>&1; do
    local problem=
    running "$name" || problem="$name ended before it was ready"
    ((SECONDS < deadline)) || problem="$name was not ready after $seconds s"
    if [[ -n $problem ]]; then
      say "$problem; the end of $STACK_DIR/log/$name.log:"
      tail -n 30 "$STACK_DIR/log/$name.log" >&2 || true
      return 1
    fi
    sleep 0.1
  done
}

listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Reserves a block of 24 ports nobody listens on, below the range from which the kernel hands out
# ports to clients (32768 on Linux), so that a stopped broker finds its ports free again. The
# reservation is a directory, which only one process can create; it lasts as long as the run directory
# named in it.
PORTS_PER_STACK=24
reserve_ports() {
  local registry="${TMPDIR:-/tmp}/appmigration-ports.$UID" base port owner
  mkdir -p "$registry"
  for _ in {1..100}; do
    base=$((20000 + RANDOM % 500 * PORTS_PER_STACK))
    if ! mkdir "$registry/$base" 2>/dev/null; then
      owner=$(cat "$registry/$base/owner" 2>/dev/null) || continue
      [[ ! -d $owner ]] || continue
    fi
    echo "$STACK_DIR" >"$registry/$base/owner"
    for ((port = base; port < base + PORTS_PER_STACK; port++)); do
      ! listening "$port" || continue 2
    done
    echo "$base"
    return
  done
  die "found no $PORTS_PER_STACK free ports between 20000 and 32000"
}

release_ports() { rm -rf "${TMPDIR:-/tmp}/appmigration-ports.$UID/${1:?}"; }
