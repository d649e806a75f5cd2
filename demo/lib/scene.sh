# shellcheck shell=bash
# The steps of the demo, in order.

set_up() {
  # First, as it begins with a check of the tools.
  step "Kafka, etcd, kube-apiserver and kubectl are there" "$STACK" setup kafka kube
  step "the operator and the demo's clients are built" \
    cargo build --locked --manifest-path "$PROJECT/Cargo.toml" --bin appmigration --example demo_app
  # Copies: another build may put others in their place.
  cp "$CARGO_TARGET_DIR/debug/appmigration" "$CARGO_TARGET_DIR/debug/examples/demo_app" "$DEMO_DIR/"
  export APPMIGRATION_BIN=$DEMO_DIR/appmigration STACK_DIR
  step "two Kafka clusters and a Kubernetes API server are up" "$STACK" up
  UP=1
  # shellcheck disable=SC1091
  source "$STACK_DIR/env"
  step "the operator runs, with the rights of its ServiceAccount only" "$STACK" operator start
}

# daemon NAME CMD…: in the background; whatever stops the stack stops it too.
daemon() {
  local name=$1
  shift
  start_group "$STACK_DIR/log/$name.log" "$@"
  echo $! >"$STACK_DIR/$name.pid"
  disown $!
}

app() {
  local command=$1 side=$2
  shift 2
  "$APP" "$command" --bootstrap "$side" --topic "$TOPIC" "$@"
}

# produce TRANSACTIONS PARTITIONS
produce() { app produce "$SOURCE_BOOTSTRAP" --ledger "$DEMO_DIR/sent" --transactions "$1" --partitions "$2"; }

# replicated: until the replicator has copied all that the source holds.
replicated() { app caught-up "$SOURCE_BOOTSTRAP" --group k2k-eu-to-us; }

count() { grep -c "$1" "$2" || true; }

source_scene() {
  sed "s/SOURCE_BOOTSTRAP/$SOURCE_BOOTSTRAP/; s/TARGET_BOOTSTRAP/$TARGET_BOOTSTRAP/" \
    "$PROJECT/demo/orders.yaml" >"$DEMO_DIR/orders.yaml"
  app create-topic "$SOURCE_BOOTSTRAP" --partitions 6
  daemon replicator "$APPMIGRATION_BIN" replicate --file "$DEMO_DIR/orders.yaml"
  produce 120 "$PARTITIONS"
  ok "2 producers wrote $(count true "$DEMO_DIR/sent") records in transactions to \"$TOPIC\" (6 partitions); $(count false "$DEMO_DIR/sent") more were aborted"
  daemon application "$APP" consume --bootstrap "$SOURCE_BOOTSTRAP" --topic "$TOPIC" --group "$GROUP" \
    --out "$DEMO_DIR/read-source" --hold 0=90,1=57,2=131,4=103,5=0
  wait_for 60 "the application reads" grep -q settled "$STACK_DIR/log/application.log"
  ok "the application reads as \"$GROUP\": partition 3 to its end, 0, 1, 2 and 4 in part, 5 not at all yet"
  replicated
  ok "the replicator (appmigration replicate) has copied everything so far"
}

apply_resources() {
  "$KUBECTL" create namespace "$NAMESPACE" >/dev/null
  "$KUBECTL" config set-context --current --namespace "$NAMESPACE" >/dev/null
  prompt "kubectl apply -f orders.yaml     # demo/orders.yaml"
  "$KUBECTL" apply -f "$DEMO_DIR/orders.yaml" | quote
}

show_waiting() {
  local ready='{.status.conditions[?(@.type=="Ready")].reason}'
  "$KUBECTL" wait appmig/orders-app --for "jsonpath=$ready=AwaitingStopConfirmation" --timeout 60s >/dev/null
  prompt "kubectl get appmig,k2k"
  "$KUBECTL" get appmig,k2k | quote
  prompt "kubectl get appmig orders-app -o jsonpath='{.status.conditions[?(@.type==\"Ready\")].message}'"
  "$KUBECTL" get appmig orders-app -o 'jsonpath={.status.conditions[?(@.type=="Ready")].message}{"\n"}' | quote
}

stop_application() {
  "$STACK" operator stop --name application
  app offsets "$SOURCE_BOOTSTRAP" --group "$GROUP" >"$DEMO_DIR/committed"
  ok "the application was stopped, after $(count id "$DEMO_DIR/read-source") records"
  SENT_BEFORE=$(count id "$DEMO_DIR/sent")
  # Partition 3 stays idle: nothing newer than what the group has read will ever come to it.
  produce 60 0,1,2,4,5
  ok "the producers write on, but not to partition 3"
}

confirm() {
  prompt "kubectl patch appmig orders-app --type merge -p '{\"spec\":{\"stopConfirmed\":true}}'"
  "$KUBECTL" patch appmig orders-app --type merge -p '{"spec":{"stopConfirmed":true}}' | quote
  prompt "kubectl wait appmig/orders-app --for=condition=Ready --timeout=2m"
  "$KUBECTL" wait appmig/orders-app --for=condition=Ready --timeout=2m 2>&1 | quote || {
    "$KUBECTL" get appmig orders-app -o 'jsonpath={.status.conditions[?(@.type=="Ready")].message}{"\n"}' | quote
    fail "the migration did not come to its end"
  }
}

show_result() {
  prompt "kubectl get appmig orders-app -o wide"
  "$KUBECTL" get appmig orders-app -o wide | quote
  prompt "kubectl get configmap orders-app-plan     # its certificate of partition 1"
  "$KUBECTL" get configmap orders-app-plan -o 'jsonpath={.data.plan\.json}' | "$APP" certificate --partition 1 | quote
}

target_scene() {
  app offsets "$TARGET_BOOTSTRAP" --group "$GROUP" >"$DEMO_DIR/positions"
  daemon application "$APP" consume --bootstrap "$TARGET_BOOTSTRAP" --topic "$TOPIC" --group "$GROUP" \
    --out "$DEMO_DIR/read-target"
  produce 30 "$PARTITIONS"
  ok "the producers write a last time on the source, to all partitions"
  replicated
  app caught-up "$TARGET_BOOTSTRAP" --group "$GROUP"
  ok "the application has read to the end of the target"
}
