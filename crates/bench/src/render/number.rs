//! Numbers as people write them.

/// Three digits that count, more only before the point.
pub(super) fn digits(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        large if large >= 99.95 => format!("{value:.0}"),
        middle if middle >= 9.995 => format!("{value:.1}"),
        small if small >= 0.1 => format!("{value:.2}"),
        tiny if tiny >= 0.01 => format!("{value:.3}"),
        _ => format!("{value:.4}"),
    }
}

/// With thousands apart: 123,456.
pub(super) fn whole(value: f64) -> String {
    let plain = format!("{:.0}", value.max(0.0));
    let mut text = String::new();
    for (index, digit) in plain.chars().enumerate() {
        if index > 0 && (plain.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size of messages: 512, 4K.
pub(super) fn size(bytes: u32) -> String {
    match bytes {
        // The largest datagram stands where streams have 64 KiB.
        crate::LARGEST_DATAGRAM => "64K".to_owned(),
        kib if kib >= 1024 && kib % 1024 == 0 => format!("{}K", kib / 1024),
        other => other.to_string(),
    }
}

/// An axis' mark: 10, 200, 1k, 50M.
pub(super) fn mark(value: f64) -> String {
    let (scaled, unit) = match value {
        giga if giga >= 1e9 => (giga / 1e9, "G"),
        mega if mega >= 1e6 => (mega / 1e6, "M"),
        kilo if kilo >= 1e3 => (kilo / 1e3, "k"),
        plain => (plain, ""),
    };
    let text = format!("{scaled:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_as_many_digits_as_count() {
        let shown = [123.4, 99.96, 12.34, 1.234, 0.0123, 0.00123, 0.0].map(digits);
        assert_eq!(
            shown,
            ["123", "100", "12.3", "1.23", "0.012", "0.0012", "0"]
        );
        assert_eq!(whole(1_234_567.8), "1,234,568");
        assert_eq!(whole(999.0), "999");
        assert_eq!([1, 512, 4096, 65_507].map(size), ["1", "512", "4K", "64K"]);
        assert_eq!(
            [0.5, 20.0, 1e4, 2.5e9].map(mark),
            ["0.5", "20", "10k", "2.5G"]
        );
    }
}
