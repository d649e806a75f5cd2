#!/usr/bin/env bash
# Both ways to install, on a real API server: that they say the same, that the operator's account has
# exactly its rights, and that a release leaves the custom resources alone when it goes.
#
#   tests/stack/stack setup kube helm promtool && tests/stack/stack run tests/install/run.sh
#
# Takes KUBECTL, HELM, HELM_UNITTEST, PROMTOOL and KUBECONFIG from the stack. Works beside other tests: it has namespaces and a
# release of its own, and takes the definitions of k2k.dev into that release only once it is seen that
# they are to be kept.
set -uo pipefail

PROJECT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
CHART=$PROJECT/charts/appmigration
: "${KUBECTL:?run this in the environment of tests/stack/stack}" "${KUBECONFIG:?}"
: "${HELM:?helm is not built: tests/stack/stack setup helm}" "${HELM_UNITTEST:?tests/stack/stack setup helm}"
: "${PROMTOOL:?promtool is not built: tests/stack/stack setup promtool}"
WORK=$(mktemp -d)
ID=install-$$-$RANDOM # also the release's name; namespaces are not finalized here and stay behind
ONE=$ID-one           # the namespace of the release that watches one namespace
RELEASES=()
# Nothing of the user's own Helm.
export HELM_CONFIG_HOME=$WORK HELM_CACHE_HOME=$WORK HELM_DATA_HOME=$WORK

PASSED=0 FAILED=0
pass() { PASSED=$((PASSED + 1)) && echo "PASS $1"; }
fail() { FAILED=$((FAILED + 1)) && echo "FAIL $1" && sed 's/^/     /' "${2:-/dev/null}"; }

# check NAME CMD…: passes when CMD succeeds; shows what it said when it does not.
check() {
  local name=$1
  shift
  if "$@" >"$WORK/out" 2>&1; then pass "$name"; else fail "$name" "$WORK/out"; fi
}

# refuses NAME WORD CMD…: passes when CMD fails and says WORD.
refuses() {
  local name=$1 word=$2
  shift 2
  if ! "$@" >"$WORK/out" 2>&1 && grep -qF -- "$word" "$WORK/out"; then pass "$name"; else fail "$name" "$WORK/out"; fi
}

# same NAME EXPECTED ACTUAL: two texts, neither of them empty.
same() {
  if [[ -n $2 && $2 == "$3" ]]; then
    pass "$1"
  else
    diff <(echo "$2") <(echo "$3") >"$WORK/out"
    fail "$1" "$WORK/out"
  fi
}

cleanup() {
  local release
  # Also after a failure half-way: its ClusterRole would stay.
  for release in "${RELEASES[@]+"${RELEASES[@]}"}"; do
    "$HELM" uninstall "${release#*/}" -n "${release%/*}" --ignore-not-found >/dev/null 2>&1
  done
  "$KUBECTL" delete namespace "$ID" "$ONE" "$ID-kustomize" "$ID-samples" "$ID-up" --wait=false --ignore-not-found >/dev/null 2>&1
  rm -rf "$WORK"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# install NAMESPACE RELEASE ARGS…
install() {
  local namespace=$1 release=$2
  shift 2
  RELEASES+=("$namespace/$release")
  "$HELM" install "$release" "$CHART" -n "$namespace" --create-namespace "$@"
}

get() { "$KUBECTL" get "$@"; }
CRDS=(appmigrations.k2k.dev k2kreplicators.k2k.dev)
crd_specs() { get crd "${CRDS[@]}" -o 'jsonpath={range .items[*]}{.metadata.name} {.metadata.generation} {.spec}{"\n"}{end}'; }

# The rights of an account in a namespace beyond those that every account has, one line per resource:
# "resource verbs". The columns of the names and URLs are empty for all but the common ones.
rights() {
  local account=$1 namespace=$2
  comm -23 <(list_rights "$account" "$namespace") <(list_rights "$account-nobody" "$namespace")
}
list_rights() {
  "$KUBECTL" auth can-i --list --no-headers --as "system:serviceaccount:$1" -n "$2" |
    sed -E 's/ +\[\] +\[\] +/ /; s/ +/ /g; s/ $//' | sort
}
EXPECTED_RIGHTS="appmigrations.k2k.dev [get list watch]
appmigrations.k2k.dev/status [update]
configmaps [get create update delete]
events.events.k8s.io [create patch]
k2kreplicators.k2k.dev [get list watch]
k2kreplicators.k2k.dev/status [update]
secrets [get]"
# In the operator's own namespace: the Lease of this name.
lease_rights() { printf 'leases.coordination.k8s.io [] [%s] [get update]\nleases.coordination.k8s.io [create]' "$1"; }
# One question each to the authorizer itself. An error is not a "no".
asks() {
  local answer=$1 account=$2 words
  read -ra words <<<"$3"
  [[ $("$KUBECTL" auth can-i --as "system:serviceaccount:$account" -n payments "${words[@]}" 2>"$WORK/err") == "$answer" ]] ||
    { echo "not answered with \"$answer\"" && cat "$WORK/err" && return 1; }
}
FORBIDDEN="list secrets|watch secrets|create secrets|update secrets|patch secrets|delete secrets
list configmaps|watch configmaps|patch configmaps
update appmigrations.k2k.dev|patch appmigrations.k2k.dev|create appmigrations.k2k.dev|delete appmigrations.k2k.dev
update appmigrations.k2k.dev --subresource finalizers|patch k2kreplicators.k2k.dev
get pods|list pods|create pods|create pods --subresource exec|get deployments.apps|patch deployments.apps
get namespaces|get leases.coordination.k8s.io|get customresourcedefinitions.apiextensions.k8s.io
create serviceaccounts --subresource token|impersonate users|bind clusterroles.rbac.authorization.k8s.io"

# The values of README.md's table that no unit test sets.
untested_values() {
  sed -n 's/^| `\([A-Za-z.]*\)` | .*/\1/p' "$CHART/README.md" | while read -r value; do
    grep -qE "(set: \{|,|^     ) ${value//./\\.}[.:]" "$CHART"/tests/*_test.yaml || echo "$value"
  done
}

### kustomize

check "kubectl apply -k deploy" "$KUBECTL" apply -k "$PROJECT/deploy"
check "the definitions are established" "$KUBECTL" wait --for condition=Established --timeout 30s crd "${CRDS[@]}"
ACCOUNT=appmigration-system:appmigration-operator
same "kustomize: the account has exactly its rights" "$EXPECTED_RIGHTS" "$(rights $ACCOUNT payments)"
while read -r question; do
  check "kustomize: it may not $question" asks no $ACCOUNT "$question"
done < <(tr '|' '\n' <<<"$FORBIDDEN")
for right in get:secrets get:configmaps create:configmaps update:configmaps watch:appmigrations.k2k.dev; do
  check "kustomize: it may ${right/:/ }" asks yes $ACCOUNT "${right/:/ }"
done
"$KUBECTL" create namespace "$ID-samples" >/dev/null
for sample in "$PROJECT"/deploy/samples/*.yaml; do
  check "sample $(basename "$sample") is applied" "$KUBECTL" apply --validate=strict -n "$ID-samples" -f "$sample"
  "$KUBECTL" delete -n "$ID-samples" -f "$sample" >/dev/null
done
# The replicator in a cluster.
check "the replicator's manifest is applied" "$KUBECTL" apply --validate=strict -n "$ID-samples" \
  -f "$PROJECT/deploy/replicator/eu-to-us.yaml"
check "kubectl apply -k deploy/replicator" "$KUBECTL" apply --validate=strict -n "$ID-samples" \
  -k "$PROJECT/deploy/replicator"
same "it has the manifest that it is told to read" "$(<"$PROJECT/deploy/replicator/eu-to-us.yaml")" \
  "$(get configmap -n "$ID-samples" "$(get deployment -n "$ID-samples" eu-to-us-replicator \
    -o 'jsonpath={.spec.template.spec.volumes[?(@.name=="manifest")].configMap.name}')" \
    -o 'jsonpath={.data.replicator\.yaml}')"

# A kustomization of one's own, for one namespace.
OWN_NAMESPACE=$ID-kustomize
mkdir "$WORK/own"
"$KUBECTL" create namespace "$OWN_NAMESPACE" >/dev/null
cat >"$WORK/own/kustomization.yaml" <<END
namespace: $OWN_NAMESPACE
resources: [$(realpath --relative-to "$WORK/own" "$PROJECT/deploy/namespaced")]
END
check "kubectl apply -k deploy/namespaced, by a kustomization of one's own" "$KUBECTL" apply -k "$WORK/own"
ACCOUNT=$OWN_NAMESPACE:appmigration-operator
same "one namespace: the account has its rights there" \
  "$(sort <<<"$EXPECTED_RIGHTS"$'\n'"$(lease_rights appmigration-operator)")" "$(rights "$ACCOUNT" "$OWN_NAMESPACE")"
same "one namespace: and nowhere else" "none" "none$(rights "$ACCOUNT" payments)"
same "one namespace: it is told so" '["operator","--listen","0.0.0.0:8080","--namespace=$(POD_NAMESPACE)","--lease-name=appmigration-operator"]' \
  "$(get deployment -n "$OWN_NAMESPACE" appmigration-operator -o 'jsonpath={.spec.template.spec.containers[0].args}')"

# Admission judges Pods, not Deployments: what the Deployment would make must be let in.
# pod_of_deployment [NAMESPACE NAME]: as a Pod of the operator's namespace.
pod_of_deployment() {
  printf '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"probe","namespace":"appmigration-system"},"spec":%s}' \
    "$(get deployment -n "${1:-appmigration-system}" "${2:-appmigration-operator}" -o 'jsonpath={.spec.template.spec}')"
}
check "Pod Security \"restricted\" admits the replicator's Pod" \
  "$KUBECTL" create --dry-run=server -f <(pod_of_deployment "$ID-samples" eu-to-us-replicator)
check "Pod Security \"restricted\" admits the Pod" "$KUBECTL" create --dry-run=server -f <(pod_of_deployment)
refuses "… and refuses one that is not (the check checks)" 'violates PodSecurity "restricted' \
  "$KUBECTL" create --dry-run=server -f <(pod_of_deployment | sed 's/"runAsNonRoot":true/"runAsNonRoot":false/')

### helm

check "helm lint --strict" "$HELM" lint --strict "$CHART"
check "the chart's unit tests" "$HELM_UNITTEST" "$CHART"
same "the chart's unit tests set every value" none "none$(untested_values)"
refuses "an unknown value is refused" "additional properties 'imagee' not allowed" "$HELM" template "$CHART" --set imagee.tag=1
refuses "an unknown nested value is refused" "additional properties 'tga' not allowed" "$HELM" template "$CHART" --set image.tga=1
refuses "an account that is neither made nor named is refused" "serviceAccount.name is required" \
  "$HELM" template "$CHART" --set serviceAccount.create=false
refuses "a collector that is no URL is refused" "'/otlpEndpoint'" "$HELM" template "$CHART" --set otlpEndpoint=collector:4318
same "the collector and the log's format are passed on" "json
http://collector:4318" "$("$HELM" template "$CHART" --set logFormat=json,otlpEndpoint=http://collector:4318 2>"$WORK/out" |
  sed -nE '/name: (APPMIGRATION_LOG_FORMAT|OTEL_EXPORTER_OTLP_ENDPOINT)/{n;s/.*value: "?([^"]*)"?$/\1/p;}')"
DIGEST=sha256:$(printf '0%.0s' {1..64})
same "a digest takes the place of the tag" "example.org/a@$DIGEST" "$("$HELM" template "$CHART" \
  --set image.repository=example.org/a,image.tag=x,image.digest="$DIGEST" 2>/dev/null | sed -n 's/.* image: "\(.*\)"/\1/p')"

# Everything that can be asked for, judged by the API server (but for kinds that it does not have).
EVERYTHING=$PROJECT/tests/install/everything.yaml
everything() { "$HELM" template everything "$CHART" -n default -f "$EVERYTHING" "$@" 2>/dev/null; }
check "everything that can be asked for is valid" "$KUBECTL" create --dry-run=server --validate=strict -f <(everything --set \
  crds.install=false,serviceMonitor.create=false,prometheusRule.create=false)
same "an alert can be left out, and others get labels" "7 7" \
  "$(everything | grep -c 'alert: ') $(everything | grep -c '^            team: kafka$')"
refuses "a Kubernetes that does not judge by CEL is refused" "requires kubeVersion: >=1.29" "$HELM" template "$CHART" --kube-version 1.28
refuses "a setting that there is not is refused" "'leaseLength' not allowed" "$HELM" template "$CHART" --set settings.leaseLength=15s
refuses "a setting that is no duration is refused" "'/settings/leaseDuration'" "$HELM" template "$CHART" --set settings.leaseDuration=soon
refuses "a ServiceMonitor without a Service is refused" "needs the Service" \
  "$HELM" template "$CHART" --set serviceMonitor.create=true,service.create=false
same "a setting is the flag of that name" "APPMIGRATION_CONCURRENCY 32 APPMIGRATION_LEASE_DURATION 30s" \
  "$(everything | sed -nE '/name: APPMIGRATION_(CONC|LEASE)/{s/.*name: //;N;s/\n.*value: "(.*)"/ \1/p;}' | paste -sd' ')"
same "what is null is left out, for OpenShift" 0 "$(everything | grep -c 'runAsUser')"

# The package holds the files themselves, not the link, and no tests.
check "helm package" "$HELM" package "$CHART" -d "$WORK"
PACKAGE=("$WORK"/appmigration-*.tgz)
same "the package has no tests" 0 "$(tar -tzf "${PACKAGE[0]}" | grep -c '/tests/')"
for crd in "${CRDS[@]}"; do
  check "the package has $crd as in crds/" cmp <(tar -xzOf "${PACKAGE[0]}" "appmigration/files/crds/$crd.yaml") "$PROJECT/crds/$crd.yaml"
done

KEPT=$("$HELM" template "$CHART" --show-only templates/crds.yaml 2>/dev/null | grep -c '^    helm.sh/resource-policy: keep$')
same "each definition is marked to be kept" "${#CRDS[@]}" "$KEPT"
same "crds.keep=false marks none" 0 "$("$HELM" template "$CHART" --set crds.keep=false 2>/dev/null | grep -c 'resource-policy')"
same "crds.install=false has none" 0 "$("$HELM" template "$CHART" --set crds.install=false 2>/dev/null | grep -c 'kind: CustomResourceDefinition')"

# The account's name is part of the Pod's spec: the same one, in another namespace.
BEFORE=$(crd_specs)
OWN=(--set serviceAccount.name=appmigration-operator --take-ownership)
[[ $KEPT == "${#CRDS[@]}" ]] || OWN+=(--set crds.install=false)
check "helm install" install "$ID" "$ID" "${OWN[@]}"
same "helm's definitions are kustomize's" "$BEFORE" "$(crd_specs)"
RULES='jsonpath={.rules}' SPEC='jsonpath={.spec.replicas} {.spec.strategy} {.spec.template.spec}'
same "helm's rules are kustomize's" "$(get clusterrole appmigration-operator -o "$RULES")" "$(get clusterrole "$ID-operator" -o "$RULES")"
same "helm's Pod is kustomize's" "$(get deployment -n appmigration-system appmigration-operator -o "$SPEC")" \
  "$(get deployment -n "$ID" "$ID-operator" -o "$SPEC" | sed "s|\"app.kubernetes.io/instance\":\"$ID\",||")"
SAME='jsonpath={.spec.ports[*].port} {.spec.ports[*].targetPort}' BUDGET='jsonpath={.spec.maxUnavailable}'
same "helm's Service is kustomize's" "$(get service -n appmigration-system appmigration-operator -o "$SAME")" \
  "$(get service -n "$ID" "$ID-operator" -o "$SAME")"
same "helm's disruption budget is kustomize's" "$(get pdb -n appmigration-system appmigration-operator -o "$BUDGET")" \
  "$(get pdb -n "$ID" "$ID-operator" -o "$BUDGET")"
for role in view edit; do
  same "helm's role for people is kustomize's: $role" "$(get clusterrole "appmigration-operator-$role" -o "$RULES")" \
    "$(get clusterrole "$ID-operator-$role" -o "$RULES")"
done
same "helm: the account has exactly its rights" "$EXPECTED_RIGHTS" "$(rights "$ID:appmigration-operator" payments)"
same "helm: and a Lease beside it" "$(lease_rights appmigration-operator)" "$(rights "$ID:appmigration-operator" "$ID" | grep leases)"
check "helm upgrade" "$HELM" upgrade "$ID" "$CHART" -n "$ID" --reuse-values --set logLevel=debug
check "helm uninstall" "$HELM" uninstall "$ID" -n "$ID"
same "the definitions outlive the release" "$BEFORE" "$(crd_specs)"
refuses "the ClusterRole does not" NotFound "$KUBECTL" get clusterrole "$ID-operator"

# subject NAME: an account as a subject of a RoleBinding.
subject() { printf '[{"kind":"ServiceAccount","name":"%s","namespace":"delivery"}]' "$1"; }
check "helm install for one namespace" install "$ONE" "$ID" --set crds.install=false,watchNamespace="$ONE" \
  --set-json "rbac.viewers=$(subject on-call)" --set-json "rbac.editors=$(subject release)"
ACCOUNT=$ONE:$ID-operator
same "one namespace: the account has its rights there" "$(sort <<<"$EXPECTED_RIGHTS"$'\n'"$(lease_rights "appmigration-operator.$ONE")")" "$(rights "$ACCOUNT" "$ONE")"
same "one namespace: and nowhere else" "none" "none$(rights "$ACCOUNT" payments)"
same "one namespace: it is told so" '["operator","--listen","0.0.0.0:8080","--namespace","'"$ONE"'"]' \
  "$(get deployment -n "$ONE" "$ID-operator" -o 'jsonpath={.spec.template.spec.containers[0].args}')"
for role in view edit; do
  same "one namespace: helm's role for people is kustomize's: $role" \
    "$(get role -n "$OWN_NAMESPACE" "appmigration-operator-$role" -o "$RULES")" "$(get role -n "$ONE" "$ID-operator-$role" -o "$RULES")"
done
LOOK="appmigrations.k2k.dev [get list watch]
k2kreplicators.k2k.dev [get list watch]"
same "one namespace: viewers may look there" "$LOOK" "$(rights delivery:on-call "$ONE")"
# Two roles in one line, in any order.
verbs() { rights delivery:release "$ONE" | sed -n "s/^$1 \[\(.*\)\]$/\1/p" | tr ' ' '\n' | sort | paste -sd' ' -; }
for crd in "${CRDS[@]}"; do
  same "one namespace: editors may look and write there: $crd" "create delete deletecollection get list patch update watch" "$(verbs "$crd")"
done
same "one namespace: neither anywhere else" "none" "none$(rights delivery:release payments)$(rights delivery:on-call payments)"

### from the chart before this one, and back

UP=$ID-up
RELEASES+=("$UP/$ID")
PREVIOUS=("$PROJECT"/tests/install/appmigration-*.tgz)
check "the chart before this one installs" "$HELM" install "$ID" "${PREVIOUS[0]}" -n "$UP" --create-namespace \
  --take-ownership --force-conflicts --set logLevel=debug
check "a migration is created" "$KUBECTL" apply -n "$UP" -f "$PROJECT/deploy/samples/plaintext.yaml"
objects() { get k2kreplicators,appmigrations -n "$UP" -o 'jsonpath={range .items[*]}{.kind} {.metadata.uid} {.metadata.generation} {.spec}{"\n"}{end}' | sort; }
LEVEL='jsonpath={.spec.template.spec.containers[0].env[?(@.name=="APPMIGRATION_LOG_LEVEL")].value}'
OBJECTS=$(objects)
check "helm upgrade to this one" "$HELM" upgrade "$ID" "$CHART" -n "$UP" --reset-then-reuse-values
same "an upgrade leaves the objects as they are" "$OBJECTS" "$(objects)"
same "an upgrade keeps values" debug "$(get deployment -n "$UP" "$ID-operator" -o "$LEVEL")"
same "an upgrade brings the definitions" "$(sed -E 's/ [0-9]+ / /' <<<"$BEFORE")" "$(crd_specs | sed -E 's/ [0-9]+ / /')"
check "an upgrade brings what is new" get service -n "$UP" "$ID-operator"
check "helm rollback" "$HELM" rollback "$ID" 1 -n "$UP"
same "a rollback leaves the objects as they are" "$OBJECTS" "$(objects)"
refuses "a rollback takes away what was new" NotFound "$KUBECTL" get service -n "$UP" "$ID-operator"
check "helm uninstall" "$HELM" uninstall "$ID" -n "$UP"
same "uninstalling leaves the objects as they are" "$OBJECTS" "$(objects)"
check "the definitions of now are put back" "$KUBECTL" apply -k "$PROJECT/crds"

### the alerts

ALERTS=$PROJECT/tests/install/alerts.yaml MONITORING=$PROJECT/deploy/monitoring
# Without the Prometheus operator: what is under `spec` is a file of rules.
sed -n '/^spec:$/,$ { /^spec:$/d; s/^  //; p; }' "$MONITORING/prometheus-rule.yaml" >"$WORK/rules.yaml"
cp "$ALERTS" "$WORK"
check "the alerts' rules are valid" "$PROMTOOL" check rules --lint all --lint-fatal "$WORK/rules.yaml"
check "the alerts speak when they should, and say what they should" "$PROMTOOL" test rules "$WORK/alerts.yaml"
same "each alert is seen to speak" "$(sed -n 's/^ *- alert: //p' "$WORK/rules.yaml" | sort)" \
  "$(awk 'match($0, /alertname: [A-Za-z]+/) { name = substr($0, RSTART + 11, RLENGTH - 11) }
    /exp_alerts:/ { print name }' "$ALERTS" | sort -u)"
# The reference's table: a name and its labels on each line.
METRICS=$(sed -nE 's/^\| `(appmigration_[a-z_]+)` \| [a-z]+ \| ([^|]*)\|.*/\1 \2/p' "$PROJECT/docs/reference.md" | sed -E 's/[`,]//g; s/ +$//' | sort)
unknown_metrics() { comm -23 <(sort -u) <(echo "$METRICS"); }
same "their tests have series as the operator has them" none "none$(sed -nE "s/.*series: '([a-z_]+)\{(.*)\}'.*/\1,\2/p" "$ALERTS" |
  sed -E 's/,pod="[a-z]"//; s/="[^"]*"//g; s/,/ /g' | unknown_metrics)"
same "alerts and dashboard ask for metrics that there are" none "none$(METRICS=$(sed 's/ .*//' <<<"$METRICS")
  grep -ohE 'appmigration_[a-z_]+' "$WORK/rules.yaml" "$MONITORING/dashboard.json" | sed 's/_bucket$//' | unknown_metrics)"
same "alerts and dashboard hold the same reasons for stalled" 1 \
  "$(grep -ohE 'reason=~\\?"[A-Za-z|]+' "$WORK/rules.yaml" "$MONITORING/dashboard.json" | tr -d '\\' | sort -u | wc -l | tr -d ' ')"
same "their tests have reasons that there are" none "none$(comm -23 <(grep -oE 'reason="[A-Za-z]+' "$ALERTS" | sed 's/.*"//' | sort -u) \
  <(sed -n 's/^### //p' "$PROJECT/docs/runbook.md" | sort))"
# The entries of the two documents, as their addresses have them.
same "what an alert refers to is there" none "none$(comm -23 <(grep -ohE 'docs/[a-z]+\.md#[a-z-]+' "$ALERTS" | sort -u) <(
  for document in operations runbook; do
    sed -nE 's/^#+ //p' "$PROJECT/docs/$document.md" | tr '[:upper:] ' '[:lower:]-' | sed "s|^|docs/$document.md#|"
  done | sort))"

echo "$PASSED passed, $FAILED failed"
((FAILED == 0))
