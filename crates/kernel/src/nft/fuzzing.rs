//! One message body by every decoder of this folder, for the fuzz target.

use tombolo_model::Family;
use tombolo_plan::objects::{Datum, Field};

use super::message::HEADER;
use super::read::{ELEMENTS, decode_elements};
use super::{chain, counters, interval, set, tables};
use crate::netlink::attributes;

/// Decodes a body as each thing that it may be.
pub(crate) fn decode_any(body: &[u8]) {
    let body = body.get(HEADER..).unwrap_or_default();
    let _ = chain::decode(attributes(body));
    let _ = chain::decode_rule(attributes(body));
    let fields = set::decode(attributes(body))
        .map(|(_, set)| set.key)
        .unwrap_or_else(|| vec![Field::Ipv4]);
    for list in attributes(body) {
        let _ = counters::decode(&list);
        let _ = tables::rule("inet", &list);
    }
    let mut ends = Vec::new();
    for list in attributes(body).filter(|attribute| attribute.kind == ELEMENTS) {
        for element in decode_elements(&list) {
            let _ = set::decode_values(element.key, &fields);
            if let Some(data) = &element.data {
                let _ = set::decode_data(data, &fields);
            }
            if let Ok(bytes) = <[u8; 4]>::try_from(element.key) {
                ends.push((u128::from(u32::from_be_bytes(bytes)), element.is_end));
            }
        }
    }
    // Ranges do not overlap, and their prefixes are those ranges again.
    let space = interval::Space::Address(Family::V4);
    let ranges = interval::from_elements(ends, space);
    let prefixes: Vec<Datum> = ranges.iter().flat_map(|range| space.keys(*range)).collect();
    let again = interval::union(prefixes.iter().filter_map(interval::range));
    assert_eq!(again, ranges, "ranges are not what their prefixes are");
}
