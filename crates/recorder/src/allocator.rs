//! [`Allocator`].

use std::alloc::{GlobalAlloc, Layout, System};

use crate::session::{allocated, freed, kept};

/// A global allocator that can be recorded: it passes all calls to another one, that of the system by default.
///
/// While nothing is recorded, an allocation and a free cost a look at a flag each.
///
/// ```
/// use heapprof_recorder::Allocator;
///
/// #[global_allocator]
/// static ALLOCATOR: Allocator = Allocator::system();
/// ```
///
/// With another allocator, such as `mimalloc::MiMalloc` or `tikv_jemallocator::Jemalloc`:
///
/// ```
/// use heapprof_recorder::Allocator;
/// use std::alloc::System as MiMalloc;
///
/// #[global_allocator]
/// static ALLOCATOR: Allocator<MiMalloc> = Allocator::over(MiMalloc);
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Allocator<A = System>(A);

impl Allocator {
    /// Over the allocator of the system.
    pub const fn system() -> Self {
        Self(System)
    }
}

impl<A> Allocator<A> {
    /// Over another allocator.
    pub const fn over(allocator: A) -> Self {
        Self(allocator)
    }
}

// SAFETY: every call goes to the allocator below as it came, and what that returns is returned. In between nothing
// unwinds and no memory of the program is touched.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Allocator<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that are asked for.
        let block = unsafe { self.0.alloc(layout) };
        allocated(block, layout.size());
        block
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        let block = unsafe { self.0.alloc_zeroed(layout) };
        allocated(block, layout.size());
        block
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // Before: from then on another thread can be given the same address.
        let _ = freed(block);
        // SAFETY: as above.
        unsafe { self.0.dealloc(block, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let was = freed(block);
        // SAFETY: as above.
        let moved = unsafe { self.0.realloc(block, layout, new_size) };
        if moved.is_null() {
            if let Some(was) = was {
                kept(block, was);
            }
        } else {
            allocated(moved, new_size);
        }
        moved
    }
}
