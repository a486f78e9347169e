//! Usages are added and subtracted, trace by trace.

use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};

use super::Usage;

/// Trace by trace; a sum that leaves 63 bits saturates. O(rows of both).
impl Add for &Usage {
    type Output = Usage;

    fn add(self, other: &Usage) -> Usage {
        self.zip(other, i64::saturating_add)
    }
}

/// Trace by trace: what has grown from `other` to this. What leaves 63 bits saturates. O(rows of
/// both).
impl Sub for &Usage {
    type Output = Usage;

    fn sub(self, other: &Usage) -> Usage {
        self.zip(other, i64::saturating_sub)
    }
}

/// What grew shrinks.
impl Neg for &Usage {
    type Output = Usage;

    fn neg(self) -> Usage {
        &Usage::empty() - self
    }
}

impl Neg for Usage {
    type Output = Self;

    fn neg(self) -> Self {
        -&self
    }
}

/// The same with usages that are given away.
macro_rules! owned_operators {
    ($($operator:ident $method:ident $assign:ident $assign_method:ident;)*) => {$(
        impl $operator for Usage {
            type Output = Usage;

            fn $method(self, other: Usage) -> Usage {
                $operator::$method(&self, &other)
            }
        }

        impl $operator<&Usage> for Usage {
            type Output = Usage;

            fn $method(self, other: &Usage) -> Usage {
                $operator::$method(&self, other)
            }
        }

        impl $operator<Usage> for &Usage {
            type Output = Usage;

            fn $method(self, other: Usage) -> Usage {
                $operator::$method(self, &other)
            }
        }

        impl $assign for Usage {
            fn $assign_method(&mut self, other: Usage) {
                *self = $operator::$method(&*self, &other);
            }
        }

        impl $assign<&Usage> for Usage {
            fn $assign_method(&mut self, other: &Usage) {
                *self = $operator::$method(&*self, other);
            }
        }
    )*};
}

owned_operators! {
    Add add AddAssign add_assign;
    Sub sub SubAssign sub_assign;
}

/// All rows together: O(n log n) for n rows.
///
/// ```
/// use heapprof::{TraceId, Usage};
///
/// let one = Usage::from_iter([(TraceId::new(1), 100)]);
/// let other = Usage::from_iter([(TraceId::new(1), 11), (None, 1)]);
/// let sum: Usage = [&one, &other].into_iter().sum();
/// assert_eq!(sum.get(TraceId::new(1)), 111);
/// ```
impl<'a> Sum<&'a Usage> for Usage {
    fn sum<I: Iterator<Item = &'a Usage>>(usages: I) -> Self {
        let mut damaged = false;
        let rows = usages.flat_map(|usage| {
            damaged |= usage.is_damaged();
            usage.by_trace()
        });
        let sum: Self = rows.collect();
        sum.damaged_if(damaged)
    }
}

impl Sum for Usage {
    fn sum<I: Iterator<Item = Usage>>(usages: I) -> Self {
        usages.fold(Self::empty(), |sum, usage| sum + usage)
    }
}
