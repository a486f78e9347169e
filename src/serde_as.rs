//! How fields whose types are of the standard library are serialised, for `serialize_with`.

use std::ops::Range;
use std::time::Duration;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::time::Elapsed;

/// Whole microseconds.
pub(crate) fn micros<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    Elapsed::from(*duration).serialize(serializer)
}

/// `{from, below}`.
pub(crate) fn half_open<S: Serializer>(
    range: &Range<u64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut fields = serializer.serialize_struct("Range", 2)?;
    fields.serialize_field("from", &range.start)?;
    fields.serialize_field("below", &range.end)?;
    fields.end()
}
