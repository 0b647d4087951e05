//! Unpredictable bytes, from the same generator that TLS uses.

/// Fills a buffer with unpredictable bytes.
///
/// # Panics
/// Where the kernel has no randomness to give, so that no secret could be made at all.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .expect("getrandom(2) fails on no kernel that this program runs on");
    bytes
}
