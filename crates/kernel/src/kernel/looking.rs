//! Only what an event speaks of is read again, and that is enough.

use std::time::Duration;

use tombolo_plan::{HostPlan, Netns, Object, Place};

use crate::Look;
use crate::testing::{Host, address, pair, plan, run};

const LIMIT: Option<Duration> = Some(Duration::from_secs(5));

/// A container on a host, as the plan has it.
fn container(host: &Host) -> HostPlan {
    let path = host.path();
    let mut objects = pair("tbv0", &path);
    let (inner, object) = address("eth0", "10.1.0.5/32");
    objects.push((Place::sandbox(&path, inner), object));
    let (outer, object) = address("tbv0", "169.254.1.1/32");
    objects.push((Place::host(outer), object));
    plan(objects)
}

#[test]
fn a_change_of_the_plan_is_made_without_reading_what_is_known() {
    let mut host = Host::new();
    let first = container(&host);
    host.converge(&first);
    let mut second = first.clone();
    let (key, _) = address("tbv0", "169.254.1.2/32");
    let planned = first.objects.values().next().unwrap().clone();
    let place = Place::host(key);
    second.objects.insert(
        place.clone(),
        tombolo_plan::Planned {
            object: Object::Address,
            ..planned
        },
    );
    // Nobody tells the kernel crate of this, and it does not look.
    host.run("ip addr del 169.254.1.1/32 dev tbv0");
    let done = host.kernel.converge_at(&second, &Look::nowhere()).unwrap();
    assert_eq!(done.done.len(), 1, "{:?}", done.done);
    assert_eq!(done.done[0].place(), &place);
    let done = host.kernel.converge_at(&second, &Look::host()).unwrap();
    assert_eq!(done.done.len(), 1, "{:?}", done.done);
    host.converge(&second);
}

#[test]
fn what_happens_in_a_sandbox_is_heard_on_the_host_and_repaired_there() {
    let mut host = Host::new();
    let plan = container(&host);
    let mut watcher = host.kernel.watch().unwrap();
    host.converge(&plan);
    watcher.wait(Some(Duration::from_millis(50))).unwrap();
    run(&host.sandbox, "ip addr del 10.1.0.5/32 dev eth0");
    let events = watcher.wait(LIMIT).unwrap();
    let event = events.iter().find(|event| event.kind == "address").unwrap();
    assert!(event.namespace.is_some() && !event.own_process, "{event:?}");
    let done = host.kernel.converge_at(&plan, &event.look()).unwrap();
    assert_eq!(done.done.len(), 1, "{:?}", done.done);
    assert_eq!(
        done.done[0].place().netns,
        Netns::Sandbox(host.path()),
        "{:?}",
        done.done
    );
    // What was done is told as ours.
    let events = watcher.wait(LIMIT).unwrap();
    assert!(events.iter().all(|event| event.own_process), "{events:?}");
    host.converge(&plan);
}

#[test]
fn a_pair_that_is_lost_is_made_again_with_all_that_was_on_either_end() {
    let mut host = Host::new();
    let plan = container(&host);
    host.converge(&plan);
    host.run("ip link del tbv0");
    host.kernel.converge_at(&plan, &Look::host()).unwrap();
    host.converge(&plan);
    // The other way round: the end is lost where nobody looks at the host.
    run(
        &host.sandbox,
        "ip link set eth0 down; ip link set eth0 name other",
    );
    host.kernel.converge(&plan).unwrap();
    host.converge(&plan);
}

#[test]
fn a_setting_is_read_without_the_rest() {
    let mut host = Host::new();
    let key = tombolo_plan::Key::Sysctl("net/ipv4/ip_forward".into());
    let wanted = plan([(Place::host(key), Object::Sysctl("1".into()))]);
    host.converge(&wanted);
    let mut watcher = host.kernel.watch().unwrap();
    host.run("sysctl -qw net.ipv4.ip_forward=0");
    let events = watcher.wait(LIMIT).unwrap();
    assert!(
        events.iter().any(|event| event.kind == "sysctl"),
        "{events:?}"
    );
    let done = host.kernel.converge_at(&wanted, &events[0].look()).unwrap();
    assert_eq!(done.done.len(), 1, "{:?}", done.done);
}
