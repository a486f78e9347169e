//! Usages, snapshots, and the tables that say what their traces are.

use std::fmt;

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Error, Serialize, SerializeSeq, Serializer};

use super::{List, shapes};
use crate::digest::{Digest, Snapshot};
use crate::id::TraceId;
use crate::time::Elapsed;
use crate::trace::{Trace, TraceTable};
use crate::usage::Usage;

impl Serialize for Usage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// Pairs in any order; those of one trace add up. Memory for the distinct traces among them.
impl<'de> Deserialize<'de> for Usage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Usage;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of pairs of a trace or null, and a weight")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Usage, A::Error> {
                let pairs =
                    std::iter::from_fn(|| seq.next_element::<(Option<TraceId>, i64)>().transpose());
                pairs.collect()
            }
        }

        deserializer.deserialize_seq(Pairs)
    }
}

shapes! {
    Snapshot as snapshot {
        "time_us": snapshot.time(),
        "total": snapshot.usage().total(),
        "usage": snapshot.usage(),
        "damaged": snapshot.is_damaged(),
    }
    Digest as digest {
        "start": digest.start(),
        "interval_us": Elapsed::from(digest.interval()),
        "precision": digest.precision(),
        "rates": digest.rates(),
        "clock": digest.clock(),
        "foreign": digest.is_foreign(),
        "stopped": digest.is_stopped(),
        "damage": digest.damage(),
        "damaged": digest.is_damaged(),
        "snapshots": Snapshots(digest),
    }
    TraceTable as table {
        "frames": List(|| table.frames().map(|(_, frame)| frame)),
        "traces": List(|| table.iter().map(|(id, trace)| (id, List(move || trace.ids())))),
        "damage": table.damage(),
        "damaged": table.is_damaged(),
    }
}

/// The snapshots one after the other, none of them kept.
struct Snapshots<'d>(&'d Digest);

impl Serialize for Snapshots<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for snapshot in self.0.snapshots() {
            list.serialize_element(&snapshot.map_err(S::Error::custom)?)?;
        }
        list.end()
    }
}

impl Serialize for Trace<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.frames())
    }
}
