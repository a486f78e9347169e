//! What a program printed, and whether it ended well.

use std::process::Output;

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub(crate) fn stderr_lines(output: &Output) -> Vec<String> {
    stderr(output).lines().map(str::to_owned).collect()
}

/// Standard output of a program that must succeed.
pub(crate) fn succeeded(output: &Output) -> String {
    let told = stdout(output);
    assert!(output.status.success(), "{told}{}", stderr(output));
    told
}
