# shellcheck shell=bash
# etcd and kube-apiserver: real admission, RBAC, watches and events. No controllers run: nothing is
# garbage-collected, Deployments make no Pods, and a deleted Namespace stays in Terminating. With STACK_BARE they do.

OPERATOR_NAMESPACE=appmigration-system
OPERATOR_ACCOUNT=appmigration-operator

# In percent of what is in use. More than Go's 100 costs memory, some 150 MB in all, and a fifth less work.
GARBAGE=400

# kubeconfig USER TOKEN
kubeconfig() {
  cat <<EOF
apiVersion: v1
kind: Config
clusters:
  - name: stack
    cluster:
      server: https://127.0.0.1:$KUBE_PORT
      certificate-authority-data: $(openssl base64 -A <"$PKI_DIR/ca.crt")
users:
  - name: $1
    user:
      token: $2
contexts:
  - name: stack
    context: {cluster: stack, user: $1}
current-context: stack
EOF
}

start_etcd() {
  local client=http://127.0.0.1:$ETCD_PORT peer=http://127.0.0.1:$((ETCD_PORT + 1))
  # Nothing here has to survive a power cut.
  GOGC=$GARBAGE spawn etcd "$ETCD_HOME/etcd" --name stack --data-dir "$STACK_DIR/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls "$client" --advertise-client-urls "$client" \
    --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "stack=$peer"
}

make_admin() {
  local token
  token=$(openssl rand -hex 16)
  mkdir -p "$STACK_DIR/kube"
  (
    umask 077
    echo "$token,admin,admin,system:masters" >"$STACK_DIR/kube/tokens.csv"
    kubeconfig admin "$token" >"$KUBECONFIG"
  )
}

start_apiserver() {
  local without=()
  # This admission plug-in would wait for accounts that only a controller makes.
  [[ -n ${STACK_BARE:-} ]] || without=(--disable-admission-plugins ServiceAccount)
  GOGC=$GARBAGE spawn kube-apiserver "$KUBE_HOME/kube-apiserver" \
    --etcd-servers "http://127.0.0.1:$ETCD_PORT" \
    --bind-address 127.0.0.1 --secure-port "$KUBE_PORT" --endpoint-reconciler-type none \
    --cert-dir "$STACK_DIR/kube" \
    --tls-cert-file "$PKI_DIR/server.crt" --tls-private-key-file "$PKI_DIR/server.key" \
    --service-cluster-ip-range 10.0.0.0/24 \
    --service-account-issuer https://kubernetes.default.svc \
    --service-account-key-file "$PKI_DIR/sa.pub" --service-account-signing-key-file "$PKI_DIR/sa.key" \
    --token-auth-file "$STACK_DIR/kube/tokens.csv" --authorization-mode RBAC \
    "${without[@]+"${without[@]}"}" \
    --audit-policy-file "$STACK_HOME/kube/audit-policy.yaml" --audit-log-path "$AUDIT_LOG" -v 0
}

# What makes Pods of Deployments, tokens' roots and accounts in namespaces, and clears up. Nothing runs the Pods:
# tests/cluster has a node for that.
start_controllers() {
  spawn kube-controller-manager "$CONTROLLERS_HOME/kube-controller-manager" --kubeconfig "$KUBECONFIG" \
    --leader-elect=false --secure-port 0 --service-account-private-key-file "$PKI_DIR/sa.key" \
    --root-ca-file "$PKI_DIR/ca.crt" --controllers "$(
      IFS=,
      echo "${CONTROLLERS[*]/%/-controller}"
    )"
}
CONTROLLERS=(deployment replicaset disruption namespace serviceaccount root-ca-certificate-publisher garbage-collector)

etcd_ready() { curl -fsS --max-time 2 "http://127.0.0.1:$ETCD_PORT/health"; }
kube_ready() { "$KUBECTL" get --raw /readyz; }

# What the project ships for a cluster, as its user would install it.
install_project() {
  local crds=("$PROJECT"/crds/*.yaml) deploy=${STACK_DEPLOY:-$PROJECT/deploy}
  if [[ -e ${crds[0]} ]]; then
    "$KUBECTL" apply --server-side -f "$PROJECT/crds" >>"$STACK_DIR/log/install.log"
    "$KUBECTL" wait --for condition=Established --timeout 30s -f "$PROJECT/crds" >>"$STACK_DIR/log/install.log"
  else
    say "no crds/ yet: no custom resource definitions installed"
  fi
  if [[ -e $deploy/kustomization.yaml ]]; then
    "$KUBECTL" apply -k "$deploy" >>"$STACK_DIR/log/install.log"
    write_operator_kubeconfig
  else
    say "no deploy/ yet: no ServiceAccount and RBAC installed"
  fi
}

# The operator under test gets the token of its ServiceAccount and nothing more, so that it lives on
# the RBAC that the project ships.
write_operator_kubeconfig() {
  local token
  token=$("$KUBECTL" create token "$OPERATOR_ACCOUNT" -n "$OPERATOR_NAMESPACE" --duration 24h)
  (
    umask 077
    kubeconfig operator "$token" >"$OPERATOR_KUBECONFIG"
  )
}

# Tokens, certificates and data stay the same when one of the two is stopped and started.
cmd_kube() {
  local server=${2:-} name
  case $server in
    apiserver) name=kube-apiserver ;;
    etcd) name=etcd ;;
    *) die "usage: stack kube stop|kill|start|pause|resume apiserver|etcd" ;;
  esac
  load_env
  case $1 in
    start)
      running "$name" || "start_$server"
      [[ $server == apiserver ]] || wait_ready 30 etcd etcd_ready
      [[ $server == etcd ]] || wait_ready 60 kube-apiserver kube_ready
      ;;
    stop) stop_servers 30 "$name" ;;
    kill) kill_server "$name" ;;
    pause) kill -STOP "$(pid_of "$name")" ;;
    resume) kill -CONT "$(pid_of "$name")" ;;
    *) die "kube knows stop, kill, start, pause and resume, not $1" ;;
  esac
}
