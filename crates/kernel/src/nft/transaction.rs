//! Messages that are carried out together, and which operation each is of.

use tombolo_plan::objects::{Datum, NftName};

use super::interval::{Range, Space};
use super::message::{DATA_VALUE, LIST_ELEMENT, OF, Ours, kind, message};
use super::read::{DATA, ELEMENTS, FLAGS, INTERVAL_END, KEY};
use super::set;
use crate::error::NetlinkError;
use crate::netlink::{Message, Socket};

/// Bytes of elements in one message: a nested attribute's length has 16 bits.
const LIST_BYTES: usize = 60_000;

/// A transaction that is being put together.
pub(super) struct Transaction<'a> {
    /// The name of the tables that are ours.
    name: &'a str,
    messages: Vec<Message>,
    /// The operations that each message is of.
    of: Vec<Vec<usize>>,
    /// For each message, where each operation's element starts in it.
    offsets: Vec<Vec<(usize, usize)>>,
    /// Elements of one set, all added or all removed, as a message that can still grow.
    open: Option<Open>,
    one_by_one: bool,
}

/// Elements on their way into a message.
struct Open {
    kind: u16,
    set: NftName,
    /// Attributes behind each other, without a header of their own.
    list: Message,
    offsets: Vec<(usize, usize)>,
}

impl<'a> Transaction<'a> {
    /// `one_by_one`: each element in a message of its own, so that a refusal names its operation.
    pub(super) fn new(name: &'a str, one_by_one: bool) -> Transaction<'a> {
        Transaction {
            name,
            messages: Vec::new(),
            of: Vec::new(),
            offsets: Vec::new(),
            open: None,
            one_by_one,
        }
    }

    /// Whether something is tried again.
    pub(super) fn is_cautious(&self) -> bool {
        self.one_by_one
    }

    /// The table of a name.
    pub(super) fn table(&self, name: &NftName) -> Ours<'a> {
        Ours {
            family: name.table,
            name: self.name,
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

    /// Adds an element with what it maps to, or removes it if there is no data (not even empty).
    pub(super) fn element(
        &mut self,
        set: &NftName,
        (key, data): (&[Datum], Option<&[Datum]>),
        of: usize,
    ) {
        self.put(set, &set::encode_values(key), (data, false), of);
        if self.one_by_one {
            self.close();
        }
    }

    /// Adds a range to an interval set, or takes one out.
    pub(super) fn range(
        &mut self,
        set: &NftName,
        (space, (first, last)): (Space, Range),
        add: bool,
        of: usize,
    ) {
        let data: Option<&[Datum]> = add.then_some(&[]);
        self.put(set, &space.encode(first), (data, false), of);
        // A range to the highest number has no end.
        if last < space.highest() {
            self.put(set, &space.encode(last + 1), (data, true), of);
        }
    }

    /// Takes everything out of a set.
    pub(super) fn flush(&mut self, set: &NftName, of: &[usize]) {
        let mut flush = message(kind::DEL_ELEMENT, 0, self.table(set));
        flush.put_text(OF, &set.name);
        self.push(flush, of);
    }

    /// Puts one element behind those that wait. What waits for another set is written first.
    fn put(
        &mut self,
        set: &NftName,
        key: &[u8],
        (data, is_end): (Option<&[Datum]>, bool),
        of: usize,
    ) {
        let kind = if data.is_some() {
            kind::NEW_ELEMENT
        } else {
            kind::DEL_ELEMENT
        };
        let fits =
            |open: &Open| open.kind == kind && open.set == *set && open.list.len() < LIST_BYTES;
        if !self.open.as_ref().is_some_and(fits) {
            self.close();
        }
        let open = self.open.get_or_insert_with(|| Open {
            kind,
            set: set.clone(),
            list: Message::attributes(),
            offsets: Vec::new(),
        });
        open.offsets.push((open.list.len(), of));
        open.list.nest(LIST_ELEMENT, |inner| {
            inner.nest(KEY, |bytes| {
                bytes.put(DATA_VALUE, key);
            });
            if let Some(data) = data.filter(|data| !data.is_empty()) {
                inner.nest(DATA, |inner| set::put_data(data, inner));
            }
            if is_end {
                inner.put_be32(FLAGS, INTERVAL_END);
            }
        });
    }

    /// Writes the elements that wait.
    pub(super) fn close(&mut self) {
        let Some(open) = self.open.take() else {
            return;
        };
        let flags = if open.kind == kind::NEW_ELEMENT {
            libc::NLM_F_CREATE
        } else {
            0
        };
        let mut message = message(open.kind, flags, self.table(&open.set));
        let mut start = 0;
        message.put_text(OF, &open.set.name).nest(ELEMENTS, |list| {
            start = list.len();
            list.append(&open.list);
        });
        let mut of: Vec<usize> = open.offsets.iter().map(|(_, of)| *of).collect();
        of.dedup();
        let offsets = open.offsets.into_iter();
        let offsets = offsets.map(|(at, of)| (at + start, of)).collect();
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
