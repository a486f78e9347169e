//! Ids, times, frames, rates and damage: most of them go both ways.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::UnitDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::shapes;
use crate::error::{DecodeError, DecodeErrorKind, Error, FileKind};
use crate::frame::{Frame, OwnedFrame};
use crate::id::{FrameId, TraceId};
use crate::raw::rates::{SamplingRange, SamplingRates};
use crate::raw::{Event, EventKind, LogPosition};
use crate::time::{Clock, Elapsed, StartTime, WallOffset};

/// Goes both ways as a number.
macro_rules! numbers {
    ($($type:ty as $number:ty: $get:expr, $new:expr;)+) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $get(*self).serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <$number>::deserialize(deserializer).map($new)
            }
        }
    )+};
}

numbers! {
    Elapsed as u64: Elapsed::as_micros, Elapsed::from_micros;
    WallOffset as i64: WallOffset::as_micros, WallOffset::from_micros;
}

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

impl Serialize for FrameId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.0)
    }
}

/// Goes both ways as a word.
macro_rules! words {
    ($($type:ident { $($word:literal: $value:ident,)+ })+) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(match self {
                    $(Self::$value => $word,)+
                })
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                match &*Cow::<str>::deserialize(deserializer)? {
                    $($word => Ok(Self::$value),)+
                    other => Err(de::Error::unknown_variant(other, &[$($word),+])),
                }
            }
        }
    )+};
}

words! {
    Clock { "recorded": Recorded, "corrected": Corrected, }
    EventKind { "allocation": Allocation, "free": Free, }
    FileKind { "hpm": Hpm, "hpd": Hpd, "hpc": Hpc, }
}

/// Goes both ways as a struct. When it is read, fields may come in any order, and others among them.
macro_rules! records {
    ($(
        $type:ident as $this:ident { $($field:ident: $kind:ty = $value:expr,)+ }
        from $new:expr;
    )+) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let $this = self;
                let names = [$(stringify!($field)),+];
                let mut fields = serializer.serialize_struct(stringify!($type), names.len())?;
                $(fields.serialize_field(stringify!($field), &$value)?;)+
                fields.end()
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Fields;

                impl<'de> Visitor<'de> for Fields {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(concat!("struct ", stringify!($type)))
                    }

                    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<$type, A::Error> {
                        let mut met = 0;
                        $(
                            let $field: $kind = seq
                                .next_element()?
                                .ok_or_else(|| de::Error::invalid_length(met, &self))?;
                            met += 1;
                        )+
                        let _ = met;
                        Ok($new)
                    }

                    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<$type, A::Error> {
                        $(let mut $field: Option<$kind> = None;)+
                        while let Some(name) = map.next_key::<Cow<'_, str>>()? {
                            match &*name {
                                $(stringify!($field) => {
                                    if $field.replace(map.next_value()?).is_some() {
                                        return Err(de::Error::duplicate_field(stringify!($field)));
                                    }
                                })+
                                _ => {
                                    map.next_value::<de::IgnoredAny>()?;
                                }
                            }
                        }
                        $(
                            // A field that can be null can be missing.
                            let $field = $field
                                .map_or_else(|| <$kind>::deserialize(UnitDeserializer::<A::Error>::new()), Ok)
                                .map_err(|_| de::Error::missing_field(stringify!($field)))?;
                        )+
                        Ok($new)
                    }
                }

                let names = &[$(stringify!($field)),+];
                deserializer.deserialize_struct(stringify!($type), names, Fields)
            }
        }
    )+};
}

/// A range of rates, as anyone can state one.
struct Stated {
    upper_size: u64,
    probability: f64,
}

records! {
    StartTime as start {
        seconds: u64 = start.seconds(),
        nanoseconds: u64 = start.nanoseconds(),
    } from StartTime::new(seconds, nanoseconds);

    Event as event {
        elapsed_us: Elapsed = event.elapsed,
        wall_us: WallOffset = event.wall,
        trace: Option<TraceId> = event.trace,
        size: u64 = event.size,
        kind: EventKind = event.kind,
    } from Event { elapsed: elapsed_us, wall: wall_us, size, trace, kind };

    LogPosition as position {
        offset: u64 = position.offset(),
        events: u64 = position.events(),
        elapsed_us: Elapsed = position.elapsed(),
        wall_us: WallOffset = position.wall(),
        clock: Clock = position.clock(),
    } from LogPosition::with_clock(offset, events, elapsed_us, wall_us, clock);

    OwnedFrame as frame {
        file: String = frame.file(),
        line: u32 = frame.line(),
        function: Option<String> = frame.function(),
    } from {
        let frame = OwnedFrame::new(file, line);
        match function {
            Some(name) => frame.in_function(name),
            None => frame,
        }
    };

    Stated as range {
        upper_size: u64 = range.upper_size,
        probability: f64 = range.probability,
    } from Stated { upper_size, probability };
}

shapes! {
    Frame<'_> as frame {
        "file": frame.file,
        "line": frame.line,
        "function": frame.function,
    }
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
