//! Which live blocks were recorded, and with which stack?
//!
//! Every free of the program asks, and most blocks were not recorded. So before the table there are
//! counters: each block belongs to one of them, and where that is 0, no table and no lock is needed.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::stack::StackNumber;

/// How many counters there are, in bits.
const COUNTER_BITS: u32 = 16;

/// How many tables there are, so that threads seldom wait for one another.
const TABLES: usize = 64;

type Table = HashMap<usize, StackNumber, BuildHasherDefault<DefaultHasher>>;

/// The live blocks that were recorded, by address.
pub(super) struct LiveBlocks {
    /// How many of the blocks that belong to each counter are in the table.
    counters: Box<[AtomicU32]>,
    tables: Box<[Mutex<Table>]>,
}

impl LiveBlocks {
    pub(super) fn new() -> Self {
        Self {
            counters: (0..1 << COUNTER_BITS).map(|_| AtomicU32::new(0)).collect(),
            tables: (0..TABLES).map(|_| Mutex::default()).collect(),
        }
    }

    /// A block was recorded. The thread that allocated it has told nobody of it yet.
    pub(super) fn insert(&self, block: usize, stack: StackNumber) {
        let at = Self::counter(block);
        self.counters[at].fetch_add(1, Ordering::Relaxed);
        self.table(at).insert(block, stack);
    }

    /// Whether a block that is freed can be one that was recorded.
    ///
    /// The thread that frees it knows of it from the one that allocated it, and so of its counter.
    #[inline]
    pub(super) fn may_have(&self, block: usize) -> bool {
        self.counters[Self::counter(block)].load(Ordering::Relaxed) != 0
    }

    /// A block is freed: its stack, if it was recorded.
    pub(super) fn remove(&self, block: usize) -> Option<StackNumber> {
        let at = Self::counter(block);
        let stack = self.table(at).remove(&block)?;
        self.counters[at].fetch_sub(1, Ordering::Relaxed);
        Some(stack)
    }

    fn table(&self, counter: usize) -> MutexGuard<'_, Table> {
        let table = &self.tables[counter % TABLES];
        table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The counter of a block: the upper bits of a product, which depend on all bits of the address.
    fn counter(block: usize) -> usize {
        let product = (block as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (product >> (u64::BITS - COUNTER_BITS)) as usize
    }
}
