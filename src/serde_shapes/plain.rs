//! Ids, times, frames, rates and damage: most of them go both ways.

use serde::Deserialize;
use serde::de::{self, Deserializer, Unexpected};
use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::shapes;
use crate::error::{DecodeError, DecodeErrorKind, Error};
use crate::id::TraceId;
use crate::raw::rates::{SamplingRange, SamplingRates};

impl Serialize for TraceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.get())
    }
}

impl<'de> Deserialize<'de> for TraceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let index = u32::deserialize(deserializer)?;
        Self::new(index).ok_or_else(|| {
            let found = Unexpected::Unsigned(index.into());
            de::Error::invalid_value(found, &"a trace index from 1 to 1073741823")
        })
    }
}

/// A range of rates, as anyone can state one.
#[derive(Deserialize)]
struct Stated {
    upper_size: u64,
    probability: f64,
}

shapes! {
    SamplingRange as range {
        "upper_size": range.upper_size(),
        "probability": range.probability(),
    }
}

impl Serialize for SamplingRates {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.ranges().serialize(serializer)
    }
}

/// A probability is taken to the nearest of those that a file can state, so that what was written is
/// read as the same.
impl<'de> Deserialize<'de> for SamplingRates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ranges = Vec::<Stated>::deserialize(deserializer)?;
        let stored = ranges.iter().map(|range| {
            if !(0.0..=1.0).contains(&range.probability) {
                let found = range.probability;
                return Err(de::Error::custom(Error::Probability { found }));
            }
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 0 and u32::MAX, as was checked"
            )]
            let stored = (range.probability * f64::from(u32::MAX)).round() as u32;
            Ok((range.upper_size, stored))
        });
        Ok(Self::from_stored(stored.collect::<Result<Vec<_>, _>>()?))
    }
}

impl Serialize for DecodeErrorKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (kind, numbers) = self.parts();
        let numbers = numbers.into_iter().flatten();
        let mut fields =
            serializer.serialize_struct("DecodeErrorKind", 1 + numbers.clone().count())?;
        fields.serialize_field("kind", kind)?;
        for (name, number) in numbers {
            fields.serialize_field(name, &number)?;
        }
        fields.end()
    }
}

impl Serialize for DecodeError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (kind, numbers) = self.kind().parts();
        let numbers = numbers.into_iter().flatten();
        let mut fields = serializer.serialize_struct("DecodeError", 5 + numbers.clone().count())?;
        fields.serialize_field("file", &self.file())?;
        fields.serialize_field("offset", &self.offset())?;
        fields.serialize_field("kind", kind)?;
        for (name, number) in numbers {
            fields.serialize_field(name, &number)?;
        }
        fields.serialize_field("kept", &self.is_kept())?;
        fields.serialize_field("message", &self.kind().to_string())?;
        fields.end()
    }
}
