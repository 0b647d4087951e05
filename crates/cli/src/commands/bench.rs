//! `bench`: how fast containers reach each other here, by each way that this kernel has.
//!
//! It raises a lab of its own on this machine, with two nodes and two bare hosts, and measures from
//! one to the other by every transport and driver, in turns. The lab ends with this process, however
//! that ends; nothing else on the machine is touched.

mod candidates;
mod ground;
mod progress;

use std::ops::ControlFlow;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use clap::builder::PossibleValuesParser;
use tombolo_bench::{Kind, Report, Scene, Study, Window, render};

use crate::output::Format;
use candidates::Candidate;
use ground::Ground;
use progress::Progress;

/// How long data flow before they count, in milliseconds.
const WARM_UP: u32 = 50;

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// How often everything is measured; medians count.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// How long each measurement takes.
    #[arg(long, default_value_t = 200, value_name = "N",
          value_parser = clap::value_parser!(u32).range(10..=60_000))]
    milliseconds: u32,
    /// Five sizes of messages instead of seventeen.
    #[arg(long)]
    quick: bool,
    /// Measure only this, and that.
    #[arg(long, value_delimiter = ',', value_name = "WHAT",
          value_parser = PossibleValuesParser::new(Kind::ALL.map(Kind::name)))]
    only: Vec<String>,
    /// Compare only these networks with the bare hosts; `--list` names them.
    #[arg(long = "network", value_delimiter = ',', value_name = "NETWORK")]
    networks: Vec<String>,
    /// List the networks that there are to compare instead, and what this kernel lacks for them.
    #[arg(long)]
    list: bool,
    /// Write the report as one page, with plots, to this file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write each plot into this folder.
    #[arg(long, value_name = "FOLDER")]
    svg: Option<PathBuf>,
    /// How the report is printed.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl Bench {
    pub fn run(self) -> Result<ExitCode> {
        let candidates = self.candidates()?;
        if self.list {
            let rows = candidates.iter().map(|one| {
                let lacks = one.lacks().unwrap_or_else(|| "-".to_owned());
                vec![one.id.clone(), one.name.clone(), lacks]
            });
            println!(
                "{}",
                crate::output::table(&["network", "is", "not here, because"], rows)
            );
            return Ok(ExitCode::SUCCESS);
        }
        self.try_files()?;
        let _alone = alone()?;
        let progress = Progress::new();
        let mut ground = Ground::raise(&candidates, &|what| progress.tell(what))?;
        let mut report = self
            .study()
            .run(scene(), &mut ground.contenders(), &mut |step| {
                progress.step(&step);
                ControlFlow::Continue(())
            });
        progress.end();
        ground.describe(&mut report);
        drop(ground);
        self.write(&report)?;
        if !self.output.print(&report)? {
            print!("{}", render::table(&report));
        }
        Ok(if report.failures.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    /// What is to be compared.
    fn candidates(&self) -> Result<Vec<Candidate>> {
        let mut all = candidates::all();
        for wanted in &self.networks {
            if !all.iter().any(|one| one.id == *wanted) {
                let known: Vec<&str> = all.iter().map(|one| one.id.as_str()).collect();
                bail!(
                    "--network {wanted}: there is no such network to compare; there are {}",
                    known.join(", ")
                );
            }
        }
        if !self.networks.is_empty() {
            all.retain(|one| self.networks.contains(&one.id));
        }
        Ok(all)
    }

    fn study(&self) -> Study {
        let window = Window {
            warm_up: WARM_UP,
            measured: self.milliseconds,
        };
        let kinds: Vec<Kind> = Kind::ALL
            .into_iter()
            .filter(|kind| self.only.iter().any(|name| name == kind.name()))
            .collect();
        Study::new(self.rounds, window, self.quick).only(&kinds)
    }

    /// Finds out before minutes of work whether what they bring can be written.
    fn try_files(&self) -> Result<()> {
        if let Some(file) = &self.html {
            std::fs::File::options()
                .append(true)
                .create(true)
                .open(file)
                .with_context(|| format!("--html {}", file.display()))?;
        }
        if let Some(folder) = &self.svg {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("--svg {}", folder.display()))?;
        }
        Ok(())
    }

    fn write(&self, report: &Report) -> Result<()> {
        let put = |path: &Path, text: &str| {
            std::fs::write(path, text).with_context(|| format!("write {}", path.display()))
        };
        if let Some(file) = &self.html {
            put(file, &render::html(report))?;
        }
        if let Some(folder) = &self.svg {
            for (name, svg) in render::plots(report) {
                put(&folder.join(format!("{name}.svg")), &svg)?;
            }
        }
        Ok(())
    }
}

/// Held while this process measures: a name in the machine's network namespace that is gone with the
/// process, however it ends (unix(7), abstract addresses).
fn alone() -> Result<UnixListener> {
    let address = SocketAddr::from_abstract_name("tombolo-bench").context("name a socket")?;
    match UnixListener::bind_addr(&address) {
        Ok(held) => Ok(held),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => bail!(
            "another `tombolo bench` measures on this machine, and two at once would measure each \
             other: wait until it has ended"
        ),
        Err(error) => Err(error).context("see whether another `tombolo bench` runs"),
    }
}

fn scene() -> Scene {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Scene {
        place: "Hosts of the lab, on one machine".to_owned(),
        kernel: kernel.trim().to_owned(),
        processors: std::thread::available_parallelism().map_or(0, usize::from),
        day: time::OffsetDateTime::now_utc().date().to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}
