//! Of several operators one works: whatever becomes of the Lease, of the leader and of the API server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api,
    api::{DeleteParams, ObjectMeta, PostParams},
};

use crate::harness::{
    Case, Migration, Operator, Reason, Side, Topic,
    commits::commits,
    operator, operators,
    process::Frozen,
    random::{Random, say, whole},
    stack::{DEADLINE, block_on, eventually, kube, var},
};

const LEASE: &str = "appmigration-operator";
/// So short that tests need not wait long; the ratios are those of a longer one.
const SHORT: [(&str, &str); 1] = [("APPMIGRATION_LEASE_DURATION", "4s")];

/// What an operator logs when it begins to lead.
const LEADING: &str = "INFO leading lease=";

fn leases() -> Api<Lease> {
    Api::namespaced(kube(), "appmigration-system")
}

fn spec() -> LeaseSpec {
    block_on(leases().get_opt(LEASE)).unwrap().and_then(|lease| lease.spec).unwrap_or_default()
}

fn holder() -> String {
    spec().holder_identity.unwrap_or_default()
}

fn led_by(operator: &Operator) -> bool {
    holder().starts_with(&format!("{}_", operator.name))
}

fn no_lease() {
    let _ = block_on(leases().delete(LEASE, &DeleteParams::default()));
}

fn make(spec: LeaseSpec) {
    let metadata = ObjectMeta { name: Some(LEASE.into()), ..ObjectMeta::default() };
    let lease = Lease { metadata, spec: Some(spec) };
    block_on(leases().create(&PostParams::default(), &lease)).unwrap();
}

/// Somebody writes another record into the Lease, as a broken tool would.
fn write(edit: impl Fn(&mut LeaseSpec)) {
    eventually(DEADLINE, "a write to the Lease", || {
        let mut lease = block_on(leases().get(LEASE)).unwrap();
        edit(lease.spec.get_or_insert_default());
        block_on(leases().replace(LEASE, &PostParams::default(), &lease)).is_ok()
    });
}

/// Operators on a case of their own; the shared one is gone meanwhile.
struct Bench {
    case: Case,
}

impl Bench {
    fn new(name: &str) -> Self {
        let case = Case::alone(name);
        operator::stay_away();
        no_lease();
        Self { case }
    }

    /// 0: 0..10, c = 4; the target as far as `replicated`.
    fn topic(&self, replicated: i64) -> Topic<'_> {
        let orders = self.case.topic("orders", 1);
        orders.fill(0, 10).copy(0, 0..replicated);
        self.case.committed(&orders, &[(0, 4)]);
        orders
    }

    fn migrate(&self) -> Migration<'_> {
        self.case.replicator(|_| {});
        self.case.migrate(|_| {})
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        no_lease();
    }
}

/// Asks all of them all the time who leads: never two at once.
struct Watch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<(usize, Vec<String>)>>,
}

impl Watch {
    fn new(operators: &[&Operator]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, names) =
            (Arc::clone(&stop), operators.iter().map(|o| o.name.clone()).collect::<Vec<_>>());
        let thread = thread::spawn(move || {
            let (mut looks, mut twice) = (0, Vec::new());
            while !stopped.load(Ordering::Relaxed) {
                let leaders: Vec<&str> =
                    names.iter().map(String::as_str).filter(|name| operators::leads(name)).collect();
                if leaders.len() > 1 {
                    twice.push(leaders.join(" and "));
                }
                looks += 1;
            }
            (looks, twice)
        });
        Self { stop, thread: Some(thread) }
    }

    fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let (looks, twice) = self.thread.take().unwrap().join().unwrap();
        assert!(looks > 20, "{looks} looks");
        assert!(twice.is_empty(), "two led at once in {} of {looks} looks: {}", twice.len(), twice[0]);
    }
}

#[test]
fn of_two_operators_one_works_and_the_other_is_ready() {
    let bench = Bench::new("two");
    bench.topic(10);
    // Nobody takes over here: a machine that stands still for some seconds is no reason to.
    let long = [("APPMIGRATION_LEASE_DURATION", "120s")];
    let a = Operator::start("lead-a", &long);
    a.says(LEADING, 1, DEADLINE);
    let b = Operator::start("lead-b", &long);
    b.says("standing by", 1, DEADLINE);
    let (code, text) = b.probe("/readyz", DEADLINE).unwrap();
    assert!(code == 200 && text.contains("stand-by"), "{code} {text}");
    assert!(a.leads() && !b.leads());
    bench.migrate().completes_exactly();
    assert!(a.log().contains("Completed"), "{}", a.log());
    assert!(!b.log().contains(&bench.case.namespace), "the one that stands by has worked:\n{}", b.log());
}

#[test]
fn the_lease_of_one_that_ends_is_free_at_once() {
    let bench = Bench::new("handover");
    bench.topic(10);
    // Nobody waits for a lease of ten minutes here: the first finds one that was given back.
    let given_back = LeaseSpec { lease_duration_seconds: Some(1), ..LeaseSpec::default() };
    make(given_back);
    let long = [("APPMIGRATION_LEASE_DURATION", "600s")];
    let a = Operator::start("lead-a", &long);
    a.says(LEADING, 1, DEADLINE);
    a.stop();
    assert!(a.log().contains("the Lease is given back"), "{}", a.log());
    assert_eq!(holder(), "");
    let b = Operator::start("lead-b", &long);
    b.says(LEADING, 1, DEADLINE);
    bench.migrate().completes_exactly();
    // The next process of the same Pod has the Lease of the one that was killed.
    b.kill();
    b.launch(&long);
    b.says(LEADING, 2, DEADLINE);
}

#[test]
fn a_killed_leader_is_replaced() {
    let bench = Bench::new("killed");
    let orders = bench.topic(3);
    let a = Operator::start("lead-a", &SHORT);
    a.says(LEADING, 1, DEADLINE);
    let b = Operator::start("lead-b", &SHORT);
    let app = bench.migrate();
    app.waits(Reason::ReplicationBehind, &[]);
    a.kill();
    b.says(LEADING, 1, DEADLINE);
    orders.copy(0, 3..10);
    app.completes_exactly();
}

/// Frozen and thawed again and again, with three of them: never two lead, and every migration ends as planned.
#[test]
fn a_frozen_leader_does_nothing_more_when_it_is_thawed() {
    let bench = Bench::new("frozen");
    let orders = bench.topic(3);
    let operators = ["lead-a", "lead-b", "lead-c"].map(|name| Operator::start(name, &SHORT));
    eventually(DEADLINE, "a leader", || operators.iter().any(led_by));
    let app = bench.migrate();
    app.waits(Reason::ReplicationBehind, &[]);
    let watch = Watch::new(&operators.iter().collect::<Vec<_>>());
    for round in 0..2 {
        let frozen = operators.iter().find(|o| led_by(o)).unwrap();
        frozen.pause();
        eventually(DEADLINE, "another leader", || {
            operators.iter().any(|o| o.name != frozen.name && led_by(o))
        });
        if round == 1 {
            orders.copy(0, 3..10);
            app.completes_exactly();
        }
        let before = frozen.log().matches("leading no more").count();
        frozen.resume();
        frozen.says("leading no more", before + 1, DEADLINE);
        frozen.says("standing by", 1, DEADLINE);
    }
    watch.end();
    assert_eq!(app.target_offset(&orders.name, 0), Some(4));
}

#[test]
fn a_stolen_lease_is_let_go_and_taken_again_when_the_thief_is_silent() {
    let bench = Bench::new("stolen");
    bench.topic(10);
    let a = Operator::start("lead-a", &SHORT);
    a.says(LEADING, 1, DEADLINE);
    let b = Operator::start("lead-b", &SHORT);
    b.says("standing by", 1, DEADLINE);
    let watch = Watch::new(&[&a, &b]);
    let led = || led_by(&a) || led_by(&b);
    write(|spec| spec.holder_identity = Some("thief".into()));
    a.says("the Lease was taken by thief", 1, DEADLINE);
    let stolen = spec();
    assert_eq!(stolen.holder_identity.as_deref(), Some("thief"));
    a.says("leading no more", 1, DEADLINE);
    eventually(DEADLINE, "the Lease to be taken back", led);
    // Written once more by the tool that wrote it: what has run out before begins anew.
    write(|spec| *spec = stolen.clone());
    eventually(DEADLINE, "the Lease to be taken back again", led);
    bench.migrate().completes_exactly();
    // Deleted or emptied under the leader, again and again before the others have seen whose it was: whoever takes it
    // does not lead before its last writer knows.
    for round in 0..if whole() { 40 } else { 8 } {
        if round % 2 == 0 {
            no_lease();
        } else {
            write(|spec| *spec = LeaseSpec::default());
        }
        eventually(DEADLINE, "a new holder", led);
    }
    eventually(DEADLINE, "a leader", || a.leads() || b.leads());
    watch.end();
}

/// The one that leads is cut off from the API server when its Lease is deleted: it does not know for a while.
#[test]
fn a_deleted_lease_is_not_taken_while_its_holder_may_still_work() {
    let bench = Bench::new("deleted");
    bench.topic(10);
    let a = Operator::start("lead-a", &SHORT);
    a.says(LEADING, 1, DEADLINE);
    let b = Operator::start("lead-b", &SHORT);
    b.says("standing by", 1, DEADLINE);
    let watch = Watch::new(&[&a, &b]);
    a.pause();
    no_lease();
    b.says(LEADING, 1, DEADLINE);
    a.resume();
    a.says("leading no more", 1, DEADLINE);
    watch.end();
    bench.migrate().completes_exactly();
}

/// Times in the record are other people's clocks: what counts is how long it has been seen unchanged.
#[test]
fn stale_clocks_neither_give_nor_keep_the_lease() {
    let bench = Bench::new("clocks");
    bench.topic(10);
    for (n, time) in ["1999-01-01T00:00:00Z", "2999-01-01T00:00:00Z"].into_iter().enumerate() {
        no_lease();
        let ghost = LeaseSpec {
            holder_identity: Some("ghost".into()),
            lease_duration_seconds: Some(5),
            renew_time: Some(MicroTime(time.parse().unwrap())),
            ..LeaseSpec::default()
        };
        make(ghost);
        let operator = Operator::start(&format!("clock-{n}"), &SHORT);
        operator.says("standing by", 1, DEADLINE);
        // A ghost that still renews keeps it: for longer than its own term here.
        for beat in 0..3 {
            thread::sleep(Duration::from_secs(2));
            assert_eq!(holder(), "ghost", "taken from one that renews, at {beat}");
            write(|spec| {
                spec.renew_time =
                    Some(MicroTime(time.parse::<jiff::Timestamp>().unwrap() + Duration::from_secs(beat)));
            });
        }
        operator.says(LEADING, 1, DEADLINE);
        assert!(led_by(&operator));
    }
    no_lease();
    let _operator = Operator::start("clock-2", &SHORT);
    bench.migrate().completes_exactly();
}

/// The API server is silent: the leader stops by itself, in time, and goes on when it is back.
#[test]
fn a_leader_that_cannot_renew_stops_by_itself() {
    let bench = Bench::new("silent");
    bench.topic(10);
    let a = Operator::start("lead-a", &SHORT);
    a.says(LEADING, 1, DEADLINE);
    let frozen = Frozen::new("kube-apiserver");
    a.says("the Lease could not be renewed", 1, DEADLINE);
    assert!(!a.leads());
    drop(frozen);
    a.says(LEADING, 2, DEADLINE);
    // What kept it from being ready is over too.
    let ready = || a.probe("/readyz", DEADLINE).is_some_and(|(code, _)| code == 200);
    eventually(DEADLINE, "readiness", ready);
    bench.migrate().completes_exactly();
}

/// The commits of a group on a partition of the target, in their order.
fn committed(group: &str, topic: &str) -> Vec<i64> {
    let all = commits(Side::Target).remove(group).unwrap_or_default();
    all.get(&(topic.to_owned(), 0)).cloned().unwrap_or_default().into_iter().flatten().collect()
}

/// The leader is frozen right before its commit. Another one completes the migration, the application runs on the
/// target and commits; then the first one is thawed, with its commit in hand: it is not sent.
#[test]
fn a_commit_that_comes_too_late_is_not_sent() {
    let bench = Bench::new("late");
    let orders = bench.topic(10);
    let release = format!("{}/late-release", var("STACK_DIR"));
    let at = format!("commit offsets+0@{}/app", bench.case.namespace);
    let mut held = SHORT.to_vec();
    held.extend([("APPMIGRATION_CRASH_AT", at.as_str()), ("APPMIGRATION_HOLD_UNTIL", release.as_str())]);
    let calls = format!("{}/late-calls", var("STACK_DIR"));
    held.push(("APPMIGRATION_CALLS", &calls));
    let a = Operator::start("lead-a", &held);
    a.says(LEADING, 1, DEADLINE);
    let app = bench.migrate();
    let at_its_commit = || std::fs::read_to_string(&calls).unwrap_or_default().contains("\tcommit offsets");
    eventually(DEADLINE, "the commit", at_its_commit);
    a.pause();
    assert!(committed(&bench.case.group, &orders.name).is_empty());
    let b = Operator::start("lead-b", &SHORT);
    app.completes_exactly();
    bench.case.commit(Side::Target, &bench.case.group, [((orders.name.clone(), 0), 7.into())].into());
    std::fs::write(&release, "").unwrap();
    a.resume();
    a.says("leading no more", 1, DEADLINE);
    a.says("standing by", 1, DEADLINE);
    // Whatever it had in hand has gone by now: it leads again, and finds everything done.
    b.stop();
    a.says(LEADING, 2, DEADLINE);
    a.says("ready", 2, DEADLINE);
    assert_eq!(committed(&bench.case.group, &orders.name), [4, 7]);
}

/// Frozen at any moment of many migrations, and thawed when another one has completed them and the applications
/// have gone on: what is committed late, if anything, is what was planned. How often that is, is told.
#[test]
fn leaders_that_are_frozen_at_any_moment_commit_what_was_planned_or_nothing() {
    let rounds = if whole() { 10 } else { 1 };
    let mut random = Random::seeded("frozen leaders");
    let bench = Bench::new("anytime");
    let orders = bench.topic(10);
    bench.case.replicator(|_| {});
    let (mut frozen_at_work, mut late) = (0, 0);
    for round in 0..rounds {
        let a = Operator::start("lead-a", &SHORT);
        eventually(DEADLINE, "the leader", || led_by(&a));
        let b = Operator::start("lead-b", &SHORT);
        let apps: Vec<_> = (0..20)
            .map(|n| {
                let group = format!("{}-{round}-{n}", bench.case.group);
                bench.case.commit(Side::Source, &group, [((orders.name.clone(), 0), 4.into())].into());
                bench.case.migrate_as(&format!("app-{round}-{n}"), |spec| spec.consumer_group = group)
            })
            .collect();
        // The quiet period is over after a second: about then they all commit.
        std::thread::sleep(Duration::from_millis(900));
        random.sleep(Duration::from_millis(900));
        a.pause();
        let open = apps.iter().filter(|app| app.target_offset(&orders.name, 0).is_none()).count();
        frozen_at_work += usize::from(open > 0 && open < apps.len());
        eventually(DEADLINE, "another leader", || led_by(&b));
        for app in &apps {
            app.completes_exactly();
            let group = app.target_group();
            bench.case.commit(Side::Target, &group, [((orders.name.clone(), 0), 7.into())].into());
        }
        a.resume();
        a.says("leading no more", 1, DEADLINE);
        b.stop();
        a.says(LEADING, 2, DEADLINE);
        for app in &apps {
            let of_group = committed(&app.target_group(), &orders.name);
            let after = of_group.iter().skip_while(|offset| **offset != 7).skip(1).count();
            late += after;
            assert!(of_group.iter().all(|offset| [4, 7].contains(offset)), "{of_group:?}");
        }
        a.stop();
    }
    say(&format!(
        "{rounds} leaders frozen, {frozen_at_work} of them while some of 20 migrations had committed and others \
         had not: {late} commits came late"
    ));
}
