//! The operator dies by SIGKILL or SIGABRT at any time, is started again, and comes to the same end. (Before any
//! call of its own: `crash_matrix`.)

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use appmigration::api::v1alpha1::{ConditionType, ExistingTargetOffsets};

use crate::harness::{
    Case, Copies, Migration, Reason, Side,
    commits::{Told, commits},
    kafka::Record,
    migration::ready_reason,
    operator,
    points::Points,
    random::{Random, say, whole},
    scene::Scene,
    stack::DEADLINE,
    wire::Offsets,
};

/// The application has been started on the target while the operator was down: it is not set back.
#[test]
fn the_application_moved_on_while_the_operator_was_down() {
    let case = Case::alone("movedon");
    let points = [Scene::point(&case, 0, "commit offsets", 1)];
    let running = Points::crash(&points);
    let scene = Scene::new(&case, 1);
    scene.confirm(&running, &points);
    operator::wait_for_end(DEADLINE);
    let (app, orders) = (&scene.apps[0], &scene.orders);
    case.commit(Side::Target, &app.target_group(), [((orders.name.clone(), 0), 7.into())].into());
    operator::start(&[]);
    // Whose offset that is cannot be told: nobody is set back by a guess.
    app.wait("the conflict", DEADLINE, |_| {
        app.shows(ConditionType::OffsetsCommitted) == "False TargetOffsetsExist"
    });
    app.edit(|spec| spec.policies.existing_target_offsets = ExistingTargetOffsets::Forward);
    app.comes_to_completed();
    assert_eq!(app.target_offset(&orders.name, 0), Some(7));
    assert_eq!(app.target_offset(&orders.name, 1), Some(10));
}

#[test]
fn killed_at_random_during_twenty_migrations() {
    const MIGRATIONS: i64 = 20;
    const KILLS: usize = 10;
    let case = Case::alone("random");
    let mut random = Random::seeded("kills during twenty migrations");
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
    random.sleep(Duration::from_millis(most_milliseconds));
    operator::kill();
    operator::start(&[]);
}

/// Of one topic. Each holds 0..4 on both sides.
const PARTITIONS: i32 = 200;
/// Most of the quiet period, in which nothing happens that a kill could disturb.
const QUIET: Duration = Duration::from_millis(900);
/// In `make test`, and in `make test-all`.
const KILLS: (usize, usize) = (3, 50);

#[test]
fn killed_at_random_during_migrations_of_200_partitions() {
    let mut random = Random::seeded("kills during migrations of 200 partitions");
    let case = Case::alone("kills");
    let orders = case.topic("orders", PARTITIONS);
    for partition in 0..PARTITIONS {
        let records: Vec<Record> = (0..4).map(|_| Record::default()).collect();
        Side::Source.produce(&orders.name, partition, &records);
        Copies::default().of(&orders.name, partition, 0..4).write_to(&orders.name, partition);
    }
    let committed: Offsets =
        (0..PARTITIONS).map(|p| ((orders.name.clone(), p), i64::from(p % 5).into())).collect();
    case.replicator(|_| {});
    case.replicator_says(Reason::Ready);
    let migrate = |name: &str| {
        let group = format!("{}-{name}", case.group);
        case.commit(Side::Source, &group, committed.clone());
        case.migrate_as(name, |spec| spec.consumer_group = group)
    };
    let comes_to = |app: &Migration<'_>, reason: Reason| {
        app.wait(reason.as_str(), DEADLINE, |o| ready_reason(o) == Some(reason.as_str()));
    };
    let undisturbed = migrate("undisturbed");
    comes_to(&undisturbed, Reason::QuietPeriodRunning);
    let start = Instant::now();
    comes_to(&undisturbed, Reason::Completed);
    let busy = start.elapsed().saturating_sub(QUIET);
    undisturbed.completes_exactly();
    let mut at: BTreeMap<&str, usize> = BTreeMap::new();
    let apps: Vec<Migration<'_>> = (0..if whole() { KILLS.1 } else { KILLS.0 })
        .map(|n| {
            let app = migrate(&format!("app-{n}"));
            comes_to(&app, Reason::QuietPeriodRunning);
            std::thread::sleep(QUIET);
            random.sleep(busy);
            operator::kill();
            *at.entry(stage(&app)).or_default() += 1;
            app.has_journalled_what_is_committed();
            operator::start(&[]);
            app.completes_exactly();
            app.has_named_one_plan();
            assert_eq!(app.target_offsets(), committed);
            app
        })
        .collect();
    let (all, mut told) = (commits(Side::Target), Told::default());
    for app in &apps {
        told.add(&all, &app.target_group(), &committed);
    }
    say(&format!(
        "{} kills during migrations of {PARTITIONS} partitions, within the {busy:?} after the quiet period: {at:?}; all ends equal, {} wrong \
         commits of {}, {} repeated",
        apps.len(),
        told.wrong,
        apps.len() * committed.len(),
        told.repeated
    ));
    assert_eq!(told.wrong, 0);
}

/// How far it had come.
fn stage(app: &Migration<'_>) -> &'static str {
    let status = app.get().status.unwrap_or_default();
    if status.completed_at.is_some() {
        "completed"
    } else if !app.target_offsets().is_empty() {
        "committed"
    } else if status.plan.is_some() {
        "planned"
    } else {
        "before the plan"
    }
}
