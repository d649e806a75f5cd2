# shellcheck shell=bash
# Two Kafka clusters of one process each, and on demand one of three, in KRaft mode.

# proxy_address CLUSTER: what the listener PROXIED tells its clients; whoever wants a proxy before the broker
# listens there.
proxy_address() {
  local address
  address=$(listener_address "$1" PROXIED)
  echo "127.0.0.1:$((${address##*:} + 1))"
}

# java_command HEAP: sets JAVA, small and quick to start rather than fast in the long run.
java_command() {
  local archive=()
  [[ ! -e $KAFKA_CLASSES/kafka.jsa ]] || archive=("-XX:SharedArchiveFile=$KAFKA_CLASSES/kafka.jsa" '-Xlog:cds*=off')
  JAVA=(java -Xms32m "-Xmx$1" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "${archive[@]+"${archive[@]}"}"
    "-Dlog4j2.configurationFile=$STACK_HOME/kafka/log4j2.properties"
    "-Dlog4j.configuration=file:$STACK_HOME/kafka/log4j.properties"
    -cp "$KAFKA_LIBS/*")
}

# The names of Kafka's own scripts, and the classes that they run. That of groups would give up after 5 seconds.
TOOLS="kafka-acls.sh org.apache.kafka.tools.AclCommand
kafka-broker-api-versions.sh org.apache.kafka.tools.BrokerApiVersionsCommand
kafka-cluster.sh org.apache.kafka.tools.ClusterTool
kafka-configs.sh kafka.admin.ConfigCommand
kafka-console-consumer.sh org.apache.kafka.tools.consumer.ConsoleConsumer
kafka-console-producer.sh org.apache.kafka.tools.ConsoleProducer
kafka-consumer-groups.sh org.apache.kafka.tools.consumer.group.ConsumerGroupCommand --timeout 60000
kafka-delete-records.sh org.apache.kafka.tools.DeleteRecordsCommand
kafka-get-offsets.sh org.apache.kafka.tools.GetOffsetShell
kafka-groups.sh org.apache.kafka.tools.GroupsCommand
kafka-topics.sh org.apache.kafka.tools.TopicCommand
kafka-transactions.sh org.apache.kafka.tools.TransactionsCommand"

# What people type, by its own names: $STACK_DIR/bin.
make_tools() {
  local name class moved=''
  # Kafka 4 moved some of them.
  [[ $KAFKA_VERSION != 3.* ]] ||
    moved='s/org.apache.kafka.tools.(Acl|BrokerApi)/kafka.admin.\1/; s/org.apache.kafka.tools.(ConsoleProducer)/kafka.tools.\1/'
  mkdir "$STACK_DIR/bin"
  ln -s "$KUBECTL" "$STACK_DIR/bin/kubectl"
  while read -r name class; do
    printf "#!/bin/sh\nexec '%s' java %s \"\$@\"\n" "$STACK" "$class" >"$STACK_DIR/bin/$name"
    chmod +x "$STACK_DIR/bin/$name"
  done < <(sed -E "$moved" <<<"$TOOLS")
}

# shellcheck disable=SC2034 # used in stack
CLUSTERS=(source target)
# The brokers of the third cluster.
TRIO=(trio-1 trio-2 trio-3)
# listener_address CLUSTER LISTENER
LISTENERS=(PLAINTEXT SSL MTLS SASL_SSL SASL_PLAINTEXT CONTROLLER PROXIED)
listener_address() {
  local port=$STACK_PORTS i
  if [[ $1 == trio-* ]]; then
    # A block of ports of its own, 8 for each broker: its proxy's is the last.
    port=$((TRIO_PORTS + (${1#trio-} - 1) * 8))
    for i in "${!LISTENERS[@]}"; do
      [[ ${LISTENERS[i]} != "$2" ]] || echo "127.0.0.1:$((port + i))"
    done
    return
  fi
  if [[ $2 == PROXIED ]]; then
    port=$((port + 20))
    [[ $1 == source ]] || port=$((port + 2))
    echo "127.0.0.1:$port"
    return
  fi
  [[ $1 == source ]] || port=$((port + 6))
  for i in "${!LISTENERS[@]}"; do
    [[ ${LISTENERS[i]} != "$2" ]] || echo "127.0.0.1:$((port + i))"
  done
}

write_kafka_config() {
  local cluster=$1 dir=$STACK_DIR/kafka/$1 listener listeners='' l
  local node=1 replicas=1 in_sync=1 voters
  voters=1@$(listener_address "$cluster" CONTROLLER)
  if [[ $cluster == trio-* ]]; then
    node=${cluster#trio-} replicas=3 in_sync=2 voters=
    for l in "${TRIO[@]}"; do voters+=,${l#trio-}@$(listener_address "$l" CONTROLLER); done
    voters=${voters#,}
  fi
  for listener in "${LISTENERS[@]}"; do
    listeners+=",$listener://$(listener_address "$cluster" "$listener")"
  done
  listeners=${listeners#,}
  # Neither the controller nor a proxied client learns where the broker listens.
  local advertised
  advertised=${listeners%,CONTROLLER*},PROXIED://$(proxy_address "$cluster")
  local plain='org.apache.kafka.common.security.plain.PlainLoginModule required'
  for l in admin migrator nobody newcomer; do plain+=" user_$l=\"$l-secret\""; done
  local scram='org.apache.kafka.common.security.scram.ScramLoginModule required;'
  mkdir -p "$dir"
  cat >"$dir/server.properties" <<EOF
process.roles=broker,controller
node.id=$node
controller.quorum.voters=$voters
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listeners=$listeners
advertised.listeners=$advertised
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SSL:SSL,MTLS:SSL,SASL_SSL:SASL_SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT
log.dirs=$dir/data

# Whoever comes without credentials may do anything; other users only what ACLs give them.
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:admin;User:migrator;User:CN=migrator
allow.everyone.if.no.acl.found=false

ssl.keystore.type=PEM
ssl.keystore.location=$PKI_DIR/server.pem
ssl.truststore.type=PEM
ssl.truststore.location=$PKI_DIR/ca.crt
listener.name.ssl.ssl.client.auth=requested
listener.name.mtls.ssl.client.auth=required
sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512,PLAIN

default.replication.factor=$replicas
min.insync.replicas=$in_sync
offsets.topic.replication.factor=$replicas
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=$replicas
transaction.state.log.min.isr=$in_sync
transaction.state.log.num.partitions=4

# Topics are made by the tests, never by a typing error.
auto.create.topics.enable=false

# Short waits: sessions, the cleaner, retention, and transactions that nobody ends.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.session.timeout.ms=6000
group.consumer.min.heartbeat.interval.ms=100
group.consumer.heartbeat.interval.ms=500
log.initial.task.delay.ms=500
log.cleaner.backoff.ms=300
log.retention.check.interval.ms=1000
log.segment.delete.delay.ms=1000
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
# A broker that was killed is let in again only after its old session has ended.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500

# Small: two brokers share a small machine with everything else.
log.cleaner.dedupe.buffer.size=8388608
num.network.threads=1
num.io.threads=4
background.threads=2
# An idle one costs less without a record each half second that says that nothing happened.
metadata.max.idle.interval.ms=10000
EOF
  for l in sasl_ssl sasl_plaintext; do
    cat >>"$dir/server.properties" <<EOF
listener.name.$l.scram-sha-256.sasl.jaas.config=$scram
listener.name.$l.scram-sha-512.sasl.jaas.config=$scram
listener.name.$l.plain.sasl.jaas.config=$plain;
EOF
  done
  if [[ $KAFKA_VERSION == 3.* ]]; then
    # The consumer protocol of KIP-848 is a preview there.
    echo "group.coordinator.rebalance.protocols=classic,consumer" >>"$dir/server.properties"
  else
    cat >>"$dir/server.properties" <<EOF
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=2
group.share.min.session.timeout.ms=1000
group.share.session.timeout.ms=6000
group.share.min.heartbeat.interval.ms=100
group.share.heartbeat.interval.ms=500
EOF
  fi
}

# A cluster id like those of StorageTool's random-uuid; a leading dash would look like an option.
new_cluster_id() { echo "A$(openssl rand 16 | openssl base64 | tr '+/' '-_' | cut -c2-21)A"; }

# launch_format BROKER CLUSTER-ID
launch_format() {
  local user mechanism users=()
  write_kafka_config "$1"
  for user in admin migrator nobody newcomer; do
    for mechanism in SCRAM-SHA-256 SCRAM-SHA-512; do
      users+=(--add-scram "$mechanism=[name=$user,password=$user-secret]")
    done
  done
  java_command 128m
  launch "format-$1" "${JAVA[@]}" kafka.tools.StorageTool format \
    -t "$2" -c "$STACK_DIR/kafka/$1/server.properties" "${users[@]}"
}

finish_format() {
  wait "$(pid_of "format-$1")" || {
    cat "$STACK_DIR/log/format-$1.log" >&2
    die "formatting the log directory of $1 failed"
  }
  rm "$STACK_DIR/format-$1.pid"
}

launch_broker() {
  java_command 512m
  started_count "$1" >"$STACK_DIR/kafka/$1/starts"
  spawn "kafka-$1" "${JAVA[@]}" kafka.Kafka "$STACK_DIR/kafka/$1/server.properties"
}

# The broker prints the line only after the controller has let it in.
started_count() { grep -c 'Kafka Server started' "$STACK_DIR/log/kafka-$1.log" 2>/dev/null || true; }
started_again() { (($(started_count "$1") > $2)); }
wait_broker() {
  local before
  before=$(cat "$STACK_DIR/kafka/$1/starts")
  wait_ready 120 "kafka-$1" started_again "$1" "${before:-0}"
}

cmd_broker() {
  local cluster=${2:-}
  [[ $cluster == source || $cluster == target || $cluster == trio-[123] ]] ||
    die "usage: stack broker stop|kill|start|pause|resume source|target|trio-1|trio-2|trio-3"
  load_env
  case $1 in
    start)
      running "kafka-$cluster" || launch_broker "$cluster"
      wait_broker "$cluster"
      ;;
    stop) stop_servers 30 "kafka-$cluster" ;;
    kill) kill_server "kafka-$cluster" ;;
    pause) kill -STOP "$(pid_of "kafka-$cluster")" ;;
    resume) kill -CONT "$(pid_of "kafka-$cluster")" ;;
    *) die "broker knows stop, kill, start, pause and resume, not $1" ;;
  esac
}

# A cluster of three brokers, in which coordinators and leaders can move. Not part of `up`: it takes memory.
cmd_trio() {
  local broker id ports
  load_env
  case ${1:-} in
    up)
      ports=$(reserve_ports)
      write_env TRIO_PORTS="$ports"
      write_env TRIO_BOOTSTRAP="$(for broker in "${TRIO[@]}"; do listener_address "$broker" PLAINTEXT; done | paste -sd, -)"
      id=$(new_cluster_id)
      for broker in "${TRIO[@]}"; do launch_format "$broker" "$id"; done
      for broker in "${TRIO[@]}"; do
        finish_format "$broker"
        launch_broker "$broker"
      done
      for broker in "${TRIO[@]}"; do wait_broker "$broker"; done
      echo "$TRIO_BOOTSTRAP"
      ;;
    down)
      stop_servers 10 "${TRIO[@]/#/kafka-}"
      rm -rf "${TRIO[@]/#/$STACK_DIR/kafka/}"
      [[ -z ${TRIO_PORTS:-} ]] || release_ports "$TRIO_PORTS"
      ;;
    *) die "usage: stack trio up|down" ;;
  esac
}
