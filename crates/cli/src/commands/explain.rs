//! `explain`: why an object is in the kernel, or whose it is; `explain flow`: who may talk to whom.

mod flow;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use tombolo_api::{Client, ExplainRequest};
use tombolo_plan::explain::{Explained, Explanation, Holder, Question};

use crate::output::Format;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tombolo explain route 10.244.1.0/26              a route, by its destination
  tombolo explain route default in c1/eth0         the same inside a container
  tombolo explain link tbx4096
  tombolo explain address 10.244.1.5               who has it, and how it is reached
  tombolo explain neighbour 10.244.1.0 dev tbx4096
  tombolo explain fdb 02:e6:9a:7f:85:ac dev tbx4096
  tombolo explain rule 100
  tombolo explain sysctl net.ipv4.ip_forward
  tombolo explain nft chain nat-postrouting
  tombolo explain flow client shop/web 80          would it get there, and why
  tombolo explain flow 10.1.2.3 node/b UDP/53
  tombolo explain flow client web ICMP/8/0 -f new/ the same by files, without an agent

Status 1 if there is no such object; 0 for a flow, whether it is allowed or not.")]
pub(crate) struct Explain {
    /// What kind of object.
    #[arg(value_parser = ["route", "link", "address", "addr", "neighbour", "neighbor", "neigh", "fdb", "rule", "sysctl", "nft", "flow"])]
    kind: String,
    /// Which one, as `ip` or `nft` would say it; `in WHERE` looks into a container's sandbox, by its
    /// endpoint's name, its CONTAINER[/INTERFACE], or the sandbox's path. Of a flow: FROM TO [PORT],
    /// each end an endpoint (any part of NAMESPACE/NAME that only one has, or the beginning of its
    /// container's id), an address, or node/NAME; the port as 80, TCP/80, UDP/53, ICMP or ICMP/8/0.
    #[arg(required = true)]
    words: Vec<String>,
    /// Answer for a flow by these files or folders instead of asking the agent; `-` for the standard
    /// input.
    #[arg(short, long)]
    file: Vec<PathBuf>,
    /// How the answer is printed.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl Explain {
    pub fn run(self, client: &Client) -> Result<ExitCode> {
        if self.kind == "flow" {
            return flow::run(&self.words, &self.file, self.output, client);
        }
        if !self.file.is_empty() {
            eprintln!(
                "error: only flows are explained by files; see `tombolo plan -f` for objects"
            );
            return Ok(ExitCode::from(2));
        }
        let mut question = vec![self.kind];
        question.extend(self.words);
        let mut inside = None;
        if let [.., word, place] = question.as_slice()
            && word == "in"
        {
            inside = Some(place.clone());
            question.truncate(question.len() - 2);
        }
        if let Err(why) = Question::parse(&question) {
            // It is used wrongly, which is known before anybody is asked.
            eprintln!("error: {why}");
            return Ok(ExitCode::from(2));
        }
        let request = ExplainRequest { question, inside };
        let answer: Explanation = client.post("/v1/explain", &request)?;
        if !self.output.print(&answer)? {
            print!("{}", report(&answer));
        }
        Ok(if answer.is_empty() {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }
}

fn report(answer: &Explanation) -> String {
    let mut text = String::new();
    if answer.is_empty() {
        text.push_str(&format!(
            "{}: not in the kernel, and not planned\n",
            answer.question
        ));
    }
    for object in &answer.found {
        text.push_str(&one(object));
    }
    if let Some(holder) = &answer.holder {
        text.push_str(&held(&answer.question, holder));
    }
    if let Some(nearest) = &answer.nearest {
        text.push_str("packets there take\n");
        text.push_str(&one(nearest));
    }
    text
}

fn line(name: &str, value: Option<&str>) -> String {
    value.map_or_else(String::new, |value| {
        // What has several lines, as a chain, stands in one column.
        let value = value.replace('\n', "\n              ");
        format!("  {name:<11} {value}\n")
    })
}

fn one(object: &Explained) -> String {
    let mut text = format!("{}\n", object.place);
    let said = |words: &Option<String>| match words.as_deref() {
        Some("") => Some("is there".to_owned()),
        other => other.map(str::to_owned),
    };
    let (kernel, planned) = (said(&object.kernel), said(&object.planned));
    if object.planned.is_some() && object.differences.is_empty() {
        text.push_str(&line("as planned", planned.as_deref()));
    } else {
        text.push_str(&line("kernel", kernel.as_deref()));
        text.push_str(&line("planned", planned.as_deref()));
    }
    for difference in &object.differences {
        text.push_str(&line("differs", Some(difference)));
    }
    if let Some(resource) = &object.resource {
        let about = object.about.as_ref().map(|about| format!(" ({about})"));
        let words = format!("{resource}{}", about.unwrap_or_default());
        text.push_str(&line("because of", Some(&words)));
    }
    text.push_str(&line("rule", object.rule.as_deref()));
    text.push_str(&line("why", object.why.as_deref()));
    text.push_str(&line("whose", object.whose.as_deref()));
    text
}

fn held(question: &str, holder: &Holder) -> String {
    let mut text = format!("{question}, as the resources say\n");
    text.push_str(&line("is", Some(&holder.use_of_it)));
    let texts = [
        (
            "endpoint",
            holder.endpoint.as_ref().map(ToString::to_string),
        ),
        ("node", holder.node.as_ref().map(ToString::to_string)),
        ("pool", holder.pool.as_ref().map(ToString::to_string)),
        (
            "block",
            holder.block.map(|block| match &holder.block_node {
                Some(node) => format!("{block} of node {node}"),
                None => block.to_string(),
            }),
        ),
        ("handle", holder.handle.as_ref().map(ToString::to_string)),
    ];
    for (name, value) in texts {
        text.push_str(&line(name, value.as_deref()));
    }
    text
}
