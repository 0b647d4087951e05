//! Prefixes as ranges that do not overlap, in order: a lookup is one binary search in one list.

/// From which number on which answer holds; none where no prefix is.
#[derive(Debug)]
pub(super) struct Ranges<N> {
    begins: Vec<N>,
    answers: Vec<Option<u32>>,
}

impl<N> Default for Ranges<N> {
    fn default() -> Ranges<N> {
        Ranges {
            begins: Vec::new(),
            answers: Vec::new(),
        }
    }
}

impl<N: Copy + Ord + Successor> Ranges<N> {
    /// From prefixes, each with its first and last number. Two of them are apart, or one is within the
    /// other, which then decides.
    pub(super) fn new(mut prefixes: Vec<(N, N, u32)>) -> Ranges<N> {
        // The wider one of two that begin alike comes first.
        prefixes.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        let mut ranges = Ranges::default();
        let mut open: Vec<(N, u32)> = Vec::new();
        for (first, last, answer) in prefixes {
            ranges.close(&mut open, |end| end < first);
            ranges.begin(first, Some(answer));
            open.push((last, answer));
        }
        ranges.close(&mut open, |_| true);
        ranges
    }

    /// What holds for a number.
    pub(super) fn find(&self, number: N) -> Option<u32> {
        let after = self.begins.partition_point(|begin| *begin <= number);
        self.answers[after.checked_sub(1)?]
    }

    /// After a prefix has ended, the one around it holds again.
    fn close(&mut self, open: &mut Vec<(N, u32)>, ended: impl Fn(N) -> bool) {
        while let Some((last, _)) = open.pop_if(|(last, _)| ended(*last)) {
            if let Some(next) = last.successor() {
                self.begin(next, open.last().map(|(_, answer)| *answer));
            }
        }
    }

    fn begin(&mut self, at: N, answer: Option<u32>) {
        if self.begins.last() == Some(&at) {
            self.begins.pop();
            self.answers.pop();
        }
        self.begins.push(at);
        self.answers.push(answer);
    }
}

/// The number after this one, if there is one.
pub(super) trait Successor: Sized {
    fn successor(self) -> Option<Self>;
}

impl Successor for u32 {
    fn successor(self) -> Option<u32> {
        self.checked_add(1)
    }
}

impl Successor for u128 {
    fn successor(self) -> Option<u128> {
        self.checked_add(1)
    }
}
