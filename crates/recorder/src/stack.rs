//! The stack of an allocation, as addresses: by frame pointers where the program has them, by the unwinder otherwise.

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicU8, Ordering};

/// The deepest stack that can be asked for, in addresses.
pub(crate) const DEEPEST: usize = 512;

/// The address that ends a stack that was cut.
pub(crate) const CUT: usize = 0;

/// The addresses of a stack, innermost first. The last is [`CUT`] if more would follow.
pub(crate) struct Stack {
    addresses: [MaybeUninit<usize>; DEEPEST + 1],
    len: usize,
}

impl Stack {
    const EMPTY: Self = Self {
        addresses: [const { MaybeUninit::uninit() }; DEEPEST + 1],
        len: 0,
    };

    pub(crate) fn as_slice(&self) -> &[usize] {
        let addresses = &self.addresses[..self.len];
        // SAFETY: so many were pushed.
        unsafe { std::slice::from_raw_parts(addresses.as_ptr().cast(), self.len) }
    }

    fn is_cut(&self) -> bool {
        self.as_slice().last() == Some(&CUT)
    }

    /// Adds an address; gives whether there may be more.
    fn push(&mut self, address: usize, depth: usize) -> bool {
        let is_full = self.len >= depth.min(DEEPEST);
        self.addresses[self.len].write(if is_full { CUT } else { address });
        self.len += 1;
        !is_full
    }

    /// The callers of the function that has a local variable at `marker`, found by the unwinder: this needs unwind
    /// tables, which nearly all code has, and about a microsecond for twenty frames.
    pub(crate) fn unwind(marker: usize, depth: usize) -> Self {
        let mut stack = Self::EMPTY;
        let add = |frame: &backtrace::Frame| {
            // The stack pointer of a caller is above all variables of what it called.
            let stack_pointer = frame.sp().addr();
            if stack_pointer != 0 && stack_pointer <= marker {
                return true;
            }
            // The outermost frame can have no address.
            match frame.ip().addr() {
                0 => false,
                address => stack.push(address, depth),
            }
        };
        // On Windows alone walking up a stack takes a lock. Elsewhere the lock would make threads wait while symbols are
        // looked up.
        #[cfg(windows)]
        backtrace::trace(add);
        // SAFETY: the unwinder of the platform is made for threads.
        #[cfg(not(windows))]
        unsafe {
            backtrace::trace_unsynchronized(add);
        }
        stack
    }
}

/// How stacks are walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Walk {
    /// By frame pointers, which are checked against the unwinder for each stack that is new.
    FramePointers,
    /// By the unwinder, as a check failed or the platform has nothing else.
    Unwinder,
}

static WALK: AtomicU8 = AtomicU8::new(0);

impl Walk {
    pub(crate) fn now() -> Self {
        match WALK.load(Ordering::Relaxed) {
            0 if frame_pointers::ARE_KNOWN => Self::FramePointers,
            _ => Self::Unwinder,
        }
    }

    /// Frame pointers were found wrong: some code does not keep them.
    pub(crate) fn distrust_frame_pointers() {
        WALK.store(1, Ordering::Relaxed);
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::FramePointers => "frame pointers",
            Self::Unwinder => "unwinder",
        }
    }
}

/// The callers by frame pointers; `None` if this thread's stack is unknown.
///
/// Nothing but this thread's stack is read, so a chain that leads astray gives a wrong stack and no fault. See
/// [`agree`].
pub(crate) fn by_frame_pointers(marker: usize, depth: usize) -> Option<Stack> {
    let end = frame_pointers::stack_end(marker)?;
    let mut stack = Stack::EMPTY;
    let mut frame = frame_pointers::current();
    let mut inner = ptr::from_ref(&stack.len).addr();
    while frame > inner && frame < end - 16 && frame.is_multiple_of(align_of::<usize>()) {
        // SAFETY: the address is aligned and on this thread's stack, above a variable that exists.
        let [outer, address] = unsafe { *(frame as *const [usize; 2]) };
        if frame > marker && (address == 0 || !stack.push(address, depth)) {
            break;
        }
        (inner, frame) = (frame, outer);
    }
    Some(stack)
}

/// Whether the frame pointers led past the same callers as the unwinder. Of the outermost frames, which start threads
/// and `main` in the C library, two may be missing.
pub(crate) fn agree(by_frame_pointers: &Stack, unwound: &Stack) -> bool {
    let (found, all) = (by_frame_pointers.as_slice(), unwound.as_slice());
    let missing = if unwound.is_cut() { 0 } else { 2 };
    !found.is_empty() && all.starts_with(found) && all.len() - found.len() <= missing
}

#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod frame_pointers {
    use std::arch::asm;
    use std::cell::Cell;
    use std::mem::MaybeUninit;
    use std::ptr;

    pub(super) const ARE_KNOWN: bool = true;

    thread_local! {
        /// The bounds of this thread's stack; the second is 0 before they were asked for.
        static BOUNDS: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
    }

    /// The frame pointer of the function that this is inlined into.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "or it is that of this function")]
    pub(super) fn current() -> usize {
        let frame: usize;
        // SAFETY: a register is read.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            asm!("mov {}, rbp", out(reg) frame, options(nomem, nostack, preserves_flags));
            #[cfg(target_arch = "aarch64")]
            asm!("mov {}, x29", out(reg) frame, options(nomem, nostack, preserves_flags));
        }
        frame
    }

    /// Where this thread's stack ends, if `address` is on it: it can be on that of a coroutine or a signal handler.
    pub(super) fn stack_end(address: usize) -> Option<usize> {
        if BOUNDS.get().1 == 0 {
            BOUNDS.set(bounds().unwrap_or((1, 1)));
        }
        let (start, end) = BOUNDS.get();
        (start..end).contains(&address).then_some(end)
    }

    #[cold]
    fn bounds() -> Option<(usize, usize)> {
        let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
        let (mut start, mut size) = (ptr::null_mut(), 0);
        // SAFETY: the attributes are filled in by the first call, asked for a value, and destroyed.
        unsafe {
            if libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) != 0 {
                return None;
            }
            let asked =
                libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut start, &raw mut size);
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
            (asked == 0).then_some((start.addr(), start.addr().checked_add(size)?))
        }
    }
}

#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
mod frame_pointers {
    pub(super) const ARE_KNOWN: bool = false;

    pub(super) fn current() -> usize {
        0
    }

    pub(super) fn stack_end(_: usize) -> Option<usize> {
        None
    }
}
