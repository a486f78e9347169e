//! The writer of `.hpd` files.

mod hpd;

pub use hpd::EventWriter;
