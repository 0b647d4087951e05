//! `token`: who may join.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::Value;
use tombolo_api::{Client, NewToken, TokenRequest};

use crate::output::{Format, table};

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a token, and print it. It is shown only this once.
    Create(Create),
    /// List tokens, without their secrets.
    List {
        /// How the answer is printed.
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
    /// End a token before its time.
    Revoke {
        /// Its id, as listed.
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// How long it is good for, as `90s`, `30m`, `24h` or `7d`.
    #[arg(long, default_value = "24h", value_parser = duration)]
    ttl: Duration,
    /// How many nodes may join with it.
    #[arg(long, default_value_t = 1)]
    uses: u32,
    /// How the answer is printed: the token alone, or all about it.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    /// Print the whole command for the new node.
    #[arg(long)]
    command: bool,
}

/// A time with its unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time such as 90s, 30m, 24h or 7d");
    let (number, unit) = text.split_at(text.len() - text.chars().last().map_or(0, char::len_utf8));
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number
        .checked_mul(seconds)
        .map(Duration::from_secs)
        .ok_or_else(wrong)
}

impl Token {
    pub fn run(self, client: &Client) -> Result<()> {
        match self {
            Token::Create(words) => {
                let request = TokenRequest {
                    ttl: words.ttl.as_secs(),
                    uses: words.uses,
                };
                let made: NewToken = client.post("/v1/tokens", &request)?;
                if !words.output.print(&made)? {
                    println!(
                        "{}",
                        if words.command {
                            made.command
                        } else {
                            made.token
                        }
                    );
                }
            }
            Token::List { output } => {
                let tokens: Vec<Value> = client.get("/v1/tokens")?;
                if !output.print(&tokens)? {
                    println!(
                        "{}",
                        table(&["id", "ends", "uses", "used by"], tokens.iter().map(row))
                    );
                }
            }
            Token::Revoke { id } => client.delete(&format!("/v1/tokens/{id}"))?,
        }
        Ok(())
    }
}

fn row(token: &Value) -> Vec<String> {
    let spec = &token["spec"];
    let used: Vec<&str> = spec["usedBy"]
        .as_array()
        .map(|uses| {
            uses.iter()
                .filter_map(|used| used["node"].as_str())
                .collect()
        })
        .unwrap_or_default();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map(|t| t.as_secs())
        .unwrap_or_default();
    let left = spec["expires"]
        .as_u64()
        .unwrap_or_default()
        .checked_sub(now);
    let ends = match left {
        _ if spec["revoked"] == true => "revoked".to_owned(),
        None | Some(0) => "expired".to_owned(),
        Some(left) if left >= 7200 => format!("in {} h", left / 3600),
        Some(left) => format!("in {} min", left.div_ceil(60)),
    };
    let name = token["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let uses = format!("{}/{}", used.len(), spec["uses"]);
    vec![name, ends, uses, crate::output::list(used)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(duration("90s").unwrap().as_secs(), 90);
        assert_eq!(duration("7d").unwrap().as_secs(), 604_800);
        for text in [
            "",
            "h",
            "5",
            "5w",
            "-1s",
            "1.5h",
            "99999999999999999999d",
            "5µ",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
