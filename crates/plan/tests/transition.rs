//! A network changes its transport while packets flow: none may be lost.
//!
//! Clusters of 2 to 5 nodes, each of which sees the others late, are led from transport to
//! transport, also back and forth before the last change has settled. After every single operation
//! on any host a packet is walked from and to that host. Nothing here touches a kernel; what the
//! kernels would do is in `support`.

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/fake_kernel.rs"]
mod fake_kernel;
#[path = "support/walk.rs"]
mod walk;
#[path = "support/world.rs"]
mod world;

use proptest::prelude::*;
use tombolo_model::kinds::TransportSpec;

use cluster::{Cluster, Did, Shape};
use walk::walk;

fn transport(text: &str) -> TransportSpec {
    serde_json::from_str(text).expect("test transports are transports")
}

/// The transports that networks are led through.
fn transports() -> impl Strategy<Value = TransportSpec> {
    prop_oneof![
        Just(r#"{"type":"direct"}"#),
        Just(r#"{"type":"bgp"}"#),
        Just(r#"{"type":"vxlan"}"#),
        Just(r#"{"type":"vxlan","crossSubnet":true}"#),
        Just(r#"{"type":"vxlan","vni":7}"#),
        Just(r#"{"type":"vxlan","vni":7,"crossSubnet":true}"#),
        Just(r#"{"type":"ipip"}"#),
        Just(r#"{"type":"ipip","crossSubnet":true}"#),
        Just(r#"{"type":"gre"}"#),
        Just(r#"{"type":"gre","key":7,"crossSubnet":true}"#),
    ]
    .prop_map(transport)
}

fn shapes() -> impl Strategy<Value = Shape> {
    let node = (0_u8..2, prop_oneof![Just(1500_u32), Just(9000)]);
    (
        prop::collection::vec(node, 2..=5),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(nodes, one_subnet, dual)| Shape {
            subnets: nodes
                .iter()
                .map(|(s, _)| if one_subnet { 0 } else { *s })
                .collect(),
            mtus: nodes.iter().map(|(_, mtu)| *mtu).collect(),
            dual,
        })
}

/// Who takes a step, which one where several are possible, and how many at a stretch: while one
/// node runs ahead the others stand still, however far behind they are.
fn schedule() -> impl Strategy<Value = Vec<(u8, u8, u8)>> {
    let times = prop_oneof![Just(1_u8), 1..40_u8];
    prop::collection::vec((any::<u8>(), any::<u8>(), times), 0..24)
}

/// A cluster, what is done to it, and what everybody has done so far.
struct Run {
    cluster: Cluster,
    shape: Shape,
    history: Vec<String>,
}

impl Run {
    fn begin(shape: &Shape, first: &TransportSpec) -> Result<Run, TestCaseError> {
        let run = Run {
            cluster: Cluster::at_rest(shape, first),
            shape: shape.clone(),
            history: vec![format!("at rest with {first}")],
        };
        for from in 0..shape.subnets.len() {
            run.check_around(from)?;
        }
        Ok(run)
    }

    /// One step of a node, judged if it changed a kernel. Answers whether there was one.
    fn step(&mut self, host: usize, choice: u8) -> Result<bool, TestCaseError> {
        match self.cluster.step(host, choice) {
            Did::Nothing => return Ok(false),
            Did::Thought(what) => self.history.push(what),
            Did::Applied(what) => {
                self.history.push(what);
                self.check_around(host)?;
            }
        }
        Ok(true)
    }

    /// Walks packets from and to one host.
    fn check_around(&self, host: usize) -> Result<(), TestCaseError> {
        let hosts = &self.cluster.hosts;
        for other in (0..hosts.len()).filter(|other| *other != host) {
            for (from, to) in [(host, other), (other, host)] {
                walk(hosts, &self.shape, from, to).map_err(|why| self.failure(&why))?;
            }
        }
        Ok(())
    }

    fn failure(&self, why: &str) -> TestCaseError {
        TestCaseError::fail(format!("{why}\nafter\n  {}", self.history.join("\n  ")))
    }

    fn change(&mut self, to: &TransportSpec) {
        self.cluster.change_transport(to);
        self.history.push(format!("operator: {to}"));
    }

    /// Everybody goes on until nobody has anything left to do.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        for _ in 0..5_000 {
            let mut busy = false;
            for host in 0..self.shape.subnets.len() {
                busy |= self.step(host, 1)?;
            }
            if !busy {
                return Ok(());
            }
        }
        Err(self.failure("it does not come to rest"))
    }

    /// Whether every pair uses what the network asks for, and nothing is left of what was before.
    fn check_rest(&self, last: &TransportSpec) -> Result<(), TestCaseError> {
        let fresh = Cluster::at_rest(&self.shape, last);
        for (host, wanted) in self.cluster.hosts.iter().zip(&fresh.hosts) {
            let (is, should) = (&host.kernel.objects, &wanted.kernel.objects);
            let extra: Vec<_> = is.keys().filter(|k| !should.contains_key(k)).collect();
            let lacks: Vec<_> = should.keys().filter(|k| !is.contains_key(k)).collect();
            let differs: Vec<_> = is
                .iter()
                .filter(|(k, v)| should.get(k).is_some_and(|s| s != *v))
                .collect();
            if !extra.is_empty() || !lacks.is_empty() || !differs.is_empty() {
                let why = format!(
                    "{} at rest has {extra:?} too many, lacks {lacks:?}, has otherwise {differs:?}",
                    host.name
                );
                return Err(self.failure(&why));
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_change_of_transport_loses_no_packet(
        shape in shapes(),
        first in transports(),
        changes in prop::collection::vec((transports(), schedule()), 1..6),
    ) {
        let one_subnet = shape.subnets.iter().all(|s| *s == shape.subnets[0]);
        // Direct reaches nobody behind a router; as the first transport it would have no packets.
        prop_assume!(one_subnet || first.name.as_str() != "direct");
        let mut run = Run::begin(&shape, &first)?;
        for (next, steps) in &changes {
            run.change(next);
            for (host, choice, times) in steps {
                for _ in 0..*times {
                    run.step(usize::from(*host) % shape.subnets.len(), *choice)?;
                }
            }
        }
        run.settle()?;
        let last = &changes.last().expect("at least one change").0;
        if one_subnet || last.name.as_str() != "direct" {
            run.check_rest(last)?;
        }
    }
}
