//! Which keys a request is about.
//!
//! On the wire this is etcd's pair `key`, `range_end`: an empty end is one key, an end of
//! one zero byte is every key from `key` on, a key of one zero byte together with that is
//! every key, anything else is half open. A prefix is a half-open range whose end is the
//! prefix with its last byte that is not 0xff raised by one. That arithmetic is here and
//! nowhere else.

use std::ops::Bound;

use bytes::Bytes;

use crate::error::InvalidRequest;

/// The first and the last key of a range, for a sorted map.
pub type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// A set of keys that are neighbours in byte order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyRange {
    /// One key.
    Single(Bytes),
    /// Every key from `start` on and below `end`.
    Span {
        /// The first.
        start: Bytes,
        /// The first that is not in it.
        end: Bytes,
    },
    /// Every key from this one on; from the empty key on is every key.
    From(Bytes),
}

impl Default for KeyRange {
    fn default() -> KeyRange {
        KeyRange::everything()
    }
}

impl KeyRange {
    /// One key.
    pub fn single(key: impl Into<Bytes>) -> KeyRange {
        KeyRange::Single(key.into())
    }

    /// Every key that begins with `prefix`; every key for the empty prefix.
    pub fn prefix(prefix: impl Into<Bytes>) -> KeyRange {
        let start: Bytes = prefix.into();
        match start.iter().rposition(|byte| *byte != 0xff) {
            Some(last) => {
                let mut end = start[..=last].to_vec();
                end[last] += 1;
                KeyRange::Span {
                    start,
                    end: end.into(),
                }
            }
            None => KeyRange::From(start),
        }
    }

    /// Every key from `start` on and below `end`.
    pub fn span(start: impl Into<Bytes>, end: impl Into<Bytes>) -> KeyRange {
        KeyRange::Span {
            start: start.into(),
            end: end.into(),
        }
    }

    /// Every key.
    pub fn everything() -> KeyRange {
        KeyRange::From(Bytes::new())
    }

    /// What of it is behind a key.
    #[must_use]
    pub fn after(&self, key: &[u8]) -> KeyRange {
        // The first key behind another one is that with a zero byte.
        let start = [key, &[0]].concat().into();
        match self {
            KeyRange::Single(single) => KeyRange::Span {
                start,
                end: [single, &[0][..]].concat().into(),
            },
            KeyRange::Span { end, .. } => KeyRange::Span {
                start,
                end: end.clone(),
            },
            KeyRange::From(_) => KeyRange::From(start),
        }
    }

    /// From etcd's pair. An empty `key` is refused, as etcd does.
    pub fn from_wire(key: Bytes, range_end: Bytes) -> Result<KeyRange, InvalidRequest> {
        if key.is_empty() {
            return Err(InvalidRequest::EmptyKey);
        }
        Ok(match (&key[..], &range_end[..]) {
            (_, []) => KeyRange::Single(key),
            ([0], [0]) => KeyRange::everything(),
            (_, [0]) => KeyRange::From(key),
            _ => KeyRange::Span {
                start: key,
                end: range_end,
            },
        })
    }

    /// To etcd's pair `(key, range_end)`.
    pub fn to_wire(&self) -> (Bytes, Bytes) {
        const ZERO: Bytes = Bytes::from_static(&[0]);
        const ONE: Bytes = Bytes::from_static(&[1]);
        match self {
            KeyRange::Single(key) => (key.clone(), Bytes::new()),
            // A range that holds nothing: its own bounds could mean something else on the wire.
            KeyRange::Span { start, end } if start >= end => (ONE, ONE),
            // etcd refuses an empty key; no stored key is empty, so that the first is one zero.
            KeyRange::Span { start, end } if start.is_empty() => (ZERO, end.clone()),
            KeyRange::Span { start, end } => (start.clone(), end.clone()),
            KeyRange::From(start) if start.is_empty() => (ZERO, ZERO),
            KeyRange::From(start) => (start.clone(), ZERO),
        }
    }

    /// Whether `key` is in it.
    pub fn contains(&self, key: &[u8]) -> bool {
        match self {
            KeyRange::Single(single) => single == key,
            KeyRange::Span { start, end } => key >= &start[..] && key < &end[..],
            KeyRange::From(start) => key >= &start[..],
        }
    }

    /// The bounds for a sorted map; `None` where the range can hold nothing.
    pub fn bounds(&self) -> Option<Bounds<'_>> {
        match self {
            KeyRange::Single(key) => Some((Bound::Included(key), Bound::Included(key))),
            KeyRange::Span { start, end } if start >= end => None,
            KeyRange::Span { start, end } => Some((Bound::Included(start), Bound::Excluded(end))),
            KeyRange::From(start) => Some((Bound::Included(start), Bound::Unbounded)),
        }
    }

    /// Refuses what etcd refuses: one key that is empty.
    pub fn check(&self) -> Result<(), InvalidRequest> {
        match self {
            KeyRange::Single(key) if key.is_empty() => Err(InvalidRequest::EmptyKey),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(range: &KeyRange) -> (Vec<u8>, Vec<u8>) {
        let (key, end) = range.to_wire();
        (key.to_vec(), end.to_vec())
    }

    #[test]
    fn prefixes_become_the_end_that_etcdctl_computes() {
        let cases: [(&[u8], &[u8], &[u8]); 5] = [
            (b"a", b"a", b"b"),
            (b"/x/", b"/x/", b"/x0"),
            (b"a\xff", b"a\xff", b"b"),
            (b"\xff\xff", b"\xff\xff", b"\0"),
            (b"", b"\0", b"\0"),
        ];
        for (prefix, key, end) in cases {
            let range = KeyRange::prefix(prefix.to_vec());
            assert_eq!(wire(&range), (key.to_vec(), end.to_vec()), "{prefix:?}");
        }
    }

    #[test]
    fn the_wire_form_means_the_same_when_read_back() {
        for range in [
            KeyRange::single("k"),
            KeyRange::span("a", "c"),
            KeyRange::From("m".into()),
            KeyRange::everything(),
            KeyRange::prefix("p/"),
        ] {
            let (key, end) = range.to_wire();
            assert_eq!(KeyRange::from_wire(key, end), Ok(range));
        }
        let empty = KeyRange::from_wire(Bytes::new(), Bytes::new());
        assert_eq!(empty, Err(InvalidRequest::EmptyKey));
    }

    #[test]
    fn a_span_is_half_open_and_an_inverted_one_is_empty() {
        let span = KeyRange::span("b", "d");
        assert!(span.contains(b"b") && span.contains(b"cz"));
        assert!(!span.contains(b"a") && !span.contains(b"d"));
        assert!(KeyRange::span("d", "b").bounds().is_none());
        assert!(KeyRange::prefix("ab").contains(b"abz") && !KeyRange::prefix("ab").contains(b"ac"));
    }
}
