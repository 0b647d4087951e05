//! `lab`: hosts made of namespaces, on this machine.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use tombolo_lab::{Lab, LabSpec, Topology};

use crate::output::{list, table};

#[derive(Debug, Subcommand)]
pub(crate) enum LabCommand {
    /// Raise a lab; it stays until `lab down`.
    Up(Up),
    /// Take a lab down.
    Down(Which),
    /// The labs that are up.
    List,
    /// Run a command, or a shell, in a host (`a`) or a container of it (`a/c1`).
    Exec(Exec),
    /// Pull a host's wire.
    Cut(OfHost),
    /// Put it back.
    Heal(OfHost),
    /// Kill a host with all that runs on it.
    Kill(OfHost),
    /// Three hosts, six containers, one network, and what happens to them.
    Demo,
}

#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The lab's name.
    #[arg(long, default_value = "lab")]
    name: String,
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    #[command(flatten)]
    which: Which,
    /// How many hosts: a, b, c, …
    #[arg(long, default_value_t = 3)]
    hosts: usize,
    /// How they are joined: switch, subnets, line, leaf-spine or dual-leaf-spine.
    #[arg(long, default_value = "switch")]
    topology: Topology,
    /// MTU of the wires.
    #[arg(long, default_value_t = 1500)]
    mtu: u32,
    /// Also make them nodes of one cluster, and start their agents.
    #[arg(long)]
    join: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Exec {
    #[command(flatten)]
    which: Which,
    /// Where: `a`, `a/c1`, or `.` for the lab's own namespace.
    target: String,
    /// The command; a shell if there is none.
    #[arg(last = true)]
    command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct OfHost {
    #[command(flatten)]
    which: Which,
    /// The host.
    host: String,
}

impl LabCommand {
    pub fn run(self) -> Result<ExitCode> {
        match self {
            LabCommand::Up(words) => up(&words)?,
            LabCommand::Down(which) => Lab::find(&which.name)?.down()?,
            LabCommand::List => {
                let labs = Lab::list()?;
                let rows = labs.iter().map(|lab| {
                    vec![
                        lab.spec.name.clone(),
                        list(&lab.spec.hosts),
                        lab.spec.topology.to_string(),
                    ]
                });
                println!("{}", table(&["name", "hosts", "topology"], rows));
            }
            LabCommand::Exec(words) => {
                let shell = vec!["/bin/sh".to_owned()];
                let command = if words.command.is_empty() {
                    shell
                } else {
                    words.command
                };
                let lab = Lab::find(&words.which.name)?;
                let status = lab.interactive(words.target.as_str(), &command)?;
                let code = status
                    .code()
                    .and_then(|code| u8::try_from(code).ok())
                    .unwrap_or(1);
                return Ok(ExitCode::from(code));
            }
            LabCommand::Cut(of) => Lab::find(&of.which.name)?.cut(&of.host)?,
            LabCommand::Heal(of) => Lab::find(&of.which.name)?.heal(&of.host)?,
            LabCommand::Kill(of) => Lab::find(&of.which.name)?.kill(&of.host)?,
            LabCommand::Demo => {
                println!("Tombolo: three hosts, six containers, one network\n");
                tombolo_lab::demo::run(LabSpec::new(format!("demo-{}", std::process::id()), 3))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn up(words: &Up) -> Result<()> {
    let mut spec = LabSpec::new(&words.which.name, words.hosts);
    if words.hosts == 0 {
        bail!("--hosts 0: a lab has at least one host");
    }
    if words.join && !words.topology.routers().is_empty() {
        bail!(
            "--join --topology {}: nodes do not reach each other before something on the routers \
             makes routes; raise the lab without --join, set up {}, and join by hand",
            words.topology,
            list(words.topology.routers())
        );
    }
    spec.topology = words.topology;
    spec.mtu = words.mtu;
    spec.bound_to_parent = false;
    let lab = Lab::up(spec)?;
    if words.join {
        println!("a: init");
        lab.init("a", &[])?;
        lab.start_agent("a", &[])?;
        lab.ready("a")?;
        let server = lab.address("a")?.to_string();
        for host in lab.hosts().iter().skip(1) {
            println!("{host}: join");
            let token = lab.token("a")?;
            lab.join(host, &server, &token, &[])?;
            lab.start_agent(host, &[])?;
            lab.ready(host)?;
        }
    }
    let everybody = [lab.hosts(), &lab.routers()].concat();
    println!("lab {} is up: {}", words.which.name, list(&everybody));
    println!("  tombolo lab exec a -- ip address     a command, or a shell, in a host");
    println!("  tombolo lab down                     the end of it");
    Ok(())
}
