//! What is counted and timed, for Prometheus.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use tombolo_api::BgpState;
use tombolo_bgp::SessionState;
use tombolo_plan::{HostPlan, order};

type ByKind = Vec<(&'static str, String)>;

/// What is counted and timed.
pub(crate) struct Metrics {
    registry: Mutex<Registry>,
    repairs: Family<ByKind, Counter>,
    objects: Family<ByKind, Gauge>,
    problems: Gauge,
    store_connected: Gauge,
    plan_seconds: Histogram,
    pass_seconds: Histogram,
    attachments: Family<ByKind, Counter>,
    cut: Counter,
    denied: Family<ByKind, Counter>,
    sessions: Sessions,
}

/// BGP, as it is when somebody asks.
#[derive(Default)]
struct Sessions {
    up: Family<ByKind, Gauge>,
    flaps: Family<ByKind, Gauge>,
    prefixes: Family<ByKind, Gauge>,
    announced: Gauge,
}

impl Metrics {
    pub fn new() -> Metrics {
        let mut registry = Registry::with_prefix("tombolo");
        // From 0.1 ms to 3.3 s.
        let times = || Histogram::new(exponential_buckets(0.0001, 2.0, 16));
        let metrics = Metrics {
            repairs: Family::default(),
            objects: Family::default(),
            problems: Gauge::default(),
            store_connected: Gauge::default(),
            plan_seconds: times(),
            pass_seconds: times(),
            attachments: Family::default(),
            cut: Counter::default(),
            denied: Family::default(),
            sessions: Sessions::default(),
            registry: Mutex::new(Registry::default()),
        };
        registry.register(
            "repairs",
            "Objects of ours that somebody else changed and the agent restored",
            metrics.repairs.clone(),
        );
        registry.register(
            "objects",
            "Objects that the kernel should hold",
            metrics.objects.clone(),
        );
        registry.register(
            "problems",
            "What cannot be done as the resources ask",
            metrics.problems.clone(),
        );
        registry.register(
            "store_connected",
            "Whether the store answers: 1 or 0",
            metrics.store_connected.clone(),
        );
        registry.register_with_unit(
            "plan",
            "Time to plan the host from the World",
            Unit::Seconds,
            metrics.plan_seconds.clone(),
        );
        registry.register_with_unit(
            "pass",
            "Time to plan, read the kernel and make it match",
            Unit::Seconds,
            metrics.pass_seconds.clone(),
        );
        registry.register(
            "attachments",
            "Containers plugged in and unplugged, by outcome",
            metrics.attachments.clone(),
        );
        metrics.register_policy(&mut registry);
        metrics.sessions.register(&mut registry);
        Metrics {
            registry: Mutex::new(registry),
            ..metrics
        }
    }

    fn register_policy(&self, registry: &mut Registry) {
        registry.register(
            "connections_cut",
            "Connections that were cut since they are not allowed any more",
            self.cut.clone(),
        );
        registry.register(
            "denied_packets",
            "Packets that were denied, by the policy's rule or by what else denied them",
            self.denied.clone(),
        );
    }

    pub fn planned(&self, time: Duration) {
        self.plan_seconds.observe(time.as_secs_f64());
    }

    pub fn passed(&self, time: Duration, plan: &HostPlan) {
        self.pass_seconds.observe(time.as_secs_f64());
        self.problems.set(count_of(plan.problems.len()));
        for (kind, count) in count(plan) {
            let count = count_of(count);
            self.objects.get_or_create(&vec![("kind", kind)]).set(count);
        }
    }

    pub fn store(&self, connected: bool) {
        self.store_connected.set(i64::from(connected));
    }

    pub fn repaired(&self, kind: &'static str) {
        self.repairs
            .get_or_create(&vec![("kind", kind.to_owned())])
            .inc();
    }

    /// Restored objects of each kind.
    pub fn repairs(&self) -> BTreeMap<String, u64> {
        order::kinds()
            .filter_map(|kind| {
                let count = self.repairs.get(&vec![("kind", kind.to_owned())])?.get();
                Some((kind.to_owned(), count))
            })
            .collect()
    }

    pub fn attachment(&self, operation: &'static str, succeeded: bool) {
        let outcome = if succeeded { "done" } else { "failed" };
        let labels = vec![
            ("operation", operation.to_owned()),
            ("outcome", outcome.to_owned()),
        ];
        self.attachments.get_or_create(&labels).inc();
    }

    pub fn cut(&self, connections: usize) {
        self.cut.inc_by(connections as u64);
    }

    pub fn denied(&self, policy: String, packets: u64) {
        let labels = vec![("policy", policy)];
        self.denied.get_or_create(&labels).inc_by(packets);
    }

    /// Takes how the BGP speaker is; none where there is none. Peers that are gone are not told any more.
    pub fn bgp(&self, state: Option<&BgpState>) {
        let told = &self.sessions;
        for family in [&told.up, &told.flaps, &told.prefixes] {
            family.clear();
        }
        told.announced
            .set(state.map_or(0, |state| count_of(state.announced)));
        for session in state.into_iter().flat_map(|state| &state.sessions) {
            let status = &session.status;
            let peer = ("peer", status.peer.to_string());
            let is_up = status.state == SessionState::Established;
            let labels = vec![peer.clone()];
            told.up.get_or_create(&labels).set(i64::from(is_up));
            told.flaps
                .get_or_create(&labels)
                .set(count_of(status.flaps));
            for (family, counts) in [
                ("ipv4", status.prefixes.ipv4),
                ("ipv6", status.prefixes.ipv6),
            ] {
                for (what, number) in [
                    ("received", counts.received),
                    ("accepted", counts.accepted),
                    ("best", counts.best),
                    ("advertised", counts.advertised),
                ] {
                    let labels = vec![
                        peer.clone(),
                        ("family", family.to_owned()),
                        ("what", what.to_owned()),
                    ];
                    told.prefixes.get_or_create(&labels).set(count_of(number));
                }
            }
        }
    }

    /// Everything, in the text format of OpenMetrics.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let registry = self
            .registry
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        // Writing to a String does not fail.
        let _ = encode(&mut text, &registry);
        text
    }
}

impl Sessions {
    fn register(&self, registry: &mut Registry) {
        registry.register(
            "bgp_session_up",
            "Whether the session with a BGP peer stands: 1 or 0",
            self.up.clone(),
        );
        registry.register(
            "bgp_session_flaps",
            "How often a session with a BGP peer ended that had stood",
            self.flaps.clone(),
        );
        registry.register(
            "bgp_prefixes",
            "Prefixes of a BGP peer: received, accepted, best, and advertised to it",
            self.prefixes.clone(),
        );
        registry.register(
            "bgp_announced",
            "Prefixes that this node announces of its own",
            self.announced.clone(),
        );
    }
}

fn count_of(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// Planned objects of each kind.
pub(crate) fn count(plan: &HostPlan) -> BTreeMap<String, usize> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for place in plan.objects.keys() {
        *counts.entry(order::kind(&place.key)).or_default() += 1;
    }
    let counts = counts.into_iter();
    counts
        .map(|(kind, count)| (kind.to_owned(), count))
        .collect()
}
