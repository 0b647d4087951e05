//! How long the planner takes on a large cluster: 1,000 nodes, 20,000 endpoints. Nobody is there to
//! compare with.

use std::hint::black_box;

use anyhow::{Context, Result, ensure};
use tombolo_bench::{Figure, Goal, Report, interleave, large, milliseconds};
use tombolo_plan::{Observed, diff, plan};

const NODES: u32 = 1_000;
const ENDPOINTS_PER_NODE: u32 = 20;
const ROUNDS: usize = 15;

fn main() -> Result<()> {
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
    let mut report = Report::new("planner");
    let case = "plan from nothing, 1,000 nodes, 20,000 endpoints";
    report.add(Figure::alone(case, "ms", &whole).goal(Goal::AtMost(200.0)));
    report.add(Figure::alone("diff with an empty kernel", "ms", &empty));
    report.add(Figure::alone(
        "diff with a kernel that is as planned",
        "ms",
        &same,
    ));
    report.finish()
}
