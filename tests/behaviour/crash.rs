//! The operator dies by SIGKILL or SIGABRT at any point, is started again, and comes to the same end.

use std::{
    env,
    time::{Duration, SystemTime},
};

use appmigration::api::v1alpha1::{ConditionType, ExistingTargetOffsets};

use crate::harness::{Case, Side, Topic, operator};

/// 0: 0..10, c = 4; 1: 0..10, c = 10; 2: 0..10, c = 0.
fn three(case: &Case) -> Topic<'_> {
    let orders = case.topic("orders", 3);
    for partition in 0..3 {
        orders.fill(partition, 10).copy(partition, 0..10);
    }
    case.committed(&orders, &[(0, 4), (1, 10), (2, 0)]);
    orders
}

/// What there is after the crash.
struct Left {
    plan: bool,
    committed: bool,
}

/// `point` as the binary under test names it (`--features crash-points`).
fn dies_at(point: &str, left: &Left) {
    let case = Case::alone(&format!("crash-{point}"));
    let orders = three(&case);
    operator::stop();
    operator::start(&[("APPMIGRATION_CRASH_AT", &format!("{point}@{}/app", case.namespace))]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    operator::wait_for_end(Duration::from_mins(1));

    let offsets = app.target_offsets();
    assert_eq!(offsets.len(), if left.committed { 3 } else { 0 }, "{offsets:?}");
    assert_eq!(
        case.config_map("app-plan").is_some_and(|map| map.data.unwrap().contains_key("plan.json")),
        left.plan
    );
    let hash = app.get().status.unwrap().plan.map(|plan| plan.hash);

    operator::start(&[]);
    app.completes_exactly();
    let end = app.get().status.unwrap().plan.unwrap().hash;
    assert!(hash.is_none_or(|hash| hash == end), "another plan was made after the crash");
    let at = |partition| app.target_offset(&orders.name, partition);
    assert_eq!([at(0), at(1), at(2)], [Some(4), Some(10), Some(0)]);
}

#[test]
fn dies_before_the_plan_is_stored() {
    dies_at("before-journal", &Left { plan: false, committed: false });
}

#[test]
fn dies_once_the_plan_is_stored() {
    dies_at("after-journal", &Left { plan: true, committed: false });
}

#[test]
fn dies_before_it_reads_back() {
    dies_at("after-commit", &Left { plan: true, committed: true });
}

#[test]
fn dies_before_it_reports() {
    dies_at("before-report", &Left { plan: true, committed: true });
}

/// The application has been started on the target while the operator was down: it is not set back.
#[test]
fn the_application_moved_on_while_the_operator_was_down() {
    let case = Case::alone("movedon");
    let orders = three(&case);
    operator::stop();
    operator::start(&[("APPMIGRATION_CRASH_AT", &format!("after-commit@{}/app", case.namespace))]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    operator::wait_for_end(Duration::from_mins(1));
    case.commit(Side::Target, &case.group, [((orders.name.clone(), 0), 7.into())].into());
    operator::start(&[]);
    // Whose offset that is cannot be told: nobody is set back by a guess.
    app.wait("the conflict", Duration::from_mins(1), |_| {
        app.shows(ConditionType::OffsetsCommitted) == "False TargetOffsetsExist"
    });
    app.edit(|spec| spec.policies.existing_target_offsets = ExistingTargetOffsets::Forward);
    app.comes_to_completed();
    assert_eq!(app.target_offset(&orders.name, 0), Some(7));
    assert_eq!(app.target_offset(&orders.name, 1), Some(10));
}

/// A small generator: the seed that is printed tells the whole run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[test]
fn killed_at_random_during_twenty_migrations() {
    const MIGRATIONS: i64 = 20;
    const KILLS: usize = 10;
    let case = Case::alone("random");
    let seed: u64 = env::var("BEHAVIOUR_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        since_1970.subsec_nanos().into()
    });
    println!("BEHAVIOUR_SEED={seed}");
    let mut random = Random(seed | 1);
    let orders = case.topic("orders", 2);
    orders.fill(0, 30).fill(1, 30).copy(0, 0..30).copy(1, 0..30);
    case.replicator(|_| {});
    operator::restart();
    let apps: Vec<_> = (0..MIGRATIONS)
        .map(|n| {
            let group = format!("{}-{n}", case.group);
            let offsets = [(0, n), (1, 30 - n)].map(|(p, o)| ((orders.name.clone(), p), o.into()));
            case.commit(Side::Source, &group, offsets.into());
            let app = case.migrate_as(&format!("app-{n}"), |spec| spec.consumer_group = group);
            if n % 2 == 1 {
                kill_and_start(&mut random, 300);
            }
            app
        })
        .collect();
    for _ in 0..KILLS {
        kill_and_start(&mut random, 900);
    }
    for (n, app) in (0..).zip(&apps) {
        app.completes_exactly();
        let offsets = (app.target_offset(&orders.name, 0), app.target_offset(&orders.name, 1));
        assert_eq!(offsets, (Some(n), Some(30 - n)), "{}", app.name);
    }
}

/// Lets it run for a random time, kills it, and starts it again.
fn kill_and_start(random: &mut Random, most_milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(random.below(most_milliseconds)));
    operator::kill();
    operator::start(&[]);
}
