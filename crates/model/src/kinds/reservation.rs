//! IPReservation: addresses that IPAM never gives to anybody by itself.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::resource::FieldError;

/// Addresses that IPAM never picks. One that is asked for by name is given all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IpReservation {
    /// The addresses and ranges.
    #[serde(rename = "reservedCIDRs")]
    pub reserved_cidrs: Vec<IpNet>,
}

impl IpReservation {
    pub(crate) fn faults(&self) -> Vec<FieldError> {
        if self.reserved_cidrs.is_empty() {
            return vec![FieldError::new(
                "spec.reservedCIDRs",
                "empty: name at least one range",
            )];
        }
        Vec::new()
    }
}
