//! Everything in a set or map as one object, for sets that are large or change often.
//!
//! A change of it is what differs between two of them, so one more member costs one element in the
//! kernel, and a plan with twenty thousand members is copied as cheaply as one with three.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Datum, join};

/// Keys, each with what a map maps it to; nothing in a set.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(into = "Vec<Member>", from = "Vec<Member>")]
pub struct Members(pub Arc<BTreeMap<Vec<Datum>, Vec<Datum>>>);

/// A key, and what it is mapped to.
type Member = (Vec<Datum>, Vec<Datum>);

/// How one becomes another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes<'a> {
    /// What only the first has, or has with other data.
    pub gone: Vec<(&'a [Datum], &'a [Datum])>,
    /// What only the second has, or has with other data.
    pub new: Vec<(&'a [Datum], &'a [Datum])>,
}

impl Members {
    /// Members of a set.
    #[must_use]
    pub fn of_set(keys: impl IntoIterator<Item = Vec<Datum>>) -> Members {
        keys.into_iter().map(|key| (key, Vec::new())).collect()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&[Datum], &[Datum])> {
        self.0
            .iter()
            .map(|(key, data)| (key.as_slice(), data.as_slice()))
    }

    /// How this becomes another.
    #[must_use]
    pub fn changes<'a>(&'a self, to: &'a Members) -> Changes<'a> {
        let mut changes = Changes::default();
        if Arc::ptr_eq(&self.0, &to.0) {
            return changes;
        }
        let (mut old, mut new) = (self.iter().peekable(), to.iter().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return changes,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((a, _)), Some((b, _))) => a.cmp(b),
            };
            match order {
                Ordering::Less => changes.gone.extend(old.next()),
                Ordering::Greater => changes.new.extend(new.next()),
                Ordering::Equal => {
                    let (was, is) = (old.next(), new.next());
                    if was != is {
                        changes.gone.extend(was);
                        changes.new.extend(is);
                    }
                }
            }
        }
    }
}

/// The same one is known by its place in memory; only else are they looked at.
impl PartialEq for Members {
    fn eq(&self, other: &Members) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || *self.0 == *other.0
    }
}

impl Eq for Members {}

impl FromIterator<Member> for Members {
    fn from_iter<I: IntoIterator<Item = Member>>(members: I) -> Members {
        Members(Arc::new(members.into_iter().collect()))
    }
}

impl From<Vec<Member>> for Members {
    fn from(members: Vec<Member>) -> Members {
        members.into_iter().collect()
    }
}

impl From<Members> for Vec<Member> {
    fn from(members: Members) -> Vec<Member> {
        let members = members.0.iter();
        members
            .map(|(key, data)| (key.clone(), data.clone()))
            .collect()
    }
}

/// One a line, below the set's name.
impl fmt::Display for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, data) in self.iter() {
            write!(f, "\n    {}", join(key))?;
            if !data.is_empty() {
                write!(f, " : {}", join(data))?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: Vec<String> = self
            .to_string()
            .lines()
            .map(str::trim)
            .map(str::to_owned)
            .collect();
        f.debug_set().entries(text.iter().skip(1)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn members() -> impl Strategy<Value = Members> {
        let member = (0u16..12, 0u16..3);
        prop::collection::btree_map(member.clone(), member, 0..8).prop_map(|map| {
            let ports = |(a, b)| vec![Datum::Port(a), Datum::Port(b)];
            let all = map.into_iter();
            all.map(|(key, data)| (ports(key), ports(data))).collect()
        })
    }

    proptest! {
        #[test]
        fn changes_make_one_of_the_other(from in members(), to in members()) {
            let changes = from.changes(&to);
            let mut made = (*from.0).clone();
            for (key, data) in &changes.gone {
                let was = made.remove(*key);
                prop_assert_eq!(was.as_deref(), Some(*data));
            }
            for (key, data) in &changes.new {
                prop_assert_eq!(made.insert(key.to_vec(), data.to_vec()), None);
            }
            prop_assert_eq!(&made, &*to.0);
            prop_assert_eq!(from == to, changes == Changes::default());
            let json = serde_json::to_string(&to).unwrap();
            prop_assert_eq!(serde_json::from_str::<Members>(&json).unwrap(), to);
        }
    }

    #[test]
    fn a_map_prints_one_member_a_line() {
        let key = vec![
            Datum::Interface("tbv1".parse().unwrap()),
            Datum::protocol(6),
        ];
        let map: Members = [
            (key, vec![Datum::Goto("ep-1".to_owned())]),
            (vec![Datum::protocol(47)], vec![Datum::Jump("x".to_owned())]),
        ]
        .into_iter()
        .collect();
        assert_eq!(
            map.to_string(),
            "\n    \"tbv1\" . tcp : goto ep-1\n    47 : jump x"
        );
    }
}
