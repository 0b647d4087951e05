//! The disk of the embedded store is full.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use tombolo_tests::{Cluster, Shape, lab};

#[test]
fn a_full_disk_stops_changes_and_nothing_else() {
    let lab = lab("disk", &Shape::hosts(2));
    let small =
        "mkdir -p /var/lib/tombolo; mount -t tmpfs -o size=1m,mode=700 tmpfs /var/lib/tombolo";
    let _ = lab.output("a", &["sh", "-c", small]).unwrap();
    lab.init("a", &[]).unwrap();
    lab.start_agent("a", &[]).unwrap();
    lab.ready("a").unwrap();
    let server = lab.address("a").unwrap().to_string();
    let token = lab.token("a").unwrap();
    lab.join("b", &server, &token, &[]).unwrap();
    lab.start_agent("b", &[]).unwrap();
    let cluster = Cluster { lab };
    cluster.settle();
    let here = cluster.container("a", "c1", "default");
    let there = cluster.container("b", "c1", "default");

    let _ = cluster.try_sh("a", "dd if=/dev/zero of=/var/lib/tombolo/filler bs=4k");
    // Some changes still fit into pages that the file has.
    let mut attached = Vec::new();
    let mut refused = None;
    for number in 0..200 {
        let name = format!("f{number}");
        cluster.lab.container("a", &name).unwrap();
        match cluster
            .lab
            .attach("a", &name, &tombolo_lab::Lab::config("default"))
        {
            Ok(_) => attached.push(name),
            Err(error) => {
                refused = Some(error.to_string());
                break;
            }
        }
    }
    let refused = refused.expect("a full disk takes 200 containers");
    assert!(
        refused.contains("No space left") && refused.contains("check free space"),
        "{refused}"
    );
    cluster.until("both nodes say it", || {
        let said = |host| cluster.status(host)["problems"].to_string();
        (said("a").contains("takes no writes") && said("b").contains("takes no writes"))
            .then_some(())
    });
    for (from, to) in here
        .iter()
        .map(|a| ("b/c1", a))
        .chain(there.iter().map(|a| ("a/c1", a)))
    {
        assert!(cluster.pings(from, to), "{from} does not reach {to}");
    }
    let _ = cluster.sh("b", "tombolo get endpoints");

    let _ = cluster.sh("a", "rm /var/lib/tombolo/filler");
    cluster.until("writes are taken again", || {
        let said = cluster.status("a")["problems"].to_string();
        (said == "[]").then_some(())
    });
    let _ = cluster.container("a", "after", "default");
    cluster
        .lab
        .tombolo("a", &["ipam", "check"])
        .expect("everything fits together");
    let before = cluster.sh("a", "tombolo get endpoints");
    for name in attached.iter().map(String::as_str).chain(["c1", "after"]) {
        assert!(before.contains(&format!("a.a-{name}.eth0")), "{before}");
    }
    cluster.lab.stop_agent("a").unwrap();
    cluster.lab.start_agent("a", &[]).unwrap();
    cluster.settle();
    assert_eq!(cluster.sh("a", "tombolo get endpoints"), before);
}
