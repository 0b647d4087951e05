//! What a large cluster costs one node: 1,000 nodes, 20,000 endpoints. The planner by itself; and a
//! whole agent on a lab's host with a real etcd: from the moment that the store tells of an endpoint
//! until the kernel holds its route, and the agent's memory. Nobody is there to compare with.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::IpAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tombolo_benches::{
    Figure, Goal, Inside, Report, etcd, interleave, large, milliseconds, resident, serve,
};
use tombolo_ipam::Request;
use tombolo_kernel::{Kernel, NetnsHandle, Ownership};
use tombolo_model::{
    AnyResource, ContainerId, Endpoint, IfName, KindName, MacAddr, Name, Resource, World, Write,
};
use tombolo_plan::{Observed, diff, plan};
use tombolo_store::Resources;
use tombolo_tests::{Cluster, Shape, lab};

const NODES: u32 = 1_000;
const ENDPOINTS_PER_NODE: u32 = 20;
const ROUNDS: usize = 15;
/// How long the kernel may take.
const LIMIT: Duration = Duration::from_secs(10);
/// The host and node that is measured.
const HOST: &str = "a";

/// What is asked of this program inside the host.
#[derive(Serialize, Deserialize)]
enum Question {
    /// Fill the store.
    Fill,
    /// Add one more endpoint: how many milliseconds from the store's event to the kernel's.
    Add(u32),
}

fn main() -> Result<ExitCode> {
    if let Some(code) = serve(answer) {
        return Ok(code);
    }
    let mut report = Report::new("planner");
    planner(&mut report)?;
    agent(&mut report)?;
    idle(&mut report)?;
    report.finish()?;
    Ok(ExitCode::SUCCESS)
}

/// The pure part.
fn planner(report: &mut Report) -> Result<()> {
    let world = large::world(NODES, ENDPOINTS_PER_NODE);
    let node = large::node_name(0);
    let planned = plan(&world, &node).context("the node is in its World")?;
    let held: Observed = planned
        .objects
        .iter()
        .map(|(place, p)| (place.clone(), p.object.clone()))
        .collect();
    println!("{} objects on the host", planned.objects.len());
    let [whole, empty, same] = interleave(
        ROUNDS,
        [
            &mut || milliseconds(|| Ok(black_box(plan(&world, &node)))),
            &mut || milliseconds(|| Ok(black_box(diff(&planned, &Observed::new())))),
            &mut || {
                milliseconds(|| {
                    ensure!(
                        black_box(diff(&planned, &held)).is_empty(),
                        "a kernel that is as planned is told to change"
                    );
                    Ok(())
                })
            },
        ],
    )?;
    let case = "plan from nothing, 1,000 nodes, 20,000 endpoints";
    report.add(Figure::alone(case, "ms", &whole).goal(Goal::AtMost(200.0)));
    report.add(Figure::alone("diff with an empty kernel", "ms", &empty));
    report.add(Figure::alone(
        "diff with a kernel that is as planned",
        "ms",
        &same,
    ));
    Ok(())
}

/// A whole agent, with a real etcd beside it.
fn agent(report: &mut Report) -> Result<()> {
    let lab = lab("bench-planner", &Shape::hosts(1));
    let _etcd = etcd::start(&lab, HOST)?;
    let mut inside = Inside::start(&lab, HOST)?;
    inside.ask::<f64>(&Question::Fill)?;
    lab.ready(HOST)?;
    let mut added = Vec::new();
    for n in 0..u32::try_from(ROUNDS * 2)? {
        added.push(inside.ask::<f64>(&Question::Add(n))?);
        lab.ready(HOST)?;
    }
    let case = "one endpoint added, from store event to kernel";
    report.add(Figure::alone(case, "ms", &added).goal(Goal::AtMost(20.0)));
    let memory = resident(&lab, HOST)?;
    let case = "resident memory of the agent at 1,000 nodes, 20,000 endpoints";
    report.add(Figure::alone(case, "MB", &[memory]).goal(Goal::AtMost(60.0)));
    Ok(())
}

/// Three nodes that have nothing to do.
fn idle(report: &mut Report) -> Result<()> {
    let cluster = Cluster::up("bench-idle", &Shape::hosts(3));
    cluster.settle();
    for (host, what) in [("a", "with the store"), ("b", "without the store")] {
        let memory = resident(&cluster.lab, host)?;
        let case = format!("resident memory of an idle agent of three nodes, {what}");
        report.add(Figure::alone(case, "MB", &[memory]).goal(Goal::AtMost(20.0)));
    }
    Ok(())
}

/// The part inside the host.
fn answer(question: Question) -> Result<f64> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let resources = etcd::resources()?;
    runtime.block_on(async {
        match question {
            Question::Fill => fill(&resources).await,
            Question::Add(number) => add(&resources, number).await,
        }
    })
}

async fn fill(resources: &Resources) -> Result<f64> {
    let world = large::world(NODES, ENDPOINTS_PER_NODE);
    let all: Vec<AnyResource> = KindName::ALL
        .iter()
        .flat_map(|kind| world.list(*kind))
        .collect();
    etcd::fill(resources, &all).await?;
    Ok(0.0)
}

async fn add(resources: &Resources, number: u32) -> Result<f64> {
    let netns = format!("/run/netns/bench{number}");
    let _sandbox = NetnsHandle::create_at(&netns)?;
    let (world, revision) = resources.world().await?;
    let (writes, address) = one_more(&world, number, &netns)?;
    let kernel = Kernel::open(&NetnsHandle::current()?, Ownership::default())?;
    let mut watcher = kernel.watch()?;
    let mut told = resources.watch(revision).await?;
    etcd::commit(resources, &writes).await?;
    told.next().await.context("the store tells of it")??;
    let begun = Instant::now();
    let is_route = |what: &str| what.split('/').next() == Some(address.to_string().as_str());
    loop {
        let events = watcher.wait(Some(LIMIT))?;
        ensure!(!events.is_empty(), "the kernel never got {address}");
        if events.iter().any(|event| {
            event.kind == "route" && event.namespace.is_none() && is_route(&event.what)
        }) {
            return Ok(begun.elapsed().as_secs_f64() * 1000.0);
        }
    }
}

/// The writes that add an endpoint to the host.
fn one_more(world: &World, number: u32, netns: &str) -> Result<(Vec<Write>, IpAddr)> {
    let (node, network) = (Name::new(HOST)?, Name::new("net")?);
    let identity = format!("{node}:bench{number}/eth0");
    let request = Request::workload(&node, &network, &identity);
    let claim = tombolo_ipam::assign(world, &request)?;
    let [.., high, low] = number.to_be_bytes();
    let endpoint = Endpoint {
        node,
        network,
        container_id: ContainerId::new(format!("bench{number}"))?,
        configuration: None,
        sandbox_id: None,
        interface: IfName::new("eth0")?,
        sandbox: netns.to_owned(),
        handover: None,
        handle: claim.handle,
        generation: claim.generation,
        addresses: claim.addresses.clone(),
        mac: MacAddr::local([9, 9, 9, high, low]),
        ports: Vec::new(),
        profiles: Vec::new(),
        named_ports: Vec::new(),
        boot_id: std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?
            .trim()
            .to_owned(),
    };
    let mut resource = Resource::new(Name::new(format!("bench{number}"))?, endpoint);
    resource.metadata.namespace = Some(Name::new("default")?);
    resource.metadata.labels = BTreeMap::new();
    let mut writes = claim.writes;
    writes.push(Write::put(resource.into(), None));
    let address = claim.addresses.first().copied();
    Ok((writes, address.context("an address was given")?))
}
