//! What policy costs: a packet and a new connection through an endpoint, with so many policies for
//! others on its host, beside the same rules as one chain of iptables; one endpoint that joins a
//! selector which 1,000 policies use; and the whole ruleset of a large host from nothing.
//!
//! The clusters are up side by side, so that each round measures all of them. What is measured of a
//! packet is the round trip of one byte on a TCP connection between two waiting processes.

mod site;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tombolo_benches::{Figure, Goal, Inside, Report, etcd, large, milliseconds, resident, serve};
use tombolo_kernel::{Kernel, NetnsHandle, Ownership};
use tombolo_lab::Lab;
use tombolo_model::{AnyResource, KindName, Name, NetworkPolicy, Resource, World, Write};
use tombolo_plan::{HostPlan, Key, plan};
use tombolo_store::Resources;
use tombolo_tests::{Cluster, Shape, lab};

use site::{Seen, Site};

/// Policies for others.
const ELSEWHERE: [usize; 4] = [0, 100, 1_000, 10_000];
const ROUNDS: usize = 15;
/// The cluster in which one endpoint joins.
const NODES: u32 = 1_000;
const ENDPOINTS_PER_NODE: u32 = 20;
const POLICIES: usize = 1_000;
/// The host whose rules are written from nothing.
const ENDPOINTS: u32 = 10_000;
/// Policies in one file.
const BATCH: usize = 100;
const LIMIT: Duration = Duration::from_secs(10);
const HOST: &str = "a";

/// What is asked of this program inside a host.
#[derive(Serialize, Deserialize)]
enum Question {
    /// Of a way.
    Way(site::Question),
    /// Fill the store, with policies for an endpoint of this host.
    Fill,
    /// One endpoint gets the label: how many milliseconds from the store's event to the kernel's.
    Join(u32),
    /// Write all rules of a large host: how many milliseconds.
    Whole,
}

fn main() -> Result<ExitCode> {
    if let Some(code) = serve(answer) {
        return Ok(code);
    }
    let mut report = Report::new("policy");
    packets(&mut report)?;
    join(&mut report)?;
    whole(&mut report)?;
    report.finish()?;
    Ok(ExitCode::SUCCESS)
}

/// A packet's price beside policies that do not concern it.
fn packets(report: &mut Report) -> Result<()> {
    let clusters: Vec<Cluster> = ELSEWHERE.iter().map(|many| cluster(*many)).collect();
    let by_hand = [0, ELSEWHERE[3]];
    let labs = by_hand.map(|many| lab(&format!("bench-iptables-{many}"), &Shape::hosts(1)));
    let mut sites = Vec::new();
    for cluster in &clusters {
        let _ = cluster.container_with(HOST, "client", &config("client"));
        let server = cluster.container_with(HOST, "server", &config("server"));
        cluster.settle();
        sites.push(Site::new(&cluster.lab, server[0].parse()?)?);
    }
    for (lab, many) in labs.iter().zip(by_hand) {
        lab.output(
            HOST,
            &["bash", "-c", site::BY_HAND, "by-hand", &many.to_string()],
        )?;
        sites.push(Site::new(lab, site::BY_HAND_SERVER)?);
    }
    let mut seen: Vec<Vec<Seen>> = vec![Vec::new(); sites.len()];
    for round in 0..ROUNDS {
        for turn in 0..sites.len() {
            let index = (round + turn) % sites.len();
            seen[index].push(sites[index].measure()?);
        }
    }
    let figure =
        |index: usize, of: fn(&Seen) -> f64| seen[index].iter().map(of).collect::<Vec<f64>>();
    let latency = |index| figure(index, |seen| seen.microseconds);
    let rate = |index| figure(index, |seen| seen.connections);
    for (index, many) in ELSEWHERE.iter().enumerate() {
        let none = ("no policies elsewhere", index);
        let beside = |of: &dyn Fn(usize) -> Vec<f64>, what: &str, unit| {
            Figure::beside(
                format!("{what}, {many} policies elsewhere"),
                unit,
                &of(none.1),
                (none.0, &of(0)),
            )
        };
        report.add(beside(&latency, "round trip", "us").goal(Goal::RatioAtMost(1.05)));
        report.add(beside(&rate, "connections", "1/s").goal(Goal::RatioAtLeast(0.95)));
    }
    let (empty, full) = (ELSEWHERE.len(), ELSEWHERE.len() + 1);
    let case = |what: &str| format!("{what}, iptables with {} rules in a row", by_hand[1]);
    report.add(Figure::beside(
        case("round trip"),
        "us",
        &latency(full),
        ("iptables, none", &latency(empty)),
    ));
    report.add(Figure::beside(
        case("connections"),
        "1/s",
        &rate(full),
        ("iptables, none", &rate(empty)),
    ));
    Ok(())
}

/// One host with a third container, which so many policies are for.
fn cluster(policies: usize) -> Cluster {
    let cluster = Cluster::up(&format!("bench-policy-{policies}"), &Shape::hosts(1));
    let _ = cluster.container_with(HOST, "other", &config("other"));
    cluster.apply(HOST, SERVER);
    let one = |number: usize| {
        let port = 1024 + number % 60_000;
        format!(
            "---\napiVersion: tombolo.dev/v1\nkind: NetworkPolicy\n\
             metadata: {{name: other-{number}, namespace: default}}\n\
             spec:\n  selector: role == 'other'\n  ingress:\n  \
             - {{action: Allow, protocol: TCP, source: {{selector: role == 'client'}}, destination: {{ports: [{port}]}}}}\n"
        )
    };
    let numbers: Vec<usize> = (0..policies).collect();
    for batch in numbers.chunks(BATCH) {
        let text: String = batch.iter().map(|number| one(*number)).collect();
        cluster.apply(HOST, &text);
    }
    cluster
}

/// How a container with a role is attached.
fn config(role: &str) -> Value {
    let mut config = Lab::config("default");
    config["args"] = json!({"cni": {"labels": [{"key": "role", "value": role}]}});
    config
}

const SERVER: &str = "apiVersion: tombolo.dev/v1
kind: NetworkPolicy
metadata: {name: server, namespace: default}
spec:
  selector: role == 'server'
  ingress:
    - {action: Allow, protocol: TCP, source: {selector: role == 'client'}}
";

/// One endpoint of 20,000 joins a selector that 1,000 policies use.
fn join(report: &mut Report) -> Result<()> {
    let lab = lab("bench-policy-join", &Shape::hosts(1));
    let _etcd = etcd::start(&lab, HOST)?;
    let cluster = Cluster { lab };
    let _ = cluster.container_with(HOST, "server", &config("server"));
    let mut inside = Inside::start(&cluster.lab, HOST)?;
    inside.ask::<f64>(&Question::Fill)?;
    cluster.lab.ready(HOST)?;
    let mut joined = Vec::new();
    for number in 0..u32::try_from(ROUNDS * 2)? {
        joined.push(inside.ask::<f64>(&Question::Join(number))?);
        cluster.lab.ready(HOST)?;
    }
    let case =
        "one of 20,000 endpoints joins a selector of 1,000 policies, from store event to kernel";
    report.add(Figure::alone(case, "ms", &joined).goal(Goal::AtMost(20.0)));
    let case = "resident memory of the agent at 20,000 endpoints and 1,000 policies";
    report.add(Figure::alone(case, "MB", &[resident(&cluster.lab, HOST)?]));
    Ok(())
}

/// All rules of a host with 10,000 endpoints and 1,000 policies, from nothing.
fn whole(report: &mut Report) -> Result<()> {
    let lab = lab("bench-policy-whole", &Shape::hosts(1));
    let mut inside = Inside::start(&lab, HOST)?;
    let took = (0..5)
        .map(|_| inside.ask::<f64>(&Question::Whole))
        .collect::<Result<Vec<f64>>>()?;
    let case = "rules of a host with 10,000 endpoints and 1,000 policies, planned and written from nothing";
    report.add(Figure::alone(case, "ms", &took).goal(Goal::AtMost(2000.0)));
    Ok(())
}

/// The part inside the host.
fn answer(question: Question) -> Result<f64> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match question {
        Question::Way(question) => site::answer(&question),
        Question::Whole => write_all(),
        Question::Fill => runtime.block_on(async { fill(&etcd::resources()?).await }),
        Question::Join(number) => {
            runtime.block_on(async { join_one(&etcd::resources()?, number).await })
        }
    }
}

/// Policies for endpoints with a label, all with the same selector for their peers.
fn policies(selector: impl Fn(usize) -> String) -> Result<Vec<Resource<NetworkPolicy>>> {
    let policy = |number: usize| -> Result<_> {
        let spec = json!({
            "selector": selector(number),
            "ingress": [{
                "action": "Allow",
                "protocol": "TCP",
                "source": {"selector": "role == 'client'"},
                "destination": {"ports": [1024 + number]},
            }],
        });
        let mut policy = Resource::new(
            Name::new(format!("p{number}"))?,
            serde_json::from_value(spec)?,
        );
        policy.metadata.namespace = Some(Name::new("default")?);
        Ok(policy)
    };
    (0..POLICIES).map(policy).collect()
}

async fn fill(resources: &Resources) -> Result<f64> {
    let world = large::world(NODES, ENDPOINTS_PER_NODE);
    let mut all: Vec<AnyResource> = KindName::ALL
        .iter()
        .flat_map(|kind| world.list(*kind))
        .collect();
    for (index, resource) in all.iter_mut().enumerate() {
        if resource.kind() == KindName::Endpoint && index % 2 == 0 {
            resource.metadata_mut().labels = labels("client");
        }
    }
    let server = policies(|_| "role == 'server'".to_owned())?;
    all.extend(server.into_iter().map(AnyResource::from));
    etcd::fill(resources, &all).await?;
    Ok(0.0)
}

fn labels(role: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("role".to_owned(), role.to_owned())])
}

/// An endpoint of another node becomes a client.
async fn join_one(resources: &Resources, number: u32) -> Result<f64> {
    let (world, revision) = resources.world().await?;
    let mut others = world.endpoints.values().filter(|endpoint| {
        endpoint.metadata.labels.is_empty() && endpoint.spec.node == large::node_name(number + 1)
    });
    let mut joining = others
        .next()
        .context("a node has an endpoint without the label")?
        .clone();
    joining.metadata.labels = labels("client");
    let version = joining.metadata.resource_version;
    let kernel = Kernel::open(&NetnsHandle::current()?, Ownership::default())?;
    let mut watcher = kernel.watch()?;
    let mut told = resources.watch(revision).await?;
    etcd::commit(resources, &[Write::put(joining.into(), version)]).await?;
    told.next().await.context("the store tells of it")??;
    let begun = Instant::now();
    loop {
        let events = watcher.wait(Some(LIMIT))?;
        ensure!(!events.is_empty(), "the kernel never got a new member");
        if events.iter().any(|event| event.kind == "nft") {
            return Ok(begun.elapsed().as_secs_f64() * 1000.0);
        }
    }
}

/// Plans and writes the rules of a large host into a namespace of their own.
fn write_all() -> Result<f64> {
    let world = large_host()?;
    let netns = NetnsHandle::create()?;
    milliseconds(|| {
        let planned = plan(&world, &large::node_name(0)).context("the node is in its World")?;
        let rules = planned.objects.into_iter().filter(|(place, _)| {
            matches!(
                place.key,
                Key::NftSet(_) | Key::NftMembers(_) | Key::NftChain(_)
            )
        });
        let rules = HostPlan {
            objects: rules.collect(),
            ..HostPlan::default()
        };
        let done = Kernel::open(&netns, Ownership::default())?.converge(&rules)?;
        ensure!(
            done.failed.is_empty(),
            "the kernel refused {:?}",
            done.failed.first()
        );
        Ok(())
    })
}

/// A host with all endpoints of a cluster, of a hundred sorts.
fn large_host() -> Result<World> {
    let mut world = large::world(ENDPOINTS / 250, 250);
    let here = large::node_name(0);
    let endpoints: Vec<_> = world.endpoints.values().cloned().collect();
    ensure!(endpoints.len() == ENDPOINTS as usize);
    for (index, mut endpoint) in endpoints.into_iter().enumerate() {
        endpoint.spec.node = here.clone();
        endpoint.metadata.labels = labels(if index % 2 == 0 { "client" } else { "server" });
        endpoint
            .metadata
            .labels
            .insert("app".to_owned(), format!("app-{}", index % 100));
        world.put(endpoint.into());
    }
    for policy in policies(|number| format!("app == 'app-{}'", number % 100))? {
        world.put(policy.into());
    }
    Ok(world)
}
