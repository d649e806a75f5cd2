# shellcheck shell=bash
# Fetches and builds the servers into the cache, keyed by version.

# The version that a go.mod of ours asks for.
go_version_of() { sed -n "s|^require $2 \(v[0-9.]*\)\$|\1|p" "$STACK_HOME/$1/go.mod"; }

KAFKA_VERSION=${KAFKA:-4.3.1}
KUBE_VERSION=$(go_version_of kube k8s.io/kubernetes)
ETCD_VERSION=$(go_version_of etcd go.etcd.io/etcd/server/v3)
HELM_VERSION=$(go_version_of helm helm.sh/helm/v4)
UNITTEST_VERSION=$(go_version_of helm-unittest github.com/helm-unittest/helm-unittest)
PROMTOOL_VERSION=$(go_version_of promtool github.com/prometheus/prometheus)
KAFKA_HOME=$CACHE/kafka-$KAFKA_VERSION
# Kafka's classes as the JVM has them in memory: brokers and tools start in half the time. A JVM that cannot use the
# archive, as it is another one than made it, goes without.
KAFKA_CLASSES=$CACHE/kafka-classes-$KAFKA_VERSION
KUBE_HOME=$CACHE/kube-$KUBE_VERSION
CONTROLLERS_HOME=$CACHE/kube-controller-manager-$KUBE_VERSION
ETCD_HOME=$CACHE/etcd-$ETCD_VERSION
HELM_HOME=$CACHE/helm-$HELM_VERSION
UNITTEST_HOME=$CACHE/helm-unittest-$UNITTEST_VERSION
PROMTOOL_HOME=$CACHE/promtool-$PROMTOOL_VERSION
# Our own programs around the libraries of GitOps tools: by what they are made of.
made_of() { cat "$1"/go.* "$1"/*.go | openssl sha256 -r | cut -c1-12; }
GITOPS_MODULE=$PROJECT/tests/gitops
GITOPS_HOME=$CACHE/gitops-$(made_of "$GITOPS_MODULE")
ARGO_MODULE=$PROJECT/tests/argo
ARGO_HOME=$CACHE/argo-$(made_of "$ARGO_MODULE")

# need TOOL DEBIAN-PACKAGE HOMEBREW-PACKAGE: notes a tool that is missing.
MISSING=
need() {
  command -v "$1" >/dev/null && return
  MISSING+="  $1: apt-get install $2, or brew install $3"$'\n'
}

# From 1.21 on, Go fetches by itself the newer version that a go.mod asks for.
need_go() {
  local version=
  command -v go >/dev/null && version=$(go version | sed -n 's/.* go1\.\([0-9]*\).*/\1/p')
  ((${version:-0} >= 21)) && return
  [[ $MISSING == *"  go 1.21"* ]] || MISSING+="  go 1.21 or later: https://go.dev/dl (Debian's golang may be too old), or brew install go"$'\n'
}

check_tools() {
  local what
  need openssl openssl openssl
  need curl curl curl
  need flock util-linux flock
  need ps procps procps
  command -v setsid >/dev/null || need perl perl perl
  for what in "$@"; do
    case $what in
      kafka)
        need java openjdk-17-jre-headless openjdk@17
        # Needed only to fetch what is not there yet.
        [[ -d $KAFKA_HOME ]] || need mvn maven maven
        ;;
      kube) [[ -d $KUBE_HOME && -d $ETCD_HOME ]] || need_go ;;
      controllers)
        # For the node of tests/cluster.
        need unshare util-linux "no package: Linux only"
        [[ -d $CONTROLLERS_HOME ]] || need_go
        ;;
      helm) [[ -d $HELM_HOME && -d $UNITTEST_HOME ]] || need_go ;;
      promtool) [[ -d $PROMTOOL_HOME ]] || need_go ;;
      gitops) [[ -d $GITOPS_HOME ]] || need_go ;;
      argo) [[ -d $ARGO_HOME ]] || need_go ;;
    esac
  done
  if command -v java >/dev/null; then
    local java
    java=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
    ((${java:-0} >= 17)) || MISSING+="  java 17 or later (found ${java:-an unknown version}): apt-get install openjdk-17-jre-headless, or brew install openjdk@17"$'\n'
  fi
  [[ -z $MISSING ]] || die "missing tools:"$'\n'"$MISSING"
}

# provide DIR FUNCTION: lets FUNCTION fill a temporary directory and renames it to DIR at the end, so
# that an interrupted set-up never looks like a finished one. One at a time, also between processes.
provide() {
  local dir=$1 fill=$2 name tmp
  name=$(basename "$dir")
  [[ ! -d $dir ]] || return 0
  mkdir -p "$CACHE"
  (
    if ! flock -n 9; then
      say "another set-up of $name is running: waiting for it"
      flock 9
    fi
    [[ ! -d $dir ]] || exit 0
    # Left by an interrupted set-up: nobody else can be at work on it while we hold the lock.
    rm -rf "$CACHE/.$name".*
    tmp=$(mktemp -d "$CACHE/.$name.XXXXXX")
    local start=$SECONDS
    "$fill" "$tmp"
    chmod 755 "$tmp"
    mv "$tmp" "$dir"
    say "$name is ready, after $((SECONDS - start)) s"
  ) 9>"$CACHE/$name.lock"
}

fill_kafka() {
  say "fetching Kafka $KAFKA_VERSION from Maven Central (55 MB, 10 s to a minute)"
  local profile=()
  [[ $KAFKA_VERSION == 3.* ]] || profile=(-Plog4j2)
  mvn -q -B -f "$STACK_HOME/kafka/pom.xml" "-Dkafka.version=$KAFKA_VERSION" "${profile[@]+"${profile[@]}"}" \
    org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DoutputDirectory="$1/lib" -DincludeScope=runtime >"$1/mvn.log" 2>&1 || {
    cat "$1/mvn.log" >&2
    return 1
  }
  rm "$1/mvn.log"
}

# A broker that comes up and goes again has loaded what they all load.
fill_kafka_classes() {
  local ports pid
  ports=$(STACK_DIR=$1 reserve_ports)
  cat >"$1/server.properties" <<EOF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((ports + 1))
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$ports,CONTROLLER://127.0.0.1:$((ports + 1))
log.dirs=$1/data
offsets.topic.replication.factor=1
EOF
  local KAFKA_LIBS=$KAFKA_HOME/lib JAVA
  java_command 512m
  "${JAVA[@]}" kafka.tools.StorageTool format -t "$(new_cluster_id)" -c "$1/server.properties" >"$1/log" 2>&1
  "${JAVA[@]}" "-XX:ArchiveClassesAtExit=$1/kafka.jsa" kafka.Kafka "$1/server.properties" >>"$1/log" 2>&1 &
  pid=$!
  for _ in {1..600}; do
    ! grep -q 'Kafka Server started' "$1/log" || break
    sleep 0.1
  done
  kill "$pid"
  wait "$pid" || true
  release_ports "$ports"
  [[ -e $1/kafka.jsa ]] || say "this JVM makes no archive of classes: brokers start without one, and slower"
  rm -rf "$1/data" "$1/server.properties" "$1/log"
}

# go_build OUTPUT MODULE-DIR LDFLAGS [FLAG…] PACKAGE…: without cgo, so that no C compiler is needed. Without what only
# debuggers read, and inlining in the standard library alone: a quarter less to build, and kube-apiserver takes a
# twelfth more of a processor.
go_build() {
  local out=$1 module=$2 ldflags=$3
  shift 3
  (cd "$STACK_HOME" && cd "$module" && CGO_ENABLED=0 GOFLAGS=-mod=readonly GOWORK=off \
    go build -trimpath -gcflags=all='-dwarf=false -l' -gcflags=std=-dwarf=false -ldflags "-s -w $ldflags" \
      -o "$out" "$@" >&2)
}

# kube_build DIR COMMAND…
kube_build() {
  local dir=$1 package flags='' minor=${KUBE_VERSION#v*.}
  shift
  # Without these it would call itself v0.0.0, and clients that look at the version would misjudge it.
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags+=" -X $package.gitVersion=$KUBE_VERSION -X $package.gitMajor=1 -X $package.gitMinor=${minor%.*}"
  done
  go_build "$dir/" kube "$flags" "${@/#/k8s.io/kubernetes/cmd/}"
}

fill_kube() {
  say "building kube-apiserver and kubectl $KUBE_VERSION (about 5 minutes on 2 cores when cold)"
  kube_build "$1" kube-apiserver kubectl
}

fill_controllers() {
  say "building kube-controller-manager $KUBE_VERSION (about a minute after kube-apiserver)"
  kube_build "$1" kube-controller-manager
}

fill_etcd() {
  say "building etcd $ETCD_VERSION (about half a minute when cold)"
  go_build "$1/etcd" etcd "" go.etcd.io/etcd/server/v3
}

fill_helm() {
  say "building helm $HELM_VERSION (about 3 minutes on 2 cores when cold)"
  go_build "$1/helm" helm "-X helm.sh/helm/v4/internal/version.version=$HELM_VERSION" helm.sh/helm/v4/cmd/helm
}

fill_unittest() {
  say "building helm-unittest $UNITTEST_VERSION (about a minute on 2 cores when cold)"
  go_build "$1/helm-unittest" helm-unittest "" github.com/helm-unittest/helm-unittest/cmd/helm-unittest
}

fill_promtool() {
  say "building promtool $PROMTOOL_VERSION (2 to 3 minutes on 2 cores when cold)"
  # Without the clouds' libraries that find what is to be scraped: gigabytes.
  go_build "$1/promtool" promtool "-X github.com/prometheus/common/version.Version=${PROMTOOL_VERSION#v}" \
    -tags remove_all_sd github.com/prometheus/prometheus/cmd/promtool
}

fill_gitops() {
  say "building the judges of objects (about a minute when cold)"
  go_build "$1/gitops" "$GITOPS_MODULE" "" .
}

fill_argo() {
  say "building Argo CD's own judge (about 3 minutes on 2 cores when cold)"
  go_build "$1/argo" "$ARGO_MODULE" "" .
}

# what_to_set_up NAME…: sets WHAT. `all` has no argo, for the time that it takes, unless the tests are to run whole.
what_to_set_up() {
  local what
  WHAT=("${@:-all}")
  [[ ${WHAT[0]} != all ]] || WHAT=(kafka kube controllers helm promtool gitops ${LARGE:+argo})
  for what in "${WHAT[@]}"; do
    [[ " kafka kube controllers helm promtool gitops argo " == *" $what "* ]] ||
      die "setup knows kafka, kube, controllers, helm, promtool, gitops, argo and all, not $what"
  done
}

cmd_check() {
  what_to_set_up "$@"
  check_tools "${WHAT[@]}"
}

cmd_setup() {
  local what
  cmd_check "$@"
  for what in "${WHAT[@]}"; do
    case $what in
      kafka)
        provide "$KAFKA_HOME" fill_kafka
        provide "$KAFKA_CLASSES" fill_kafka_classes
        ;;
      kube)
        provide "$ETCD_HOME" fill_etcd
        provide "$KUBE_HOME" fill_kube
        ;;
      controllers) provide "$CONTROLLERS_HOME" fill_controllers ;;
      helm)
        provide "$HELM_HOME" fill_helm
        provide "$UNITTEST_HOME" fill_unittest
        ;;
      promtool) provide "$PROMTOOL_HOME" fill_promtool ;;
      gitops) provide "$GITOPS_HOME" fill_gitops ;;
      argo) provide "$ARGO_HOME" fill_argo ;;
    esac
  done
}
