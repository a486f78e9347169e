//! The executable and the libraries of this process: for addresses that have no symbol.

/// What a file that is mapped into the process is called, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Module {
    /// The name of the file, without its folder.
    pub(crate) name: String,
    /// What to subtract from an address, so that it is one of the file's own.
    pub(crate) bias: usize,
    /// Its segments, as address ranges.
    pub(crate) segments: Vec<std::ops::Range<usize>>,
    /// The build id in hexadecimal digits; empty if it has none.
    pub(crate) build_id: String,
}

/// How often a file was mapped and how often one was unmapped so far.
pub(crate) type Changes = (u64, u64);

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::{CStr, OsStr, c_int, c_void};
    use std::fmt::Write;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;
    use std::slice;

    use super::{Changes, Module};

    /// Calls `each` for each module.
    fn for_each(mut each: impl FnMut(&libc::dl_phdr_info)) {
        unsafe extern "C" fn call<F: FnMut(&libc::dl_phdr_info)>(
            info: *mut libc::dl_phdr_info,
            _: usize,
            each: *mut c_void,
        ) -> c_int {
            // SAFETY: both are as they were passed to `dl_iterate_phdr`, which is still running.
            unsafe { (*each.cast::<F>())(&*info) };
            0
        }

        fn with<F: FnMut(&libc::dl_phdr_info)>(each: &mut F) {
            // SAFETY: the function gets what it expects. It must not unwind, and its closures do not.
            unsafe { libc::dl_iterate_phdr(Some(call::<F>), std::ptr::from_mut(each).cast()) };
        }
        with(&mut each);
    }

    pub(crate) fn changes() -> Changes {
        let mut changes = (0, 0);
        for_each(|info| changes = (info.dlpi_adds, info.dlpi_subs));
        changes
    }

    pub(crate) fn modules() -> Vec<Module> {
        let mut modules = Vec::new();
        for_each(|info| modules.push(module(info)));
        modules
    }

    fn module(info: &libc::dl_phdr_info) -> Module {
        let path = if info.dlpi_name.is_null() {
            c""
        } else {
            // SAFETY: the loader's names end with a zero.
            unsafe { CStr::from_ptr(info.dlpi_name) }
        };
        // The executable has an empty name.
        let path = match path.to_bytes() {
            b"" => std::env::current_exe().unwrap_or_default(),
            path => Path::new(OsStr::from_bytes(path)).to_owned(),
        };
        let bias = usize::try_from(info.dlpi_addr).unwrap_or(0);
        let headers = if info.dlpi_phdr.is_null() {
            &[]
        } else {
            // SAFETY: so many headers are there while the module is mapped.
            unsafe { slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) }
        };
        let mut module = Module {
            name: path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            bias,
            segments: Vec::new(),
            build_id: String::new(),
        };
        for header in headers {
            let (start, size) = (header.p_vaddr, header.p_memsz);
            let start = bias.wrapping_add(usize::try_from(start).unwrap_or(0));
            let size = usize::try_from(size).unwrap_or(0);
            match header.p_type {
                libc::PT_LOAD => module.segments.push(start..start.saturating_add(size)),
                libc::PT_NOTE => {
                    // SAFETY: notes are in a segment that is mapped and readable.
                    let notes = unsafe { slice::from_raw_parts(start as *const u8, size) };
                    if let Some(id) = build_id(notes) {
                        for byte in id {
                            let _ = write!(module.build_id, "{byte:02x}");
                        }
                    }
                }
                _ => {}
            }
        }
        module
    }

    /// The build id among notes: each is three numbers (the lengths of its name and its value, and its type), the name
    /// and the value, both filled up to four bytes.
    fn build_id(mut notes: &[u8]) -> Option<&[u8]> {
        const BUILD_ID: u32 = 3;
        loop {
            let (head, rest) = notes.split_at_checked(12)?;
            let number = |at: usize| {
                let bytes = head[at..at + 4].try_into().unwrap_or_default();
                u32::from_ne_bytes(bytes) as usize
            };
            let (name_len, value_len, kind) = (number(0), number(4), number(8));
            let (name, rest) = rest.split_at_checked(name_len)?;
            let rest = rest.get(name_len.next_multiple_of(4) - name_len..)?;
            let value = rest.get(..value_len)?;
            if name == b"GNU\0" && kind == BUILD_ID as usize {
                return Some(value);
            }
            notes = rest.get(value_len.next_multiple_of(4)..)?;
        }
    }
}

#[cfg(target_os = "linux")]
pub(crate) use linux::{changes, modules};

#[cfg(not(target_os = "linux"))]
pub(crate) fn changes() -> Changes {
    (0, 0)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn modules() -> Vec<Module> {
    Vec::new()
}
