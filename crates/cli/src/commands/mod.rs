//! The commands, one file each.

mod apply;
mod bench;
mod check;
mod completion;
mod describe;
mod endpoint;
mod explain;
mod files;
mod get;
mod ipam;
mod lab;
mod label;
mod node;
mod sessions;
mod status;
mod token;
mod tunnel;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Subcommand;
use tombolo_api::Client;

/// No answer of the agent takes longer; one that waits for the kernel may take a minute.
const PATIENCE: Duration = Duration::from_secs(90);

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make this host the first node of a new cluster.
    Init(node::Init),
    /// Make this host a node of a cluster, with a token from one of its nodes.
    Join(node::Join),
    /// Make, list and revoke tokens that let nodes join.
    #[command(subcommand)]
    Token(token::Token),
    /// Run the agent; `--cleanup` removes everything of ours from the kernel instead.
    Agent(node::Agent),
    /// Run the tunnel of transport `udp` as a process of its own, so that packets go on while the agent
    /// is restarted.
    Tunnel(tunnel::Tunnel),
    /// How this node is.
    Status(status::Status),
    /// List resources, or show one.
    Get(get::Get),
    /// Show all there is to say of one resource.
    Describe(describe::Describe),
    /// Make resources as files say: all, or none.
    Apply(apply::Apply),
    /// Delete a resource, or those of a file.
    Delete(apply::Delete),
    /// Plug a network namespace, or a process's, into a network.
    Attach(endpoint::Attach),
    /// Unplug it.
    Detach(endpoint::Detach),
    /// Change who an endpoint is to policies: its labels, its profiles.
    Label(label::Label),
    /// Addresses: who has which, what does not fit together, give one back.
    #[command(subcommand)]
    Ipam(ipam::Ipam),
    /// Check files without an agent.
    Validate(files::Validate),
    /// What this host should hold, and why; or, from files, what any host should.
    Plan(files::Plan),
    /// Why an object is in the kernel: which resource asked for it, by which rule; or whose it is.
    Explain(explain::Explain),
    /// What could be wrong around this node, and what to do about it.
    Check(check::Check),
    /// How fast containers reach each other here, by each way that this kernel has.
    Bench(bench::Bench),
    /// Hosts made of namespaces on this machine, to try things out.
    #[command(subcommand)]
    Lab(lab::LabCommand),
    /// A script with which a shell completes these words.
    Completion(completion::Completion),
    /// The version.
    Version,
}

/// Runs a command.
pub(crate) fn run(command: Command, socket: PathBuf) -> Result<ExitCode> {
    let client = Client::new(&socket, Some(PATIENCE));
    match command {
        Command::Init(words) => words.run(socket)?,
        Command::Join(words) => words.run(socket)?,
        Command::Token(words) => words.run(&client)?,
        Command::Agent(words) => words.run(socket)?,
        Command::Tunnel(words) => words.run()?,
        Command::Status(words) => return words.run(&client),
        Command::Get(words) => words.run(&client)?,
        Command::Describe(words) => words.run(&client)?,
        Command::Apply(words) => words.run(&client)?,
        Command::Delete(words) => words.run(&client)?,
        Command::Attach(words) => words.run(&client)?,
        Command::Detach(words) => words.run(&client)?,
        Command::Label(words) => words.run(&client)?,
        Command::Ipam(words) => return words.run(&client),
        Command::Validate(words) => words.run()?,
        Command::Plan(words) => words.run(&client)?,
        Command::Explain(words) => return words.run(&client),
        Command::Check(words) => return words.run(&client),
        // It needs all words, which the program's root has.
        Command::Completion(_) => {}
        Command::Bench(words) => return words.run(),
        Command::Lab(words) => return words.run(),
        Command::Version => println!("tombolo {}", env!("CARGO_PKG_VERSION")),
    }
    Ok(ExitCode::SUCCESS)
}
