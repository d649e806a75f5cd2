//! The least rights on both clusters, less one: what docs/permissions.md says that is seen then, and that nothing but
//! the one was missing.

use std::thread;

use crate::harness::{
    Case, Copies, K2KReplicator, K2KReplicatorSpec, Member, Reason, Replicate, Side,
    kafka::{COMPACTED, Record},
    operator, specs,
    stack::{DEADLINE, eventually},
    v1alpha1::{Preview, SaslMechanism, TargetTopic, TopicSelection},
    wire::{self, Operation, Resource},
};

/// Where, on what, by its name in the case, and which.
type Right = (Side, Resource, &'static str, Operation);

const READ_SOURCE: Right = (Side::Source, Resource::Topic, "orders", Operation::Read);
const SEE_GROUP: Right = (Side::Source, Resource::Group, "app", Operation::Describe);
const SEE_OWN_GROUP: Right = (Side::Source, Resource::Group, "k2k", Operation::Describe);
const READ_TARGET: Right = (Side::Target, Resource::Topic, "orders", Operation::Read);
const SEE_TARGET_CONFIG: Right = (Side::Target, Resource::Topic, "orders", Operation::DescribeConfigs);
const COMMIT: Right = (Side::Target, Resource::Group, "app", Operation::Read);
const OPERATOR: [Right; 6] = [READ_SOURCE, SEE_GROUP, SEE_OWN_GROUP, READ_TARGET, SEE_TARGET_CONFIG, COMMIT];

const SEE_CONFIG: Right = (Side::Source, Resource::Topic, "orders", Operation::DescribeConfigs);
const OWN_POSITION: Right = (Side::Source, Resource::Group, "k2k", Operation::Read);
const WRITE: Right = (Side::Target, Resource::Topic, "orders", Operation::Write);
const CREATE: Right = (Side::Target, Resource::Topic, "orders", Operation::Create);
const REPLICATOR: [Right; 5] = [READ_SOURCE, SEE_CONFIG, OWN_POSITION, WRITE, CREATE];

/// Both clusters as a user who may do what ACLs allow, and nothing else.
pub fn as_nobody(spec: &mut K2KReplicatorSpec, own_group: &str) {
    as_user("nobody", spec, own_group);
}

fn as_user(user: &str, spec: &mut K2KReplicatorSpec, own_group: &str) {
    let source = spec.source.as_mut().unwrap();
    source.cluster = specs::sasl_ssl(Side::Source, user, SaslMechanism::ScramSha512);
    source.consumer_group = Some(own_group.to_owned());
    spec.target = Some(specs::sasl_ssl(Side::Target, user, SaslMechanism::ScramSha512));
}

fn grant(case: &Case, right: Right) {
    grant_to("nobody", case, right);
}

fn grant_to(user: &str, case: &Case, (side, resource, name, operation): Right) {
    wire::allow(&side.bootstrap(), user, resource, &format!("{}-{name}", case.namespace), operation);
}

/// The replicator `k2k` as nobody, with all of `rights` but one.
fn lacking(
    case: &Case,
    rights: &[Right],
    lacks: Right,
    edit: impl FnOnce(&mut K2KReplicatorSpec),
) -> K2KReplicator {
    for right in rights.iter().filter(|right| **right != lacks) {
        grant(case, *right);
    }
    specs::secrets(case, "nobody");
    case.replicator(|spec| {
        as_nobody(spec, &format!("{}-k2k", case.namespace));
        edit(spec);
    })
}

/// Runs each of these at once, and fails where one does.
fn each<T: Copy + Send + Sync>(cases: &[T], test: impl Fn(T) + Send + Sync) {
    thread::scope(|scope| {
        for case in cases {
            scope.spawn(|| test(*case));
        }
    });
}

#[test]
fn the_operator_lacks_one_right() {
    let denied = Reason::AuthorizationFailed;
    // What is missing, and the reason and the name that are shown: by the replicator where it says so already.
    let rows = [
        (READ_SOURCE, denied, "orders", true),
        (SEE_OWN_GROUP, denied, "k2k", true),
        (SEE_GROUP, denied, "app", false),
        (READ_TARGET, denied, "orders", true),
        (COMMIT, denied, "app", false),
    ];
    each(&rows, |(lacks, reason, name, on_replicator)| {
        let case = Case::new("lacks");
        let orders = case.drawn(10, 0..10, 4);
        case.replicated_to(&orders, &[(0, 10)]);
        lacking(&case, &OPERATOR, lacks, |spec| {
            spec.replication = Some(vec![specs::route(&orders.name, TargetTopic::default())]);
        });
        let app = case.migrate(|_| {});
        let name = format!("{}-{name}", case.namespace);
        if on_replicator {
            let text = case.replicator_says(reason);
            assert!(text.contains(&name), "{text}");
        } else {
            app.comes_to_say(reason, &[&name]);
        }
        grant(&case, lacks);
        app.retry("granted");
        app.completes_exactly();
    });
}

#[test]
fn topics_that_the_operator_may_not_see() {
    let case = Case::new("unseen");
    let orders = case.drawn(10, 0..10, 4);
    case.replicated_to(&orders, &[(0, 10)]);
    // By a pattern: nothing is missed that nobody has named.
    lacking(&case, &OPERATOR, READ_SOURCE, |_| {});
    let app = case.migrate(|spec| spec.stop_confirmed = false);
    let preview = |what: &str, is: fn(&Preview) -> bool| {
        app.wait(what, DEADLINE, |o| o.status.as_ref().and_then(|s| s.preview.as_ref()).is_some_and(is));
    };
    preview("GroupNotFound", |p| p.blocks.iter().any(|block| block.starts_with("GroupNotFound")));
    let other = case.topic("other", 1);
    other.fill(0, 10).copy(0, 0..10);
    case.committed(&other, &[(0, 5)]);
    // One of two: without a word, but for the count.
    grant(&case, READ_SOURCE);
    preview("one partition", |p| p.partitions == 1 && p.blocks.is_empty());
    grant(&case, (Side::Source, Resource::Topic, "other", Operation::Read));
    grant(&case, (Side::Target, Resource::Topic, "other", Operation::Read));
    preview("two partitions", |p| p.partitions == 2 && p.blocks.is_empty());
    app.edit(|spec| spec.stop_confirmed = true);
    app.completes_exactly();
}

#[test]
fn alone_topics_that_members_read_and_the_operator_may_not_see() {
    let case = Case::alone("hidden");
    let (orders, other) = (case.drawn(10, 0..10, 4), case.topic("other", 1));
    other.fill(0, 10).copy(0, 0..10);
    case.committed(&other, &[(0, 5)]);
    case.replicated_to(&orders, &[(0, 10)]);
    lacking(&case, &OPERATOR, READ_TARGET, |_| {});
    grant(&case, READ_TARGET);
    grant(&case, (Side::Target, Resource::Topic, "other", Operation::Read));
    let readers = [&orders, &other].map(|topic| Member::classic(Side::Source, &case.group, &topic.name));
    let app = case.migrate(|spec| spec.stop_confirmed = false);
    // Told while they read, before anybody stops them.
    let words = format!("AuthorizationFailed: members of {} were reading {}, which", case.group, other.name);
    app.comes_to_say(Reason::AwaitingStopConfirmation, &["not yet", &words]);
    // The reader of the hidden one goes first, its migration is suspended for a while, then the other goes, and the
    // operator starts anew: nothing shows the topic any more, and it is not forgotten.
    let [first, second] = readers;
    second.leave();
    app.edit(|spec| spec.suspend = true);
    app.comes_to_say(Reason::Suspended, &[]);
    app.edit(|spec| spec.suspend = false);
    app.comes_to_say(Reason::AwaitingStopConfirmation, &["not yet", &words]);
    first.leave();
    operator::restart();
    // Another way out.
    let exclude = vec![other.name.clone()];
    app.edit(|spec| spec.topics = Some(TopicSelection { exclude, ..TopicSelection::default() }));
    app.comes_to_say(Reason::AwaitingStopConfirmation, &["stop the application"]);
    app.edit(|spec| spec.topics = None);
    app.edit(|spec| spec.stop_confirmed = true);
    app.comes_to_say(Reason::AuthorizationFailed, &[&other.name, "grant Describe"]);
    grant(&case, (Side::Source, Resource::Topic, "other", Operation::Read));
    app.retry("granted");
    app.completes_exactly();
    assert_eq!(app.target_offset(&other.name, 0), Some(5));
    assert_eq!(app.get().status.unwrap().hidden_topics, None);
}

#[test]
fn a_compacted_target_whose_configuration_may_not_be_seen() {
    let case = Case::new("unseenconfig");
    // source keys a b c a b d. target, compacted: 2 (c) 3 (a) 4 (b) 5 (d); c = 1, whose key has 4
    let orders = case.topic_with("orders", 1, &[], &COMPACTED);
    let keys = ["a", "b", "c", "a", "b", "d"];
    let keyed = |key: &&str| Record { key: Some((*key).into()), ..Record::default() };
    Side::Source.produce(&orders.name, 0, &keys.iter().map(keyed).collect::<Vec<_>>());
    let copies = Copies::default().of(&orders.name, 0, 0..6).with_keys(|n| keys[n].into()).records();
    Side::Target.compact(&orders.name, 0, &copies);
    case.committed(&orders, &[(0, 1)]);
    case.replicated_to(&orders, &[(0, 6)]);
    lacking(&case, &OPERATOR, SEE_TARGET_CONFIG, |_| {});
    let app = case.migrate(|_| {});
    app.stalls(Reason::GapOnTarget, &["1 records"]);
    grant(&case, SEE_TARGET_CONFIG);
    app.retry("granted");
    assert_eq!(app.completes().gaps, 0);
}

#[test]
fn a_replicator_that_might_not_write_when_it_started_goes_on_once_it_may() {
    let case = Case::new("latewrite");
    let orders = case.source_topic("orders", 1, &[]);
    orders.fill(0, 10);
    // Others' rights to write would do for a session.
    let user = "newcomer";
    let (first, late) = REPLICATOR.split_at(3);
    for right in first {
        grant_to(user, &case, *right);
    }
    let secrets = specs::secrets(&case, user);
    let replicator = case.replicator(|spec| {
        as_user(user, spec, &format!("{}-k2k", case.namespace));
        spec.replication = Some(vec![specs::route(&orders.name, TargetTopic::default())]);
    });
    let replicate = Replicate::start(&case.namespace, &replicator, &secrets);
    // The producer has its refusal, and nothing to send.
    eventually(DEADLINE, "no session", || {
        replicate.log().contains("allow the principal Write on the target topics")
    });
    for right in late {
        grant_to(user, &case, *right);
    }
    eventually(DEADLINE, "the copies", || {
        Side::Target.has_topic(&orders.name) && Side::Target.bounds(&orders.name, 0).1 >= 10
    });
    replicate.stop();
}

#[test]
fn the_replicator_lacks_one_right() {
    // What it lacks, the operator's right that it has beside its own, and what its log says, with the name of what.
    // The right to see the configuration: connections.rs.
    let rows = [
        (READ_SOURCE, None, "looks as if it were not there", ""),
        (OWN_POSITION, None, "the source does not allow it to group", "k2k"),
        (CREATE, None, "create it yourself, or allow it", "orders"),
        (WRITE, None, "may not be described; allow Write on it", "orders"),
        (WRITE, Some(READ_TARGET), "allow the principal Write", "orders"),
    ];
    each(&rows, |(lacks, beside, words, name)| {
        let case = Case::new("copylacks");
        let orders = case.source_topic("orders", 1, &[]);
        if lacks != CREATE {
            Side::Target.create_topic(&orders.name, 1, &[]);
        }
        orders.fill(0, 10);
        if let Some(right) = beside {
            grant(&case, right);
        }
        let secrets = specs::secrets(&case, "nobody");
        let replicator = lacking(&case, &REPLICATOR, lacks, |spec| {
            spec.replication = Some(vec![specs::route(&orders.name, TargetTopic::default())]);
        });
        let name = if name.is_empty() { name.to_owned() } else { format!("{}-{name}", case.namespace) };
        let replicate = Replicate::start(&case.namespace, &replicator, &secrets);
        eventually(DEADLINE, words, || {
            replicate.log().lines().any(|line| line.contains(words) && line.contains(&name))
        });
        // No restart: it goes on by itself.
        grant(&case, lacks);
        eventually(DEADLINE, "the copies", || {
            Side::Target.has_topic(&orders.name) && Side::Target.bounds(&orders.name, 0).1 >= 10
        });
        replicate.stop();
    });
}
