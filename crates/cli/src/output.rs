//! What is printed: tables for people, JSON and YAML for programs.

use anyhow::{Context, Result};
use clap::ValueEnum;
use comfy_table::Table;
use serde::Serialize;

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// A table.
    #[default]
    Table,
    /// A table with more columns.
    Wide,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

impl Format {
    /// Prints a value for programs; answers whether it did, or a table is wanted.
    pub fn print(self, value: &impl Serialize) -> Result<bool> {
        match self {
            Format::Json => {
                println!(
                    "{}",
                    serde_json::to_string_pretty(value).context("the answer as JSON")?
                );
            }
            Format::Yaml => {
                print!(
                    "{}",
                    serde_saphyr::to_string(value).context("the answer as YAML")?
                );
            }
            Format::Table | Format::Wide => return Ok(false),
        }
        Ok(true)
    }
}

/// A table without lines, as `kubectl` prints it.
pub(crate) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(header.iter().map(|word| word.to_uppercase()));
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    table.trim_fmt()
}

/// A list in one cell; `-` if it is empty.
pub(crate) fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let texts: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if texts.is_empty() {
        "-".to_owned()
    } else {
        texts.join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_no_lines() {
        let rows = [
            vec!["a".to_owned(), "10.0.0.1".to_owned()],
            vec!["bb".to_owned(), list([""; 0])],
        ];
        insta::assert_snapshot!(table(&["name", "address"], rows), @r"
        NAME   ADDRESS
        a      10.0.0.1
        bb     -
        ");
    }
}
