//! File names of tables: of any profile's name, and such that every reader of folders takes them.

/// The longest file name. File systems take 255 bytes, and an extension follows.
const LONGEST: usize = 180;

/// The name of a profile as a file name, without an extension.
///
/// Letters, digits and `-_.` stay, at the start only letters and digits: Spark and pandas skip names that begin with
/// `_` or `.`. Any other byte is `~` and two hexadecimal digits. Of a long name the end is a hash.
pub(crate) fn file_name(profile: &str) -> String {
    let mut name = String::new();
    for (at, &byte) in profile.as_bytes().iter().enumerate() {
        let stays = byte.is_ascii_alphanumeric() || (at > 0 && b"-_.".contains(&byte));
        if stays {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("~{byte:02X}"));
        }
    }
    if name.is_empty() {
        name.push('~');
    }
    if name.len() > LONGEST {
        name.truncate(LONGEST);
        name.push_str(&format!("~~{:016x}", fnv_1a(profile.as_bytes())));
    }
    name
}

/// The hash of Fowler, Noll and Vo, which is the same on every machine.
fn fnv_1a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use super::file_name;

    #[test]
    fn names_are_plain_and_differ() {
        for (profile, expected) in [
            ("nightly", "nightly"),
            ("host-1/run.2_b", "host-1~2Frun.2_b"),
            ("_hidden", "~5Fhidden"),
            (".hidden", "~2Ehidden"),
            ("a:b=c*é", "a~3Ab~3Dc~2A~C3~A9"),
            ("a~3Ab", "a~7E3Ab"),
            ("", "~"),
        ] {
            assert_eq!(file_name(profile), expected, "{profile}");
        }
        let long = "x/".repeat(200);
        let (a, b) = (file_name(&long), file_name(&(long.clone() + "y")));
        assert!(a.len() < 220 && a != b);
    }
}
