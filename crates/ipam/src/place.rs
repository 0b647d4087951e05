//! Where in the pools an address is free: places in blocks, and ranges for new blocks.
//!
//! Nothing is changed here. Reserved addresses are passed over, and so are the places that the
//! network keeps for itself.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use tombolo_model::kinds::Sharing;
use tombolo_model::{AddressRange, Block, Family, IpPool, Name, World};

use crate::request::{Request, Reserve};

/// Which places may be given.
pub(crate) struct Rules<'a> {
    pub reserve: Reserve,
    pub kept: &'a [IpAddr],
    reserved: Vec<IpNet>,
    ranges: &'a [AddressRange],
}

impl<'a> Rules<'a> {
    pub fn of(world: &World, request: &Request<'a>) -> Rules<'a> {
        let all = world.reservations.values();
        Rules {
            reserve: request.reserve,
            kept: request.kept,
            ranges: request.ranges,
            reserved: all
                .flat_map(|r| r.spec.reserved_cidrs.iter().copied())
                .collect(),
        }
    }

    /// Whether an address may be given without being asked for by name.
    pub fn allows(&self, block: &Block, ordinal: u32) -> bool {
        let address = block.address(ordinal);
        self.is_giveable(block, ordinal) && !self.is_reserved(address) && self.is_in_range(address)
    }

    /// Whether an address may be given at all.
    pub fn is_giveable(&self, block: &Block, ordinal: u32) -> bool {
        self.reserve.allows(ordinal, block.size()) && !self.kept.contains(&block.address(ordinal))
    }

    fn is_in_range(&self, address: IpAddr) -> bool {
        let family = Family::of(address);
        let mut ranges = self.ranges_of(family).peekable();
        ranges.peek().is_none() || ranges.any(|range| range.contains(address))
    }

    fn ranges_of(&self, family: Family) -> impl Iterator<Item = &AddressRange> {
        let ranges = self.ranges.iter();
        ranges.filter(move |range| Family::of(range.first) == family)
    }

    /// The last address before the block in which the next range begins, or of all, for a block that
    /// is in no range.
    fn out_of_range_until(&self, net: IpNet) -> Option<u128> {
        let (first, last) = (bits(net.network()), bits(net.broadcast()));
        let family = Family::of_net(net);
        let ranges = || {
            self.ranges_of(family)
                .map(|r| (bits(r.first), bits(r.last)))
        };
        ranges().next()?;
        if ranges().any(|(from, to)| from <= last && to >= first) {
            return None;
        }
        let next = ranges().map(|(from, _)| from).filter(|from| *from > last);
        let size = last - first + 1;
        Some(next.min().map_or(u128::MAX, |from| from / size * size - 1))
    }

    fn is_reserved(&self, address: IpAddr) -> bool {
        self.reserved.iter().any(|net| net.contains(&address))
    }

    /// The lowest place of a block that was never used.
    pub fn never_used(&self, block: &Block) -> Option<u32> {
        if block.allocations.len() + block.released.len() >= block.size() as usize {
            return None;
        }
        let mut used = vec![false; block.size() as usize];
        let places = block
            .allocations
            .keys()
            .chain(block.released.iter().map(|(p, _)| p));
        for place in places {
            if let Some(used) = used.get_mut(*place as usize) {
                *used = true;
            }
        }
        (0..block.size()).find(|o| !used[*o as usize] && self.allows(block, *o))
    }

    /// The place of a block that has been free for the longest time.
    pub fn longest_free(&self, block: &Block) -> Option<u32> {
        let free = |o: &u32| !block.allocations.contains_key(o) && self.allows(block, *o);
        block
            .released
            .iter()
            .map(|(ordinal, _)| *ordinal)
            .find(free)
    }

    /// A place that nobody but the block's own node can take, even while that one does not reach
    /// the store.
    pub fn surely_free(&self, world: &World, block: &Block, node: &Name) -> Option<u32> {
        let released = || block.released.iter().map(|(ordinal, _)| *ordinal);
        let free = |o: &u32| self.allows(block, *o) && self.is_surely_free(world, block, *o, node);
        self.never_used(block)
            .filter(free)
            .or_else(|| released().find(free))
    }

    /// Whether a place is free and surely stays it: the block is closed, and the place was never
    /// used, or is kept for an identity that never appears elsewhere.
    pub fn is_surely_free(&self, world: &World, block: &Block, ordinal: u32, node: &Name) -> bool {
        let kept = block.released.iter().find(|(place, _)| *place == ordinal);
        let stays = |handle: &Name| {
            let handle = world.handles.get(handle);
            handle.is_some_and(|handle| handle.spec.stays_on(node))
        };
        block.sharing == Sharing::Closed
            && !block.allocations.contains_key(&ordinal)
            && kept.is_none_or(|(_, handle)| stays(handle))
    }

    /// A range of a pool where no block is yet and an address can be given. The search begins at a
    /// point that depends on node and pool, so that nodes do not race for the same range.
    pub fn new_block(
        &self,
        world: &World,
        pool: &Name,
        spec: &IpPool,
        node: &Name,
    ) -> Option<IpNet> {
        if let Some(given) = world.given_block(pool, node) {
            let net = given.ok()?;
            let (first, last) = (bits(net.network()), bits(net.broadcast()));
            let before = taken(world, spec)
                .range(..=last)
                .next_back()
                .map(|(_, end)| *end);
            return before.is_none_or(|end| end < first).then_some(net);
        }
        let family = Family::of_net(spec.cidr);
        let shift = u32::from(family.bits() - spec.block_prefix());
        let wide = u32::from(spec.block_prefix() - spec.cidr.prefix_len()).min(120 - shift);
        let count = 1u128 << wide;
        let base = bits(spec.cidr.network());
        let taken = taken(world, spec);
        let mut index = u128::from(spread(node, pool)) % count;
        let mut passed = 0;
        while passed < count {
            let first = base + (index << shift);
            let last = first + ((1u128 << shift) - 1);
            let net = IpNet::new(address(family, first), spec.block_prefix()).ok()?;
            let obstacle = taken
                .range(..=last)
                .next_back()
                .map(|(_, end)| *end)
                .filter(|end| *end >= first)
                .or_else(|| self.reserved_until(net))
                .or_else(|| self.out_of_range_until(net));
            let next = match obstacle {
                Some(end) => ((end.min(base + ((count << shift) - 1)) - base) >> shift) + 1,
                None if self.never_used(&unclaimed(net, pool, spec)).is_some() => return Some(net),
                None if self.reserve.head + self.reserve.tail >= 1 << shift.min(31) => return None,
                None => index + 1,
            };
            passed += next - index;
            index = next % count;
        }
        None
    }

    /// The end of a reservation that holds a whole range.
    fn reserved_until(&self, net: IpNet) -> Option<u128> {
        let whole = self
            .reserved
            .iter()
            .filter(|reserved| reserved.contains(&net));
        whole.map(|reserved| bits(reserved.broadcast())).max()
    }
}

/// A block as it is before anybody has claimed it.
pub(crate) fn unclaimed(cidr: IpNet, pool: &Name, spec: &IpPool) -> Block {
    Block {
        cidr,
        pool: pool.clone(),
        space: spec.space.clone(),
        node: None,
        generation: 0,
        allocations: BTreeMap::new(),
        released: Vec::new(),
        sharing: Sharing::Closed,
    }
}

/// The ranges of all blocks that share addresses with a pool, by their first address.
fn taken(world: &World, pool: &IpPool) -> BTreeMap<u128, u128> {
    let cidr = pool.cidr;
    let blocks = world.blocks.values();
    let blocks = blocks.filter(|b| b.spec.space == pool.space);
    let blocks = blocks.map(|b| b.spec.cidr);
    blocks
        .filter(|net| cidr.contains(net) || net.contains(&cidr))
        .map(|net| (bits(net.network()), bits(net.broadcast())))
        .collect()
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u128::from(a.to_bits()),
        IpAddr::V6(a) => a.to_bits(),
    }
}

fn address(family: Family, bits: u128) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::from_bits(bits as u32).into(),
        Family::V6 => Ipv6Addr::from_bits(bits).into(),
    }
}

/// A number that differs between nodes and pools, and never between runs or versions: FNV-1a, with
/// the finalizer of MurmurHash3 so that similar names do not stay near each other.
fn spread(node: &Name, pool: &Name) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in node
        .as_str()
        .bytes()
        .chain([0])
        .chain(pool.as_str().bytes())
    {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}
