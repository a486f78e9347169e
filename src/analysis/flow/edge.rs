//! The edges of a flow graph, and what they weigh. There can be nearly as many as the call tree has
//! nodes, so they are small: memory that is new is slow, and so is what does not fit a cache.

use super::key;

/// From one node to another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edge {
    from: u32,
    to: u32,
    /// Its row of the [`EdgeWeights`].
    row: u32,
    /// Whether lines were skipped between the two, in some stack.
    pub(super) residual: bool,
}

impl Edge {
    pub(super) const fn new(from: u32, to: u32, row: u32) -> Self {
        let residual = false;
        Self {
            from,
            to,
            row,
            residual,
        }
    }

    pub(super) const fn from(&self) -> usize {
        self.from as usize
    }

    pub(super) const fn to(&self) -> usize {
        self.to as usize
    }

    /// The nodes that it is between: the caller, and what it calls.
    pub(super) const fn ends(&self) -> (u32, u32) {
        (self.from, self.to)
    }

    /// The same edge where the nodes have other numbers; `None` if one of them has none.
    pub(super) fn renumbered(self, number: impl Fn(usize) -> Option<u32>) -> Option<Self> {
        let (from, to) = (number(self.from())?, number(self.to())?);
        Some(Self { from, to, ..self })
    }
}

/// A row for each edge, and in it a weight for each column.
#[derive(Debug, Clone)]
pub(super) struct EdgeWeights {
    columns: usize,
    rows: Vec<i64>,
    /// How many rows there are, fewer than a call tree has nodes.
    len: u32,
}

impl EdgeWeights {
    pub(super) const fn new(columns: usize) -> Self {
        Self {
            columns,
            rows: Vec::new(),
            len: 0,
        }
    }

    /// A row more, and its number.
    pub(super) fn push(&mut self, weights: &[i64]) -> u32 {
        self.rows.extend_from_slice(weights);
        self.len += 1;
        self.len - 1
    }

    #[inline]
    pub(super) fn push_zeros(&mut self) -> u32 {
        for _ in 0..self.columns {
            self.rows.push(0);
        }
        self.len += 1;
        self.len - 1
    }

    pub(super) fn of(&self, edge: &Edge) -> &[i64] {
        let begin = edge.row as usize * self.columns;
        self.rows
            .get(begin..begin + self.columns)
            .unwrap_or_default()
    }

    pub(super) fn of_mut(&mut self, edge: &Edge) -> &mut [i64] {
        let begin = edge.row as usize * self.columns;
        self.rows
            .get_mut(begin..begin + self.columns)
            .unwrap_or_default()
    }

    /// The weights of an edge without their sign, those of all columns together.
    pub(super) fn size(&self, edge: &Edge) -> u64 {
        self.of(edge).iter().fold(0, |sum: u64, weight| {
            sum.saturating_add(weight.unsigned_abs())
        })
    }

    /// What puts the edges of one source in their order.
    pub(super) fn key(&self, edge: &Edge) -> u128 {
        key(false, self.size(edge), edge.to())
    }

    /// Gives up the rows of all edges but these.
    pub(super) fn keep(&mut self, edges: &mut [Edge]) {
        if edges.len() == self.len as usize {
            return;
        }
        let mut kept = Self::new(self.columns);
        for edge in edges {
            edge.row = kept.push(self.of(edge));
        }
        *self = kept;
    }
}
