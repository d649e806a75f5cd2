# shellcheck shell=bash
# The operator under test, as a process of this machine with the rights of its ServiceAccount.

operator_answers() { curl -fsS --max-time 2 "http://127.0.0.1:$1/readyz"; }

start_operator() {
  local name=operator wait=1 port=$OPERATOR_PORT
  while (($# > 0)); do
    case $1 in
      --no-wait) wait= ;;
      --name)
        name=${2:?--name needs a name}
        shift
        ;;
      --)
        shift
        break
        ;;
      *) die "usage: stack operator start [--no-wait] [--name NAME] [-- ARGS…]" ;;
    esac
    shift
  done
  [[ -n ${APPMIGRATION_BIN:-} ]] || die "APPMIGRATION_BIN is not set: the path of the operator's binary"
  [[ -x $APPMIGRATION_BIN ]] || die "APPMIGRATION_BIN: cannot run $APPMIGRATION_BIN"
  if running "$name"; then return; fi
  [[ -f $OPERATOR_KUBECONFIG ]] || write_operator_kubeconfig
  if [[ $name != operator ]]; then
    # Some ports of the block are for more operators.
    while ((++port < STACK_PORTS + 20)) && listening "$port"; do :; done
  fi
  # A killed one may hold its port for a moment after its main thread has gone.
  for _ in {1..100}; do listening "$port" || break; sleep 0.05; done
  echo "$port" >"$STACK_DIR/$name.port"
  # As in a Pod: a new process of the same name is the old one's next container, and has its Lease.
  # The operator's own environment comes from the caller, fault injection included; this one from the image.
  export MALLOC_ARENA_MAX=2
  KUBECONFIG=${THROUGH_KUBECONFIG:-$OPERATOR_KUBECONFIG} POD_NAMESPACE=$OPERATOR_NAMESPACE POD_NAME=$name POD_UID=$name \
    spawn "$name" "$APPMIGRATION_BIN" operator --listen "127.0.0.1:$port" "$@"
  [[ -z $wait ]] || wait_ready 60 "$name" operator_answers "$port"
}

cmd_operator() {
  load_env
  local action=${1:-} name=operator
  (($# == 0)) || shift
  if [[ $action == start ]]; then
    # One at a time: two tests may both find that it does not run.
    (
      flock 9
      start_operator "$@"
    ) 9>"$STACK_DIR/operator.lock"
    return
  fi
  [[ ${1:-} != --name ]] || name=${2:?--name needs a name}
  case $action in
    stop) stop_servers 30 "$name" ;;
    kill) kill_server "$name" ;;
    pause) kill -STOP "$(pid_of "$name")" ;;
    resume) kill -CONT "$(pid_of "$name")" ;;
    status)
      if running "$name"; then echo "running $(pid_of "$name")"; else
        echo stopped
        return 1
      fi
      ;;
    *) die "usage: stack operator start|stop|kill|pause|resume|status [--name NAME]" ;;
  esac
}
