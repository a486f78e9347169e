//! What happens to the process: it forks, panics, exits, or is told by its environment to be recorded.

#[cfg(not(unix))]
use std::fs::File;
use std::panic;
use std::sync::Once;
use std::time::Duration;

use crate::place::Place;
use crate::session::Shared;

/// Sees to it, once in a process's life, that recordings survive what happens to it.
pub(crate) fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            let place = Place::now();
            // It may abort. The wait has an end: whoever panics might hold a lock that the writer needs.
            if place == Place::Program
                && let Some(shared) = Shared::now()
            {
                shared.flush(Duration::from_secs(1));
            }
            // To print a backtrace takes more memory than many programs.
            let _inside = place.max(Place::Recorder).enter();
            hook(panic);
        }));
        #[cfg(unix)]
        unix::prepare();
    });
}

#[cfg(unix)]
mod unix {
    use std::cell::Cell;
    use std::fs::File;
    use std::os::fd::AsRawFd;
    use std::sync::atomic::{AtomicI32, Ordering};
    use std::time::Duration;

    use crate::place::Place;
    use crate::session::Shared;

    thread_local! {
        static BEFORE_FORK: Cell<Place> = const { Cell::new(Place::Program) };
    }

    /// The file descriptors of recordings. While one recording follows another there are two of three each.
    static OPEN: [AtomicI32; 6] = [const { AtomicI32::new(-1) }; 6];

    pub(crate) fn close_in_children(files: [&File; 3]) {
        for file in files {
            replace(-1, file.as_raw_fd());
        }
    }

    pub(crate) fn closing(files: [&File; 3]) {
        for file in files {
            replace(file.as_raw_fd(), -1);
        }
    }

    fn replace(from: i32, to: i32) {
        let replace = |place: &AtomicI32| {
            place.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed)
        };
        let _ = OPEN.iter().find(|place| replace(place).is_ok());
    }

    pub(super) fn prepare() {
        // SAFETY: the handlers can be called at any time, allocate nothing and do not unwind.
        unsafe {
            libc::pthread_atfork(Some(before_fork), Some(in_parent), Some(in_child));
            libc::atexit(at_exit);
        }
    }

    // Between these, handlers of others can run in the child, which has a copy of all locks as they are.
    extern "C" fn before_fork() {
        BEFORE_FORK.set(Place::Locked.replace());
    }

    extern "C" fn in_parent() {
        BEFORE_FORK.get().replace();
    }

    /// The child forgets the recording: the thread that writes is not there, and locks may be held forever.
    extern "C" fn in_child() {
        Shared::forget();
        for place in &OPEN {
            let descriptor = place.swap(-1, Ordering::Relaxed);
            if descriptor >= 0 {
                // SAFETY: the descriptor is the child's copy of a file that nothing of the child owns.
                unsafe { libc::close(descriptor) };
            }
        }
        BEFORE_FORK.get().replace();
    }

    extern "C" fn at_exit() {
        if let Some(shared) = Shared::now() {
            shared.end_at_exit(Duration::from_secs(10));
        }
    }
}

#[cfg(unix)]
pub(crate) use unix::{close_in_children, closing};

#[cfg(not(unix))]
pub(crate) fn close_in_children(_: [&File; 3]) {}

#[cfg(not(unix))]
pub(crate) fn closing(_: [&File; 3]) {}
