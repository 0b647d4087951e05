//! A plain text table: columns of numbers are aligned to the right, columns of words to the left.

/// Renders `rows` under `head`, every column as wide as its widest cell.
pub fn render(head: &[&str], rows: &[Vec<String>]) -> String {
    let columns: Vec<(usize, bool)> = (0..head.len())
        .map(|column| {
            let cells = || rows.iter().filter_map(|row| row.get(column));
            let widest = cells().map(|cell| cell.chars().count()).max().unwrap_or(0);
            let numbers = cells().all(|cell| cell.chars().all(|c| c.is_ascii_digit()));
            (widest.max(head[column].chars().count()), numbers)
        })
        .collect();
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_string()).collect();
    let mut text = String::new();
    for row in std::iter::once(&head).chain(rows) {
        let aligned: Vec<String> = row
            .iter()
            .zip(&columns)
            .map(|(cell, (width, numbers))| match numbers {
                true => format!("{cell:>width$}"),
                false => format!("{cell:<width$}"),
            })
            .collect();
        text.push_str(aligned.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_aligned_to_the_right_and_words_to_the_left() {
        let rows = [
            vec!["files".to_string(), "7".to_string(), "a.rs".to_string()],
            vec!["fn".to_string(), "123".to_string(), "b".to_string()],
        ];
        let table = render(&["", "max", "largest"], &rows);
        assert_eq!(
            table,
            "       max  largest\nfiles    7  a.rs\nfn     123  b\n"
        );
    }
}
