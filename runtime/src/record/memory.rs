//! Asks the machine for memory before it is needed. Knows nothing of what lies there.
//!
//! A crowd of rows is visited in no order that a CPU could guess, and each miss costs as much as
//! several polls. Loom test: none; nothing is read.

/// Has the line of `address` brought near. Any address will do: one that is not there is ignored.
#[inline(always)]
pub(crate) fn ask_for<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing and may be given any address.
        unsafe { _mm_prefetch(address.cast::<i8>(), _MM_HINT_T0) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
