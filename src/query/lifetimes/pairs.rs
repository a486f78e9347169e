//! [`Pairs`]: pairs each free with the oldest live block of its trace and size, and with the newest.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use crate::id::Id;
use crate::id_vec::{DenseId, IdVec};
use crate::time::Elapsed;

/// The live blocks of each trace and size, for both orders of frees.
#[derive(Debug, Clone)]
pub(super) struct Pairs {
    live: HashMap<(u32, u64), Live>,
    nodes: Nodes,
}

/// The allocation times of the live blocks of one trace and size.
#[derive(Debug, Clone, Copy)]
enum Live {
    One(Elapsed),
    Many(Ends),
}

/// The ends of two lists of equal length. Which blocks are live depends on which were freed.
#[derive(Debug, Clone, Copy)]
struct Ends {
    /// If frees free the oldest block: the list from the oldest to the last.
    oldest: NodeId,
    last: NodeId,
    /// If frees free the newest block: the list from the newest backwards.
    newest: NodeId,
}

/// A node of a list.
type NodeId = DenseId<NodeKind>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
struct NodeKind;

/// The nodes of all lists in one vector.
#[derive(Debug, Clone)]
struct Nodes {
    nodes: IdVec<NodeId, Node>,
    /// The list of unused nodes.
    unused: NodeId,
}

#[derive(Debug, Clone, Copy, Default)]
struct Node {
    allocated: Elapsed,
    next: NodeId,
}

impl Nodes {
    const fn new() -> Self {
        Self {
            nodes: IdVec::new(),
            unused: NodeId::NONE,
        }
    }

    /// A node before `next`; `None` if all 2³² − 1 are in use.
    fn make(&mut self, allocated: Elapsed, next: NodeId) -> Option<NodeId> {
        let node = Node { allocated, next };
        let id = self.unused;
        if id != NodeId::NONE {
            self.unused = self.nodes.replace(id, node).next;
            return Some(id);
        }
        (self.nodes.len() < NodeId::NONE.index()).then(|| self.nodes.push(node))
    }

    /// Removes the first node of a list; returns its time, and the next node.
    fn take(&mut self, id: NodeId) -> (Elapsed, NodeId) {
        let unused = Node {
            next: self.unused,
            ..Node::default()
        };
        let Node { allocated, next } = self.nodes.replace(id, unused);
        self.unused = id;
        (allocated, next)
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

    /// Frees a block; returns the allocation times of the oldest and of the newest, if any is live.
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
                (oldest, ends.oldest) = self.nodes.take(ends.oldest);
                (newest, ends.newest) = self.nodes.take(ends.newest);
                if ends.newest == NodeId::NONE {
                    entry.remove();
                }
                Some((oldest, newest))
            }
        }
    }
}

/// Adds a block to those that are live; `None` if there is no room for it.
fn add(nodes: &mut Nodes, live: Live, time: Elapsed) -> Option<Ends> {
    let before = match live {
        Live::Many(ends) => ends,
        Live::One(first) => {
            let oldest = nodes.make(first, NodeId::NONE)?;
            Ends {
                oldest,
                last: oldest,
                newest: nodes.make(first, NodeId::NONE)?,
            }
        }
    };
    let newest = nodes.make(time, before.newest)?;
    let last = nodes.make(time, NodeId::NONE)?;
    nodes.nodes.update(before.last, |node| node.next = last);
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
    fn freed_blocks_take_no_memory() {
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
