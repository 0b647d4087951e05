//! nftables: the one table that is ours.

use tombolo_plan::{Key, Object, Op};

use crate::error::KernelError;
use crate::kernel::Ownership;
use crate::netns::NetnsHandle;
use crate::read::Scope;

#[derive(Debug)]
pub(crate) struct Table {}

impl Table {
    pub(crate) fn new(_netns: NetnsHandle, _ownership: &Ownership) -> Table {
        Table {}
    }
    pub(crate) fn port(&self) -> Option<u32> {
        None
    }
    pub(crate) fn read(&mut self, _scope: &Scope<'_>) -> Result<Vec<(Key, Object)>, KernelError> {
        Ok(Vec::new())
    }
    pub(crate) fn apply(&mut self, ops: &[&Op]) -> Vec<Result<(), KernelError>> {
        ops.iter()
            .map(|op| {
                Err(KernelError::Impossible {
                    operation: op.to_string(),
                    reason: "not written yet",
                })
            })
            .collect()
    }
}
