//! The identity of the running boot, by which state of an earlier boot is told from this one's.

use nix::errno::Errno;

use crate::error::KernelError;

const PATH: &str = "/proc/sys/kernel/random/boot_id";

/// The kernel's random identifier of this boot (random(4)): a UUID in text.
///
/// # Errors
/// `/proc` is not mounted or hides it.
pub fn boot_id() -> Result<String, KernelError> {
    let text = std::fs::read_to_string(PATH).map_err(|error| KernelError::File {
        operation: "read",
        path: PATH.to_owned(),
        errno: Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)),
        hint: "mount proc on /proc",
    })?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_a_uuid_and_stays() {
        let id = super::boot_id().unwrap();
        assert_eq!(id.len(), 36);
        assert_eq!(id, super::boot_id().unwrap());
    }
}
