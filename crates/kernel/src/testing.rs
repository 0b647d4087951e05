//! What the tests of this crate share: a host of their own, plans written by hand, and `ip` and
//! `nft` as witnesses that know nothing of this code. The tests need root (CAP_SYS_ADMIN, for new
//! namespaces); without it they fail at once and say so.
//!
//! Namespaces have no names here: they live as long as their handles, so that nothing is left
//! behind when a test panics.

use std::os::fd::{AsFd, AsRawFd};
use std::process::Command;

use tombolo_model::{IfName, KindName, MacAddr, Mtu, Name, ResourceKey};
use tombolo_plan::objects::{Link, LinkKind, VethPeer};
use tombolo_plan::{HostPlan, Key, Netns, Object, Observed, Origin, Place, Planned};

use crate::{Kernel, NetnsHandle, Ownership};

/// A host, and a sandbox that is reached from it by a path.
pub(crate) struct Host {
    pub netns: NetnsHandle,
    pub sandbox: NetnsHandle,
    pub kernel: Kernel,
}

impl Host {
    pub(crate) fn new() -> Host {
        let netns = NetnsHandle::create().expect("these tests need root, to make namespaces");
        let sandbox = NetnsHandle::create().unwrap();
        let kernel = Kernel::open(&netns, Ownership::default()).unwrap();
        Host {
            netns,
            sandbox,
            kernel,
        }
    }

    pub(crate) fn path(&self) -> String {
        path(&self.sandbox)
    }

    /// The output of a program that is run on the host.
    pub(crate) fn run(&self, line: &str) -> String {
        run(&self.netns, line)
    }

    /// Converges twice: the first time must do all, the second must find nothing to do.
    pub(crate) fn converge(&mut self, plan: &HostPlan) {
        let first = self.kernel.converge(plan).unwrap();
        let failed: Vec<String> = first
            .failed
            .iter()
            .map(|(_, error)| error.to_string())
            .collect();
        assert!(failed.is_empty(), "{failed:#?}");
        let left = tombolo_plan::diff(plan, &self.kernel.read(plan).unwrap());
        let left: Vec<String> = left.iter().map(ToString::to_string).collect();
        assert!(left.is_empty(), "{left:#?}");
        let second = self.kernel.converge(plan).unwrap();
        assert_eq!(second.rounds, 0, "{:?}", second.done);
    }

    pub(crate) fn observe(&mut self, plan: &HostPlan) -> Observed {
        self.kernel.read(plan).unwrap()
    }
}

/// A path that leads to a namespace for as long as its handle lives.
pub(crate) fn path(netns: &NetnsHandle) -> String {
    format!(
        "/proc/{}/fd/{}",
        std::process::id(),
        netns.as_fd().as_raw_fd()
    )
}

/// The output of a program that is run in a namespace.
pub(crate) fn run(netns: &NetnsHandle, line: &str) -> String {
    let output = netns
        .run(|| Command::new("sh").args(["-c", line]).output())
        .unwrap()
        .expect("there is a shell");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{line}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// A plan that wants these.
pub(crate) fn plan(objects: impl IntoIterator<Item = (Place, Object)>) -> HostPlan {
    let resource = ResourceKey {
        kind: KindName::Network,
        namespace: None,
        name: Name::new("test").unwrap(),
    };
    let mut plan = HostPlan::default();
    for (place, object) in objects {
        let origin = Origin {
            resource: resource.clone(),
            rule: "test",
        };
        plan.objects.insert(place, Planned { object, origin });
    }
    plan
}

pub(crate) fn name(text: &str) -> IfName {
    IfName::new(text).unwrap()
}

pub(crate) fn link(kind: LinkKind) -> Link {
    Link {
        kind,
        mtu: None,
        mac: None,
        up: true,
        port: None,
    }
}

/// A pair between the host and a sandbox, both ends as a plan names them.
pub(crate) fn pair(host_end: &str, sandbox: &str) -> Vec<(Place, Object)> {
    let mac = MacAddr([2, 0, 0, 0, 0, 7]);
    let peer = VethPeer {
        netns: Netns::Sandbox(sandbox.to_owned()),
        name: name("eth0"),
        mac,
        handed_over: false,
    };
    let mtu = Some(Mtu::new(1450).unwrap());
    let near = Link {
        mtu,
        mac: Some(MacAddr([2, 0, 0, 0, 0, 8])),
        ..link(LinkKind::Veth(peer))
    };
    let far = Link {
        mtu,
        mac: Some(mac),
        ..link(LinkKind::VethEnd)
    };
    vec![
        (Place::host(Key::Link(name(host_end))), Object::Link(near)),
        (
            Place::sandbox(sandbox, Key::Link(name("eth0"))),
            Object::Link(far),
        ),
    ]
}

pub(crate) fn address(link: &str, net: &str) -> (Key, Object) {
    (
        Key::Address {
            link: name(link),
            net: net.parse().unwrap(),
        },
        Object::Address,
    )
}
