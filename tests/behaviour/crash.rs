//! The operator dies by SIGKILL or SIGABRT at any time, is started again, and comes to the same end. (Before any
//! call of its own: `crash_matrix`.)

use std::time::Duration;

use appmigration::api::v1alpha1::{ConditionType, ExistingTargetOffsets};

use crate::harness::{Case, Side, operator, points::Points, random::Random, scene::Scene, stack::DEADLINE};

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
