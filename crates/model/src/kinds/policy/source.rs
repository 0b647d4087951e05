//! Where a policy and its rules were written: an annotation that reading a text leaves, and that
//! explanations read.

use std::fmt::Write;

use super::Direction;
use crate::resource::Metadata;

/// The annotation: `web.yaml:10 ingress=14,17 egress=21`. The file's name without its folders, the
/// line that the resource begins at, and a line for each rule, in order.
pub const SOURCE: &str = "tombolo.dev/source";
/// The annotation of a policy that was written in another dialect: version, kind and name there.
pub const ORIGINAL: &str = "tombolo.dev/original";

/// Where a rule was written, as `web.yaml:14`; none if that is not known.
#[must_use]
pub fn source_line(metadata: &Metadata, direction: Direction, index: usize) -> Option<String> {
    let (file, _, lines) = parts(metadata.annotations.get(SOURCE)?)?;
    let [ingress, egress] = lines;
    let lines = match direction {
        Direction::Ingress => ingress,
        Direction::Egress => egress,
    };
    let line = lines.split(',').nth(index).filter(|l| is_number(l))?;
    Some(format!("{file}:{line}"))
}

/// Where a resource was written, as `web.yaml:10`; none if that is not known.
#[must_use]
pub fn source_of(metadata: &Metadata) -> Option<String> {
    let (file, line, _) = parts(metadata.annotations.get(SOURCE)?)?;
    Some(format!("{file}:{line}"))
}

/// Where rules were written, as the lines of those of each direction.
pub(crate) type RuleLines = [Vec<usize>; 2];

/// Notes where a resource and its rules (ingress, egress) were written.
pub(crate) fn note_source(metadata: &mut Metadata, file: &str, line: usize, rules: &RuleLines) {
    let name = file.rsplit('/').next().unwrap_or(file);
    let mut text = format!("{name}:{line}");
    for (direction, lines) in Direction::ALL.into_iter().zip(rules) {
        for (index, line) in lines.iter().enumerate() {
            let written = match index {
                0 => write!(text, " {direction}={line}"),
                _ => write!(text, ",{line}"),
            };
            written.expect("a String takes everything");
        }
    }
    metadata.annotations.insert(SOURCE.to_owned(), text);
}

/// The file, the resource's line, and the lines of rules. The file's name may hold anything, so the
/// text is taken apart from its end.
fn parts(text: &str) -> Option<(&str, &str, [&str; 2])> {
    let mut rest = text;
    let mut lines = [""; 2];
    for (place, direction) in [(1, " egress="), (0, " ingress=")] {
        let cut = rest.rsplit_once(direction);
        if let Some((before, list)) = cut.filter(|(_, list)| list.split(',').all(is_number)) {
            (rest, lines[place]) = (before, list);
        }
    }
    let (file, line) = rest.rsplit_once(':')?;
    is_number(line).then_some((file, line, lines))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Name;

    #[test]
    fn lines_are_found_again() {
        for file in ["web.yaml", "-", "a b:3 ingress=1 egress=x.yaml", ""] {
            let mut metadata = Metadata::named(Name::new("a").unwrap());
            note_source(
                &mut metadata,
                &format!("deep/down/{file}"),
                3,
                &[vec![5, 7], vec![]],
            );
            let line = |direction, index| source_line(&metadata, direction, index);
            assert_eq!(line(Direction::Ingress, 1), Some(format!("{file}:7")));
            assert_eq!(line(Direction::Ingress, 2), None);
            assert_eq!(line(Direction::Egress, 0), None);
            assert_eq!(source_of(&metadata), Some(format!("{file}:3")));
            note_source(&mut metadata, file, 9, &[vec![], vec![11]]);
            assert_eq!(
                source_line(&metadata, Direction::Egress, 0),
                Some(format!("{file}:11"))
            );
        }
    }

    #[test]
    fn what_others_write_there_is_no_line() {
        let mut metadata = Metadata::named(Name::new("a").unwrap());
        for text in ["", "web.yaml", "web.yaml:x", "web.yaml:3 ingress="] {
            metadata
                .annotations
                .insert(SOURCE.to_owned(), text.to_owned());
            assert_eq!(
                source_line(&metadata, Direction::Ingress, 0),
                None,
                "{text}"
            );
        }
    }
}
