//! Which allocation a free may be of: the oldest block of its trace and size that is live, or the
//! newest.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use crate::time::Elapsed;

/// The live blocks of each trace and size, as far as it is known which they are.
#[derive(Debug, Clone)]
pub(super) struct Pairs {
    live: HashMap<(u32, u64), Live>,
    nodes: Nodes,
}

/// When the live blocks of one trace and size were allocated.
#[derive(Debug, Clone, Copy)]
enum Live {
    One(Elapsed),
    Many(Ends),
}

/// The ends of two lists of as many blocks: which are live depends on which were freed.
#[derive(Debug, Clone, Copy)]
struct Ends {
    /// If the oldest was always freed first: the oldest, from which the list goes on to the last.
    oldest: u32,
    last: u32,
    /// If the newest was always freed first: the newest, from which the list goes back.
    newest: u32,
}

/// No node.
const NONE: u32 = u32::MAX;

/// The nodes of all lists, in one piece of memory.
#[derive(Debug, Clone)]
struct Nodes {
    nodes: Vec<Node>,
    /// The list of those that are not in use.
    unused: u32,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    allocated: Elapsed,
    next: u32,
}

impl Nodes {
    const fn new() -> Self {
        Self {
            nodes: Vec::new(),
            unused: NONE,
        }
    }

    /// A node before `next`; `None` if all 2³² − 1 are in use.
    fn make(&mut self, allocated: Elapsed, next: u32) -> Option<u32> {
        let node = Node { allocated, next };
        let place = self.unused;
        if let Some(unused) = self.nodes.get_mut(place as usize) {
            self.unused = unused.next;
            *unused = node;
            return Some(place);
        }
        let place = u32::try_from(self.nodes.len()).ok();
        let place = place.filter(|&place| place != NONE)?;
        self.nodes.push(node);
        Some(place)
    }

    /// Takes the first node of a list away: its time, and the one after it.
    fn take(&mut self, place: u32) -> Option<(Elapsed, u32)> {
        let node = self.nodes.get_mut(place as usize)?;
        let Node { allocated, next } = *node;
        node.next = self.unused;
        self.unused = place;
        Some((allocated, next))
    }

    fn link(&mut self, place: u32, next: u32) {
        if let Some(node) = self.nodes.get_mut(place as usize) {
            node.next = next;
        }
    }
}

impl Pairs {
    pub(super) fn new() -> Self {
        Self {
            live: HashMap::new(),
            nodes: Nodes::new(),
        }
    }

    /// A block becomes live; `false` if there is no room for it.
    pub(super) fn allocate(&mut self, key: (u32, u64), time: Elapsed) -> bool {
        match self.live.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(Live::One(time));
                true
            }
            Entry::Occupied(mut entry) => {
                let added = add(&mut self.nodes, *entry.get(), time);
                added
                    .map(|ends| *entry.get_mut() = Live::Many(ends))
                    .is_some()
            }
        }
    }

    /// When the block was allocated that is freed, oldest first and newest first.
    pub(super) fn free(&mut self, key: (u32, u64)) -> Option<(Elapsed, Elapsed)> {
        let Entry::Occupied(mut entry) = self.live.entry(key) else {
            return None;
        };
        match entry.get_mut() {
            &mut Live::One(time) => {
                entry.remove();
                Some((time, time))
            }
            Live::Many(ends) => {
                let oldest;
                let newest;
                (oldest, ends.oldest) = self.nodes.take(ends.oldest)?;
                (newest, ends.newest) = self.nodes.take(ends.newest)?;
                if ends.newest == NONE {
                    entry.remove();
                }
                Some((oldest, newest))
            }
        }
    }
}

/// One block more than those that are live; `None` if there is no room for it.
fn add(nodes: &mut Nodes, live: Live, time: Elapsed) -> Option<Ends> {
    let before = match live {
        Live::Many(ends) => ends,
        Live::One(first) => {
            let oldest = nodes.make(first, NONE)?;
            Ends {
                oldest,
                last: oldest,
                newest: nodes.make(first, NONE)?,
            }
        }
    };
    let newest = nodes.make(time, before.newest)?;
    let last = nodes.make(time, NONE)?;
    nodes.link(before.last, last);
    Some(Ends {
        oldest: before.oldest,
        last,
        newest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_kept_of_what_was_freed() {
        let mut pairs = Pairs::new();
        let key = (1, 64);
        for round in 0..10 {
            for time in 0..5 {
                assert!(pairs.allocate(key, Elapsed::from_micros(10 * round + time)));
            }
            for _ in 0..5 {
                assert!(pairs.free(key).is_some());
            }
            assert!(pairs.live.is_empty());
            assert_eq!(pairs.nodes.nodes.len(), 10);
        }
        assert_eq!(pairs.free(key), None);
    }
}
