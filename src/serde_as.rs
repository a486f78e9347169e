//! How fields whose types are of the standard library are serialised, for `serialize_with` and `deserialize_with`.

use std::ops::Range;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, SerializeStruct, Serializer};

/// Whole microseconds.
pub(crate) fn micros<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    let micros = u64::try_from(duration.as_micros());
    micros.unwrap_or(u64::MAX).serialize(serializer)
}

/// From whole microseconds.
pub(crate) fn from_micros<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_micros)
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
