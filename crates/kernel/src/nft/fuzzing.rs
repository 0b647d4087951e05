//! One message body by every decoder of this folder, for the fuzz target.

use ipnet::IpNet;
use tombolo_model::Family;
use tombolo_plan::objects::Field;

use super::message::HEADER;
use super::read::{ELEMENTS, decode_elements};
use super::{chain, interval, set, tables};
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
        let _ = tables::rule("inet", &list);
    }
    let mut ends = Vec::new();
    for list in attributes(body).filter(|attribute| attribute.kind == ELEMENTS) {
        for element in decode_elements(&list) {
            let _ = set::decode_values(&element.key, &fields);
            let _ = set::decode_values(&element.data, &fields);
            if let Ok(bytes) = <[u8; 4]>::try_from(element.key.as_slice()) {
                ends.push((u128::from(u32::from_be_bytes(bytes)), element.is_end));
            }
        }
    }
    // Ranges do not overlap, and their prefixes are those ranges again.
    let ranges = interval::from_elements(ends, Family::V4);
    let prefixes: Vec<IpNet> = ranges
        .iter()
        .flat_map(|range| interval::prefixes(*range, Family::V4))
        .collect();
    let again = interval::union(prefixes.iter().map(interval::range));
    assert_eq!(again, ranges, "ranges are not what their prefixes are");
}
