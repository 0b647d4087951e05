//! Numbered packets between containers, all of which must arrive.

use tombolo_lab::measure::{Flow, FlowCount};

use crate::Cluster;

/// Packets a second in each direction and family.
const RATE: u32 = 500;

/// A flow of numbered packets from a container to another, and back, in each family.
pub struct Traffic {
    flows: Vec<Flow>,
}

impl Traffic {
    /// Between two new containers of the network `default`, on `a` and `b`.
    #[must_use]
    pub fn begin(cluster: &Cluster) -> Traffic {
        let one = cluster.container("a", "c1", "default");
        let two = cluster.container("b", "c1", "default");
        Traffic::between(cluster, ("a/c1", &one), ("b/c1", &two))
    }

    /// Between two containers: their places and addresses.
    #[must_use]
    pub fn between(
        cluster: &Cluster,
        (here, own): (&str, &[String]),
        (there, others): (&str, &[String]),
    ) -> Traffic {
        let start = |from: &str, to: &str, address: &String| {
            let address = address.parse().expect("an address is one");
            Flow::start(&cluster.lab, from, to, address, RATE).expect("a flow starts")
        };
        let mut flows = Vec::new();
        for (own, other) in own.iter().zip(others) {
            flows.push(start(here, there, other));
            flows.push(start(there, here, own));
        }
        Traffic { flows }
    }

    /// Ends the flows and asserts that every packet arrived.
    ///
    /// # Panics
    /// Some did not.
    pub fn end_without_loss(self, during: &str) {
        for flow in self.flows {
            let FlowCount { sent, received, .. } = flow.stop().expect("a flow ends");
            assert!(sent > 50, "{sent} packets are too few to tell");
            assert_eq!(
                received,
                sent,
                "{} of {sent} packets were lost while {during}",
                sent - received
            );
        }
    }
}
