//! Messages that are carried out together, and which operation each is of.

use std::collections::BTreeSet;

use ipnet::IpNet;
use tombolo_model::Family;
use tombolo_plan::objects::Datum;
use tombolo_plan::{Key, Op};

use super::message::{DATA_VALUE, LIST_ELEMENT, OF, kind, message};
use super::read::{DATA, ELEMENTS, FLAGS, INTERVAL_END, KEY};
use super::{Table, interval, set};
use crate::error::{KernelError, NetlinkError};
use crate::netlink::{Message, Socket};

/// Bytes of elements in one message: a nested attribute's length has 16 bits.
const LIST_BYTES: usize = 60_000;
/// Room that one element takes at most: key and data of several fields, with their headers.
const ELEMENT_BYTES: usize = 256;

/// One element as it is written.
struct Element {
    key: Vec<u8>,
    /// Empty in a set, and when it is removed.
    data: Vec<u8>,
    is_end: bool,
    of: Option<usize>,
}

/// A transaction that is being put together.
pub(super) struct Transaction {
    messages: Vec<Message>,
    /// The operations that each message is of.
    of: Vec<Vec<usize>>,
    /// For each message, where each operation's element starts in it.
    offsets: Vec<Vec<(usize, usize)>>,
    /// Elements of one set, all added or all removed, that wait for their message.
    waiting: Vec<Element>,
    waiting_for: (u16, String, String),
    one_by_one: bool,
}

impl Transaction {
    /// `one_by_one`: each element in a message of its own, so that a refusal names its operation.
    pub(super) fn new(one_by_one: bool) -> Transaction {
        Transaction {
            messages: Vec::new(),
            of: Vec::new(),
            offsets: Vec::new(),
            waiting: Vec::new(),
            waiting_for: Default::default(),
            one_by_one,
        }
    }

    /// Adds a message, behind all elements that wait.
    pub(super) fn push(&mut self, message: Message, of: &[usize]) {
        self.close();
        self.add(message, of.to_vec(), Vec::new());
    }

    fn add(&mut self, message: Message, of: Vec<usize>, offsets: Vec<(usize, usize)>) {
        self.messages.push(message);
        self.of.push(of);
        self.offsets.push(offsets);
    }

    /// Adds an element, or removes it if there is no data (not even empty).
    pub(super) fn element(
        &mut self,
        table: &str,
        set: &str,
        (key, data): (&[Datum], Option<&[Datum]>),
        of: usize,
    ) {
        let kind = if data.is_some() {
            kind::NEW_ELEMENT
        } else {
            kind::DEL_ELEMENT
        };
        self.collect(kind, table, set);
        self.waiting.push(Element {
            key: set::encode_values(key),
            data: data.map(set::encode_values).unwrap_or_default(),
            is_end: false,
            of: Some(of),
        });
        if self.one_by_one {
            self.close();
        }
    }

    /// Gives an interval set exactly these prefixes.
    pub(super) fn replace_interval(
        &mut self,
        table: &str,
        set: &str,
        wanted: &BTreeSet<IpNet>,
        of: &[usize],
    ) {
        let mut flush = message(kind::DEL_ELEMENT, 0, table);
        flush.put_text(OF, set);
        self.push(flush, of);
        for family in Family::ALL {
            let nets = wanted.iter().filter(|net| Family::of_net(**net) == family);
            for (first, last) in interval::union(nets.map(interval::range)) {
                self.collect(kind::NEW_ELEMENT, table, set);
                self.bound(interval::address(first, family), false);
                // A range to the highest address has no end.
                if last < interval::highest(family) {
                    self.bound(interval::address(last + 1, family), true);
                }
            }
        }
        self.close();
    }

    fn bound(&mut self, address: std::net::IpAddr, is_end: bool) {
        let key = set::encode_values(&[Datum::Ip(address)]);
        self.waiting.push(Element {
            key,
            data: Vec::new(),
            is_end,
            of: None,
        });
    }

    /// Elements that follow are of this set. What waits for another one is written first.
    fn collect(&mut self, kind: u16, table: &str, set: &str) {
        let full = self.waiting.len() * ELEMENT_BYTES > LIST_BYTES;
        let (waiting, of_table, of_set) = &self.waiting_for;
        if full || *waiting != kind || of_table != table || of_set != set {
            self.close();
            self.waiting_for = (kind, table.to_owned(), set.to_owned());
        }
    }

    /// Writes the elements that wait.
    pub(super) fn close(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let elements = std::mem::take(&mut self.waiting);
        let (kind, table, set) = &self.waiting_for;
        let flags = if *kind == kind::NEW_ELEMENT {
            libc::NLM_F_CREATE
        } else {
            0
        };
        let mut message = message(*kind, flags, table);
        let mut offsets = Vec::new();
        message.put_text(OF, set).nest(ELEMENTS, |list| {
            for element in &elements {
                offsets.extend(element.of.map(|of| (list.len(), of)));
                write(element, list);
            }
        });
        let of = elements.iter().filter_map(|element| element.of).collect();
        self.add(message, of, offsets);
    }

    /// Sends it. Gives what was refused: the operations, as far as the kernel says which, and why.
    pub(super) fn commit(self, socket: &mut Socket) -> Vec<(Vec<usize>, NetlinkError)> {
        let outcomes = socket.transact(&self.messages);
        let mut refused = Vec::new();
        for (index, outcome) in outcomes.into_iter().enumerate() {
            if let Err(cause) = outcome {
                let at = cause.offset.map_or(0, |offset| offset as usize);
                let named = self.offsets[index].iter().find(|(start, _)| *start == at);
                let culprits = named.map_or_else(|| self.of[index].clone(), |(_, of)| vec![*of]);
                refused.push((culprits, cause));
            }
        }
        refused
    }
}

fn write(element: &Element, list: &mut Message) {
    list.nest(LIST_ELEMENT, |inner| {
        inner.nest(KEY, |key| {
            key.put(DATA_VALUE, &element.key);
        });
        if !element.data.is_empty() {
            inner.nest(DATA, |data| {
                data.put(DATA_VALUE, &element.data);
            });
        }
        if element.is_end {
            inner.put_be32(FLAGS, INTERVAL_END);
        }
    });
}

impl Table {
    /// The prefixes that an interval set holds once operations are done.
    pub(super) fn prefixes_after(
        &mut self,
        name: &str,
        ops: &[&Op],
        of: &[usize],
    ) -> Result<BTreeSet<IpNet>, KernelError> {
        let mut held = match self.intervals.get(name) {
            Some(held) => held.clone(),
            None => self.unplanned_prefixes(name)?,
        };
        for index in of {
            let Key::NftElement { key, .. } = &ops[*index].place().key else {
                continue;
            };
            let [Datum::Net(net)] = key.as_slice() else {
                continue;
            };
            if matches!(ops[*index], Op::Remove { .. }) {
                held.remove(net);
            } else {
                held.insert(*net);
            }
        }
        Ok(held)
    }
}
