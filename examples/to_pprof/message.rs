//! The messages of a pprof profile as bytes.

use std::collections::HashMap;

use prost::encoding::{bytes, int64, string};

/// A message of the format, field by field: numbers and names of the fields are those of pprof's
/// `profile.proto`.
#[derive(Default)]
pub(crate) struct Message(pub(crate) Vec<u8>);

impl Message {
    pub(crate) fn number(mut self, field: u32, number: impl TryInto<i64>) -> Self {
        int64::encode(field, &whole(number), &mut self.0);
        self
    }

    pub(crate) fn numbers(mut self, field: u32, numbers: &[i64]) -> Self {
        int64::encode_packed(field, numbers, &mut self.0);
        self
    }

    pub(crate) fn text(mut self, field: u32, text: &String) -> Self {
        string::encode(field, text, &mut self.0);
        self
    }

    pub(crate) fn message(mut self, field: u32, message: &Self) -> Self {
        bytes::encode(field, &message.0, &mut self.0);
        self
    }
}

pub(crate) fn whole(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// Each text, and its place in the table: whatever is a text elsewhere is that place.
#[derive(Default)]
pub(crate) struct Texts {
    pub(crate) all: Vec<String>,
    places: HashMap<String, i64>,
}

impl Texts {
    pub(crate) fn place(&mut self, text: &str) -> i64 {
        if let Some(&place) = self.places.get(text) {
            return place;
        }
        let place = whole(self.all.len());
        self.all.push(text.to_owned());
        self.places.insert(text.to_owned(), place);
        place
    }

    /// A `ValueType`.
    pub(crate) fn kind(&mut self, kind: &str, unit: &str) -> Message {
        Message::default()
            .number(1, self.place(kind)) // type
            .number(2, self.place(unit)) // unit
    }
}
