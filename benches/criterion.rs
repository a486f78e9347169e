//! Each kind of work by itself, for who changes it: `cargo bench --bench criterion`.

fn main() {}
