//! ROUTE-REFRESH (RFC 2918), with where the answer begins and ends (RFC 7313).

use super::{Fault, Message, Negotiated, Refresh, RefreshKind};
use crate::types::Family;

/// Reads a body; `whole` is the message, for the peer to see what was wrong with it.
pub(super) fn decode(
    whole: &[u8],
    body: &[u8],
    context: Option<&Negotiated>,
) -> Result<Message, Fault> {
    let enhanced = context.is_some_and(|context| context.enhanced_refresh);
    let &[high, low, subtype, safi] = body else {
        let message = format!("a ROUTE-REFRESH with {} bytes instead of 4", body.len());
        return Err(match enhanced {
            true => Fault::new(7, 1, whole, message),
            false => Fault::new(1, 2, whole.get(16..18).unwrap_or_default(), message),
        });
    };
    let afi = u16::from_be_bytes([high, low]);
    let Some(family) = Family::of_afi(afi, safi) else {
        return Ok(Message::Ignored(format!(
            "a ROUTE-REFRESH of AFI {afi}, SAFI {safi}, which is not spoken here"
        )));
    };
    // The octet is reserved, and not looked at, unless both said that it means something.
    let kind = match subtype {
        _ if !enhanced => RefreshKind::Request,
        0 => RefreshKind::Request,
        1 => RefreshKind::Begin,
        2 => RefreshKind::End,
        other => {
            return Ok(Message::Ignored(format!(
                "a ROUTE-REFRESH of subtype {other}, which is not known"
            )));
        }
    };
    Ok(Message::Refresh(Refresh { family, kind }))
}

/// Appends a body.
pub(super) fn encode(refresh: Refresh, out: &mut Vec<u8>) {
    let subtype = match refresh.kind {
        RefreshKind::Request => 0,
        RefreshKind::Begin => 1,
        RefreshKind::End => 2,
    };
    out.extend_from_slice(&refresh.family.afi().to_be_bytes());
    out.extend_from_slice(&[subtype, 1]);
}
