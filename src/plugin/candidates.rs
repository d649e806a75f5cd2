//! `kubectl appmig candidates`: which groups of the source could be moved. Connects to the source by itself, with the
//! credentials that the `K2KReplicator` names, as far as whoever runs it may read them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    io::Write as _,
};

use comfy_table::{Table, presets};
use futures::{StreamExt as _, stream};
use kube::{Resource, ResourceExt as _, api::ListParams, core::NamespaceResourceScope};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Output, Place, Server, TIMEOUT, view};
use crate::{
    TopicPartition,
    api::v1alpha1::{AppMigration, K2KReplicator},
    connections,
    controller::{self, Loaded, NamespaceSecrets, Replicator},
    kafka::{Cluster, Committed, DEFAULT_DEADLINE, GroupDescription, KafkaError},
    printable::printable,
};

/// Groups that are asked about at once.
const AT_ONCE: usize = 8;

/// Arguments of `kubectl appmig candidates`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The `K2KReplicator`.
    replicator: String,
    #[command(flatten)]
    place: Place,
    /// How to print them.
    #[arg(long, short, value_enum, default_value = "text")]
    output: Output,
}

/// One group.
struct Candidate {
    name: String,
    /// What could be learnt of it.
    seen: Result<Seen, KafkaError>,
    /// The migrations that move it already.
    migrations: Migrations,
}

/// Migrations of one group.
#[derive(Clone, Default)]
struct Migrations {
    /// The one by this replicator.
    own: Option<String>,
    /// Those by other replicators of the namespace, as `app (by other)`.
    others: Vec<String>,
}

struct Seen {
    group: GroupDescription,
    committed: BTreeMap<TopicPartition, Committed>,
    /// Records up to the ends of the logs.
    lag: i64,
    /// Its topics that a route covers, and those that none does.
    routed: BTreeSet<String>,
    unrouted: BTreeSet<String>,
}

/// Prints them.
pub async fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let server = arguments.place.server().await?;
    let name = &arguments.replicator;
    let found = tokio::time::timeout(TIMEOUT, server.api::<K2KReplicator>().get_opt(name)).await;
    let found = found.map_err(|_| "the API server does not answer")??;
    let object =
        found.ok_or_else(|| format!("there is no K2KReplicator {name} in namespace {}", server.namespace))?;
    let told =
        |fault: controller::Fault| format!("K2KReplicator {name}: {}: {}", fault.reason, fault.message);
    let Loaded { replicator, .. } = controller::load(&object, &server.client).await?.map_err(told)?;
    let secrets = NamespaceSecrets::new(server.client.clone(), &server.namespace);
    let connection = connections::resolve("spec.source", &replicator.source.cluster, &secrets).await;
    let connection = connection.map_err(|error| format!("K2KReplicator {name}: {error}"))?;
    let source = Cluster::connect(&connection, DEFAULT_DEADLINE).await?;
    let migrations = migrations(&server, name).await?;
    let own = replicators_groups(&server, &replicator).await;
    let groups = source.groups().await?.into_iter().filter(|group| !own.contains(group));
    let looks = groups.map(|group| {
        let (source, routes) = (source.clone(), &replicator.routes);
        let migrations = migrations.get(&group).cloned().unwrap_or_default();
        async move {
            let seen = look(&source, &group, |topic| routes.route(topic).is_some()).await;
            Candidate { name: group, seen, migrations }
        }
    });
    let candidates: Vec<Candidate> = stream::iter(looks).buffered(AT_ONCE).collect().await;
    let mut out = std::io::stdout().lock();
    match arguments.output {
        Output::Json => {
            let values: Vec<Value> = candidates.iter().map(value).collect();
            writeln!(out, "{:#}", Value::from(values))?;
        }
        Output::Text => write!(out, "{}", table(&candidates))?,
    }
    Ok(())
}

/// The namespace's migrations, by group.
async fn migrations(
    server: &Server,
    replicator: &str,
) -> Result<BTreeMap<String, Migrations>, Box<dyn std::error::Error>> {
    let mut by_group: BTreeMap<String, Migrations> = BTreeMap::new();
    for migration in all::<AppMigration>(server).await? {
        let (name, by) = (migration.name_any(), migration.spec.replicator_ref.name);
        let known = by_group.entry(migration.spec.consumer_group).or_default();
        if by == replicator {
            known.own = Some(name);
        } else {
            known.others.push(format!("{name} (by {by})"));
        }
    }
    Ok(by_group)
}

/// The own groups of the replicators that read from one of the same addresses: no applications. Whatever
/// the user may not see of the others leaves nothing out.
async fn replicators_groups(server: &Server, this: &Replicator) -> BTreeSet<String> {
    let addresses = |replicator: &Replicator| -> BTreeSet<String> {
        replicator
            .source
            .cluster
            .bootstrap_servers
            .split(',')
            .map(|address| address.trim().to_owned())
            .collect()
    };
    let mut groups = BTreeSet::from_iter(this.source.consumer_group.clone());
    for object in all::<K2KReplicator>(server).await.unwrap_or_default() {
        if let Ok(Ok(Loaded { replicator, .. })) = controller::load(&object, &server.client).await
            && !addresses(&replicator).is_disjoint(&addresses(this))
        {
            groups.extend(replicator.source.consumer_group);
        }
    }
    groups
}

async fn all<K>(server: &Server) -> Result<Vec<K>, Box<dyn std::error::Error>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let listed = tokio::time::timeout(TIMEOUT, server.api::<K>().list(&ListParams::default())).await;
    Ok(listed.map_err(|_| "the API server does not answer")??.items)
}

async fn look(source: &Cluster, name: &str, is_routed: impl Fn(&str) -> bool) -> Result<Seen, KafkaError> {
    let group = source.group(name).await?;
    let committed = source.committed(name).await?;
    let partitions: Vec<TopicPartition> = committed.keys().cloned().collect();
    let ends = source.last_stable_offsets(&partitions).await?;
    let behind = |(q, end): (&TopicPartition, &i64)| committed.get(q).map_or(0, |c| (end - c.offset).max(0));
    let lag = ends.iter().map(behind).sum();
    let topics: BTreeSet<String> = committed.keys().map(|q| q.topic.clone()).collect();
    let (routed, unrouted) = topics.into_iter().partition(|topic| is_routed(topic));
    Ok(Seen { group, committed, lag, routed, unrouted })
}

fn state(seen: &Seen) -> String {
    // The calls do not tell a share group from one that is not there.
    if seen.group.not_found() { "-".to_owned() } else { format!("{:?}", seen.group.state) }
}

fn value(candidate: &Candidate) -> Value {
    let Candidate { name, seen, migrations } = candidate;
    let mut value = match seen {
        Ok(seen) => json!({
            "group": name, "state": state(seen), "members": seen.group.members.len(),
            "partitions": seen.committed.len(), "lag": seen.lag,
            "routedTopics": seen.routed, "unroutedTopics": seen.unrouted, "migration": migrations.own,
        }),
        Err(error) => json!({ "group": name, "error": error.to_string(), "migration": migrations.own }),
    };
    if !migrations.others.is_empty() {
        value["otherMigrations"] = json!(migrations.others);
    }
    value
}

fn table(candidates: &[Candidate]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "GROUP",
        "STATE",
        "MEMBERS",
        "PARTITIONS",
        "LAG",
        "TOPICS ROUTED",
        "NOT ROUTED",
        "MIGRATION",
    ]);
    for Candidate { name, seen, migrations } in candidates {
        let name = printable(name).into_owned();
        let migration =
            migrations.own.iter().chain(&migrations.others).cloned().collect::<Vec<_>>().join(", ");
        let list = |topics: &BTreeSet<String>| {
            let first: Vec<_> = topics.iter().take(3).map(|topic| printable(topic).into_owned()).collect();
            let more = topics.len().saturating_sub(first.len());
            if more > 0 { format!("{} and {more} more", first.join(", ")) } else { first.join(", ") }
        };
        table.add_row(match seen {
            Ok(seen) => [
                name,
                state(seen),
                seen.group.members.len().to_string(),
                seen.committed.len().to_string(),
                seen.lag.to_string(),
                list(&seen.routed),
                list(&seen.unrouted),
                migration,
            ],
            Err(error) => {
                let error = printable(&error.to_string()).into_owned();
                [
                    name,
                    error,
                    String::new(),
                    String::new(),
                    String::new(),
                    String::new(),
                    String::new(),
                    migration,
                ]
            }
        });
    }
    view::lines(&table)
}
